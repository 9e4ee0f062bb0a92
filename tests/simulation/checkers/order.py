"""In which order a writer of markers asks: the secret after its marker, or two writers undo each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from keyturn.model.markers import Marker
from keyturn.model.protocols import Catalog, Seen, SweptTable
from keyturn.model.versions import Described
from tests.simulation.checkers.broken import require
from tests.simulation.scheduler import NEVER_S, Scheduler


@dataclass(slots=True)
class Order:
    """What one writer is told and writes, as its catalog and its table. `name_of`: of an ARN or a key."""

    scheduler: Scheduler
    catalog: Catalog
    table: SweptTable
    name_of: Callable[[str], str]
    asked_s: dict[str, float] = field(default_factory=dict)
    listed_s: float = -NEVER_S
    looked_s: dict[str, float] = field(default_factory=dict)

    def describe(self, secret_id: str) -> Described:
        """As the catalog."""
        self.asked_s[self.name_of(secret_id)] = self.scheduler.now_s
        return self.catalog.describe(secret_id)

    def list(self) -> Iterator[Described]:
        """As the catalog."""
        self.listed_s = self.scheduler.now_s
        return self.catalog.list()

    def look(self, key: str) -> Seen:
        """As the table."""
        seen = self.table.look(key)
        self.looked_s[key] = self.scheduler.now_s
        return seen

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """As the table: the condition protects only what was asked for after the marker was read."""
        for seen, marker in changes:
            asked_s = max(self.asked_s.get(self.name_of(marker.arn), -NEVER_S), self.listed_s)
            looked_s = self.looked_s.get(seen.key, -NEVER_S)
            what = f"{seen.key} is written of an answer from {looked_s - asked_s:.3f} s before it was read"
            # An event's token is all that is known of a parameter.
            require(asked_s >= looked_s or marker.token is not None, "order", what)
        self.table.write(changes)

    def tell(self, seen: Sequence[Seen]) -> None:
        """As the table."""
        self.table.tell(seen)

    def now_s(self) -> float:
        """As the table."""
        return self.table.now_s()

    def scan(self) -> Iterator[Seen]:
        """As the table; a correction rests on what was scanned before the secret was described."""
        for seen in self.table.scan():
            self.looked_s[seen.key] = self.scheduler.now_s
            yield seen

    def absent(self, key: str) -> Seen:
        """As the table."""
        return self.table.absent(key)

    def renew(self, swept_as_of_s: float) -> None:
        """As the table."""
        self.table.renew(swept_as_of_s)
