"""The ways to read a secret that the demonstration compares, each as its users write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

CHECK_INTERVAL_S: Final = 1
"""keyturn's freshness in the demonstration; the others are also run with this as their TTL."""

KEYTURN: Final = "keyturn"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker's process has: counted clients, the secret's name, the marker table's name."""

    secrets_manager: SecretsManagerClient
    dynamodb: DynamoDBClient
    secret_id: str
    marker_table: str

    def fetch(self) -> str:
        """The secret's text, by one GetSecretValue."""
        return self.secrets_manager.get_secret_value(SecretId=self.secret_id)["SecretString"]


@dataclass(frozen=True, slots=True)
class Reader:
    """How a process gets the secret's text before a login, and `again` (if it tries) after a refusal."""

    read: Callable[[], str]
    again: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """One way; `check` is the operation it asks for freshness with, None if it never asks."""

    title: str
    setting: str
    start: Callable[[Surroundings], Reader]
    check: str | None = None


def module_variable(around: Surroundings) -> Reader:
    """Read when the module is loaded, never again."""
    text = around.fetch()
    return Reader(lambda: text)


def refresh_and_retry(around: Surroundings) -> Reader:
    """Read again when a login is refused, and try that login once more."""
    held = [around.fetch()]

    def again() -> str:
        held[0] = around.fetch()
        return held[0]

    return Reader(lambda: held[0], again)


def powertools(around: Surroundings, max_age_s: int | None = None) -> Reader:
    """Powertools for AWS Lambda, its parameters utility; `max_age_s` None is its default."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    provider = SecretsProvider(boto3_client=around.secrets_manager)
    return Reader(lambda: str(provider.get(around.secret_id, max_age=max_age_s)))


def aws_caching(around: Surroundings, **options: int) -> Reader:
    """AWS's own cache; the `options` are those of its `SecretCacheConfig`."""
    from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

    # It says that it is typed, but its functions have no annotations.
    config = SecretCacheConfig(**options)  # type: ignore[no-untyped-call]
    cache = SecretCache(config=config, client=around.secrets_manager)  # type: ignore[no-untyped-call]
    return Reader(lambda: str(cache.get_secret_string(around.secret_id)))  # type: ignore[no-untyped-call]


def keyturn(around: Surroundings) -> Reader:
    """This project."""
    from keyturn import SecretCache

    cache = SecretCache(
        around.secrets_manager,
        marker_table=around.marker_table,
        dynamodb_client=around.dynamodb,
        check_interval_s=CHECK_INTERVAL_S,
    )
    return Reader(lambda: cache.get_secret_string(around.secret_id))


CONTENDERS: Final[Mapping[str, Contender]] = {
    "module-variable": Contender("module-level variable", "read once", module_variable),
    "powertools": Contender("Powertools parameters", "default, 300 s", powertools, "GetSecretValue"),
    "powertools-1s": Contender(
        "Powertools parameters",
        f"max_age={CHECK_INTERVAL_S}",
        partial(powertools, max_age_s=CHECK_INTERVAL_S),
        "GetSecretValue",
    ),
    "aws-caching": Contender("aws-secretsmanager-caching", "default, 3600 s", aws_caching, "DescribeSecret"),
    "aws-caching-1s": Contender(
        "aws-secretsmanager-caching",
        f"secret_refresh_interval={CHECK_INTERVAL_S}",
        partial(aws_caching, secret_refresh_interval=CHECK_INTERVAL_S),
        "DescribeSecret",
    ),
    "retry-once": Contender("refresh and retry once", "on a refused login", refresh_and_retry),
    KEYTURN: Contender("keyturn", f"check_interval_s={CHECK_INTERVAL_S}", keyturn, "GetItem"),
}
