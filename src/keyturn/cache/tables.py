"""The marker tables of one cache: which of them covers which key, and what is known of it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from keyturn.cache.allowance import Allowance
from keyturn.cache.limits import Limits
from keyturn.cache.service import Service
from keyturn.cache.table_view import UNCHECKED, TableView, TableWatch
from keyturn.model.instant import Clock, Instant
from keyturn.model.markers import Marker
from keyturn.model.names import Place
from keyturn.model.protocols import MarkerReader

NO_TABLE: Final = "no marker table is used"
NO_TABLE_OF_ITS_PLACE: Final = "no marker table of its account and Region is used"


@dataclass(slots=True, eq=False, repr=False)
class WatchedTable:
    """One table: what its checks have shown, whether it answers, and whose keys it covers.

    `place`: the account and Region whose keys it covers; None for all keys that no other table covers.
    `name`: the ARN or name of each of several tables, "" of a single one. `begun`: when the last check was
    begun that opened a window.
    """

    watch: TableWatch
    service: Service
    place: Place | None = None
    name: str = ""
    begun: Instant | None = None

    def after_fork(self) -> None:
        """Forget what was under way in the parent."""
        self.begun = None
        self.service.after_fork()
        self.watch.allowance.after_fork()

    def forget(self) -> None:
        """Forget everything, as before the first check."""
        self.begun = None
        self.watch.forget()


class Tables:
    """All tables of a cache. Each speaks for its own keys only, so that no account is believed about another.

    At most one of them has no `place`. Threads may share it: it never changes.
    """

    def __init__(self, tables: Iterable[WatchedTable] = ()) -> None:
        self._tables = tuple(tables)
        self._of_place = {table.place: table for table in self._tables if table.place is not None}
        self._other = next((table for table in self._tables if table.place is None), None)
        # The view of a key that no table covers.
        self._uncovered = UNCHECKED._replace(trouble=NO_TABLE_OF_ITS_PLACE if self._tables else NO_TABLE)
        self._nothing = Allowance(0)

    @classmethod
    def watching(
        cls,
        readers: Mapping[Place | None, MarkerReader],
        *,
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
        names: Mapping[Place | None, str] = {},
    ) -> Tables:
        """Return the tables behind these readers, by the places that they cover, before the first check."""

        def watched(place: Place | None, reader: MarkerReader) -> WatchedTable:
            name = names.get(place, "")
            watch = TableWatch(reader, limits, random, name)
            called = f"marker table {name}".rstrip()
            service = Service(called, limits=limits, clock=clock, random=random)
            return WatchedTable(watch, service, place, name)

        return cls(watched(place, reader) for place, reader in readers.items())

    def __iter__(self) -> Iterator[WatchedTable]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def covering(self, key: str) -> WatchedTable | None:
        """Return the table that covers this marker key, or None."""
        if not self._of_place:
            return self._other
        place = Place.of(key)
        return self._of_place.get(place, self._other) if place is not None else self._other

    def view(self, key: str) -> TableView:
        """Return what is known of the table that covers this key; a view with a trouble if there is none."""
        table = self.covering(key)
        return table.watch.view if table is not None else self._uncovered

    def allowance(self, key: str) -> Allowance:
        """Return how many reads the markers of this key's table may cause."""
        table = self.covering(key)
        return table.watch.allowance if table is not None else self._nothing

    def follows(self, key: str, now: Instant) -> bool:
        """Return True if the marker of this key may cause a read."""
        return self.allowance(key).allows(key, now.monotonic_s)

    def late_s(self, marker: Marker, now: Instant) -> float | None:
        """Return for how many seconds the marker was there while this process was in use; None: unknown."""
        table = self.covering(marker.key)
        return table.watch.late_s(marker, now) if table is not None else None

    def holding(self, keys: Iterable[str]) -> tuple[WatchedTable, ...]:
        """Return the tables that cover at least one of these keys, in the order in which they were given."""
        found, rest = set[WatchedTable](), iter(keys)
        # No further than needed: callers ask this for each miss while a check is under way.
        while len(found) < len(self._tables) and (key := next(rest, None)) is not None:
            table = self.covering(key)
            if table is not None:
                found.add(table)
        return tuple(table for table in self._tables if table in found)

    def after_fork(self) -> None:
        """Forget what was under way in the parent."""
        for table in self._tables:
            table.after_fork()

    def forget(self) -> None:
        """Forget everything, as before the first check."""
        for table in self._tables:
            table.forget()
