"""Functions that nobody runs: an async method of a strategy would do nothing, and each step would succeed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn import ConfigurationError
from keyturn.rotation import Retirement, RotationFunction, announcing
from keyturn.rotation.apikeys import ApiKeys, IssuedKey
from keyturn.testing import Rotation, StepFunctions
from keyturn.testing.fakes import FakeClock
from keyturn.testing.moto import mend_moto
from keyturn.testing.trials import RotationSubject

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "prod/app"
UNRUN = "is async or a generator, so its body has not run: give a plain function"


@pytest.fixture
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager, with a secret whose rotation is on."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        value = json.dumps({"id": "k0", "value": "v0"})
        client.create_secret(Name=NAME, SecretString=value)
        client.rotate_secret(
            SecretId=NAME, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )
        yield client


async def coroutine(*_given: object, **_named: object) -> None:
    """Never run."""
    raise AssertionError("nobody runs this")


def generator(*_given: object, **_named: object) -> Iterator[None]:
    """Never run."""
    yield from ()


class Called:
    """An object that is called as an async function is."""

    async def __call__(self, *_given: object, **_named: object) -> None:
        raise AssertionError("nobody runs this")


def hidden(*given: object, **named: object) -> object:
    """Only the call shows that this is an async one, as with a decorator."""
    return coroutine(*given, **named)


SEEN: list[Callable[..., object]] = [coroutine, generator, Called()]
"""What shows itself before it is called."""


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


def strategy(**methods: object) -> SimpleNamespace:
    """A strategy for a server that takes anything."""
    plain = {"renew": lambda _current, password: password, "set": lambda *_: None, "test": lambda _: None}
    return SimpleNamespace(**{**plain, **methods})


def issuer(**methods: object) -> SimpleNamespace:
    """A strategy whose values are made by a server."""
    plain = {
        "issue": lambda _current, token: token,
        "withdraw": lambda *_: None,
        "retire": lambda *_: None,
        "set": lambda *_: None,
        "test": lambda _: None,
    }
    return SimpleNamespace(**{**plain, **methods})


def api(**methods: object) -> SimpleNamespace:
    """An API that issues keys; the value of `k0` is `v0`."""
    plain = {
        "issue": lambda _token: IssuedKey("k1", "v1"),
        "test": lambda value: value.replace("v", "k"),
        "revoke": lambda _key_id: None,
    }
    return SimpleNamespace(**{**plain, **methods})


def labels(client: SecretsManagerClient) -> list[list[str]]:
    """The labels of the secret's versions."""
    return sorted(client.describe_secret(SecretId=NAME)["VersionIdsToStages"].values())


@pytest.mark.parametrize("function", SEEN)
@pytest.mark.parametrize("name", ["renew", "set", "test", "issue", "withdraw", "retire"])
def test_an_async_strategy_is_refused(function: Callable[..., object], name: str) -> None:
    """When the function is made: no rotation begins with it."""
    made = strategy if name in ("renew", "set", "test") else issuer
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        RotationFunction(made(**{name: function}), announce=unheard)


@pytest.mark.parametrize("function", SEEN)
@pytest.mark.parametrize("name", ["issue", "test", "revoke"])
def test_an_async_api_is_refused(function: Callable[..., object], name: str) -> None:
    """When the strategy is made."""
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        ApiKeys(api(**{name: function}))


@pytest.mark.parametrize(
    ("name", "before"), [("renew", 0), ("set", 1), ("test", 2)], ids=["renew", "set", "test"]
)
def test_a_coroutine_of_a_strategy_ends_the_step(
    client: SecretsManagerClient, name: str, before: int
) -> None:
    """Where only the call shows it, the step fails, and AWSCURRENT stays."""
    function = RotationFunction(strategy(**{name: hidden}), client, announce=unheard)
    rotation = Rotation(client, NAME, function)
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        rotation.run()
    assert before == len(rotation.done)
    assert client.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")["SecretString"] == json.dumps(
        {"id": "k0", "value": "v0"}
    )


@pytest.mark.parametrize("name", ["issue", "retire"])
def test_a_coroutine_of_an_issuer_ends_the_step(client: SecretsManagerClient, name: str) -> None:
    """Also where another failure of the method would only be logged."""
    function, before = RotationFunction(issuer(**{name: hidden}), client, announce=unheard), labels(client)
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        Rotation(client, NAME, function).run()
    assert before == labels(client)


def test_a_coroutine_of_withdraw_is_told(client: SecretsManagerClient) -> None:
    """A key that was issued twice would live on without a word."""

    def issue(_current: object, token: str) -> str:
        # Another call of this step is faster.
        client.put_secret_value(
            SecretId=NAME, ClientRequestToken=token, SecretString="faster", VersionStages=["AWSPENDING"]
        )
        client.meta.events.register("before-call.secrets-manager.PutSecretValue", exists)
        return "made"

    def exists(**_call: object) -> None:
        raise client.exceptions.ResourceExistsException({}, "PutSecretValue")

    function = RotationFunction(issuer(issue=issue, withdraw=hidden), client, announce=unheard)
    with pytest.raises(ConfigurationError, match=f"^withdraw {UNRUN}"):
        Rotation(client, NAME, function).create()


@pytest.mark.parametrize("name", ["issue", "test", "revoke"])
def test_a_coroutine_of_an_api_ends_the_step(client: SecretsManagerClient, name: str) -> None:
    """No key is issued while none could be revoked, and no key passes untested."""
    issued = list[str]()

    def issue(token: str) -> IssuedKey:
        issued.append(token)
        return IssuedKey("k1", "v1")

    client.put_secret_value(SecretId=NAME, SecretString=json.dumps({"id": "k5", "value": "v5"}))
    client.put_secret_value(SecretId=NAME, SecretString=json.dumps({"id": "k6", "value": "v6"}))
    function = RotationFunction(ApiKeys(api(**{"issue": issue, name: hidden})), client, announce=unheard)
    before = labels(client)
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        Rotation(client, NAME, function).run()
    assert [] == issued
    assert before == labels(client)


def test_a_coroutine_of_a_retirement_is_told(client: SecretsManagerClient) -> None:
    """The old credential is not said to be taken away."""
    retirement = Retirement(earliest_s=1, latest_s=2, clock=FakeClock(4e9))
    function = RotationFunction(strategy(retire=hidden), client, announce=unheard, retirement=retirement)
    Rotation(client, NAME, function).run()
    with pytest.raises(ConfigurationError, match=f"^retire {UNRUN}"):
        function({"Step": "retireSecret", "SecretId": NAME})


@pytest.mark.parametrize("function", SEEN)
def test_async_announcements_are_refused(function: Callable[..., object]) -> None:
    """An async `announce` tells nobody. An async handler has not done its step when it is announced."""

    def handler(_event: dict[str, str], _context: object) -> None:
        """Do nothing."""

    with pytest.raises(ConfigurationError, match=f"^announce {UNRUN}"):
        RotationFunction(strategy(), announce=function)
    with pytest.raises(ConfigurationError, match=f"^announce {UNRUN}"):
        announcing(handler, announce=function)
    with pytest.raises(ConfigurationError, match=f"^handler {UNRUN}"):
        announcing(function, announce=unheard)


def test_what_cannot_be_called_is_nobodys_coroutine(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As before: without a function that announces the log says so, and the rotation goes on."""
    Rotation(client, NAME, RotationFunction(strategy(), client, announce=None)).run()  # type: ignore[arg-type] # tried
    assert "was not announced: 'NoneType' object is not callable" in caplog.text


def test_a_coroutine_of_an_announcement_is_logged(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As any announcement that fails: the rotation goes on."""
    Rotation(client, NAME, RotationFunction(strategy(), client, announce=hidden)).run()
    assert f"createSecret of {NAME} was not announced: announce {UNRUN}" in caplog.text


def test_a_coroutine_of_a_handler_is_not_announced() -> None:
    """The step is not done."""
    told = list[str]()

    def handler(event: dict[str, str], context: object) -> object:
        return coroutine(event, context)

    event = {"Step": "setSecret", "SecretId": NAME, "ClientRequestToken": "t"}
    made = announcing(handler, announce=lambda secret_id, **_named: told.append(secret_id))
    with pytest.raises(ConfigurationError, match=f"^handler {UNRUN}"):
        made(event, None)
    assert [] == told


@pytest.mark.parametrize("function", [*SEEN, hidden])
@pytest.mark.parametrize("name", ["new_value", "set_value", "test_value"])
def test_the_steps_of_the_kit_run(
    client: SecretsManagerClient, function: Callable[..., object], name: str
) -> None:
    """A test whose rotation did nothing would pass."""
    steps = {"new_value": str.upper, name: function}
    with pytest.raises(ConfigurationError, match=f"^{name} {UNRUN}"):
        Rotation(client, NAME, StepFunctions(client, **steps)).run()  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize("function", [*SEEN, hidden])
def test_the_function_on_trial_runs(client: SecretsManagerClient, function: Callable[..., object]) -> None:
    """Nobody awaits an async one in AWS either."""
    with pytest.raises(ConfigurationError, match=f"^function {UNRUN}"):
        Rotation(client, NAME, function).run()
    with pytest.raises(ConfigurationError, match=f"^function {UNRUN}"):
        Rotation(client, NAME, hidden).repeat("setSecret")


def test_an_async_server_of_a_trial_takes_nothing(client: SecretsManagerClient) -> None:
    """A coroutine is true."""
    subject = RotationSubject(client, NAME, lambda _event, _context: None, accepts=hidden)  # type: ignore[arg-type] # on purpose
    with pytest.raises(ConfigurationError, match=r"^accepts is async"):
        subject.lets_in("AWSCURRENT")
