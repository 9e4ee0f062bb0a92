"""The demonstration's contenders, counted alike: what is one attempt, and what is one login."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import psycopg
import pytest
from moto import mock_aws

from keyturn import LoginRefusedError
from keyturn.demo.contenders import CONTENDERS, Login, Surroundings
from keyturn.testing.rotation import Rotation, StepFunctions

NAME = "demo/orders-database"


@dataclass
class Server:
    """A server that takes the text in `accepts` alone, and counts."""

    accepts: str
    attempts: list[str] = field(default_factory=list)

    def connect(self, text: str) -> None:
        self.attempts.append(json.loads(text)["label"])
        if text != self.accepts:
            raise psycopg.OperationalError('FATAL:  password authentication failed for user "orders"')


class Stage:
    """A secret, a server that takes its version v1, and a rotation to v2 step by step."""

    def __init__(self) -> None:
        client = boto3.client("secretsmanager", "us-east-1")
        value = json.dumps({"label": "v1"})
        client.create_secret(Name=NAME, SecretString=value)
        self.around = Surroundings(client, boto3.client("dynamodb", "us-east-1"), NAME, "no-table")
        self.server = Server(value)
        self.rotation = Rotation(
            client, NAME, StepFunctions(client, lambda _: json.dumps({"label": "v2"}), self._set)
        )

    def start(self, key: str) -> Login:
        """A warm process of this contender: it logged in once."""
        login = CONTENDERS[key].start(self.around)
        login(self.server.connect)
        assert self.tried() == ["v1"]
        return login

    def tried(self) -> list[str]:
        """The versions that the server was asked with since this was last called."""
        tried, self.server.attempts = self.server.attempts, []
        return tried

    def _set(self, _current: str, pending: str) -> None:
        self.server.accepts = pending


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage in an AWS of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Stage()


def test_refresh_and_retry_once_has_two_attempts_in_the_window(stage: Stage) -> None:
    """AWSCURRENT is still the old version: both attempts are refused, and so is the login."""
    login = stage.start("retry-once")
    stage.rotation.run(until="setSecret")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(stage.server.connect)
    assert stage.tried() == ["v1", "v1"]


def test_refresh_and_retry_once_logs_in_after_the_move(stage: Stage) -> None:
    """The retry has the new version: one refusal at the server, and a login that succeeds."""
    login = stage.start("retry-once")
    stage.rotation.run()
    login(stage.server.connect)
    login(stage.server.connect)
    assert stage.tried() == ["v1", "v2", "v2"]


def test_keyturn_logs_in_within_the_window(stage: Stage) -> None:
    """The pending version is the second attempt, then the first."""
    login = stage.start("keyturn-login")
    stage.rotation.run(until="setSecret")
    login(stage.server.connect)
    login(stage.server.connect)
    assert stage.tried() == ["v1", "v2", "v2"]


@pytest.mark.parametrize("key", [key for key in CONTENDERS if key not in {"retry-once", "keyturn-login"}])
def test_the_others_have_one_attempt(stage: Stage, key: str) -> None:
    """A contender that does nothing after a refusal fails by it, and is asked once."""
    login = stage.start(key)
    stage.rotation.run(until="setSecret")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(stage.server.connect)
    assert stage.tried() == ["v1"]


@pytest.mark.parametrize("key", CONTENDERS)
def test_trouble_that_is_no_refusal_is_nobodys_failed_login(stage: Stage, key: str) -> None:
    """A server that is away is told as it is, after one attempt by whomever."""
    login = stage.start(key)
    tried = []

    def away(text: str) -> None:
        tried.append(text)
        raise psycopg.OperationalError("connection refused")

    with pytest.raises(psycopg.OperationalError, match="connection refused"):
        login(away)
    assert len(tried) == 1


def test_keyturn_fails_by_its_own_error_when_nothing_is_right(stage: Stage) -> None:
    """A password that no version has: the error that the fleet counts as a failed login."""
    login = CONTENDERS["keyturn-login"].start(stage.around)
    stage.server.accepts = "another"
    with pytest.raises(LoginRefusedError):
        login(stage.server.connect)
    assert stage.tried() == ["v1"]
