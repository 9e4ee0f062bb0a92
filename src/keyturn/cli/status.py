"""`keyturn status`: the head, the markers, the last events, and where Secrets Manager says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from keyturn.cli.account import Account, account_options
from keyturn.cli.output import console, echo_json, json_option, moment, named, table_of
from keyturn.cli.overview import (
    Compared,
    Overview,
    broken,
    compared,
    document,
    is_comparable,
    unknown,
)
from keyturn.cli.root import EXIT_NO
from keyturn.errors import AccessDeniedError
from keyturn.freshness import DEFAULTS
from keyturn.markers import MarkerTable
from keyturn.names import secret_key
from keyturn.protocols import Catalog, Seen
from keyturn.recording import Recorder


@click.command
@click.argument("secrets", metavar="[SECRET]...", nargs=-1)
@json_option
@account_options
@click.pass_context
def command(ctx: click.Context, account: Account, *, secrets: Sequence[str], as_json: bool) -> None:
    """Show the marker table, and compare its markers with Secrets Manager: all, or those of SECRET...

    Reads the head, the markers (all: dynamodb:Scan; of SECRET: GetItem) and one DescribeSecret for each.
    Exits with 1 if a marker differs, or none counts since the sweep's last word is too old. In the
    midst of a rotation a difference of some seconds is no fault.
    """
    table, recorder = account.markers(), account.recorder()
    found = of_secrets(table, recorder.catalog, secrets) if secrets else of_all(table, recorder)
    overview = Overview(table.read_head(consistent=True), tuple(found))
    if as_json:
        echo_json(document(overview))
    else:
        show(overview)
    if not overview.is_well:
        ctx.exit(EXIT_NO)


def of_secrets(table: MarkerTable, catalog: Catalog, secrets: Sequence[str]) -> Iterator[Compared]:
    """The secrets of these names or ARNs. Raises `SecretError` for one that is not there."""
    for secret_id in secrets:
        described = catalog.describe(secret_id)
        key = secret_key(described.arn, described.name)
        yield compared(key, table.look(key).marker, described)


def of_all(table: MarkerTable, recorder: Recorder) -> Iterator[Compared]:
    """Every item of the table."""
    for seen in sorted(table.scan(), key=lambda seen: seen.key):
        yield _of_item(seen, recorder)


def _of_item(seen: Seen, recorder: Recorder) -> Compared:
    marker = seen.marker
    if marker is None:
        return broken(seen.key)
    if not is_comparable(marker):
        return unknown(seen.key, marker, "a parameter: an event says only that it changed")
    try:
        return compared(seen.key, marker, recorder.find(marker.arn, marker.key))
    except AccessDeniedError:
        return unknown(seen.key, marker, "this role may not describe it: allow secretsmanager:DescribeSecret")


def show(overview: Overview) -> None:
    """Print it as tables."""
    to = console()
    to.print(head_line(overview))
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


def head_line(overview: Overview) -> str:
    """The head in words."""
    head, age_s = overview.head, overview.swept_age_s
    if head is None:
        return "No head: nothing was ever written or swept here. keyturn sweep, or keyturn doctor."
    if age_s is None:
        return f"Head: counter {head.counter}; never swept, so no marker counts. keyturn doctor says why."
    lease = f"a lease lasts {DEFAULTS.lease_s:.0f} s"
    told = "" if overview.has_lease else ": no marker counts. keyturn doctor says why"
    return f"Head: counter {head.counter}, swept as of {age_s:.0f} s ago ({lease}){told}"


def _rows(overview: Overview) -> Iterator[tuple[str, str, str, str, str]]:
    for one in overview.secrets:
        name, verdict = named(one.key), one.verdict.value + (f": {one.why}" if one.why else "")
        for label, marked, true in one.stages or [("", None, None)]:
            truth = (true or "-") if one.described is not None else "?"
            yield name, label, marked or "-", truth, verdict
            name = verdict = ""
