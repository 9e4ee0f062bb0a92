"""`keyturn announce` writes the present state of a secret into its marker, without an event."""

from __future__ import annotations

from collections.abc import Sequence

import click

from keyturn.cli.account import TABLE_HELP, TABLE_OPTION, Account, region_option
from keyturn.cli.covering import covering
from keyturn.cli.output import ANSWERS, echo_json, json_option, patiently, printable
from keyturn.cli.root import EXIT_NO
from keyturn.markers.decisions import STEPS, announcement
from keyturn.markers.recorder import Outcome, Recorded
from keyturn.runtime.host import MARKER_TABLE_VARIABLE, MARKER_TABLES_VARIABLE, known_marker_tables

MEANINGS = {
    Outcome.WRITTEN: "the marker now agrees with Secrets Manager",
    Outcome.UNCHANGED: "the marker agreed with Secrets Manager already",
    Outcome.DEFERRED: "Secrets Manager does not show all of it yet: announce it again, or wait for the sweep",
}


@click.command
@click.argument("secret_id", metavar="SECRET")
@click.option("--version-id", help="The version that the step worked on.")
@click.option("--step", type=click.Choice(STEPS), help="The rotation step that has just ended.")
@click.option(
    TABLE_OPTION,
    "tables",
    multiple=True,
    help=f"{TABLE_HELP} Repeatable. Default: those of {MARKER_TABLE_VARIABLE} and {MARKER_TABLES_VARIABLE}.",
)
@json_option
@region_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    secret_id: str,
    version_id: str | None,
    step: str | None,
    tables: Sequence[str],
    region: str | None,
    as_json: bool,
) -> None:
    """Write the present state of SECRET (name or ARN) into its marker, as the listener does after an event.

    Of several marker tables, that of the secret's account and Region is written: the answer names it.

    The command writes what DescribeSecret says, so a wrong or repeated call does no harm. It exits with 1 if
    DescribeSecret still does not show the announced version after some 6 s, or if there is no such secret.
    """
    hint = announcement(secret_id, version_id=version_id, step=step)
    tables = tables or known_marker_tables()
    if not tables:
        raise click.UsageError(f"Missing option '{TABLE_OPTION}' (env var: '{MARKER_TABLE_VARIABLE}').")
    with patiently(ANSWERS):
        account = covering(secret_id, tables, Account("", region or None))
        recorded = account.recorder().record(hint)
    if as_json:
        echo_json(document(secret_id, recorded, account.table))
    else:
        click.echo(printable(sentence(secret_id, recorded, account.table)))
    ctx.exit(exit_code(recorded))


def exit_code(recorded: Recorded) -> int:
    """Return 0 if the marker now says what was announced, else 1."""
    is_told = recorded.marker is not None and recorded.outcome is not Outcome.DEFERRED
    return 0 if is_told else EXIT_NO


def document(secret_id: str, recorded: Recorded, table: str) -> dict[str, object]:
    """Return the outcome of the announcement, for JSON."""
    marker = recorded.marker
    return {
        "secret": secret_id,
        "table": table,
        "outcome": recorded.outcome.value,
        "looks": recorded.looks,
        "key": marker.key if marker is not None else None,
        "deleted": marker.deleted if marker is not None else None,
        "stages": dict(marker.stages) if marker is not None else {},
    }


def sentence(secret_id: str, recorded: Recorded, table: str) -> str:
    """Return the outcome of the announcement in words, with the name of the table."""
    if recorded.marker is None:
        return f"{secret_id}: its account and Region have no such secret, and {table} has no marker of it"
    told = f"{secret_id}: {recorded.outcome.value} in {table}"
    if recorded.marker.deleted:
        return f"{told}; its marker says that it is deleted"
    stages = ", ".join(
        f"{label} {version_id}" for label, version_id in sorted(recorded.marker.stages.items())
    )
    return f"{told}, {MEANINGS[recorded.outcome]} ({stages})"
