"""The account that a sub-command works in: the options for its tables and Region, and clients for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

import click

from keyturn.assembly import SETTLE_S, convergence_table, marker_table, recorder
from keyturn.aws.catalog import PARAMETERS_ATTEMPTS, ParameterListing, SecretsManagerCatalog, Tag
from keyturn.aws.clients import SECRETS_ATTEMPTS, SECRETS_TIMEOUTS_S, ClientFactory, Credentials
from keyturn.cli.ending import ending_at_once
from keyturn.markers.named import named_table
from keyturn.model.table_names import check_table, place_of_table
from keyturn.runtime.host import CONVERGENCE_TABLE_VARIABLE, MARKER_TABLE_VARIABLE, THIS_HOST
from keyturn.runtime.parallel import side_by_side

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.aws.parameterstore import ParameterClient
    from keyturn.convergence.table import ConvergenceTable
    from keyturn.markers.recorder import Recorder
    from keyturn.markers.sweeper import Sweeper
    from keyturn.markers.table import MarkerTable


TABLE_OPTION: Final = "--marker-table"
CONVERGENCE_OPTION: Final = "--convergence-table"


@dataclass(frozen=True, slots=True)
class Account:
    """One account and Region with its marker table.

    Every method makes its own clients: with the credentials of an assumed role, with those of `role` (an
    ARN), or else from the environment. It raises `ConfigurationError` if the environment has no Region, or
    names a profile that does not exist. Accounts that share `clients` share one session of botocore.
    """

    table: str
    region: str | None = None
    credentials: Credentials | None = None
    role: str | None = None
    clients: ClientFactory = field(default_factory=ClientFactory, compare=False, repr=False)

    def found(self) -> Account:
        """Return the account with the name of its table, where a parameter names the table (`ssm:NAME`).

        One GetParameter; none for a table that is given by its own name or ARN. Raises `MarkerTableError` if
        the parameter cannot be read, or names no table.
        """
        place = place_of_table(self.table)
        there = replace(self, region=place.region) if place is not None else self
        found = named_table(self.table, lambda: cast("ParameterClient", there.client("ssm")))
        return replace(self, table=found)

    def client(self, service: str, *, attempts: int = SECRETS_ATTEMPTS) -> object:
        """Return a new client of this AWS service."""
        with ending_at_once():
            return self.clients.make(
                service,
                SECRETS_TIMEOUTS_S,
                self.region,
                attempts=attempts,
                credentials=self.credentials,
                role=self.role,
            )

    def markers(self) -> MarkerTable:
        """Return the marker table."""
        return marker_table(self.table, self.client("dynamodb"))

    def reports(self, table: str) -> ConvergenceTable:
        """Return the convergence table of this name or ARN."""
        return convergence_table(table, self.client("dynamodb"))

    def catalog(self, prefixes: Sequence[str] = (), tag: Tag | None = None) -> SecretsManagerCatalog:
        """Return the catalog of the secrets that have the tag and a name with one of the prefixes.

        Without prefixes every name counts, without a tag every secret.
        """
        client = cast("CatalogClient", self.client("secretsmanager"))
        return SecretsManagerCatalog(client, name_prefixes=prefixes, tag=tag)

    def recorder(self) -> Recorder:
        """Make the recorder of hints, which is the listener's own code."""
        return recorder(self.table, self.client("secretsmanager"), self.client("dynamodb"))

    def sweeper(
        self, prefixes: Sequence[str] = (), tag: Tag | None = None, parameters: Sequence[str] = ()
    ) -> Sweeper:
        """Make the sweeper, which is the listener's own code.

        It sweeps the secrets of `catalog(prefixes, tag)`, and the parameters of `parameters(parameters)`.
        """
        from keyturn.markers.sweeper import Sweeper

        return Sweeper(
            self.catalog(prefixes, tag),
            self.markers(),
            THIS_HOST,
            settle_s=SETTLE_S,
            parameters=self.parameters(parameters),
            parallel=side_by_side,
        )

    def parameters(self, prefixes: Sequence[str]) -> ParameterListing | None:
        """Return the list of parameters whose names begin with one of the prefixes; None without prefixes."""
        if not prefixes:
            return None
        client = cast("ListingClient", self.client("ssm", attempts=PARAMETERS_ATTEMPTS))
        return ParameterListing(client, prefixes)


def convergence_option(required_for: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `--convergence-table`, passed to the command as `convergence`. Its help says what it is for.

    An empty text is no table, as it is in the variable.
    """
    return click.option(
        CONVERGENCE_OPTION,
        "convergence",
        callback=lambda _ctx, _parameter, given: given or None,
        envvar=CONVERGENCE_TABLE_VARIABLE,
        show_envvar=True,
        help=f"Name or ARN of the convergence table: {required_for}",
    )


def region_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--region`."""
    return click.option(
        "--region",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        show_envvar=True,
        help="Region of the table and the secrets. Default: the profile's Region.",
    )(function)


TABLE_HELP: Final = "Name or ARN of the marker table, or ssm: and the parameter that names it."


def table_option(*, required: bool, more: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `--marker-table`. `more` ends its help."""
    return click.option(
        TABLE_OPTION,
        envvar=MARKER_TABLE_VARIABLE,
        show_envvar=True,
        required=required,
        help=f"{TABLE_HELP}{more}",
    )


def account_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--marker-table` and `--region`, passed as `account`. No parameter is read yet."""

    @table_option(required=True)
    @region_option
    @functools.wraps(function)
    def with_account(*, marker_table: str, region: str | None, **options: object) -> None:
        check_table(marker_table, TABLE_OPTION)
        function(account=Account(marker_table, region or None), **options)

    return with_account
