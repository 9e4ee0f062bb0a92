"""The options of `keyturn status` that say where to look."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple

import click
from click.core import ParameterSource

from keyturn.cli.account import (
    CONVERGENCE_OPTION,
    TABLE_OPTION,
    Account,
    convergence_option,
    region_option,
    table_option,
)
from keyturn.cli.status.places import Names, Where
from keyturn.model.names import ACCOUNT_ID, CONVERGENCE_PARAMETER, MARKERS_PARAMETER
from keyturn.model.table_names import check_table
from keyturn.runtime.host import MARKER_TABLE_VARIABLE


class Asked(NamedTuple):
    """The account that the command runs in, where else it was asked to look, and for which tables."""

    account: Account
    where: Where
    names: Names


def _list(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, ...]:
    """Return the parts of a list with commas, as a click callback.

    A list without a part is refused: the command would look at other places than the caller means.
    """
    parts = (part.strip() for part in (given or "").split(","))
    found = tuple(dict.fromkeys(part for part in parts if part))
    if given is not None and not found:
        raise click.BadParameter(_EMPTY)
    return found


def _filled(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    """Refuse an empty text, as a click callback, for the same reason."""
    if given is not None and not given.strip():
        raise click.BadParameter(_EMPTY)
    return given


_EMPTY: Final = "it is empty, perhaps by a variable that is not set: give a value, or leave the option out"


def _accounts(ctx: click.Context, parameter: click.Parameter, given: str | None) -> tuple[str, ...]:
    accounts = _list(ctx, parameter, given)
    wrong = [account for account in accounts if not ACCOUNT_ID.fullmatch(account)]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not 12 digits")
    return accounts


def _if_typed(ctx: click.Context, name: str, given: str | None) -> str | None:
    """Return an option of the command line. A variable of the shell names the table of a single place."""
    return given if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE else None


def asked_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of places and tables, passed to the command as `asked`."""

    @convergence_option("count the environments on AWSCURRENT (dynamodb:Scan).")
    @click.option(
        "--org-role",
        metavar="ROLE",
        callback=_filled,
        help="Look at many accounts: assume this role in each.",
    )
    @click.option(
        "--accounts",
        metavar="A,B",
        callback=_accounts,
        help="The accounts. Default with --org-role: those of the organization (organizations:ListAccounts).",
    )
    @click.option("--regions", metavar="A,B", callback=_list, help="The Regions of each account.")
    @click.option(
        "--table-parameter",
        default=MARKERS_PARAMETER,
        show_default=True,
        help="With many places: the parameter that has the name of each marker table.",
    )
    @click.option(
        "--convergence-parameter",
        default=CONVERGENCE_PARAMETER,
        show_default=True,
        help="With many places: the parameter that has the name of each convergence table.",
    )
    @table_option(required=False, more=" Required unless the command looks at many places.")
    @region_option
    @click.pass_context
    @functools.wraps(function)
    def with_places(
        ctx: click.Context,
        /,
        *,
        convergence: str | None,
        org_role: str | None,
        accounts: tuple[str, ...],
        regions: tuple[str, ...],
        table_parameter: str,
        convergence_parameter: str,
        marker_table: str | None,
        region: str | None,
        **options: object,
    ) -> None:
        where = Where(org_role, accounts, regions)
        if accounts and org_role is None:
            raise click.UsageError("--accounts needs --org-role: the role that is assumed in each account.")
        if where.is_here and not marker_table:
            raise click.UsageError(f"Missing option '{TABLE_OPTION}' (env var: '{MARKER_TABLE_VARIABLE}').")
        if not where.is_here:
            marker_table = _if_typed(ctx, "marker_table", marker_table)
            convergence = _if_typed(ctx, "convergence", convergence)
        if marker_table:
            check_table(marker_table, TABLE_OPTION)
        if convergence:
            check_table(convergence, CONVERGENCE_OPTION)
        names = Names(
            marker_table,
            convergence,
            table_parameter or MARKERS_PARAMETER,
            convergence_parameter or CONVERGENCE_PARAMETER,
        )
        asked = Asked(Account(marker_table or "", region or None), where, names)
        function(asked=asked, **options)

    return with_places
