"""`keyturn status` shows the head, the markers, the last changes, and where Secrets Manager differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from keyturn.cache.limits import DEFAULTS
from keyturn.cli.account import Account, account_options, convergence_option
from keyturn.cli.durations import finite
from keyturn.cli.output import console, echo_json, json_option, moment, named, printable, table_of
from keyturn.cli.root import EXIT_NO
from keyturn.cli.status import fleet as fleets
from keyturn.cli.status.fleet import Fleet, fleet_of
from keyturn.cli.status.overview import (
    Compared,
    Overview,
    broken,
    compared,
    document,
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
from keyturn.runtime.host import SystemClock, system_sleep


class Look(NamedTuple):
    """The result of one look: the markers, and the fleet if a convergence table is named."""

    overview: Overview
    fleet: Fleet | None

    @property
    def is_done(self) -> bool:
        """Return True if there is nothing left to wait for."""
        return self.overview.is_well and (self.fleet is None or self.fleet.is_on_current)


@click.command
@click.argument("secrets", metavar="[SECRET]...", nargs=-1)
@convergence_option("count the environments on AWSCURRENT (dynamodb:Scan).")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    callback=finite,
    metavar="SECONDS",
    help="Look again every 5 s, for at most SECONDS, until all environments are on AWSCURRENT.",
)
@json_option
@account_options
@click.pass_context
def command(
    ctx: click.Context,
    account: Account,
    *,
    secrets: Sequence[str],
    convergence: str | None,
    wait_s: float | None,
    as_json: bool,
) -> None:
    """Show the marker table, and compare its markers with Secrets Manager: all, or those of SECRET...

    Reads the head, the markers (all: dynamodb:Scan; of SECRET: GetItem) and calls DescribeSecret once for
    each. Exits with 1 if a marker differs, or if no marker counts since the last sweep is too old. During a
    rotation a difference of some seconds is no fault. Environments that are behind change the exit code only
    with --wait: it is 1 if some are still behind at the end, or if no environment reports a SECRET.
    """
    if wait_s is not None and convergence is None:
        raise click.UsageError(
            "--wait needs --convergence-table: it can wait only for environments that report."
        )
    table, catalog = account.markers(), account.catalog()
    reports = account.reports(convergence) if convergence is not None else None
    seen = fleets.waited(
        lambda: look(table, catalog, reports, secrets),
        lambda seen: seen.is_done,
        wait_s or 0.0,
        clock=SystemClock(),
        sleep=system_sleep,
        tell=_tell,
    )
    if as_json:
        about_fleet = {"convergence": fleets.document(seen.fleet)} if seen.fleet is not None else {}
        echo_json({**document(seen.overview), **about_fleet})
    else:
        show(seen.overview)
        show_fleet(seen.fleet)
    if not (seen.overview.is_well if wait_s is None else seen.is_done):
        ctx.exit(EXIT_NO)


def look(
    table: MarkerTable, catalog: Catalog, reports: ConvergenceTable | None, secrets: Sequence[str]
) -> Look:
    """Read all that the command shows.

    The reports are read before the markers: a move in between then shows as not done.
    """
    read = reports.read() if reports is not None else None
    found = of_secrets(table, catalog, secrets) if secrets else of_all(table, catalog)
    head = table.read_head(consistent=True)
    copies = [table.read_head(consistent=True, copy=copy) for copy in range(1, head.copies)] if head else []
    overview = Overview(head, tuple(found), copies)
    if read is None:
        return Look(overview, None)
    return Look(overview, fleet_of(read, overview, SystemClock.wall(), all_secrets=not secrets))


def _tell(seen: Look) -> None:
    """Print on stderr what the command still waits for."""
    waiting = [f"{named(one.key)} {fleets.headline(one)}" for one in seen.fleet.secrets] if seen.fleet else []
    wrong = [f"{named(one.key)} {one.verdict.value}" for one in seen.overview.wrong]
    click.echo(printable("waiting: " + "; ".join([*waiting, *wrong])), err=True)


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


def of_all(table: MarkerTable, catalog: Catalog) -> Iterator[Compared]:
    """Compare every item of the table."""
    for seen in sorted(table.scan(), key=lambda seen: seen.key):
        yield _of_item(seen, catalog)


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


def show(overview: Overview) -> None:
    """Print the overview as tables."""
    to = console()
    to.print(head_line(overview))
    if overview.copies:
        to.print(copies_line(overview))
    if overview.secrets:
        to.print(table_of("", ("secret", "stage", "marker", "Secrets Manager", ""), _rows(overview)))
    if overview.events:
        rows = [
            (moment(one.changed_at_s), named(one.key), one.step or "", one.reason) for one in overview.events
        ]
        to.print()
        to.print(table_of("Last changes", ("when", "secret", "step", "reason"), rows))
    total, wrong = len(overview.secrets), len(overview.wrong)
    to.print(f"\n{wrong or 'none'} of {total} need attention" if total else "\nno markers")


def show_fleet(fleet: Fleet | None) -> None:
    """Print the versions that the environments are on, if the command reads a convergence table."""
    if fleet is None:
        return
    to = console()
    to.print()
    if fleet.secrets:
        columns = ("secret", f"{fleet.environments} environments", "which", "last report")
        to.print(table_of("", columns, fleets.rows(fleet)))
    for note in fleets.notes(fleet):
        to.print(note)


def head_line(overview: Overview) -> str:
    """Return the head in words."""
    head, age_s = overview.head, overview.swept_age_s
    if head is None:
        return "No head: nothing was ever written or swept here. Run keyturn sweep, or keyturn doctor."
    if age_s is None:
        return f"Head: counter {head.counter}; never swept, so no marker counts. keyturn doctor says why."
    lease = f"300 to 600 s is normal; up to {DEFAULTS.lease_s:.0f} s they count"
    told = "" if overview.has_lease else ": no marker counts. keyturn doctor says why"
    return f"Head: counter {head.counter}, markers complete up to {age_s:.0f} s ago ({lease}){told}"


def copies_line(overview: Overview) -> str:
    """Return the copies of the head in words; there is one at least."""
    number = len(overview.copies) + 1
    if overview.without_lease:
        keys = ", ".join(overview.without_lease)
        return (
            f"Copies: {number} heads, but {keys} not swept: no marker counts there. keyturn doctor says why."
        )
    ages_s = [one.swept_age_s or 0.0 for one in overview.copies if one is not None]
    return f"Copies: {number} heads, the others complete up to {max(ages_s):.0f} s ago or less"


def _rows(overview: Overview) -> Iterator[tuple[str, str, str, str, str]]:
    for one in overview.secrets:
        name, verdict = named(one.key), one.verdict.value + (f": {one.why}" if one.why else "")
        for label, marked, true in one.stages or [("", None, None)]:
            truth = (true or "-") if one.described is not None else "?"
            yield name, label, marked or "-", truth, verdict
            name = verdict = ""
