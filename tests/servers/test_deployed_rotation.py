"""A deployed function gives a Redis user two passwords, with IAM enforced: no login is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from keyturn import SecretVersion
from keyturn.integrations.login import Login
from keyturn.testing import TRIALS, RotationSubject, RotationTrial
from keyturn.testing.embedded import LOCALHOST, EmbeddedAws
from keyturn.testing.rotation import STEPS
from tests.infra.rotation_stack import RotationStack, deploying, made, make_table, package
from tests.integrations.fleet import Fleet, LogIn
from tests.servers import others

pytestmark = pytest.mark.e2e

ADMIN, USER, NAME, MASTER = "the admin's", "orders", "prod/orders", "prod/admin"
HOLD_S = 0.6
"""Between two steps: time for some logins of every process."""

PROGRAM: Final = """
import boto3

from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction
from keyturn.rotation.redis import TwoPasswords

source = SecretsManagerSource(lambda: boto3.client("secretsmanager"))
handler = RotationFunction(TwoPasswords(source, host="{host}", port={port}, tls=False))
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a Redis server with two users: one that may change others, and the app's own."""
    with others.redis("--requirepass", ADMIN) as port:
        with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
            admin.execute_command("ACL", "SETUSER", "root", "on", f">{ADMIN}", "~*", "&*", "+@all")
            admin.execute_command("ACL", "SETUSER", USER, "on", ">one", "~*", "+ping")
        yield port


@pytest.fixture(scope="module")
def stack(
    guarded_aws: EmbeddedAws, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RotationStack]:
    """The function, for one secret and the secret of its master."""
    make_table()
    master = made(MASTER, {"username": "root", "password": ADMIN})
    made(
        NAME,
        {
            "engine": "redis",
            "host": LOCALHOST,
            "port": port,
            "username": USER,
            "password": "one",
            "masterarn": master,
        },
    )
    code = package(tmp_path_factory.mktemp("code"), {"app.py": PROGRAM.format(host=LOCALHOST, port=port)})
    with deploying(code, SecretName=NAME, AdminSecretName=MASTER) as stack:
        stack.turn_on(NAME)
        yield stack


def log_in(port: int, value: str) -> None:
    """Log in once. redis-py itself would try again."""
    fields: dict[str, str] = json.loads(value)
    user, password = fields["username"], fields["password"]
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host=LOCALHOST, port=port, username=user, password=password, retry=once) as client:
        client.ping()


def refused(port: int) -> int:
    """How many logins of the app's user the server has refused since the last time."""
    with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
        log = admin.acl_log()
        admin.acl_log_reset()
    return sum(int(entry["count"]) for entry in log if entry["reason"] == "auth")


@pytest.mark.parametrize(
    "trial",
    [one for one in TRIALS if one.__name__ in ("in_one_go", "stopped_after_setSecret", "two_at_once")],
)
def test_the_deployed_function_stands_trials(stack: RotationStack, port: int, trial: RotationTrial) -> None:
    """AWSCURRENT is let in at any time, and AWSPREVIOUS afterwards."""

    def lets_in(value: str) -> bool:
        try:
            log_in(port, value)
        except redis.AuthenticationError:
            return False
        return True

    # The emulator stored the first value again when the rotation was turned on.
    stack.rotation(NAME).run()
    trial(RotationSubject(stack.secrets, NAME, stack.function, lets_in, keeps_previous=True))


def with_keyturn(stack: RotationStack, port: int) -> LogIn:
    """A process with a cache."""
    login = Login(stack.cache(), NAME)

    def once() -> int:
        attempts = 0

        def connect(version: SecretVersion) -> None:
            nonlocal attempts
            attempts += 1
            log_in(port, version.text())

        login(connect)
        return attempts

    return once


def with_a_ttl(stack: RotationStack, port: int, read: Callable[[], float] = time.monotonic) -> LogIn:
    """A process that reads the secret again after a second, and tries each value once."""
    secrets = stack.secrets
    held: list[tuple[float, str]] = []

    def once() -> int:
        if not held or read() - held[-1][0] > 1:
            held.append((read(), secrets.get_secret_value(SecretId=NAME)["SecretString"]))
        log_in(port, held[-1][1])
        return 1

    return once


def test_no_login_is_refused_while_the_deployed_function_rotates(stack: RotationStack, port: int) -> None:
    """0 failed and 0 refused, also of processes that know nothing of rotations but a time to live."""
    stack.rotation(NAME).run()
    refused(port)
    kinds = {
        "keyturn": [with_keyturn(stack, port) for _ in range(2)],
        "ttl": [with_a_ttl(stack, port) for _ in range(2)],
    }
    with Fleet(kinds) as running:
        for _ in range(2):
            rotation = stack.rotation(NAME)
            for step in STEPS:
                rotation.run(until=step)
                time.sleep(HOLD_S)
    for kind in kinds:
        record = running.of(kind)
        print(f"{kind:8} {len(record.failures):3} of {record.tried:3} logins failed")  # noqa: T201 # the figure
        assert [] == [str(failure) for failure in record.failures], kind
        assert 1 == record.attempts_max
        assert record.tried > 10
    assert 0 == refused(port)
