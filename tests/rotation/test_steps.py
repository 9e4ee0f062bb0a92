"""The four steps, as Secrets Manager asks for them: once, twice, and after a crash at any point."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from keyturn import SecretVersion, StageNotFoundError
from keyturn.rotation import RotationFunction, RotationStepError, Strategy
from keyturn.rotation.postgresql import SingleUser
from keyturn.testing import Rotation
from keyturn.testing.rotation import STEPS, Step
from tests.rotation.conftest import NO_TLS, Stage

pytestmark = pytest.mark.e2e


class CrashError(BaseException):
    """The function's environment died: no code of it goes on, so this is no `Exception`."""


@dataclass
class Crashes:
    """A strategy that dies right after having done its part, the first time."""

    strategy: Strategy
    after: str
    left: int = 1

    def renew(self, current: SecretVersion, password: str) -> str:
        return self.strategy.renew(current, password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        self.strategy.set(pending, known)
        self.die("set")

    def test(self, pending: SecretVersion) -> None:
        self.strategy.test(pending)
        self.die("test")

    def die(self, method: str) -> None:
        if method == self.after and self.left:
            self.left -= 1
            raise CrashError


@dataclass
class Calls:
    """Counts the calls of a client, and dies after one of them."""

    stage: Stage
    dies_after: int | None = None
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage.client.meta.events.register("after-call.secrets-manager", self.count)

    def count(self, **call: object) -> None:
        if self.dies_after is None:
            return
        self.made.append(str(call["event_name"]))
        if len(self.made) == self.dies_after:
            self.dies_after = None
            raise CrashError


def assert_rotated(stage: Stage, rotation: Rotation, before: tuple[str, str]) -> None:
    """The new version is current and accepted; the password before it is refused."""
    assert rotation.version_id == stage.labels()["AWSCURRENT"]
    assert stage.accepts(*stage.credentials())
    assert not stage.accepts(*before)


def test_a_rotation_moves_the_server_and_the_label(stage: Stage) -> None:
    """After the four steps the server accepts what AWSCURRENT names, and only that; all else is as it was."""
    before, first = stage.credentials(), stage.labels()["AWSCURRENT"]
    rotation = stage.rotation()
    rotation.run()
    assert_rotated(stage, rotation, before)
    assert {"AWSCURRENT": rotation.version_id, "AWSPREVIOUS": first} == stage.labels()
    value = json.loads(stage.client.get_secret_value(SecretId=stage.name)["SecretString"])
    assert stage.fields() | {"password": value["password"]} == value
    assert 32 == len(value["password"])


def test_each_step_does_its_own_part(stage: Stage) -> None:
    """createSecret leaves the server alone, setSecret the label; testSecret changes nothing."""
    before = stage.credentials()
    rotation = stage.rotation()
    rotation.create()
    assert stage.accepts(*before)
    assert not stage.accepts(*stage.credentials("AWSPENDING"))
    rotation.set()
    assert not stage.accepts(*before)
    assert before == stage.credentials()
    rotation.test()
    assert before == stage.credentials()
    pending = stage.credentials("AWSPENDING")
    rotation.finish()
    assert pending == stage.credentials()


def test_steps_are_announced_when_they_have_ended(stage: Stage) -> None:
    """createSecret, setSecret and finishSecret are announced with the token; a failed step is not."""
    rotation = stage.rotation()
    rotation.run(until="createSecret")
    assert [("createSecret", rotation.version_id)] == stage.announced
    failing = Rotation(
        stage.client,
        stage.name,
        stage.function(Crashes(SingleUser(**NO_TLS), "set")),
        version_id=rotation.version_id,
    )
    with pytest.raises(CrashError):
        failing.set()
    assert 1 == len(stage.announced)
    rotation.run()
    steps = ["createSecret", "setSecret", "finishSecret"]
    assert [(step, rotation.version_id) for step in steps] == stage.announced


@pytest.mark.parametrize("strategy", ["single", "alternating"])
def test_each_step_twice(stage: Stage, strategy: str) -> None:
    """A step that is asked for twice does its part once: one new version, one new password."""
    chosen = SingleUser(**NO_TLS) if strategy == "single" else stage.alternating()
    function, before = stage.function(chosen), stage.credentials()

    def twice(event: dict[str, str], context: object) -> None:
        for _ in range(2):
            function(event, context)

    rotation = Rotation(stage.client, stage.name, twice)
    rotation.create()
    pending = stage.credentials("AWSPENDING")
    rotation.run()
    assert pending == stage.credentials()
    assert stage.accepts(*pending)
    assert stage.accepts(*before) is (strategy == "alternating")


@pytest.mark.parametrize(
    ("step", "call", "code"),
    [
        ("createSecret", "PutSecretValue", "ResourceExistsException"),
        ("finishSecret", "UpdateSecretVersionStage", "InvalidParameterException"),
    ],
)
@pytest.mark.parametrize("is_done", [True, False])
def test_the_slower_of_two_calls_at_once(
    stage: Stage,
    step: Step,
    call: str,
    code: str,
    is_done: bool,  # noqa: FBT001 # a table
) -> None:
    """A call that was overtaken in the middle of a step takes it for done if it is, and changes nothing."""
    rotation, function, left = stage.rotation(), stage.function(), [True]
    event = {"Step": step, "SecretId": stage.name, "ClientRequestToken": rotation.version_id}
    if step == "finishSecret":
        rotation.run(until="testSecret")

    def overtake(**_call: object) -> object:
        if not (left and left.pop()):
            return None
        if is_done:
            function(event, None)
            pending.append(stage.credentials("AWSPENDING"))
        # The answer of AWS; moto would replace the value.
        refused = {"Code": code, "Message": "already"}
        return SimpleNamespace(status_code=400), {"Error": refused, "ResponseMetadata": {}}

    pending: list[tuple[str, str]] = []
    # botocore takes what the hook returns for the answer. Its stubs do not say so.
    register = stage.client.meta.events.register
    register(f"before-call.secrets-manager.{call}", overtake)  # type: ignore[arg-type]
    with nullcontext() if is_done else pytest.raises((ClientError, StageNotFoundError)):
        function(event, None)
    rotation.retry()
    assert stage.accepts(*stage.credentials())
    assert pending == [stage.credentials()] * is_done


@pytest.mark.proof
@pytest.mark.parametrize("strategy", ["single", "alternating"])
def test_a_crash_after_any_call_is_mended_by_a_retry(stage: Stage, strategy: str) -> None:
    """Died after the 1st, 2nd, ... call to Secrets Manager: the retried rotation ends as any other."""
    chosen = SingleUser(**NO_TLS) if strategy == "single" else stage.alternating()
    calls, crashes = Calls(stage), 0
    while True:
        rotation = stage.rotation(chosen)
        calls.made, calls.dies_after = [], crashes + 1
        try:
            rotation.run()
        except CrashError:
            crashes += 1
            rotation.retry()
            assert stage.accepts(*stage.credentials())
            assert rotation.version_id == stage.labels()["AWSCURRENT"]
            continue
        break
    assert crashes >= 12


@pytest.mark.parametrize("method", ["set", "test"])
def test_a_crash_after_the_server_was_changed(stage: Stage, method: str) -> None:
    """The server has the new password and the step failed: the retry finds that, and goes on."""
    before = stage.credentials()
    rotation = stage.rotation(Crashes(SingleUser(**NO_TLS), method))
    with pytest.raises(CrashError):
        rotation.run()
    pending = stage.credentials("AWSPENDING")
    rotation.retry()
    assert_rotated(stage, rotation, before)
    assert pending == stage.credentials()


def test_nothing_is_done_for_a_version_that_is_current(stage: Stage) -> None:
    """All four steps again after the end: the same password, the same labels."""
    rotation = stage.rotation()
    rotation.run()
    credentials, labels = stage.credentials(), stage.labels()
    for step in STEPS:
        stage.function()(
            {"Step": step, "SecretId": stage.name, "ClientRequestToken": rotation.version_id}, None
        )
    assert (credentials, labels) == (stage.credentials(), stage.labels())
    assert stage.accepts(*credentials)


@pytest.mark.parametrize("step", ["setSecret", "testSecret", "finishSecret"])
def test_a_token_that_is_not_pending_is_refused(stage: Stage, step: str) -> None:
    """A step for a version that Secrets Manager did not stage changes nothing."""
    event = {"Step": step, "SecretId": stage.name, "ClientRequestToken": "t" * 32}
    with pytest.raises(RotationStepError, match="not AWSPENDING"):
        stage.function()(event, None)
    assert stage.accepts(*stage.credentials())
    assert [] == stage.announced


def test_a_second_rotation_does_not_start_beside_the_first(stage: Stage) -> None:
    """createSecret with another token, while one is pending, is refused."""
    stage.rotation().create()
    event = {"Step": "createSecret", "SecretId": stage.name, "ClientRequestToken": "t" * 32}
    with pytest.raises(RotationStepError, match="not AWSPENDING"):
        stage.function()(event, None)


def test_rotation_must_be_enabled(stage: Stage) -> None:
    """A secret whose rotation was switched off is left alone."""

    def switched_off(parsed: dict[str, object], **_call: object) -> None:
        parsed["RotationEnabled"] = False

    stage.client.meta.events.register("after-call.secrets-manager.DescribeSecret", switched_off)
    with pytest.raises(RotationStepError, match="not enabled"):
        stage.rotation().create()
    assert "AWSPENDING" not in stage.labels()


@pytest.mark.parametrize("event", [{}, {"Step": "createSecret"}, {"SecretId": "x", "Step": "setSecret"}])
def test_an_event_of_something_else_is_refused(stage: Stage, event: dict[str, str]) -> None:
    """What is no rotation event says so, and asks nothing."""
    with pytest.raises(RotationStepError, match="not an event of a rotation"):
        stage.function()(event, None)


def test_an_unknown_step_is_refused(stage: Stage) -> None:
    """A fifth step is none."""
    rotation = stage.rotation()
    rotation.create()
    event = {"Step": "fifth", "SecretId": stage.name, "ClientRequestToken": rotation.version_id}
    with pytest.raises(RotationStepError, match="not a step"):
        stage.function()(event, None)


def test_a_failed_announcement_is_logged_and_fails_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The table is gone: the rotation ends as any other, with one line for all steps and no value in it."""

    def announce(secret_id: str, *, version_id: str, step: str) -> None:
        raise ConnectionError("no table")

    before = stage.credentials()
    rotation = Rotation(
        stage.client, stage.name, RotationFunction(SingleUser(**NO_TLS), stage.client, announce=announce)
    )
    with caplog.at_level(logging.INFO, "keyturn"):
        rotation.run()
    assert_rotated(stage, rotation, before)
    assert 1 == caplog.text.count("was not announced")
    assert stage.credentials()[1] not in caplog.text
