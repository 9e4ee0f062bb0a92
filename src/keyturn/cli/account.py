"""Where a sub-command works: the options for the marker table and the Region, and clients for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import click

from keyturn.assembly import SETTLE_S, convergence_table, marker_table, recorder
from keyturn.aws.catalog import PARAMETERS_ATTEMPTS, ParameterListing, SecretsManagerCatalog, Tag
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client
from keyturn.errors import ConfigurationError
from keyturn.runtime.host import CONVERGENCE_TABLE_VARIABLE, MARKER_TABLE_VARIABLE, THIS_HOST

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.convergence.table import ConvergenceTable
    from keyturn.markers.recorder import Recorder
    from keyturn.markers.sweeper import Sweeper
    from keyturn.markers.table import MarkerTable


@dataclass(frozen=True, slots=True)
class Account:
    """One account and Region with its marker table (name or ARN).

    Every method makes clients of its own from the environment, and raises `ConfigurationError` where
    that has no Region or a profile that does not exist.
    """

    table: str
    region: str | None = None

    def client(self, service: str, *, attempts: int = 3) -> object:
        """A client of that service."""
        from botocore.exceptions import BotoCoreError

        try:
            return make_client(service, SECRETS_TIMEOUTS_S, self.region, attempts=attempts)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"{error} Set --region, or AWS_REGION and AWS_PROFILE.") from error

    def markers(self) -> MarkerTable:
        """The marker table."""
        return marker_table(self.table, self.client("dynamodb"))

    def reports(self, table: str) -> ConvergenceTable:
        """The convergence table of this name or ARN."""
        return convergence_table(table, self.client("dynamodb"))

    def catalog(self, prefixes: Sequence[str] = (), tag: Tag | None = None) -> SecretsManagerCatalog:
        """The secrets whose names begin with one of the prefixes, and that have the tag; all without any."""
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
        )

    def parameters(self, prefixes: Sequence[str]) -> ParameterListing | None:
        """The parameters whose names begin with one of the prefixes; None without any."""
        if not prefixes:
            return None
        client = cast("ListingClient", self.client("ssm", attempts=PARAMETERS_ATTEMPTS))
        return ParameterListing(client, prefixes)


def convergence_option(required_for: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds `--convergence-table`, passed to the command as `convergence`; what it is for, in the help."""
    return click.option(
        "--convergence-table",
        "convergence",
        envvar=CONVERGENCE_TABLE_VARIABLE,
        show_envvar=True,
        help=f"Name or ARN of the convergence table: {required_for}",
    )


def account_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds `--marker-table` and `--region`, passed to the command as `account`."""

    @click.option(
        "--marker-table",
        envvar=MARKER_TABLE_VARIABLE,
        show_envvar=True,
        required=True,
        help="Name or ARN of the marker table.",
    )
    @click.option(
        "--region",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        show_envvar=True,
        help="Of the table and the secrets; the profile's, if not given.",
    )
    @functools.wraps(function)
    def with_account(*, marker_table: str, region: str | None, **options: object) -> None:
        function(account=Account(marker_table, region or None), **options)

    return with_account
