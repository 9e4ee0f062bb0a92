"""What reporting to the convergence table costs: writes counted, and items weighed by DynamoDB's rule.

`python -m benchmarks.reports` prints the table of docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Final, NamedTuple, cast

from benchmarks.prices import MONTH_S, WRITE_UNIT
from keyturn import SecretCache
from keyturn.names import secret_key
from keyturn.reports import item_of
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeReports, FakeSecretsManager
from keyturn.values import Report

INTERVAL_S: Final = 5.0
QUIET_S: Final = 4 * 3600
WRITE_UNIT_BYTES: Final = 1024
HELD: Final = (1, 5, 20, 100)
ENVIRONMENTS: Final = 1_000
VERSION_ID: Final = "EXAMPLE1-90ab-cdef-fedc-ba987SECRET1"


class Reporting(NamedTuple):
    """One environment that holds so many secrets: its writes, and the write units of each."""

    per_month: float
    per_rotation: int
    units: int


def counted(secrets: int) -> Reporting:
    """Four quiet hours of a `get` per check interval, then one rotation that a marker tells of."""
    clock = FakeClock()
    service, markers, reports = FakeSecretsManager(clock), FakeMarkers(clock), FakeReports(clock)
    names = [f"prod/orders/database-{number:03d}" for number in range(secrets)]
    for name in names:
        service.create(name, "one", VERSION_ID)
        _mark(service, markers, name)
    cache = SecretCache(source=service, markers=markers, reports=reports, clock=clock, random=lambda: 0.5)

    def use(seconds: float) -> int:
        before = reports.calls["write"]
        for _ in range(round(seconds / INTERVAL_S)):
            clock.advance(INTERVAL_S)
            markers.sweep()
            for name in names:
                cache.get(name)
        return reports.calls["write"] - before

    use(2 * INTERVAL_S)
    quiet = use(QUIET_S)
    # The rotation falls between two of the reports that are made anyway.
    service.put(names[0], "two", VERSION_ID[:-1] + "2")
    _mark(service, markers, names[0])
    rotated = use(2 * INTERVAL_S)
    (report,) = reports.items.values()
    return Reporting(quiet * MONTH_S / QUIET_S, rotated, ceil(weight(report) / WRITE_UNIT_BYTES))


def _mark(service: FakeSecretsManager, markers: FakeMarkers, name: str) -> None:
    described = service.describe(name)
    markers.set(secret_key(described.arn, name), described.arn, described.stages)


def weight(report: Report) -> int:
    """The bytes of its item: names and texts in UTF-8, numbers by their digits, 3 for a map, 1 an entry."""
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
    """The lines of the table, as Markdown."""
    yield "| secrets held | write units a report | writes a month | writes a rotation | $ a month for 1,000 |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for held in HELD:
        found = counted(held)
        cost = ENVIRONMENTS * (found.per_month + found.per_rotation) * found.units * WRITE_UNIT
        yield f"| {held} | {found.units} | {found.per_month:,.0f} | {found.per_rotation} | {cost:,.2f} |"


if __name__ == "__main__":
    print("\n".join(table()))
