"""keyturn's pytest fixtures. pytest loads this module by itself where keyturn is installed.

Therefore it imports only pytest. moto, boto3 and the rest are imported when a test asks for a fixture, which
needs the extra `testing`. docs/testing.md shows the fixtures at work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, cast

import pytest

if TYPE_CHECKING:
    from keyturn import Limits, SecretCache
    from keyturn.aws.parameterstore import ParameterStoreClient
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.metrics import Metrics
    from keyturn.testing.account import Account
    from keyturn.testing.fakes import FakeClock
    from keyturn.testing.listening import InProcessListener
    from keyturn.testing.rotating import RotatingSecret, Strategy

TABLE = "keyturn-markers"


class MakeSecret(Protocol):
    """The value of the fixture `keyturn_rotating_secret`. Each call makes a secret."""

    def __call__(
        self,
        name: str = "prod/db",
        value: str | Mapping[str, str] = ...,
        *,
        strategy: Strategy = "single-user",
    ) -> RotatingSecret: ...


class MakeCache(Protocol):
    """The value of the fixture `keyturn_make_cache`. Each call makes a cache."""

    def __call__(
        self,
        *,
        check_interval_s: float | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
    ) -> SecretCache: ...


@pytest.fixture
def keyturn_clock() -> FakeClock:
    """Return a clock that begins now and moves only by `advance(seconds)`."""
    import time

    from keyturn.testing.fakes import FakeClock

    return FakeClock(wall_s=time.time())


@pytest.fixture
def keyturn_aws(keyturn_clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Return an empty AWS account in this process (moto). Every SDK of this process uses it."""
    from keyturn.errors import ConfigurationError

    try:
        from moto import mock_aws

        from keyturn.testing.account import ENVIRONMENT, Account
        from keyturn.testing.moto import answering_every_client
    except ImportError as error:
        raise ConfigurationError(f"{error}: pip install 'keyturn[testing]' for keyturn's fixtures") from error

    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws(), answering_every_client():
        yield Account(keyturn_clock.wall)


@pytest.fixture
def keyturn_marker_table(keyturn_aws: Account, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a marker table as the template defines it, and return its name.

    KEYTURN_MARKER_TABLE names it, too.
    """
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", TABLE)
    return keyturn_aws.make_table(TABLE)


@pytest.fixture
def keyturn_listener(
    keyturn_aws: Account, keyturn_marker_table: str, keyturn_clock: FakeClock
) -> InProcessListener:
    """Return the rotation listener. It gets the events of every `keyturn_rotating_secret`."""
    from keyturn.testing.listening import InProcessListener

    return InProcessListener(keyturn_aws, keyturn_marker_table, keyturn_clock)


@pytest.fixture
def keyturn_rotating_secret(
    keyturn_aws: Account, keyturn_listener: InProcessListener, keyturn_clock: FakeClock
) -> MakeSecret:
    """Return a function that makes secrets.

    A sweep has seen each, and each has a server that accepts its password.
    """
    from keyturn.testing.rotating import RotatingSecret

    def make(
        name: str = "prod/db",
        value: str | Mapping[str, str] = {"username": "app", "password": "first"},  # the default is only read
        *,
        strategy: Strategy = "single-user",
    ) -> RotatingSecret:
        client = keyturn_aws.secretsmanager
        made = RotatingSecret(
            client, name, value, strategy=strategy, bus=keyturn_listener.bus, clock=keyturn_clock
        )
        keyturn_listener.sweep()
        return made

    return make


@pytest.fixture
def keyturn_make_cache(
    keyturn_aws: Account, keyturn_marker_table: str, keyturn_clock: FakeClock
) -> Iterator[MakeCache]:
    """Return a function that makes caches on that account, table and clock, without jitter.

    `check_interval_s`, `limits` and `metrics` mean what they mean to `SecretCache`. The fixture closes the
    caches.
    """
    from keyturn import Limits, Peers, SecretCache

    with ExitStack() as caches:

        def make(
            *,
            check_interval_s: float | None = None,
            limits: Limits | None = None,
            metrics: Metrics | None = None,
        ) -> SecretCache:
            cache = SecretCache(
                cast("SecretsManagerClient", keyturn_aws.client("secretsmanager")),
                marker_table=keyturn_marker_table,
                # Neither this table nor roles are taken from the developer's environment.
                convergence_table=False,
                dynamodb_client=cast("DynamoDBClient", keyturn_aws.client("dynamodb")),
                ssm_client=cast("ParameterStoreClient", keyturn_aws.client("ssm")),
                check_interval_s=check_interval_s,
                metrics=metrics,
                limits=limits or Limits(),
                peers=Peers(clock=keyturn_clock, sleep=keyturn_clock.advance, random=lambda: 0.0, roles=()),
            )
            return caches.enter_context(cache)

        yield make


@pytest.fixture
def keyturn_cache(keyturn_make_cache: MakeCache) -> SecretCache:
    """Return a cache with keyturn's defaults on that account, table and clock, without jitter."""
    return keyturn_make_cache()
