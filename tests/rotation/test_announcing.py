"""`announcing`: rotation functions that are not keyturn's, with announcements. No server is needed."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn import ConfigurationError
from keyturn.rotation import RotationFunction, announcing
from keyturn.rotation.announcements import Announcements
from keyturn.testing import Rotation
from keyturn.testing.fakes import FakeClock
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

TOLD = ["createSecret", "setSecret", "finishSecret"]


@pytest.fixture
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager with a secret whose rotation is on."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        client.create_secret(Name="app/db", SecretString=json.dumps({"username": "app", "password": "one"}))
        client.rotate_secret(
            SecretId="app/db", RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )
        yield client


@dataclass
class Template:
    """A function in the manner of AWS's templates: one handler that leads to four functions.

    `server` is the password that the server accepts.
    """

    client: SecretsManagerClient
    server: str = "one"

    def lambda_handler(self, event: dict[str, str], context: object) -> str:
        arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
        metadata = self.client.describe_secret(SecretId=arn)
        if not metadata["RotationEnabled"]:
            raise ValueError("rotation is off")
        stages = metadata["VersionIdsToStages"].get(token, [])
        if "AWSCURRENT" in stages:
            return "nothing to do"
        # AWS stages the token before createSecret; an emulator does not.
        if "AWSPENDING" not in stages and (step != "createSecret" or stages):
            raise ValueError("the token is not AWSPENDING")
        {
            "createSecret": self.create_secret,
            "setSecret": self.set_secret,
            "testSecret": self.use_secret,
            "finishSecret": self.finish_secret,
        }[step](arn, token)
        # A handler may use its event up.
        event.clear()
        return f"{step} is done"

    def create_secret(self, arn: str, token: str) -> None:
        try:
            self.client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
        except self.client.exceptions.ResourceNotFoundException:
            value = json.dumps({"username": "app", "password": f"password {uuid.uuid4()}"})
            self.client.put_secret_value(
                SecretId=arn, ClientRequestToken=token, SecretString=value, VersionStages=["AWSPENDING"]
            )

    def set_secret(self, arn: str, token: str) -> None:
        self.server = self.pending(arn, token)

    def use_secret(self, arn: str, token: str) -> None:
        if self.server != self.pending(arn, token):
            raise ValueError("the server refuses AWSPENDING")

    def finish_secret(self, arn: str, token: str) -> None:
        stages = self.client.describe_secret(SecretId=arn)["VersionIdsToStages"]
        current = next(one for one, labels in stages.items() if "AWSCURRENT" in labels)
        if current == token:
            return
        self.client.update_secret_version_stage(
            SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )

    def pending(self, arn: str, token: str) -> str:
        answer = self.client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
        value: dict[str, str] = json.loads(answer["SecretString"])
        return value["password"]


@dataclass
class Told:
    """What was announced, each with the stage that the token had by then. `error` is raised each time."""

    client: SecretsManagerClient
    error: Exception | None = None
    steps: list[tuple[str, str]] = field(default_factory=list)
    stages: list[list[str]] = field(default_factory=list)

    def __call__(self, secret_id: str, *, version_id: str, step: str) -> object:
        assert secret_id == "app/db"
        self.steps.append((step, version_id))
        self.stages.append(self.client.describe_secret(SecretId=secret_id)["VersionIdsToStages"][version_id])
        if self.error is not None:
            raise self.error
        return None


def test_a_template_announces_its_steps(client: SecretsManagerClient) -> None:
    """Each step but testSecret is announced with its token, once the step has been done."""
    told, template = Told(client), Template(client)
    rotation = Rotation(client, "app/db", announcing(template.lambda_handler, announce=told))
    rotation.run()
    assert [(step, rotation.version_id) for step in TOLD] == told.steps
    assert [["AWSPENDING"], ["AWSPENDING"]] == told.stages[:2]
    assert "AWSCURRENT" in told.stages[2]


def test_what_the_handler_returns_and_is_called_stays(client: SecretsManagerClient) -> None:
    """The wrapped handler has the same answers and the same name, also for a step that is done already."""
    handler = announcing(Template(client).lambda_handler, announce=Told(client))
    rotation = Rotation(client, "app/db", handler)
    rotation.run()
    event = {"Step": "testSecret", "SecretId": "app/db", "ClientRequestToken": rotation.version_id}
    assert "nothing to do" == handler(event, None)
    assert "lambda_handler" == handler.__name__


def test_a_repeated_step_is_announced_again(client: SecretsManagerClient) -> None:
    """The first announcement may be what was lost when the function stopped."""
    told = Told(client)
    rotation = Rotation(client, "app/db", announcing(Template(client).lambda_handler, announce=told))
    rotation.run()
    rotation.retry()
    assert TOLD * 2 == [step for step, _ in told.steps]


@pytest.mark.parametrize("step", STEPS)
def test_a_failed_step_is_not_announced(client: SecretsManagerClient, step: str) -> None:
    """The handler's own error gets out, and nothing is said of the step."""
    told, template = Told(client), Template(client)

    def failing(event: dict[str, str], context: object) -> str:
        if event["Step"] == step:
            raise ValueError("the handler's own")
        return template.lambda_handler(event, context)

    rotation = Rotation(client, "app/db", announcing(failing, announce=told))
    with pytest.raises(ValueError, match="the handler's own"):
        rotation.run()
    assert [one for one in TOLD if one in STEPS[: STEPS.index(step)]] == [one for one, _ in told.steps]


def test_a_failed_announcement_fails_no_step(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The table is gone: the rotation ends as any other, with one line in the log for all steps."""
    told, template = Told(client, ConnectionError("no table")), Template(client)
    rotation = Rotation(client, "app/db", announcing(template.lambda_handler, announce=told))
    with caplog.at_level(logging.INFO, "keyturn"):
        rotation.run()
    value = json.loads(client.get_secret_value(SecretId="app/db")["SecretString"])
    assert template.server == value["password"] != "one"
    assert 1 == caplog.text.count("was not announced")
    assert template.server not in caplog.text


def test_after_a_failure_nothing_is_announced_for_a_minute(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that cannot be reached costs a rotation one attempt, and the log says so once."""
    told, clock = Told(client, ConnectionError("no table")), FakeClock()
    rotation = Rotation(client, "app/db", Template(client).lambda_handler)
    rotation.create()
    token = rotation.version_id
    announcements = Announcements(told, clock)
    for step in TOLD:
        announcements.tell("app/db", token, step)
        clock.freeze(29.0)
    assert [("createSecret", token)] == told.steps
    assert 1 == caplog.text.count("no step is announced in the next 60 s")
    told.error = None
    clock.advance(2.0)
    for step in TOLD:
        announcements.tell("app/db", token, step)
    assert ["createSecret", *TOLD] == [step for step, _ in told.steps]


def test_without_a_marker_table_nothing_fails(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default `keyturn.announce` is used, which says that it misses the table's name."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    with caplog.at_level(logging.WARNING, "keyturn"):
        Rotation(client, "app/db", announcing(Template(client).lambda_handler)).run()
    assert 1 == caplog.text.count("was not announced")
    assert "KEYTURN_MARKER_TABLE" in caplog.text


@pytest.mark.parametrize(
    "event",
    [{}, {"Step": "createSecret"}, {"Step": "createSecret", "SecretId": "x", "ClientRequestToken": 1}],
)
def test_another_event_reaches_the_handler_alone(
    client: SecretsManagerClient, event: dict[str, object]
) -> None:
    """A test event of the console, for example: the handler decides, and nothing is announced."""
    told, seen = Told(client), list[Mapping[str, object]]()

    def handler(event: Mapping[str, object], context: object) -> None:
        seen.append(event)

    announcing(handler, announce=told)(event, None)
    assert [event] == seen
    assert [] == told.steps


def test_what_is_no_handler_is_refused() -> None:
    """A handler's name, as in Lambda's settings, cannot be called."""
    with pytest.raises(ConfigurationError, match="not str"):
        announcing("lambda_function.lambda_handler")  # type: ignore[arg-type] # that is what is tried


def test_a_function_of_keyturns_can_be_wrapped(client: SecretsManagerClient) -> None:
    """It announces each step twice then, which does no harm."""

    class Nowhere:
        def renew(self, current: object, password: str) -> str:
            return password

        def set(self, pending: object, known: object) -> None:
            """There is no server."""

        def test(self, pending: object) -> None:
            """There is no server."""

    told = Told(client)
    Rotation(
        client,
        "app/db",
        announcing(RotationFunction(Nowhere(), client, announce=told), announce=told),
    ).run()
    assert [one for one in TOLD for _ in range(2)] == [step for step, _ in told.steps]
