"""Which secrets a rotation function touches: those that are configured for it, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from keyturn import SecretVersion
from keyturn.rotation import RotationFunction, RotationStepError
from keyturn.testing.rotation import STEPS

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:rotate"
TOKEN = "1f5c9a2e-0000-4000-8000-000000000000"
CONFIGURED = {"RotationEnabled": True, "RotationLambdaARN": ARN}


@dataclass
class Context:
    """What Lambda gives a handler."""

    invoked_function_arn: object = ARN


@dataclass
class Client:
    """Describes one secret, and counts all other calls."""

    configuration: Mapping[str, object]
    calls: list[str] = field(default_factory=list)

    def describe_secret(self, **_: str) -> dict[str, object]:
        return {**self.configuration, "VersionIdsToStages": {"v1": ["AWSCURRENT"], TOKEN: ["AWSPENDING"]}}

    def update_secret_version_stage(self, **_: str) -> None:
        self.calls.append("update_secret_version_stage")

    def get_secret_value(self, **_: str) -> dict[str, object]:
        self.calls.append("get_secret_value")
        raise AssertionError("not to be read")


class Nothing:
    """A strategy that is not asked."""

    def renew(self, current: SecretVersion, password: str) -> str:
        raise AssertionError

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        raise AssertionError

    def test(self, pending: SecretVersion) -> None:
        raise AssertionError


def finished(configuration: Mapping[str, object], context: object, step: str = "finishSecret") -> Client:
    """The client after one step, which ended well or with an error."""
    client = Client(configuration)
    event = {"Step": step, "SecretId": "app/db", "ClientRequestToken": TOKEN}
    RotationFunction(Nothing(), client, announce=lambda *_, **__: None)(event, context)
    return client


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("context", [None, Context()])
@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"RotationEnabled": False},
        {"RotationEnabled": None},
        {"RotationEnabled": False, "RotationLambdaARN": ARN},
    ],
)
def test_a_secret_without_rotation_is_not_rotated(
    configuration: Mapping[str, object], context: object, step: str
) -> None:
    """DescribeSecret leaves the field out for a secret that never had a rotation: that is no yes."""
    with pytest.raises(RotationStepError, match="rotation is not enabled"):
        finished(configuration, context, step)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "configured",
    [
        None,
        "",
        ARN + "2",
        ARN + ":prod",
        ARN.replace("111122223333", "444455556666"),
        ARN.replace("eu-west-1", "eu-west-2"),
    ],
)
def test_a_secret_of_another_function_is_not_rotated(configured: str | None, step: str) -> None:
    """Whoever may invoke this function cannot make it rotate what another one rotates, or AWS itself."""
    with pytest.raises(RotationStepError, match="another function"):
        finished({"RotationEnabled": True, "RotationLambdaARN": configured}, Context(), step)


@pytest.mark.parametrize(
    ("configured", "invoked"),
    [(ARN, ARN), (ARN, ARN + ":$LATEST"), (ARN + ":$LATEST", ARN), (ARN + ":live", ARN + ":live")],
)
def test_the_function_of_the_secret_rotates_it(configured: str, invoked: str) -> None:
    """An alias or a version is another function; $LATEST is what no qualifier means."""
    client = finished({"RotationEnabled": True, "RotationLambdaARN": configured}, Context(invoked))
    assert ["update_secret_version_stage"] == client.calls


@pytest.mark.parametrize("context", [None, object(), Context(None)])
def test_outside_of_lambda_no_function_is_compared(context: object) -> None:
    """There is no ARN to compare with: a test, a run by hand."""
    assert ["update_secret_version_stage"] == finished(CONFIGURED, context).calls


@pytest.mark.parametrize("token", ["", "short", "t" * 31, "t" * 65])
@pytest.mark.parametrize("step", ["createSecret", "finishSecret"])
def test_a_token_that_is_no_version_id_is_told_of(step: str, token: str) -> None:
    """The token is what is wrong, and not the secret. Nothing is asked for."""
    event = {"Step": step, "SecretId": "app/db", "ClientRequestToken": token}
    with pytest.raises(RotationStepError, match="is no version id: it has not 32 to 64 characters"):
        RotationFunction(Nothing(), Client(CONFIGURED))(event, Context())


@pytest.mark.parametrize("name", ["Step", "SecretId", "ClientRequestToken"])
@pytest.mark.parametrize("value", [None, 7, ["createSecret"], {}])
def test_an_event_has_three_texts(name: str, value: object) -> None:
    """Whoever may invoke the function chooses the event: an error names what is missing."""
    event = {"Step": "finishSecret", "SecretId": "app/db", "ClientRequestToken": TOKEN, name: value}
    with pytest.raises(RotationStepError, match=f"it has no '{name}'"):
        RotationFunction(Nothing(), Client(CONFIGURED))(event, Context())
