"""A server or a driver may quote the password in what it says: the error that leaves keyturn does not."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import quote

import pytest
import redis
import redis.asyncio

from keyturn import Peers, SecretCache, SecretVersion
from keyturn.integrations import redis as by_redis
from keyturn.integrations.http import Key, Outgoing
from keyturn.integrations.login import Login
from keyturn.rotation.redis import TwoPasswords
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from keyturn.verifying.trial import Trial
from tests.security.canary.watched import (
    BYTES,
    CANARY,
    SHOWN,
    as_attributes,
    as_pickle,
    as_traceback,
    assert_unseen,
    everything_logged,
    raised_by,
)

WAYS = (as_traceback, as_attributes, as_pickle)
"""The ways of showing an error that show its texts; the others find nothing else of them."""

NAME = "app/db"
HOST = "127.0.0.1"


def secrets_of(value: str | bytes) -> FakeSecretsManager:
    """An account with one secret."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create(NAME, value)
    return secrets


def cached(value: str | bytes) -> SecretCache:
    """A cache of one secret with this value."""
    clock = FakeClock()
    peers = Peers(source=secrets_of(value), clock=clock, sleep=clock.advance)
    return SecretCache(marker_table=False, peers=peers)


def document(password: str = CANARY, **fields: object) -> str:
    """The text of a database's secret."""
    return json.dumps({"username": "app", "password": password, "host": HOST, **fields})


def version_of(value: str | bytes) -> SecretVersion:
    """The version that has this value."""
    return secrets_of(value).read(NAME, stage="AWSCURRENT")


class SaidError(Exception):
    """A driver's error."""

    def __init__(self, *said: object, **more: object) -> None:
        super().__init__(*said)
        vars(self).update(more)


def noted(password: str) -> Exception:
    """An error with a note."""
    error = SaidError()
    error.add_note(f"the password was {password}")
    return error


def caused(password: str) -> Exception:
    """An error whose cause quotes."""
    error = SaidError("a layer above")
    error.__cause__ = SaidError(f"AUTH {password}")
    return error


QUOTES: Mapping[str, Callable[[str], Exception]] = {
    "as it is": lambda password: SaidError(f"unknown command AUTH, with `app` `{password}`"),
    "by its repr": lambda password: ValueError(f"invalid literal for int() with base 10: {password!r}"),
    "as bytes": lambda password: SaidError(password.encode()),
    "as the repr of bytes": lambda password: SaidError(repr(password.encode())),
    "in JSON": lambda password: SaidError(json.dumps({"error": password})),
    "in JSON with its letters": lambda password: SaidError(json.dumps({"e": password}, ensure_ascii=False)),
    "in a URL": lambda password: SaidError(f"cannot parse db://app:{quote(password, safe='')}@{HOST}"),
    "in fields of the server": lambda password: SaidError({"S": "FATAL", "M": f"not {password}"}),
    "in a list of lists": lambda password: SaidError([("pw", [password])]),
    "as a key": KeyError,
    "as an attribute": lambda password: SaidError("no", request={"password": password}),
    "in a note": noted,
    "in its cause": caused,
    "in a group": lambda password: ExceptionGroup("all failed", [SaidError(password)]),
}
PASSWORDS: Mapping[str, str] = {
    "plain": CANARY,
    "with quotes": f"""'{CANARY}"\\ %/{CANARY}""",
    "of other letters": f"{CANARY}é€{CANARY}",
    "of other letters with quotes": f"""é"\\'{CANARY}""",
}


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("said", QUOTES)
def test_no_error_of_a_login_quotes_the_password(said: str, password: str) -> None:
    """Whatever form it has there, and wherever it stands."""

    def connect(version: SecretVersion) -> None:
        raise QUOTES[said](version.fields()["password"])

    with everything_logged() as seen:
        error = raised_by(lambda: cached(document(PASSWORDS[password])).login(NAME, connect, budget_s=0))
    assert CANARY not in seen.getvalue()
    for shown in WAYS:
        assert_unseen(shown(error), "Err" if said != "in a group" else "Group")
    assert "<concealed>" in as_attributes(error)


@pytest.mark.parametrize(
    ("value", "use"),
    [
        (CANARY + "\n", lambda version: int(version.text())),
        (
            json.dumps({"keys": [{"secret": CANARY}]}),
            lambda version: int(version.json()["keys"][0]["secret"]),
        ),
        (json.dumps([CANARY]), lambda version: int(version.json()[0])),
        (json.dumps(CANARY), lambda version: int(version.json())),
        ('{"cut": "' + CANARY, lambda version: int(version.text())),
        (BYTES, lambda version: int(version.blob())),
        (document(CANARY + "€"), lambda version: version.fields()["password"].encode("latin-1")),
        (document(), lambda version: (CANARY.encode() + b"\xff").decode()),
    ],
)
def test_no_part_of_a_value_of_any_shape_is_quoted(
    value: str | bytes, use: Callable[[SecretVersion], object]
) -> None:
    """A bare key, JSON of any depth, a text that is no JSON, bytes; Python's own errors."""
    cache = cached(value)
    error = raised_by(lambda: cache.login(NAME, use, budget_s=0))
    for shown in WAYS:
        assert_unseen(shown(error), "Error")


def test_a_beginning_is_concealed_as_well() -> None:
    """Redis cuts off what it repeats after 128 characters."""
    password = f"{CANARY}{'x' * 200}"

    def connect(version: SecretVersion) -> None:
        raise SaidError(f"unknown command: {version.fields()['password'][:100]}...")

    error = raised_by(lambda: cached(document(password)).login(NAME, connect, budget_s=0))
    assert str(error) == "unknown command: <concealed>..."


def test_what_an_operator_needs_stays() -> None:
    """User, host and short words are said as the server says them, and nothing of the error else changes."""

    def connect(_version: SecretVersion) -> None:
        raise OSError(111, "no route for the user app to 127.0.0.1 in prod", "/run/socket")

    error = raised_by(lambda: cached(document(stage="prod")).login(NAME, connect, budget_s=0))
    assert str(error) == "[Errno 111] no route for the user app to 127.0.0.1 in prod: '/run/socket'"


def test_a_refusal_is_judged_by_the_servers_own_words() -> None:
    """A password may be a word of the message that tells a refusal."""
    password = "authentication failed"

    def connect(version: SecretVersion) -> None:
        raise SaidError(f"password {version.fields()['password']}")

    error = raised_by(
        lambda: cached(document(password)).login(
            NAME, connect, budget_s=0, is_refused=lambda one: "authentication failed" in str(one)
        )
    )
    assert type(error).__name__ == "LoginRefusedError"
    assert str(error.__cause__) == "password <concealed>"


def test_an_error_that_the_caller_handles_is_its_own() -> None:
    """A login inside of an `except` block changes neither its text nor its frames, whoever fails."""

    def connect(_version: SecretVersion) -> None:
        raise SaidError("refused")

    def fails(*_given: object) -> bool:
        raise SaidError("a judge")

    def raising(word: str) -> None:
        raise SaidError(word)

    logins: tuple[Callable[[], object], ...] = (
        lambda: cached(CANARY).login(NAME, connect),
        lambda: cached(CANARY).login(NAME, connect, is_refused=fails),
        lambda: cached(CANARY).login(NAME, connect, accept=fails),
    )
    for login in logins:
        own = SaidError()
        try:
            raising(CANARY)
        except SaidError as error:
            own = error
            with pytest.raises(SaidError):
                login()
        assert own.args == (CANARY,)
        shown = traceback.TracebackException.from_exception(own, capture_locals=True)
        assert [{"word": repr(CANARY)}] == [one.locals for one in shown.stack if one.name == "raising"]


def test_a_judge_that_fails_quotes_nothing() -> None:
    """What `is_refused` and `accept` raise themselves may be made of a server's text, or of the values."""

    def connect(version: SecretVersion) -> None:
        raise SaidError(f"ERR with args beginning with: {version.text()}")

    def is_refused(error: Exception) -> bool:
        return int(str(error).rpartition(": ")[2]) == 1045

    def accept(current: SecretVersion, _version: SecretVersion) -> bool:
        text = current.text()
        raise SaidError(text)

    error = raised_by(lambda: cached(CANARY).login(NAME, connect, is_refused=is_refused))
    assert type(error) is ValueError
    assert "<concealed>" in str(error)
    assert CANARY not in str(error)
    error = raised_by(lambda: cached(CANARY).login(NAME, connect, accept=accept))
    assert error.args == ("<concealed>",)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert [None] == [frame.locals for frame in shown.stack if frame.name == "accept"]


def test_an_error_around_a_login_is_left_alone() -> None:
    """What the caller handles meanwhile is the caller's."""
    around = SaidError(CANARY)

    def connect(version: SecretVersion) -> None:
        raise SaidError(version.text())

    def story() -> None:
        try:
            raise around
        except SaidError:
            Trial(connect, ()).finds([version_of(CANARY)])

    assert raised_by(story).args == ("<concealed>",)
    assert around.args == (CANARY,)


def test_no_error_of_a_check_quotes_the_key() -> None:
    """A library that verifies may show the key that it cannot read, also where a version does not fit."""

    def check(version: SecretVersion) -> None:
        raise SaidError(f"could not deserialize {version.text()}")

    def tried() -> None:
        trial = Trial(check, SaidError)
        trial.finds([version_of(CANARY)])
        trial.outcome(NAME)

    for shown in SHOWN.values():
        assert_unseen(shown(raised_by(tried)), "SaidError")


def test_no_error_of_a_request_quotes_the_key() -> None:
    """Also where every version was refused lately, so that the request is made outside of a login."""

    def authorize(version: SecretVersion, _outgoing: Outgoing) -> Mapping[str, str]:
        return {"X-Key": str(int(version.text()))}

    key = Key(cached(CANARY), NAME, "https://api.example.com", authorize)

    def request(version: SecretVersion) -> int:
        if refused:
            return 401
        key.headers(version, Outgoing("GET", "https://api.example.com", None))
        return 200

    refused = True
    for _ in range(4):
        assert 401 == key.send(request, lambda status: status, bool, lambda: True)
    refused = False
    error = raised_by(lambda: key.send(request, lambda status: status, bool, lambda: True))
    for shown in SHOWN.values():
        assert_unseen(shown(error), "ValueError")


# A server that knows none of the commands by which a client logs in


def _words(stream: Iterator[bytes]) -> Iterator[list[str]]:
    """Yield the commands that a client of Redis sends."""
    for line in stream:
        count = int(line[1:])
        yield [next(stream).decode().strip() for _ in range(2 * count)][1::2]


@contextmanager
def old_server() -> Iterator[int]:
    """Yield the port of a server that answers as Redis 5 does to HELLO, and any to AUTH that is renamed."""

    def answer(client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(OSError):
            for name, *rest in _words(iter(stream)):
                told = "".join(f"`{one}`, " for one in rest)
                client.sendall(
                    f"-ERR unknown command `{name}`, with args beginning with: {told}\r\n".encode()
                )

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """Such a server."""
    with old_server() as one:
        yield one


def ping(port: int, protocol: int) -> None:
    """A client of redis-py."""
    kind = by_redis.connection_class(Login(cached(document()), NAME, budget_s=0))
    pool = redis.ConnectionPool(connection_class=kind, host=HOST, port=port, protocol=protocol)
    redis.Redis.from_pool(pool).ping()


def async_ping(port: int, protocol: int) -> None:
    """The same on a loop."""

    async def run() -> None:
        kind = by_redis.async_connection_class(Login(cached(document()), NAME, budget_s=0))
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=HOST, port=port, protocol=protocol)
        async with redis.asyncio.Redis.from_pool(pool) as client:
            await client.ping()

    asyncio.run(run())


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("client", [ping, async_ping])
def test_a_server_that_repeats_the_command_shows_no_password(
    client: Callable[[int, int], None], protocol: int, port: int
) -> None:
    """redis-py sends HELLO with the password by default, and an old server says it again."""
    with everything_logged() as seen:
        error = raised_by(lambda: client(port, protocol))
    assert CANARY not in seen.getvalue()
    assert "unknown command" in str(error)
    for shown in SHOWN.values():
        assert_unseen(shown(error), "ResponseError")


def test_a_rotation_function_shows_no_password_that_a_server_repeats(port: int) -> None:
    """Its errors are in the function's log."""
    strategy = TwoPasswords(secrets_of(document()), host=HOST, port=port, tls=False)
    error = raised_by(lambda: strategy.test(version_of(document())))
    for shown in SHOWN.values():
        assert_unseen(shown(error), "ResponseError")
