"""The trials of rotation functions: a right one passes each, and each finds what it is for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.testing import (
    TRIALS,
    PasswordServer,
    RotationFunction,
    RotationSubject,
    RotationTrial,
    StepFunctions,
    WrongPasswordError,
    at_once,
    twice,
)
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotating import credentials
from keyturn.testing.rotation import move_current

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "prod/db"
BY_NAME = {trial.__name__: trial for trial in TRIALS}


@pytest.fixture
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager with one secret."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        client.create_secret(Name=NAME, SecretString=json.dumps({"username": "app", "password": "one"}))
        yield client


class Scene:
    """A server with one password, and functions that rotate it: a right one, and wrong ones."""

    def __init__(self, client: SecretsManagerClient) -> None:
        self.client = client
        self.server = PasswordServer("app", "one")

    def steps(self) -> StepFunctions:
        return StepFunctions(
            self.client,
            new_value=lambda current: json.dumps(json.loads(current) | {"password": f"{uuid.uuid4()}"}),
            set_value=lambda _current, pending: self.server.change(pending),
            test_value=self.server.check,
        )

    def lets_in(self, value: str) -> bool:
        try:
            self.server.check(value)
        except WrongPasswordError:
            return False
        return True

    def subject(self, function: RotationFunction, *, keeps_previous: bool = False) -> RotationSubject:
        return RotationSubject(self.client, NAME, function, self.lets_in, keeps_previous)

    def believing(self, event: dict[str, str], context: object) -> None:
        """finishSecret moves the label to whatever token it is given."""
        if event["Step"] == "finishSecret":
            move_current(self.client, NAME, event["ClientRequestToken"])
        else:
            self.steps()(event, context)

    def deaf(self, event: dict[str, str], context: object) -> None:
        """setSecret does nothing, and testSecret does not notice."""
        if event["Step"] in ("createSecret", "finishSecret"):
            self.steps()(event, context)

    def once_only(self, event: dict[str, str], context: object) -> None:
        """setSecret fails if the server has the password already."""
        if event["Step"] == "setSecret" and self.lets_in(self.text(VersionId=event["ClientRequestToken"])):
            raise RuntimeError("the server has it already")
        self.steps()(event, context)

    def inventive(self, event: dict[str, str], context: object) -> None:
        """setSecret makes a version for a token that has none."""
        token = event["ClientRequestToken"]
        if token in self.client.describe_secret(SecretId=NAME)["VersionIdsToStages"]:
            self.steps()(event, context)
        else:
            self.client.put_secret_value(
                SecretId=NAME, ClientRequestToken=token, SecretString="made up", VersionStages=["AWSPENDING"]
            )

    def text(self, **version: str) -> str:
        return self.client.get_secret_value(SecretId=NAME, **version)["SecretString"]


@pytest.mark.parametrize("trial", TRIALS)
def test_the_stand_in_passes_each(client: SecretsManagerClient, trial: RotationTrial) -> None:
    """StepFunctions with a password server, as `keyturn_rotating_secret` has them."""
    scene = Scene(client)
    trial(scene.subject(scene.steps()))


@pytest.mark.proof
def test_one_may_follow_the_other(client: SecretsManagerClient) -> None:
    """Each leaves the secret rotated, so that a real server is prepared only once."""
    scene = Scene(client)
    for trial in TRIALS:
        trial(scene.subject(scene.steps()))


@pytest.mark.parametrize(
    ("wrong", "trial", "expected"),
    [
        ("deaf", "in_one_go", "after finishSecret the server takes neither"),
        ("deaf", "cancelled_after_create", "the server refuses the new AWSCURRENT"),
        ("believing", "a_token_seen_before", "moved a label"),
        ("inventive", "an_unknown_token", "moved a label"),
    ],
)
def test_a_wrong_function_is_found(
    client: SecretsManagerClient, wrong: str, trial: str, expected: str
) -> None:
    """With the reason, and without a value."""
    scene = Scene(client)
    function: RotationFunction = getattr(scene, wrong)
    with pytest.raises(AssertionError, match=expected) as caught:
        BY_NAME[trial](scene.subject(function))
    for version_id in client.describe_secret(SecretId=NAME)["VersionIdsToStages"]:
        assert credentials(scene.text(VersionId=version_id))[1] not in str(caught.value)


@pytest.mark.parametrize("trial", ["each_step_twice", "stopped_after_setSecret"])
def test_a_function_that_works_once_only_is_found(client: SecretsManagerClient, trial: str) -> None:
    """Its own error gets out."""
    scene = Scene(client)
    with pytest.raises(RuntimeError, match="has it already"):
        BY_NAME[trial](scene.subject(scene.once_only))


def test_a_server_that_must_take_both_is_looked_at_after_each_step(client: SecretsManagerClient) -> None:
    """One password is not enough where the subject says that no login is refused."""
    scene = Scene(client)
    with pytest.raises(AssertionError, match="after setSecret the server refuses AWSCURRENT"):
        BY_NAME["in_one_go"](scene.subject(scene.steps(), keeps_previous=True))


def test_twice_means_two_calls_with_events_of_their_own() -> None:
    """The first call may use its event up."""
    seen: list[dict[str, str]] = []

    def handler(event: dict[str, str], _context: object) -> None:
        seen.append(dict(event))
        event.clear()

    twice(handler)({"Step": "setSecret"}, None)
    assert [{"Step": "setSecret"}] * 2 == seen


def test_at_once_a_step_is_done_if_one_caller_did_it() -> None:
    """The error of the other is lost; if all fail the first error is raised."""
    calls: list[object] = []

    def first_fails(_event: dict[str, str], _context: object) -> str:
        calls.append(None)
        if len(calls) == 1:
            raise RuntimeError("lost")
        return "done"

    assert "done" == at_once(first_fails)({}, None)
    assert 2 == len(calls)

    def fails(_event: dict[str, str], _context: object) -> None:
        raise RuntimeError("all failed")

    with pytest.raises(RuntimeError, match="all failed"):
        at_once(fails, callers=3)({}, None)
