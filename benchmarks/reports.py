"""The cost of reports to the convergence table: counted writes, and item sizes by DynamoDB's rule.

`python -m benchmarks.reports` prints the table of docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple, cast

from benchmarks.prices import MONTH_S, WRITE_UNIT
from keyturn import Peers, SecretCache
from keyturn.convergence.table import item_of
from keyturn.model.markers import Report
from keyturn.model.names import secret_key
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeReports, FakeSecretsManager

INTERVAL_S: Final = 5.0
QUIET_S: Final = 4 * 3600
WRITE_UNIT_BYTES: Final = 1024
HELD: Final = (1, 5, 20, 100)
ENVIRONMENTS: Final = 1_000
VERSION_ID: Final = "EXAMPLE1-90ab-cdef-fedc-ba987SECRET1"


class Writes(NamedTuple):
    """The writes of one environment: in a month without a rotation, and for one rotation."""

    per_month: float
    per_rotation: int


@dataclass(frozen=True, slots=True)
class Reporter:
    """A process that holds some secrets and reports, with its clock and in-memory services."""

    service: FakeSecretsManager
    markers: FakeMarkers
    reports: FakeReports
    names: Sequence[str]
    cache: SecretCache

    @classmethod
    def of(cls, secrets: int) -> Reporter:
        """Return a process that holds this number of secrets and has reported them."""
        clock = FakeClock()
        service, markers, reports = FakeSecretsManager(clock), FakeMarkers(clock), FakeReports(clock)
        names = [f"prod/orders/database-{number:03d}" for number in range(secrets)]
        cache = SecretCache(
            peers=Peers(source=service, markers=markers, reports=reports, clock=clock, random=lambda: 0.5)
        )
        made = cls(service, markers, reports, names, cache)
        for name in names:
            service.create(name, "one", VERSION_ID)
            made.mark(name)
            cache.get(name)
        made.use(2 * INTERVAL_S)
        return made

    def mark(self, name: str) -> None:
        """Write the marker, as the listener does."""
        described = self.service.describe(name)
        self.markers.set(secret_key(described.arn, name), described.arn, described.stages)

    def use(self, seconds: float) -> int:
        """Call `get` once per check interval, and return the number of writes."""
        before = self.reports.calls["write"]
        for _ in range(round(seconds / INTERVAL_S)):
            self.reports.clock.advance(INTERVAL_S)
            self.markers.sweep()
            self.cache.get(self.names[0])
        return self.reports.calls["write"] - before


def writes() -> Writes:
    """Count the writes in four quiet hours, and in a rotation between two regular reports."""
    process = Reporter.of(1)
    quiet = process.use(QUIET_S)
    process.service.put(process.names[0], "two", VERSION_ID[:-1] + "2")
    process.mark(process.names[0])
    return Writes(quiet * MONTH_S / QUIET_S, process.use(2 * INTERVAL_S))


def units(secrets: int) -> int:
    """Return the write units of a report of this number of secrets."""
    (report,) = Reporter.of(secrets).reports.items.values()
    return ceil(weight(report) / WRITE_UNIT_BYTES)


def weight(report: Report) -> int:
    """Return the bytes of the report's item.

    Names and texts count in UTF-8, numbers by their digits, a map 3 bytes, and an entry 1 byte.
    """
    return sum(
        len(name) + _of(cast("Mapping[str, object]", value)) for name, value in item_of(report).items()
    )


def _of(attribute: Mapping[str, object]) -> int:
    ((kind, content),) = attribute.items()
    if isinstance(content, Mapping):
        entries = cast("Mapping[str, Mapping[str, object]]", content)
        return 3 + sum(1 + len(name.encode()) + _of(one) for name, one in entries.items())
    return ceil(len(str(content)) / 2) + 1 if kind == "N" else len(str(content).encode())


def table() -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield "| secrets held | write units a report | writes a month | writes a rotation | $ a month for 1,000 |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    month, rotation = writes()
    for held in HELD:
        of_each = units(held)
        cost = ENVIRONMENTS * (month + rotation) * of_each * WRITE_UNIT
        yield f"| {held} | {of_each} | {month:,.0f} | {rotation} | {cost:,.2f} |"


if __name__ == "__main__":
    print("\n".join(table()))
