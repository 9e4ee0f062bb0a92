"""No error that keyturn raises or passes on has a value or a session token, wherever errors are shown.

Each line of `PLACES` is one place where an error comes from; each is shown in all the ways of `SHOWN`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import aws_secretsmanager_caching
import boto3
import pytest
from botocore.config import Config
from pydantic import AfterValidator

import keyturn
from keyturn import Limits, Peers, SecretCache, SecretVersion, compat
from keyturn.integrations.login import Login
from keyturn.live import FromParameter, FromSecret, LiveSettings
from keyturn.rotation import RotationFunction
from keyturn.runtime.frames import errors_without_locals
from keyturn.testing import assert_not_stored
from keyturn.testing.fakes import FakeClock, FakeParameterStore, FakeSecretsManager
from tests.security.canary.service import FRAMES, Service
from tests.security.canary.watched import BYTES, CANARY, SHOWN, assert_unseen, chain_of, frames_of, raised_by

NAME = "prod/db"
TOKEN = "2" * 32
FIELDS = json.dumps({"username": "app", "password": CANARY, "port": CANARY})


class RefusedError(Exception):
    """The server's 'wrong password'."""


# Values that are not what was asked for


def text(value: str) -> SecretVersion:
    """A version with this text."""
    return SecretVersion(NAME, "arn", NAME, "v1", frozenset(), string=value)


def blob() -> SecretVersion:
    """A version with bytes."""
    return SecretVersion(NAME, "arn", NAME, "v1", frozenset(), binary=BYTES)


def cached(value: str | bytes = FIELDS) -> SecretCache:
    """A cache of one secret with this value, and of one parameter."""
    clock = FakeClock()
    secrets, parameters = FakeSecretsManager(clock), FakeParameterStore(clock)
    secrets.create(NAME, value)
    parameters.put("/prod/key", CANARY)
    return SecretCache(
        marker_table=False,
        peers=Peers(
            source=secrets,
            parameter_source=parameters.source,
            clock=clock,
            sleep=clock.advance,
            random=lambda: 0,
        ),
    )


class Careless:
    """A source of somebody's own, whose errors carry all that it has."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        value = CANARY[:]
        raise ValueError(f"no {stage}" if value else "")


def careless() -> SecretCache:
    """A cache on such a source."""
    return SecretCache(marker_table=False, peers=Peers(source=Careless(), clock=FakeClock()))


# Logins


def refusing(version: SecretVersion) -> str:
    """A function that connects, as an application has it: with the password in its own frame."""
    password = version.string
    raise RefusedError("wrong password" if password else "")


def wrapped(version: SecretVersion) -> str:
    """A function that connects through two layers, each with an error of its own."""
    arguments = {"dsn": f"db://app:{version.string}@host"}
    try:
        refusing(version)
    except RefusedError as error:
        raise RefusedError(len(arguments)) from error
    return ""


def timing_out(version: SecretVersion) -> str:
    """A function that connects to a server that does not answer."""
    arguments = {"dsn": f"db://app:{version.string}@host"}
    raise TimeoutError(len(arguments))


def grouped(version: SecretVersion) -> str:
    """A function that tries several addresses, as anyio does."""
    errors = [error for error in (raised_by(lambda: refusing(version)),) if isinstance(error, Exception)]
    raise ExceptionGroup("all failed", errors)


def log_in(connect: Callable[[SecretVersion], str]) -> str:
    """Log in to the secret with this function."""
    return cached().login(NAME, connect, is_refused=lambda error: isinstance(error, RefusedError), budget_s=0)


def log_in_by_turns() -> None:
    """The loop of code that cannot pass a function."""
    for attempt in cached().login_attempts(NAME, budget_s=0, is_refused=_always):
        with attempt as version:
            refusing(version)


def log_in_decorated() -> None:
    """A decorated function that connects."""
    cached().logs_in(NAME, budget_s=0, is_refused=_always)(refusing)()


def _always(_error: Exception) -> bool:
    return True


# Settings


def _angry(value: str) -> str:
    raise ValueError(f"{value} is not nice")


def settings(kind: object, mark: object, cache: SecretCache) -> LiveSettings:
    """Live settings with one field of this type."""
    made: type[LiveSettings] = type(
        "Settings", (LiveSettings,), {"__annotations__": {"field": Annotated[kind, mark]}}
    )
    return made.live(cache)


def settings_move() -> None:
    """A secret that is gone when settings look again."""
    clock = FakeClock()
    secrets = FakeSecretsManager(clock)
    secrets.create(NAME, FIELDS)

    class Settings(LiveSettings):
        field: Annotated[str, FromSecret(NAME, key="password")]

    live = Settings.live(SecretCache(marker_table=False, peers=Peers(source=secrets, clock=clock)))
    secrets.purge(NAME)
    clock.advance(400)
    _ = live.field


# AWS over HTTP


def aws(service: Service, mode: str) -> SecretCache:
    """A cache on a service that fails in this way."""
    service.mode = mode
    return SecretCache(marker_table=False, limits=Limits(cold_wait_s=30))


def announce(service: Service, mode: str) -> None:
    """An announcement that fails."""
    service.mode = mode
    keyturn.announce(NAME, marker_table="markers")


def upstreams(service: Service, mode: str) -> None:
    """The drop-in for AWS's own library."""
    service.mode = mode
    client = boto3.client("secretsmanager", config=Config(retries={"total_max_attempts": 1}))
    compat.SecretCache(client=client).get_secret_string(NAME)


# Rotation functions


class Strategy:
    """A strategy whose database is away."""

    def renew(self, current: SecretVersion, password: str) -> str:
        return json.dumps({"old": current.string, "new": password})

    def set(self, pending: SecretVersion, known: object) -> None:
        password = pending.text()
        raise TimeoutError("the database is away" if password else "")

    def test(self, pending: SecretVersion) -> None: ...


class Quoting:
    """A strategy whose database says what it was told, and that makes a value of the wrong type."""

    def renew(self, _current: SecretVersion, password: str) -> str:
        return {"password": password}  # type: ignore[return-value] # a mistake

    def set(self, pending: SecretVersion, _known: object = None) -> None:
        raise TimeoutError(f"no answer to {pending.text()}")

    def test(self, pending: SecretVersion) -> None:
        self.set(pending)


class QuotingIssuer(Quoting):
    """The same, of a kind whose API makes the value."""

    def issue(self, current: SecretVersion, _token: str) -> str:
        raise TimeoutError(f"no answer to {current.text()}")

    def retire(self, _known: object, _others: object) -> None: ...

    def withdraw(self, _made: object, _stored: object) -> None: ...


class Stub:
    """A client of Secrets Manager in the middle of a rotation, as far as a rotation function uses it."""

    def __init__(self, *, denied: bool) -> None:
        from botocore.session import get_session

        self._denied = denied
        self.exceptions = get_session().create_client("secretsmanager", region_name="eu-west-1").exceptions

    def describe_secret(self, **_: str) -> Mapping[str, object]:
        return {"RotationEnabled": True, "VersionIdsToStages": {"v1": ["AWSCURRENT"], TOKEN: ["AWSPENDING"]}}

    def get_secret_value(self, **request: str) -> Mapping[str, object]:
        from botocore.exceptions import ClientError

        if self._denied and "VersionId" in request:
            error = {"Error": {"Code": "ResourceNotFoundException", "Message": "no staging label"}}
            raise ClientError(error, "GetSecretValue")  # type: ignore[arg-type] # as far as it is read
        return {"ARN": "arn", "Name": NAME, "VersionId": "v1", "SecretString": CANARY, "VersionStages": ["x"]}

    def get_random_password(self, **_: object) -> Mapping[str, object]:
        return {"RandomPassword": CANARY}

    def put_secret_value(self, **request: object) -> Mapping[str, object]:
        text = request.pop("SecretString")
        raise PermissionError("not allowed" if isinstance(text, str) else f"{text} is no text")


def rotate(step: str, *, denied: bool = False, strategy: type[Strategy | Quoting] = Strategy) -> None:
    """A step of a rotation that fails."""
    function = RotationFunction(strategy(), Stub(denied=denied), announce=lambda *_, **__: None)
    function({"Step": step, "SecretId": NAME, "ClientRequestToken": TOKEN})


class Place(NamedTuple):
    """Where an error comes from, and the class that it has."""

    error: str
    call: Callable[[Service], object]


def over_http(call: Callable[[SecretCache], object], mode: str) -> Callable[[Service], object]:
    """A call of a cache whose AWS fails in this way."""
    return lambda service: call(aws(service, mode))


def tried_once(call: Callable[[SecretCache], object], mode: str) -> Callable[[Service], object]:
    """The same, by clients that try each call once."""
    config = Config(retries={"total_max_attempts": 1})

    def failing(service: Service) -> object:
        service.mode = mode
        clients = boto3.client("secretsmanager", config=config), boto3.client("ssm", config=config)
        return call(SecretCache(clients[0], ssm_client=clients[1], marker_table=False))

    return failing


def get(cache: SecretCache) -> object:
    """A read of a secret."""
    return cache.get(NAME)


def get_parameter(cache: SecretCache) -> object:
    """A read of a parameter."""
    return cache.get_parameter("/prod/key")


KEY = FromSecret(NAME, key="password")

PLACES: Mapping[str, Place] = {
    "json() of a text that is cut": Place("SecretFormatError", lambda _: text(FIELDS[:-1]).json()),
    "json() of a text that is no JSON": Place("SecretFormatError", lambda _: text(CANARY).json()),
    "json() of much that is nested": Place("Error", lambda _: text("[" * 60_000 + CANARY).json()),
    "json() of bytes": Place("SecretKindError", lambda _: blob().json()),
    "fields() of a text that is cut": Place("SecretFormatError", lambda _: text(FIELDS[:-1]).fields()),
    "fields() of a list": Place("SecretFormatError", lambda _: text(json.dumps([CANARY])).fields()),
    "fields() with a list": Place(
        "SecretFormatError", lambda _: text(json.dumps({CANARY: [CANARY]})).fields()
    ),
    "text() of bytes": Place("SecretKindError", lambda _: blob().text()),
    "blob() of a text": Place("SecretKindError", lambda _: text(CANARY).blob()),
    "get_secret_binary of a text": Place("SecretKindError", lambda _: cached().get_secret_binary(NAME)),
    "a source of one's own": Place("UnavailableError", lambda _: careless().get(NAME)),
    "get, denied": Place("AccessDeniedError", over_http(get, "denied")),
    "get, an answer that is cut": Place("UnavailableError", over_http(get, "broken")),
    "get, an answer that is no text": Place("UnavailableError", over_http(get, "no text")),
    "get, a web page for an answer": Place("UnavailableError", over_http(get, "a web page")),
    "get, no answer": Place("UnavailableError", over_http(get, "hangs up")),
    **{f"get, {mode}": Place("UnavailableError", tried_once(get, mode)) for mode in FRAMES},
    **{
        f"get_parameter, {mode}": Place("ParameterUnavailableError", tried_once(get_parameter, mode))
        for mode in FRAMES
    },
    "get_parameter, denied": Place("ParameterAccessDeniedError", over_http(get_parameter, "denied")),
    "get_parameter, an answer that is cut": Place(
        "ParameterUnavailableError", over_http(get_parameter, "broken")
    ),
    "get_parameters, no answer": Place(
        "ParameterUnavailableError", over_http(lambda cache: cache.get_parameters(["/prod/key"]), "hangs up")
    ),
    "get_parameters_by_path, denied": Place(
        "ParameterAccessDeniedError", over_http(lambda cache: cache.get_parameters_by_path("/prod"), "denied")
    ),
    "announce, denied": Place("Error", lambda service: announce(service, "denied")),
    "announce, no answer": Place("Error", lambda service: announce(service, "hangs up")),
    "compat, denied": Place("AccessDeniedException", lambda service: upstreams(service, "denied")),
    "compat, no answer": Place("ConnectionClosedError", lambda service: upstreams(service, "hangs up")),
    "login, refused": Place("LoginRefusedError", lambda _: log_in(refusing)),
    "login, refused through two layers": Place("LoginRefusedError", lambda _: log_in(wrapped)),
    "login, a group of errors": Place("ExceptionGroup", lambda _: log_in(grouped)),
    "login, a time-out that is passed on": Place("TimeoutError", lambda _: log_in(timing_out)),
    "login by turns, refused": Place("LoginRefusedError", lambda _: log_in_by_turns()),
    "a decorated login, refused": Place("LoginRefusedError", lambda _: log_in_decorated()),
    "an integration's login, passed on": Place(
        "TimeoutError", lambda _: Login(cached(), NAME, budget_s=0)(timing_out)
    ),
    "a login with a value that is no JSON": Place(
        "SecretFormatError", lambda _: cached(CANARY).login(NAME, lambda version: str(version.json()))
    ),
    "settings, a value of another type": Place("SecretFieldError", lambda _: settings(int, KEY, cached())),
    "settings, a validator that quotes": Place(
        "SecretFieldError", lambda _: settings(Annotated[str, AfterValidator(_angry)], KEY, cached())
    ),
    "settings, a key that is not there": Place(
        "SecretFieldError", lambda _: settings(str, FromSecret(NAME, key=("password", "deeper")), cached())
    ),
    "settings, a value that is no JSON": Place(
        "SecretFieldError", lambda _: settings(str, KEY, cached(CANARY))
    ),
    "settings, bytes": Place("SecretFieldError", lambda _: settings(str, KEY, cached(BYTES))),
    "settings, a parameter of another type": Place(
        "ParameterFieldError", lambda _: settings(int, FromParameter("/prod/key"), cached())
    ),
    "settings, a secret that is gone": Place("SecretNotFoundError", lambda _: settings_move()),
    "a guard that finds a stored value": Place(
        "AssertionError", lambda _: assert_not_stored({"result": FIELDS, CANARY: [CANARY]}, text(FIELDS))
    ),
    "a rotation function, createSecret": Place(
        "PermissionError", lambda _: rotate("createSecret", denied=True)
    ),
    "a rotation function, setSecret": Place("TimeoutError", lambda _: rotate("setSecret")),
    "a rotation function whose new value is no text": Place(
        "RotationStepError", lambda _: rotate("createSecret", denied=True, strategy=Quoting)
    ),
    "a rotation function, createSecret, which quotes": Place(
        "TimeoutError", lambda _: rotate("createSecret", denied=True, strategy=QuotingIssuer)
    ),
    "a rotation function, setSecret, which quotes": Place(
        "TimeoutError", lambda _: rotate("setSecret", strategy=Quoting)
    ),
    "a rotation function, testSecret, which quotes": Place(
        "TimeoutError", lambda _: rotate("testSecret", strategy=Quoting)
    ),
}


SLOW = {"get, no answer", "get_parameters, no answer", "get, a web page for an answer"}
"""What botocore tries again, after pauses."""


@pytest.mark.parametrize(
    "place", [pytest.param(one, marks=pytest.mark.proof) if one in SLOW else one for one in PLACES]
)
def test_no_error_holds_a_value(place: str, service: Service) -> None:
    """In tracebacks with locals, Rich's, Sentry's events, attributes and pickles: the error, and no value."""
    error = raised_by(lambda: PLACES[place].call(service))
    for shown in SHOWN.values():
        assert_unseen(shown(error), PLACES[place].error)


@pytest.mark.parametrize("way", SHOWN)
def test_each_way_of_showing_an_error_would_show_a_value(way: str) -> None:
    """The same errors without keyturn: every way shows the canary. So the tests above can fail."""
    error = raised_by(lambda: wrapped(text(CANARY)))
    if way in ("the errors' attributes", "a pickled error"):
        error.add_note(CANARY)
    assert CANARY in SHOWN[way](error)


def test_frames_stay_in_the_traceback() -> None:
    """Only their locals go: file, line and function of the code that connects are still there."""
    error = raised_by(lambda: log_in(wrapped))
    assert {"refusing", "wrapped", "login"} <= {frame.f_code.co_name for frame in frames_of(error)}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, TimeoutError])
def test_an_interruption_shows_no_value_either(kind: type[BaseException]) -> None:
    """A signal handler may raise while a secret is parsed, in any frame that holds its text."""

    class Interrupting(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise kind

    @errors_without_locals
    def parse() -> int:
        text = Interrupting(CANARY)
        return len(text)

    with pytest.raises(kind) as raised:
        parse()
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.name in ("parse", "__len__")]
    assert ["parse", "__len__"] == [frame.name for frame in frames]
    assert not any(frame.locals for frame in frames)


def test_the_error_around_a_call_is_left_alone() -> None:
    """A call inside an `except`: the error that is handled there keeps its locals. It is the caller's."""
    kept = raised_by(_handles)
    (cause,) = [one for one in chain_of(kept) if isinstance(one, KeyError)]
    assert "mine" in "".join(str(frame.f_locals) for frame in frames_of(cause))


def _handles() -> None:
    try:
        _own()
    except KeyError:
        text(CANARY).json()


def _own() -> None:
    mine = 1
    raise KeyError(mine)


def test_upstreams_library_is_what_compat_replaces() -> None:
    """The drop-in's errors are shown above; upstream's own cache is another one."""
    assert issubclass(compat.SecretCache, aws_secretsmanager_caching.SecretCache)
