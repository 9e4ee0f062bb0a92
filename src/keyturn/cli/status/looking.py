"""One look of `keyturn status` at one account and Region: what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from keyturn.cli.status.fleet import Fleet, fleet_of
from keyturn.cli.status.overview import (
    Compared,
    Overview,
    broken,
    compared,
    is_comparable,
    missing,
    unknown,
)
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import AccessDeniedError, SecretNotFoundError
from keyturn.markers.reconciler import find_secret
from keyturn.markers.table import MarkerTable
from keyturn.model.names import secret_key
from keyturn.model.protocols import Catalog, Seen
from keyturn.runtime.host import SystemClock
from keyturn.runtime.parallel import side_by_side


class Sources(NamedTuple):
    """What a look reads: the markers, Secrets Manager, and the reports where there are any."""

    markers: MarkerTable
    catalog: Catalog
    reports: ConvergenceTable | None


class Look(NamedTuple):
    """The result of one look: the markers, and the fleet if a convergence table is named."""

    overview: Overview
    fleet: Fleet | None

    @property
    def is_done(self) -> bool:
        """Return True if there is nothing left to wait for."""
        fleet = self.fleet
        return self.overview.is_well and (fleet is None or not fleet.secrets or fleet.is_on_current)


def look(sources: Sources, secrets: Sequence[str]) -> Look:
    """Read all that the command shows of one place.

    The reports are read before the markers: a move in between then shows as not done.
    """
    table, catalog = sources.markers, sources.catalog
    read = sources.reports.read() if sources.reports is not None else None
    found = of_secrets(table, catalog, secrets) if secrets else of_all(table, catalog)
    head = table.read_head(consistent=True)
    copies = [table.read_head(consistent=True, copy=copy) for copy in range(1, head.copies)] if head else []
    overview = Overview(head, tuple(found), copies)
    if read is None:
        return Look(overview, None)
    return Look(overview, fleet_of(read, overview, SystemClock.wall(), all_secrets=not secrets))


def of_secrets(table: MarkerTable, catalog: Catalog, secrets: Sequence[str]) -> Iterator[Compared]:
    """Compare the secrets of these names or ARNs, of which some may not exist."""
    for secret_id in secrets:
        try:
            described = catalog.describe(secret_id)
        except SecretNotFoundError:
            yield missing(secret_id)
            continue
        key = secret_key(described.arn, described.name)
        yield compared(key, table.look(key).marker, described)


def of_all(table: MarkerTable, catalog: Catalog) -> Iterable[Compared]:
    """Compare every item of the table, several at a time: one after the other 10,000 take minutes."""
    items = sorted(table.scan(), key=lambda seen: seen.key)
    return side_by_side(lambda seen: _of_item(seen, catalog), items)


def _of_item(seen: Seen, catalog: Catalog) -> Compared:
    marker = seen.marker
    if marker is None:
        return broken(seen.key)
    if not is_comparable(marker):
        return unknown(
            seen.key,
            marker,
            "a parameter's marker names no version: events only say that the parameter changed",
        )
    try:
        return compared(seen.key, marker, find_secret(catalog, marker.arn, marker.key))
    except AccessDeniedError:
        return unknown(seen.key, marker, "this role may not describe it: allow secretsmanager:DescribeSecret")
