"""keyturn's pytest fixtures. pytest loads this module by itself where keyturn is installed.

So it imports nothing but pytest: moto, boto3 and the rest wait until a test asks for a fixture, which
needs the extra `testing`. docs/testing.md shows them at work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from keyturn import SecretCache
    from keyturn.testing.account import Account
    from keyturn.testing.fakes import FakeClock
    from keyturn.testing.listening import InProcessListener
    from keyturn.testing.rotating import RotatingSecret, Strategy

TABLE = "keyturn-markers"


class MakeSecret(Protocol):
    """What the fixture `keyturn_rotating_secret` gives: each call makes a secret."""

    def __call__(
        self,
        name: str = "prod/db",
        value: str | Mapping[str, str] = ...,
        *,
        strategy: Strategy = "single-user",
    ) -> RotatingSecret: ...


@pytest.fixture
def keyturn_clock() -> FakeClock:
    """Time as a value: it begins now and passes by `advance(seconds)` alone."""
    import time

    from keyturn.testing.fakes import FakeClock

    return FakeClock(wall_s=time.time())


@pytest.fixture
def keyturn_aws(keyturn_clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An empty AWS account in this process (moto), which every SDK of this process uses."""
    from keyturn.errors import ConfigurationError

    try:
        from moto import mock_aws

        from keyturn.testing.account import ENVIRONMENT, Account
    except ImportError as error:
        raise ConfigurationError(f"{error}: pip install 'keyturn[testing]' for keyturn's fixtures") from error

    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield Account(keyturn_clock.wall)


@pytest.fixture
def keyturn_marker_table(keyturn_aws: Account, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a marker table, made as the template defines it; also in KEYTURN_MARKER_TABLE."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", TABLE)
    return keyturn_aws.make_table(TABLE)


@pytest.fixture
def keyturn_listener(
    keyturn_aws: Account, keyturn_marker_table: str, keyturn_clock: FakeClock
) -> InProcessListener:
    """The rotation listener, which hears of every `keyturn_rotating_secret`."""
    from keyturn.testing.listening import InProcessListener

    return InProcessListener(keyturn_aws, keyturn_marker_table, keyturn_clock)


@pytest.fixture
def keyturn_rotating_secret(
    keyturn_aws: Account, keyturn_listener: InProcessListener, keyturn_clock: FakeClock
) -> MakeSecret:
    """Makes secrets that a sweep has seen, each with a server that takes its password."""
    from keyturn.testing.rotating import RotatingSecret

    def make(
        name: str = "prod/db",
        value: str | Mapping[str, str] = {"username": "app", "password": "first"},  # only read
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
def keyturn_cache(
    keyturn_aws: Account, keyturn_marker_table: str, keyturn_clock: FakeClock
) -> Iterator[SecretCache]:
    """A cache with keyturn's defaults on that account, table and clock, without jitter."""
    from keyturn import SecretCache

    with SecretCache(
        keyturn_aws.client("secretsmanager"),
        marker_table=keyturn_marker_table,
        dynamodb_client=keyturn_aws.client("dynamodb"),
        ssm_client=keyturn_aws.client("ssm"),
        clock=keyturn_clock,
        sleep=keyturn_clock.advance,
        random=lambda: 0.0,
    ) as cache:
        yield cache
