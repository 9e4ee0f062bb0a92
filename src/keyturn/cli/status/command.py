"""`keyturn status` shows the head, the markers, the last changes, and where Secrets Manager differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

import click

from keyturn.cli.durations import finite
from keyturn.cli.output import ANSWERS, echo_json, json_option, patiently, printable
from keyturn.cli.root import EXIT_NO, EXIT_UNANSWERED
from keyturn.cli.status import documents, shown
from keyturn.cli.status.gate import Gate, waited
from keyturn.cli.status.looking import look
from keyturn.cli.status.options import Asked, asked_options
from keyturn.cli.status.places import AccountRegion, Visit, Visitor, sources_of, visited
from keyturn.runtime.host import SystemClock, system_sleep

ROLE_LASTS_S: Final = 3000.0
"""How long a gate may wait where a role is assumed: its credentials last an hour."""


@click.command
@click.argument("secrets", metavar="[SECRET]...", nargs=-1)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    callback=finite,
    metavar="SECONDS",
    help="Look again every 5 s, for at most SECONDS, until all environments are on AWSCURRENT.",
)
@click.option(
    "--expect",
    type=click.IntRange(1),
    metavar="N",
    help="Exit with 0 only if at least N environments report, and all are on AWSCURRENT. Default: 1.",
)
@json_option
@asked_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    asked: Asked,
    secrets: Sequence[str],
    wait_s: float | None,
    expect: int | None,
    as_json: bool,
) -> None:
    """Show the marker table, and compare its markers with Secrets Manager: all, or those of SECRET...

    The command reads the head and the markers (of SECRET by GetItem, all by dynamodb:Scan), and calls
    DescribeSecret once for each secret. It exits with 1 if a marker differs, or if the last sweep is so old
    that no marker counts. During a rotation a difference of some seconds is normal. Environments that are
    behind change the exit code only with --wait or --expect: it is 1 if some of them are still behind at the
    end, or if too few report.

    With --org-role or --regions the command looks at many places at once. If it fails to look at a place, it
    names that place, and the exit code is 3, unless another place makes it 1.
    """
    gate = Gate(expect or 1) if wait_s is not None or expect is not None else None
    _check(asked, gate, wait_s or 0.0)
    looks = _looks(asked, secrets)
    visits = waited(
        lambda: _patient(looks),
        lambda seen: gate is None or gate.is_open(seen),
        wait_s or 0.0,
        clock=SystemClock(),
        sleep=system_sleep,
        tell=lambda seen: _tell(seen, gate),
    )
    if asked.where.is_here and visits[0].error is not None:
        raise visits[0].error
    if as_json:
        echo_json(documents.answer(visits, gate, is_here=asked.where.is_here))
    else:
        shown.show(visits, gate, is_here=asked.where.is_here)
    ctx.exit(exit_code(visits, gate))


def exit_code(visits: Sequence[Visit], gate: Gate | None) -> int:
    """Return 1 if any look says no, else 3 if any look failed."""
    looks = [visit.look for visit in visits if visit.look is not None]
    has_failed = any(visit.error is not None for visit in visits)
    if gate is not None:
        is_well = gate.is_open(visits) or (has_failed and all(one.is_done for one in looks))
    else:
        is_well = all(one.overview.is_well for one in looks) and (bool(looks) or has_failed)
    if not is_well:
        return EXIT_NO
    return EXIT_UNANSWERED if has_failed else 0


def _check(asked: Asked, gate: Gate | None, wait_s: float) -> None:
    if gate is not None and asked.where.is_here and asked.names.convergence is None:
        raise click.UsageError(
            "--wait and --expect need --convergence-table: they count only environments that report."
        )
    if asked.where.role is not None and wait_s > ROLE_LASTS_S:
        raise click.UsageError(
            f"--wait is at most {ROLE_LASTS_S:.0f} s with --org-role: the role's credentials last an hour."
        )


def _looks(asked: Asked, secrets: Sequence[str]) -> Callable[[], tuple[Visit, ...]]:
    """Return a function that looks once at all places.

    Each place is opened by the first look that succeeds in it: where a parameter names the table, a failed
    GetParameter is a failed look.
    """
    looked = partial(look, secrets=secrets)
    if asked.where.is_here:
        opened = cache(lambda _place: sources_of(asked.account, asked.names.convergence))
        return lambda: visited([AccountRegion()], opened, looked)
    visitor = Visitor(asked.account, asked.where, asked.names)
    return lambda: visitor.visits(looked)


def _patient(looks: Callable[[], tuple[Visit, ...]]) -> tuple[Visit, ...]:
    with patiently(ANSWERS):
        return looks()


def _tell(visits: Sequence[Visit], gate: Gate | None) -> None:
    """Print on stderr what the command still waits for."""
    click.echo(printable("waiting: " + "; ".join(shown.waiting(visits, gate))), err=True)
