"""`KeyturnSettings` reads every setting of a cache from `KEYTURN_…` environment variables.

Importing this module loads pydantic; `import keyturn` does not.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from keyturn.assembly import AWS_ITSELF, Peers, roles_of
from keyturn.cache.limits import DEFAULTS, REPORT_TTL_S, Limits, Reporting
from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError
from keyturn.metrics.hook import Metrics
from keyturn.model.protocols import SecretSource
from keyturn.model.table_names import check_table, check_tables
from keyturn.runtime.host import ENVIRONMENT_PREFIX, listed

if TYPE_CHECKING:
    from keyturn.aws.parameterstore import ParameterStoreClient
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.markers.calls import DynamoDBClient


class KeyturnSettings(BaseSettings):
    """The arguments of `SecretCache` that are names or numbers. Durations are in seconds.

    Each field is read from the variable `KEYTURN_` and its name in capitals. An argument of that name comes
    first, then the environment, then the default. Every variable that is set must be valid, even an empty
    one: a `ConfigurationError` names the invalid ones. The Region is botocore's
    (`AWS_DEFAULT_REGION`, the profile), else that of `AWS_REGION`.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True)

    marker_table: str | None = Field(
        default=None,
        min_length=1,
        description="Name or ARN of the marker table, or ssm: and the parameter that names it.",
    )
    marker_tables: str | None = Field(
        default=None,
        min_length=1,
        description="ARNs of the marker tables of other accounts and Regions, or of their parameters after "
        "ssm:, separated by commas.",
    )
    roles: str | None = Field(
        default=None,
        min_length=1,
        description="ARNs of roles to read other accounts with, separated by commas.",
    )
    convergence_table: str | None = Field(
        default=None,
        min_length=1,
        description="Name or ARN of the convergence table, to which the process reports its versions.",
    )
    report_ttl_s: float = Field(
        default=REPORT_TTL_S, description="For how long such a report counts; 60 to 86400."
    )
    report_label: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="The kind of environment that reports; the name of the Lambda function, if not given.",
    )
    check_interval_s: float = Field(
        default=DEFAULTS.check_interval_s, description="At most one read of the marker table in this time."
    )
    covered_ttl_s: float = Field(
        default=DEFAULTS.covered_ttl_s,
        description="A covered copy is read again after this time, although its marker agrees.",
    )
    uncovered_ttl_s: float = Field(
        default=DEFAULTS.uncovered_ttl_s,
        description="A copy that is not covered is read again after this time.",
    )
    lease_s: float = Field(
        default=DEFAULTS.lease_s, description="For how long after the last sweep markers count as complete."
    )
    max_stale_s: float = Field(
        default=DEFAULTS.max_stale_s, description="For how long a copy is served while AWS does not answer."
    )
    max_denied_s: float = Field(
        default=DEFAULTS.max_denied_s,
        description="For how long a copy is served while AWS denies access or cannot decrypt.",
    )
    settle_s: float = Field(
        default=DEFAULTS.settle_s,
        description="For how long after a change Secrets Manager may still give the old answer.",
    )
    min_refresh_interval_s: float = Field(
        default=DEFAULTS.min_refresh_interval_s,
        description="`invalidate` and logins cause at most one refresh per stage in this time.",
    )
    refresh_wait_s: float = Field(
        default=DEFAULTS.refresh_wait_s,
        description="How long a caller waits for a refresh while a copy may be served.",
    )
    cold_wait_s: float = Field(
        default=DEFAULTS.cold_wait_s,
        description="How long a caller waits for a read if no copy may be served.",
    )
    max_unused_s: float = Field(
        default=DEFAULTS.max_unused_s,
        description="A copy that no caller used in this time is not refreshed in the background.",
    )
    max_secrets: int = Field(
        default=DEFAULTS.max_secrets,
        description="How many secrets are held at most; a secret that was not used lately makes room.",
    )
    background: bool | None = Field(
        default=None,
        description="Whether a background thread checks and refreshes; by default only on Lambda Managed "
        "Instances.",
    )

    if not TYPE_CHECKING:
        # Type checkers read the arguments from the fields.
        def __init__(self, **values: object) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                # A validator of a whole subclass has no place.
                wrong = "; ".join(
                    ": ".join((*map(str, one["loc"][:1]), one["msg"])) for one in error.errors()
                )
                raise ConfigurationError(_by_variable(wrong, type(self))) from error
            try:
                self._limits()
                if self.marker_table:
                    check_table(self.marker_table, "marker_table")
                check_tables(dict.fromkeys(self._tables()), "marker_tables")
                roles_of(listed(self.roles or ""))
                Reporting(self.convergence_table or "checked", self.report_label, self.report_ttl_s)
            except ConfigurationError as error:
                raise ConfigurationError(_by_variable(str(error), type(self))) from error

    def cache(
        self,
        client: SecretsManagerClient | None = None,
        *,
        ssm_client: ParameterStoreClient | None = None,
        dynamodb_client: DynamoDBClient | None = None,
        metrics: Metrics | None = None,
    ) -> SecretCache:
        """Return a cache with these settings. Clients and metrics are as for `SecretCache`."""
        table = self.convergence_table
        return SecretCache(
            client,
            marker_table=tuple(dict.fromkeys(self._tables())) or None,
            convergence_table=Reporting(table, self.report_label, self.report_ttl_s) if table else None,
            ssm_client=ssm_client,
            dynamodb_client=dynamodb_client,
            background=self.background,
            metrics=metrics,
            limits=self._limits(),
            peers=Peers(roles=listed(self.roles)) if self.roles is not None else AWS_ITSELF,
        )

    def cache_of_versions(self, source: SecretSource) -> SecretCache:
        """Make a cache of single versions, of which no marker speaks: they never change."""
        return SecretCache(
            marker_table=False, convergence_table=False, limits=self._limits(), peers=Peers(source=source)
        )

    def _tables(self) -> tuple[str, ...]:
        """Return the marker tables, that of this account first."""
        return tuple(filter(None, (self.marker_table, *listed(self.marker_tables or ""))))

    def _limits(self) -> Limits:
        return Limits(**self.model_dump(include={limit.name for limit in fields(Limits)}))


def _by_variable(message: str, kind: type[KeyturnSettings]) -> str:
    """Return the message with each field named by its environment variable."""
    fields, prefix = "|".join(kind.model_fields), kind.model_config.get("env_prefix", "")
    return re.sub(rf"\b({fields})\b", lambda field: prefix.upper() + field[0].upper(), message)
