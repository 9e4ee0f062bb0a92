"""`keyturn sweep` runs the listener's five-minute sweep now, from this host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import click

from keyturn.aws.catalog import Tag
from keyturn.cli.account import Account, account_options
from keyturn.cli.output import echo_json, json_option, patiently
from keyturn.cli.root import EXIT_NO
from keyturn.markers.sweeper import Swept

_OF_SECRETS: Final = re.compile(r"[\w/+=.@!-]+", re.ASCII)
_OF_PARAMETERS: Final = re.compile(r"[\w/.-]+", re.ASCII)
_BEGINNINGS: Final[Mapping[str, re.Pattern[str]]] = {
    "prefix": _OF_SECRETS,
    "parameter_prefix": _OF_PARAMETERS,
}
"""How the names of secrets and of parameters may begin, by the option's name."""


def _beginnings(_ctx: click.Context, option: click.Parameter, given: Sequence[str]) -> Sequence[str]:
    """Refuse a prefix that begins no name, as a click callback.

    An empty one would begin all of them, and with a list in one text the sweep would find nothing.
    """
    pattern = _BEGINNINGS[str(option.name)]
    for prefix in given:
        if not prefix.strip():
            raise click.BadParameter("it is empty; give the beginning of the names, or leave the option out")
        if not pattern.fullmatch(prefix):
            raise click.BadParameter(f"no name begins with {prefix!r}; repeat the option for each prefix")
    return given


def _tag(_ctx: click.Context, _option: click.Parameter, given: str | None) -> str:
    """Refuse an empty tag, as a click callback: it would mean any."""
    if given is not None and not given.strip():
        raise click.BadParameter("it is empty; give KEY or KEY=VALUE, or leave the option out")
    return given or ""


@click.command
@click.option(
    "--prefix",
    multiple=True,
    callback=_beginnings,
    help="Prefix of secrets' names. Repeatable. Give the listener's prefixes: without them every secret that "
    "this role may describe gets a marker, and whoever reads the table learns its name.",
)
@click.option(
    "--tag",
    callback=_tag,
    help="Tag of the secrets, KEY or KEY=VALUE. Give the listener's; default: any tag.",
)
@click.option(
    "--parameter-prefix",
    multiple=True,
    callback=_beginnings,
    help="Prefix of parameters' names. Repeatable. Give the listener's prefixes: without them readers do not "
    "trust markers of parameters until the listener's next sweep.",
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

    The command runs the listener's own code with your role. The role needs the policy that
    `keyturn policy listener` prints. The command exits with 1 if it could not look at every secret, and so
    did not renew the lease.
    """
    with patiently("the sweep, and so for answers of AWS"):
        swept = account.found().sweeper(prefix, Tag.of(tag), parameter_prefix).run(lambda: False)
    if as_json:
        echo_json(asdict(swept))
    else:
        click.echo(sentence(swept))
    ctx.exit(exit_code(swept))


def exit_code(swept: Swept) -> int:
    """Return 0 if the sweep renewed the lease, else 1."""
    return 0 if swept.renewed else EXIT_NO


def sentence(swept: Swept) -> str:
    """Return the sweep's result in words."""
    counts = (
        f"{swept.listed} listed, {swept.first} new, {swept.corrected} corrected "
        f"({swept.found_by_sweep} that an event should have announced), "
        f"{swept.unreadable} that this role may not describe, {swept.failed} failed"
    )
    lease = "the lease was renewed" if swept.renewed else "the lease was NOT renewed: sweep again"
    return f"{counts}; {lease}"
