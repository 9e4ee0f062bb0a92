"""`keyturn sweep`: what the listener does every five minutes, now and from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from keyturn.aws.catalog import Tag
from keyturn.cli.account import Account, account_options
from keyturn.cli.output import echo_json, json_option
from keyturn.cli.root import EXIT_NO
from keyturn.markers.sweeper import Swept


@click.command
@click.option("--prefix", multiple=True, help="How secrets' names begin; all, if not given. Repeatable.")
@click.option("--tag", default="", help="KEY or KEY=VALUE that secrets have; any, if not given.")
@click.option(
    "--parameter-prefix",
    multiple=True,
    help="How parameters' names begin. Repeatable. Give those of the listener: without them markers of "
    "parameters cover nothing until its next sweep.",
)
@json_option
@account_options
@click.pass_context
def command(
    ctx: click.Context,
    account: Account,
    *,
    prefix: Sequence[str],
    tag: str,
    parameter_prefix: Sequence[str],
    as_json: bool,
) -> None:
    """Compare all markers with Secrets Manager, correct what differs, and renew the lease.

    By the listener's own code, with your role: it needs what `keyturn policy listener` prints. Exits
    with 1 if the lease could not be renewed, since a secret could not be looked at.
    """
    swept = account.sweeper(prefix, Tag.of(tag), parameter_prefix).run(lambda: False)
    if as_json:
        echo_json(asdict(swept))
    else:
        click.echo(sentence(swept))
    ctx.exit(exit_code(swept))


def exit_code(swept: Swept) -> int:
    """Whether the lease lasts longer now."""
    return 0 if swept.renewed else EXIT_NO


def sentence(swept: Swept) -> str:
    """The sweep in words."""
    counts = (
        f"{swept.listed} listed, {swept.first} new, {swept.corrected} corrected "
        f"({swept.found_by_sweep} that an event should have announced), "
        f"{swept.unreadable} that this role may not describe, {swept.failed} failed"
    )
    lease = "the lease was renewed" if swept.renewed else "the lease was NOT renewed: sweep again"
    return f"{counts}; {lease}"
