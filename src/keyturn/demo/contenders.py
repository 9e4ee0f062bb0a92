"""The ways to log in with a secret that the demonstration compares, each written as its users write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from keyturn import SecretCache
from keyturn.login.refusals import is_refused

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

CHECK_INTERVAL_S: Final = 1
"""keyturn's check interval in the demonstration, in seconds. The other ways also run with it as their TTL."""

KEYTURN_GET: Final = "keyturn-get"
KEYTURN_LOGIN: Final = "keyturn-login"

Connect: TypeAlias = Callable[[str], None]
"""Tries to log in with this text of the secret, once. Raises the driver's error."""

Login: TypeAlias = Callable[[Connect], None]
"""Logs in with as many attempts as the contender makes. Raises if the last attempt is refused."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment of a worker's process: counted clients, and the names of the secret and the table."""

    secrets_manager: SecretsManagerClient
    dynamodb: DynamoDBClient
    secret_id: str
    marker_table: str

    def fetch(self) -> str:
        """Return the secret's text by one GetSecretValue."""
        answer = self.secrets_manager.get_secret_value(SecretId=self.secret_id, VersionStage="AWSCURRENT")
        return answer["SecretString"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to log in. `check` is the operation that checks for news, or None if the way never checks."""

    title: str
    setting: str
    start: Callable[[Surroundings], Login]
    check: str | None = None


def module_variable(around: Surroundings) -> Login:
    """Read the secret when the module is loaded, and never again."""
    text = around.fetch()
    return lambda connect: connect(text)


def refresh_and_retry(around: Surroundings) -> Login:
    """Read the secret again when a login is refused, and try that login once more."""
    held = [around.fetch()]

    def log_in(connect: Connect) -> None:
        try:
            connect(held[0])
        except Exception as error:
            if not is_refused(error):
                raise
            held[0] = around.fetch()
            connect(held[0])

    return log_in


def powertools(around: Surroundings, max_age_s: int | None = None) -> Login:
    """Use the parameters utility of Powertools for AWS Lambda. `max_age_s` None means its default."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    provider = SecretsProvider(boto3_client=around.secrets_manager)
    return lambda connect: connect(str(provider.get(around.secret_id, max_age=max_age_s)))


def aws_caching(around: Surroundings, **options: int) -> Login:
    """Use AWS's own cache. The `options` are those of its `SecretCacheConfig`."""
    from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

    # The package declares types, but its functions have no annotations.
    config = SecretCacheConfig(**options)  # type: ignore[no-untyped-call]
    cache = SecretCache(config=config, client=around.secrets_manager)  # type: ignore[no-untyped-call]
    return lambda connect: connect(
        str(cache.get_secret_string(around.secret_id))  # type: ignore[no-untyped-call]
    )


def keyturn_get(around: Surroundings) -> Login:
    """Use keyturn as a cache: read AWSCURRENT, and do nothing after a refusal."""
    cache = _keyturn_cache(around)
    return lambda connect: connect(cache.get_secret_string(around.secret_id))


def keyturn_login(around: Surroundings) -> Login:
    """Use keyturn's logins: after a refusal try the next version that could be right."""
    cache = _keyturn_cache(around)
    return lambda connect: cache.login(
        around.secret_id, lambda version: connect(version.text()), is_refused=is_refused
    )


def _keyturn_cache(around: Surroundings) -> SecretCache:
    return SecretCache(
        around.secrets_manager,
        marker_table=around.marker_table,
        dynamodb_client=around.dynamodb,
        check_interval_s=CHECK_INTERVAL_S,
    )


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
    KEYTURN_GET: Contender("keyturn, get", f"check_interval_s={CHECK_INTERVAL_S}", keyturn_get, "GetItem"),
    KEYTURN_LOGIN: Contender(
        "keyturn, login", f"check_interval_s={CHECK_INTERVAL_S}", keyturn_login, "GetItem"
    ),
}
