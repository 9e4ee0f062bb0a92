"""`keyturn watch` shows markers as they change."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from keyturn.cache.limits import DEFAULTS
from keyturn.cli.account import Account, account_options
from keyturn.cli.durations import SECONDS_MAX, finite
from keyturn.cli.output import console, echo_json_line, json_option, moment, printable, short_key, table_of
from keyturn.cli.status.overview import event
from keyturn.cli.watch.following import Follower, Glance
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker
from keyturn.model.names import secret_key
from keyturn.runtime.host import system_sleep

ROWS_MAX = 20
"""The live view shows at most this number of changes."""


@click.command
@click.argument("secrets", metavar="[SECRET]...", nargs=-1)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, SECONDS_MAX),
    callback=finite,
    default=DEFAULTS.check_interval_s,
    show_default=True,
    help="Seconds between two reads of the head: a reader's check interval.",
)
@json_option
@account_options
def command(account: Account, *, secrets: Sequence[str], interval_s: float, as_json: bool) -> None:
    """Show markers as they change: all, or those of SECRET... Ends with Ctrl-C (exit code 130).

    Reads what a reader reads: the head at each interval (half a read unit), and the markers when the head has
    moved (all: dynamodb:Scan; of SECRET: BatchGetItem, and secretsmanager:DescribeSecret once). A terminal
    shows a live table, any other output gets a line for each change; with --json each line is a JSON
    document.
    """
    glances = follower(account.found(), secrets, interval_s).glances()
    if as_json:
        stream(glances, json_lines)
    elif sys.stdout.isatty():
        live(glances)
    else:
        stream(glances, lines)


def follower(account: Account, secrets: Sequence[str], interval_s: float) -> Follower:
    """Make what follows the markers of these secrets; without any, all markers."""
    table = account.markers()
    read = _reader(table, [_key(account, secret) for secret in secrets])
    return Follower(table.read_head, read, system_sleep, interval_s)


def _key(account: Account, secret_id: str) -> str:
    described = account.catalog().describe(secret_id)
    return secret_key(described.arn, described.name)


def _reader(table: MarkerTable, keys: Sequence[str]) -> Callable[[], Mapping[str, Marker]]:
    if keys:
        return lambda: table.read_markers(keys).found
    return lambda: {seen.key: seen.marker for seen in table.scan() if seen.marker is not None}


def stream(glances: Iterable[Glance], write: Callable[[Glance], None]) -> None:
    """Write each glance as it comes. The same trouble is written once, not at every poll.

    The first glance has no changes. Its summary goes to stderr, so that nobody takes silence for a fault.
    """
    trouble: str | None = None
    for number, glance in enumerate(glances):
        if number == 0 and glance.trouble is None:
            click.echo(f"Waiting for changes: {printable(summary(glance))}.", err=True)
        if glance.trouble is None or glance.trouble != trouble:
            write(glance)
        trouble = glance.trouble


def json_lines(glance: Glance) -> None:
    """Write one JSON document a line: `{"changed": …}` or `{"trouble": …}`."""
    if glance.trouble is not None:
        echo_json_line({"trouble": glance.trouble})
    for marker in glance.changed:
        echo_json_line({"changed": event(marker)})


def lines(glance: Glance) -> None:
    """Write a line of words for each change or trouble."""
    if glance.trouble is not None:
        click.echo(printable(glance.trouble))
    for marker in glance.changed:
        click.echo("  ".join(map(printable, row(marker))))


def live(glances: Iterable[Glance]) -> None:
    """Show the last changes as a table that stays in its place, with the head above it."""
    recent: deque[Marker] = deque(maxlen=ROWS_MAX)
    with Live(console=console(), auto_refresh=False) as view:
        for glance in glances:
            recent.extendleft(glance.changed)
            view.update(picture(glance, recent), refresh=True)


def picture(glance: Glance, recent: Iterable[Marker]) -> Group:
    """Return the live view at one moment."""
    table = table_of("", ("when", "secret", "step", "reason", "stages"), map(row, recent))
    return Group(Text(printable(summary(glance))), table)


def summary(glance: Glance) -> str:
    """Return the state of the head and the number of markers in words, or why there is no answer."""
    if glance.trouble is not None:
        return glance.trouble
    if glance.head is None:
        return "no head, since nothing was ever written or swept here; keyturn doctor says why"
    age_s = glance.head.swept_age_s
    swept = "never swept" if age_s is None else f"complete up to {age_s:.0f} s ago"
    markers = "1 marker" if len(glance.markers) == 1 else f"{len(glance.markers)} markers"
    return f"{markers}, counter {glance.head.counter}, {swept}"


def row(marker: Marker) -> tuple[str, str, str, str, str]:
    """Return a row for a change: its time, its secret, and the version of each staging label now."""
    stages = "deleted" if marker.deleted else " ".join(f"{k}={v}" for k, v in sorted(marker.stages.items()))
    return (
        moment(marker.changed_at_s),
        short_key(marker.key),
        marker.step or "-",
        marker.reason or "-",
        stages,
    )
