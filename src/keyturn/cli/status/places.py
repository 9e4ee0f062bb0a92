"""Which accounts and Regions `keyturn status` looks at, and the looks at all of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

from keyturn.aws.clients import region_of
from keyturn.aws.organization import (
    Caller,
    IdentityClient,
    OrganizationClient,
    active_accounts,
    assumed,
    caller,
)
from keyturn.aws.parameterstore import ParameterClient, read_parameter
from keyturn.cli.account import Account
from keyturn.cli.status.looking import Look, Sources
from keyturn.errors import ConfigurationError, KeyturnError, ParameterNotFoundError
from keyturn.model.versions import AWSCURRENT

SIDE_BY_SIDE: Final = 16
"""At most so many places are looked at at a time."""


class AccountRegion(NamedTuple):
    """One account and Region. Both are empty where the command looks at a single place."""

    account: str = ""
    region: str = ""

    def __str__(self) -> str:
        return f"{self.account} {self.region}".strip()


class Visit(NamedTuple):
    """The result of a look at one place.

    `look` is None if the look failed, for the reason in `error`, or if keyturn is not deployed there.
    """

    place: AccountRegion
    look: Look | None = None
    error: KeyturnError | None = None


def visited(
    places: Sequence[AccountRegion],
    opened: Callable[[AccountRegion], Sources | None],
    look: Callable[[Sources], Look],
) -> tuple[Visit, ...]:
    """Look at all places, some at a time, and return the results in their order.

    `opened` finds what to look at in a place; None if keyturn is not deployed there. A place whose look fails
    does not end the others. Raises `ConfigurationError`, which concerns all of them.
    """

    def visit(place: AccountRegion) -> Visit:
        try:
            sources = opened(place)
            return Visit(place, look(sources) if sources is not None else None)
        except ConfigurationError:
            raise
        except KeyturnError as error:
            return Visit(place, error=error)

    if len(places) == 1:
        return (visit(places[0]),)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return tuple(threads.map(visit, places))


@dataclass(frozen=True, slots=True)
class Where:
    """Where the command was asked to look, beside the account and Region that it runs in.

    Args:
        role: the name of the role to assume in each account, with its path if it has one.
        accounts: their numbers; with a role and without accounts those of the organization.
        regions: the Regions of each account.
    """

    role: str | None = None
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Return True if the command looks only at the account and Region that it runs in."""
        return not (self.role or self.accounts or self.regions)


@dataclass(frozen=True, slots=True)
class Names:
    """How the tables of each place are found: by a name that all share, or by a parameter of each place."""

    markers: str | None
    convergence: str | None
    markers_parameter: str
    convergence_parameter: str

    def sources(self, account: Account) -> Sources | None:
        """Return what to look at in this place; None if no parameter names its marker table."""
        markers = self.markers or _text(account, self.markers_parameter)
        if markers is None:
            return None
        convergence = self.convergence or _text(account, self.convergence_parameter)
        return sources_of(replace(account, table=markers), convergence)


def sources_of(account: Account, convergence: str | None) -> Sources:
    """Make the clients for looks at these tables. Raises `MarkerTableError` if the table is not found."""
    account = account.found()
    reports = account.reports(convergence) if convergence is not None else None
    return Sources(account.markers(), account.catalog(), reports)


def _text(account: Account, parameter: str) -> str | None:
    """Return the text of a parameter of this place; None if there is no such parameter."""
    client = cast("ParameterClient", account.client("ssm"))
    try:
        return read_parameter(lambda: client, parameter, AWSCURRENT, None, decrypt=False).string
    except ParameterNotFoundError:
        return None


class Visitor:
    """Looks at several accounts and Regions, each of which it opens once. Threads may share it.

    An account is entered by assuming the role in it; the caller's own account is entered as it is.

    Args:
        home: the caller's own account, with the Region of a place that names none.
        where: which accounts and Regions.
        names: how the tables are found.
    """

    def __init__(self, home: Account, where: Where, names: Names) -> None:
        self._home = home
        self._where = where
        self._names = names
        self._identity = cast("IdentityClient", home.client("sts"))
        self._places: list[AccountRegion] = []
        self._partition = "aws"
        self._entered: dict[str, Account] = {}
        self._opened: dict[AccountRegion, Sources | None] = {}

    def visits(self, look: Callable[[Sources], Look]) -> tuple[Visit, ...]:
        """Look at all places. If they cannot even be listed, that is the one failed look."""
        try:
            self._places = self._places or self._listed()
        except ConfigurationError:
            raise
        except KeyturnError as error:
            return (Visit(AccountRegion(), error=error),)
        return visited(self._places, self._open, look)

    def _listed(self) -> list[AccountRegion]:
        own = caller(self._identity)
        self._partition = own.partition
        self._entered[own.account] = self._home
        regions = self._where.regions or (region_of(self._identity) or "",)
        return [AccountRegion(account, region) for account in self._accounts(own) for region in regions]

    def _accounts(self, own: Caller) -> Sequence[str]:
        if self._where.accounts:
            return self._where.accounts
        if self._where.role is None:
            return (own.account,)
        return tuple(active_accounts(cast("OrganizationClient", self._home.client("organizations"))))

    def _open(self, place: AccountRegion) -> Sources | None:
        if place not in self._opened:
            account = replace(self._enter(place.account), region=place.region)
            self._opened[place] = self._names.sources(account)
        return self._opened[place]

    def _enter(self, account: str) -> Account:
        # Threads that come at once assume the role twice, which does no harm.
        if account not in self._entered:
            role = f"arn:{self._partition}:iam::{account}:role/{self._where.role}"
            self._entered[account] = replace(self._home, credentials=assumed(self._identity, role))
        return self._entered[account]
