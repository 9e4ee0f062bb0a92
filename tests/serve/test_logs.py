"""The log: what is never in it, what cannot be put into it, and how long it can get."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn import SecretCache
from keyturn.serve.logs import KINDS_MAX, LINE_LENGTH_MAX, LINES_MAX, WINDOW_S, set_up
from keyturn.serve.server import tell
from keyturn.testing.fakes import FakeClock
from tests.serve.endpoint import TOKEN, Endpoint
from tests.serve.wire import Line, on_a_line, request
from tests.world import NAME

LEVELS = ("debug", "info", "warning", "error")
VALUE, SESSION = "canary-secret-value", "canary-session-token"
OTHERS = ("botocore", "botocore.parsers", "urllib3", "uvicorn.error", "asyncio", "boto3", "h11", "starlette")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging of this process is left as it was found."""
    loggers = [logging.getLogger(name) for name in ("", "keyturn", *OTHERS)]
    before = [(one, one.level, one.handlers) for one in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers = handlers


def asked_through_botocore() -> None:
    """A caller asks for a secret and for one that is missing; a real client with a session token reads."""
    with mock_aws():
        client = boto3.client(
            "secretsmanager",
            region_name="us-east-1",
            aws_access_key_id="canary-access-key-id",
            aws_secret_access_key="canary-secret-access-key",
            aws_session_token=SESSION,
        )
        client.create_secret(Name=NAME, SecretString=VALUE)
        endpoint = Endpoint(given_cache=SecretCache(client))
        assert VALUE == endpoint.ask(f"/v1/{NAME}").json()["SecretString"]
        assert 400 == endpoint.ask("/v1/prod/nothing").status_code
        assert 403 == endpoint.ask(f"/v1/{NAME}", {"X-Vault-Token": "canary-wrong"}).status_code


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("are_others_loud", [False, True])
def test_no_level_writes_values_or_tokens(level: str, are_others_loud: bool) -> None:  # noqa: FBT001
    """botocore's own debug log has them all. It stays out, also if somebody has set its logger to DEBUG."""
    written = io.StringIO()
    set_up(level, written, FakeClock().monotonic)
    if are_others_loud:
        for name in OTHERS:
            logging.getLogger(name).setLevel(logging.DEBUG)
    asked_through_botocore()
    text = written.getvalue()
    assert "canary" not in text
    assert not [line for line in text.splitlines() if any(f" {name} " in line for name in OTHERS)]
    assert (level == "debug") == ("DEBUG keyturn.serve /v1/...: 200" in text)
    assert (level != "error") == ("WARNING keyturn.serve /v1/...: 403 Bad Token" in text)


def test_the_canary_can_be_seen() -> None:
    """With the level on the root logger, as it once was, value and session token are in the log."""
    written = io.StringIO()
    root = logging.getLogger()
    root.handlers = [logging.StreamHandler(written)]
    root.setLevel(logging.DEBUG)
    asked_through_botocore()
    assert VALUE in written.getvalue()
    assert SESSION in written.getvalue()


@pytest.mark.parametrize(
    "control", ["\n", "\r", "\x1b[2J", "\0", "\u2028", "\x85", "\u202e", "\x7f", "\u200b"]
)
def test_no_text_forges_a_line(control: str) -> None:
    """Whatever is said, and by whom, a record is one printable line."""
    written = io.StringIO()
    set_up("debug", written, FakeClock().monotonic)
    logging.getLogger("keyturn.serve").warning("an id: %s", f"a{control}2026-01-01 ERROR keyturn forged")
    logging.getLogger("urllib3").warning(f"a host: a{control}b")  # noqa: G004 # as others log
    lines = written.getvalue().split("\n")
    assert 3 == len(lines)
    assert all(line.isprintable() for line in lines)
    assert "forged" in lines[0]


def test_of_an_exception_only_type_and_place_are_written() -> None:
    """Its words may quote an answer, and a traceback has them."""
    written = io.StringIO()
    set_up("debug", written, FakeClock().monotonic)
    try:
        int(VALUE)
    except ValueError:
        logging.getLogger("botocore.credentials").warning("failed", exc_info=True)
        logging.getLogger("keyturn").exception("failed as well")
    first, second = written.getvalue().splitlines()
    assert first.endswith("]")
    assert "botocore.credentials failed [ValueError in test_of_an_exception_only_type" in first
    assert "ERROR keyturn failed as well [ValueError in" in second
    assert VALUE not in written.getvalue()


class Unsayable:
    """Something of which no text can be made."""

    def __str__(self) -> str:
        raise LookupError(VALUE)


@pytest.mark.parametrize(
    ("template", "arguments"),
    [("%d", VALUE), ("%(a)s", {"b": VALUE}), ("%s", Unsayable()), (Unsayable(), ()), ("%s %s", VALUE)],
)
def test_a_record_that_cannot_be_formatted_shows_nothing(
    template: object, arguments: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The standard handler would print its arguments. Nothing is raised into the library that logs."""
    written = io.StringIO()
    set_up("debug", written, FakeClock().monotonic)
    for name in ("keyturn", "other"):
        logging.getLogger(name).warning(template, arguments)
    assert ("", "", "") == (written.getvalue(), *capsys.readouterr())


@pytest.mark.proof
def test_one_kind_of_line_cannot_flood_the_log() -> None:
    """A hundred thousand refusals in ten seconds are twenty lines and a count; other lines still come."""
    clock, written = FakeClock(), io.StringIO()
    handler = set_up("info", written, clock.monotonic)
    log = logging.getLogger("keyturn.serve")
    for _ in range(100_000):
        log.warning("%s: %d %s", "/v1/...", 403, "Bad Token")
    log.info("something else")
    assert LINES_MAX + 1 == len(written.getvalue().splitlines())
    clock.advance(WINDOW_S)
    handler.tell()
    assert written.getvalue().endswith(f" {100_000 - LINES_MAX} more lines such as: /v1/...: 403 Bad Token\n")
    log.warning("%s: %d %s", "/v1/...", 403, "Bad Token")
    assert written.getvalue().endswith("/v1/...: 403 Bad Token\n")


def test_lines_of_ever_new_kinds_cannot_flood_it_either() -> None:
    """What other libraries make up for each line shares one budget; a line has a greatest length."""
    clock, written = FakeClock(), io.StringIO()
    set_up("info", written, clock.monotonic)
    for number in range(2 * KINDS_MAX + 100):
        logging.getLogger(f"made.up.{number}").warning(f"{number} " + 5000 * "a")  # noqa: G003 # as others log
    lines = written.getvalue().splitlines()
    assert KINDS_MAX + LINES_MAX == len(lines)
    assert LINE_LENGTH_MAX == max(len(line) for line in lines)
    clock.advance(WINDOW_S)
    logging.getLogger("made.up").warning("the next")
    assert f"{KINDS_MAX + 100 - LINES_MAX} more lines such as: {KINDS_MAX} aaa" in written.getvalue()


@pytest.mark.parametrize(
    "sent",
    [b"no HTTP\r\n\r\n", request(token="wrong"), request(host="evil.example"), request("/v1/none"), b""],
)
def test_a_flood_of_connections_stays_small_in_the_log(sent: bytes) -> None:
    """Refused, unfinished, closed or failed: ten thousand bytes at most for five hundred of them."""
    written = io.StringIO()
    set_up("info", written, FakeClock().monotonic)

    async def story(line: Line) -> None:
        for _ in range(500):
            await line.connect().send(sent)
        tell(line.gate.closed)

    on_a_line(story)
    assert 0 < len(written.getvalue()) < 10_000
    assert TOKEN not in written.getvalue()
