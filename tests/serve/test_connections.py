"""Connections that send nothing, half a request, two, or something else, or that read nothing."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from keyturn.errors import UnavailableError
from keyturn.serve.gate import EXPIRED_MAX, Gate, Patience
from tests.serve.endpoint import TOKEN
from tests.serve.wire import HALF, PATIENCE, TARGET, Line, Wire, on_a_line, request, status
from tests.world import NAME, World


def test_half_sent_requests_starve_nobody() -> None:
    """Beside 1,200 of them, on ten places, each caller and each health check is answered at once."""

    async def story(line: Line) -> set[tuple[int, int]]:
        seen = set()
        for _ in range(120):
            for _ in range(10):
                await line.connect().send(HALF)
            caller, check = line.connect(), line.connect()
            seen.add(
                (status(await caller.send(request())), status(await check.send(request("/ping", token=""))))
            )
            assert len(line.gate) <= line.places
            caller.close()
        return seen

    assert {(200, 200)} == on_a_line(story)


def test_connections_that_send_nothing_make_room_for_who_comes() -> None:
    """A caller that stays connected keeps its place; who has shown nothing for longest leaves first."""

    async def story(line: Line) -> None:
        caller = line.connect()
        await caller.send(request())
        silent = [line.connect() for _ in range(30)]
        assert not caller.ended()
        assert 200 == status(await caller.send(request()))
        assert [True] * 21 + [False] * 9 == [one.ended() for one in silent]

    on_a_line(story)


def test_a_head_must_come_in_time() -> None:
    """A request that comes byte by byte is cut off, whatever comes of it."""

    async def story(line: Line) -> None:
        wire = line.connect()
        await wire.send(HALF)
        for _ in range(int(PATIENCE.head_s) - 1):
            line.after(1)
            await wire.send(b"a")
        assert not wire.ended()
        line.after(1)
        assert wire.ended()
        assert not wire.answers

    on_a_line(story)


def test_the_next_head_must_come_in_time() -> None:
    """Also after an answer: half a request does not count as idle, whatever comes of it."""

    async def story(line: Line) -> None:
        wire = line.connect()
        await wire.send(request())
        line.after(30)
        await wire.send(HALF)
        line.after(PATIENCE.head_s - 1)
        await wire.send(b"a")
        assert not wire.ended()
        line.after(1)
        assert wire.ended()

    on_a_line(story)


def test_idle_connections_end() -> None:
    """One that never asked after 10 s; one that asked with the token after a minute."""

    async def story(line: Line) -> None:
        silent, checker, caller = (line.connect() for _ in range(3))
        await checker.send(request("/ping", token=""))
        await caller.send(request())
        line.after(PATIENCE.head_s)
        assert (True, True, False) == (silent.ended(), checker.ended(), caller.ended())
        line.after(PATIENCE.idle_s - PATIENCE.head_s)
        assert caller.ended()

    on_a_line(story)


def test_an_answer_must_be_read_in_time() -> None:
    """A caller that reads nothing is cut off, while it is answered and when the connection is to close."""

    async def story(line: Line) -> None:
        slow, reading, last, refused = (line.connect() for _ in range(4))
        for wire in (slow, reading):
            await wire.send(request())
            wire.connection.pause_writing()
        reading.connection.resume_writing()
        last.unsent = refused.unsent = 1
        assert 200 == status(await last.send(request(TARGET, "Connection: close")))
        assert 403 == status(await refused.send(request(token="wrong")))
        assert (False, False) == (last.ended(), refused.ended())
        line.after(PATIENCE.unread_s)
        assert (True, False, True, True) == tuple(one.ended() for one in (slow, reading, last, refused))

    on_a_line(story)


def test_an_idle_connection_that_reads_nothing_is_cut_off() -> None:
    """uvicorn's own time-out would wait until the caller has read."""

    async def story(line: Line) -> Wire:
        wire = line.connect()
        await wire.send(request())
        wire.unsent = 1
        wire.connection.timeout_keep_alive_handler()
        return wire

    assert on_a_line(story).ended()


def test_nothing_is_kept_of_connections_that_are_gone() -> None:
    """Whatever they did, the gate forgets them."""

    async def story(line: Line) -> int:
        for data in (b"", HALF, request(), request(token="wrong"), request("/ping"), b"\0\r\n\r\n"):
            wire = line.connect()
            await wire.send(data)
            wire.connection.pause_writing()
            wire.abort()
        await line.connect().send(request())
        line.after(1000)
        return len(line.gate)

    assert 0 == on_a_line(story)


def test_a_request_that_waits_for_aws_is_not_pushed_out() -> None:
    """Whatever comes meanwhile, it gets its answer."""
    gate = threading.Event()

    async def story(line: Line) -> int:
        line.endpoint.world.secrets.create("prod/slow", "one")
        line.endpoint.world.secrets.fail = lambda _: None if gate.wait(30) else UnavailableError("prod/slow")
        caller = line.connect()
        asked = asyncio.create_task(caller.send(request("/v1/prod/slow")))
        for _ in range(5):
            await asyncio.sleep(0)
        for _ in range(30):
            line.connect()
        assert not caller.ended()
        gate.set()
        return status(await asked)

    assert 200 == on_a_line(story)


class Guest:
    """A connection of which only the end counts."""

    def __init__(self) -> None:
        self.has_left = False

    def leave(self) -> None:
        self.has_left = True


def test_a_request_at_work_keeps_its_place() -> None:
    """If every place has one, a new connection is closed, and no other."""
    gate = Gate(2, Patience(), World().clock.monotonic)
    first, second, third = guests = [Guest() for _ in range(3)]
    for guest in (first, second):
        gate.enter(guest)
        gate.begin(guest, has_token=True)
    gate.enter(third)
    assert [False, False, True] == [guest.has_left for guest in guests]
    gate.end(first, has_token=True)
    gate.enter(fourth := Guest())
    assert (True, False) == (first.has_left, fourth.has_left)


def test_an_answer_that_never_comes_ends() -> None:
    """A place is not taken for ever, whatever hangs behind it."""
    world = World()
    gate = Gate(2, Patience(), world.clock.monotonic)
    gate.enter(guest := Guest())
    gate.begin(guest, has_token=True)
    world.clock.advance(Patience().answer_s)
    gate.expire()
    assert guest.has_left
    assert {"their answers took too long": 1} == gate.closed


def test_those_whose_time_is_over_leave_a_few_at_a_time() -> None:
    """Closing a thousand at once, and accepting as many anew, would make a caller wait."""
    world = World()
    gate = Gate(1000, Patience(), world.clock.monotonic)
    guests = [Guest() for _ in range(EXPIRED_MAX + 1)]
    for guest in guests:
        gate.enter(guest)
    world.clock.advance(Patience().head_s)
    gate.expire()
    assert [True] * EXPIRED_MAX + [False] == [guest.has_left for guest in guests]
    gate.expire()
    assert guests[-1].has_left


@pytest.mark.parametrize("target", ["/ping", "/ready", "/openapi.json"])
def test_nothing_follows_an_answer_that_needs_no_token(target: str) -> None:
    """Else thousands of such requests in a row on each connection would keep callers waiting."""

    async def story(line: Line) -> Wire:
        wire = line.connect()
        await wire.send(request(target, token="") * 3)
        return wire

    wire = on_a_line(story)
    assert wire.ended()
    assert 1 == wire.answers.count(b"HTTP/1.1 ")
    assert 200 == status(wire.answers)
    assert b"\r\nconnection: close\r\n" in wire.answers


@pytest.mark.parametrize("second", [request(TARGET), request("/ping", token=""), request("/nothing")])
def test_requests_may_follow_at_once(second: bytes) -> None:
    """Two requests in one piece get two answers, in order."""

    async def story(line: Line) -> bytes:
        return await line.connect().send(request() + second)

    answers = on_a_line(story)
    assert 2 == answers.count(b"HTTP/1.1 ")
    assert 200 == status(answers)


def test_nothing_is_accepted_behind_a_refused_request() -> None:
    """The connection closes with the refusal, so what a caller smuggled behind it is not read."""

    async def story(line: Line) -> Wire:
        wire = line.connect()
        await wire.send(request(token="wrong") + request())
        return wire

    wire = on_a_line(story)
    assert wire.ended()
    assert 1 == wire.answers.count(b"HTTP/1.1 ")
    assert 403 == status(wire.answers)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(TARGET, f"X-Aws-Parameters-Secrets-Token: {TOKEN}"), 200),
        (request(TARGET, "X-Aws-Parameters-Secrets-Token: other"), 403),
        (request(TARGET, "X-Vault-Token: other"), 403),
        (request(TARGET, f"X-Vault-Token: {TOKEN}", token="other"), 403),
        (request(TARGET, "X-Vault-Token:"), 403),
        (request(TARGET, "Host: localhost"), 400),
        (request(TARGET, "Host: evil.example"), 400),
        (request(TARGET, "Content-Length: 0"), 200),
        (request(TARGET, "Content-Length: 1") + b"x", 413),
        (request(TARGET, "Content-Length: 0", "Content-Length: 5"), 400),
        (request(TARGET, "Content-Length: -1"), 400),
        (request(TARGET, "Content-Length: 99999999999999999999999"), 400),
        (request(TARGET, "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n", 413),
        (request(TARGET, "Transfer-Encoding: chunked") + b"not a chunk\r\n", 400),
        (request(TARGET, "Transfer-Encoding: chunked", "Content-Length: 3") + b"0\r\n\r\n", 413),
        (request(TARGET, "Transfer-Encoding: gzip"), 400),
        (request(TARGET, "Transfer-Encoding: 0"), 400),
        (request(TARGET, "Transfer-Encoding: identity"), 400),
        (request(TARGET, "Transfer-Encoding : chunked"), 400),
        (request(TARGET, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400),
        (request(TARGET, "Content-Length: +0"), 400),
        (request(TARGET, "Content-Length: 00"), 413),
        (request(TARGET, "Content-Length: 0, 5") + b"GET /", 400),
        (request(TARGET, f"X_Vault_Token: {TOKEN}", token=""), 403),
        (request(TARGET, f"Authorization: Bearer {TOKEN}", token=""), 403),
        (request(token=f"{TOKEN}, {TOKEN}"), 403),
        (request(f"{TARGET}?X-Vault-Token={TOKEN}", token=""), 403),
        (request("/ping/../v1/prod%2Fdb", token=""), 401),
        (request("/ping%2f..%2fv1%2fprod%2fdb", token=""), 401),
        (request("/ping;/v1/prod%2Fdb", token=""), 401),
        (request("/ping#/v1/prod%2Fdb", token=""), 401),
        (request("/%761/prod%2Fdb", token=""), 403),
        (request("//v1/prod%2Fdb", token=""), 401),
        (request("http://localhost/ping", token=""), 401),
        (request(TARGET, "Expect: 100-continue"), 200),
        (request(TARGET, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"), 200),
        (request(TARGET, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"), 200),
        (request(TARGET, "X-Folded: a", " b"), 200),
        (request(TARGET, "X-Nul: \0"), 400),
        (request(TARGET, "X-Vault-Token : x"), 400),
        (request(TARGET, "Origin: https://evil.example", method="OPTIONS"), 405),
        (request(TARGET, method="TRACE"), 405),
        (request(TARGET, method="HEAD"), 405),
        (request(TARGET, method="get"), 405),
        (request("localhost:2773", method="CONNECT"), 405),
        (request("*", method="OPTIONS", token=""), 401),
        (request(f"http://evil.example{TARGET}"), 404),
        (request(f"/v1/../v1/{NAME}"), 400),
        (request("/v1/%2e%2e/secretsmanager/get?secretId=prod/db"), 400),
        (request(f"{TARGET}%00"), 400),
        (request("/secretsmanager/get?secretId=prod/db%00"), 400),
        (request("/secretsmanager/get?secretId=%zz"), 400),
        (request("/secretsmanager/get?secretId=%ff%fe"), 400),
        (request(f"{TARGET}\0"), 400),
        (request("/" + "a" * 40_000), 431),
        (request("/ping?" + "a=1&" * 9_000, token=""), 431),
        (request("/secretsmanager/get?secretId=prod/db&" + "a=1&" * 40), 400),
        (b"GET /ping HTTP/1.0\r\n\r\n", 421),
        (b"GET /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + 100 * b"\0" + b"\r\n\r\n", 400),
    ],
)
def test_odd_requests_are_answered_and_end(
    caplog: pytest.LogCaptureFixture, sent: bytes, expected: int
) -> None:
    """Each with its own status, never a 5xx; nobody's log line has a part of it; no answer may be stored."""
    caplog.set_level(logging.INFO)

    async def story(line: Line) -> Wire:
        wire = line.connect()
        await wire.send(sent)
        return wire

    wire = on_a_line(story)
    assert expected == status(wire.answers), wire.answers
    heads = wire.answers.split(b"\r\n\r\n")[0].lower()
    assert b"\r\ncache-control: no-store" in heads
    assert b"access-control" not in heads
    assert 1 == heads.count(b"cache-control")
    assert expected == 200 or wire.ended() or expected in (404, 400)
    assert {record.name for record in caplog.records} <= {"keyturn.serve"}
    assert all("evil" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("LocalHost:2773", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("[::1]", True),
        ("[::1]:2773", True),
        ("evil.example", False),
        ("evil.example:2773", False),
        ("localhost.evil.example", False),
        ("evil-localhost", False),
        ("localhost.", False),
        ("localhost:", False),
        ("localhost:x", False),
        ("localhost:2773:1", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("localhost, evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("0.0.0.0:2773", False),
        ("169.254.169.254", False),
        ("::1", False),
        ("[::ffff:127.0.0.1]", False),
    ],
)
@pytest.mark.parametrize("target", [TARGET, "/secretsmanager/get?secretId=prod/db", "/ping", "/openapi.json"])
def test_only_names_of_this_host_are_answered(host: str, is_ours: bool, target: str) -> None:  # noqa: FBT001
    """A name that somebody else owns may lead a browser here (DNS rebinding): 421, whatever is asked."""

    async def story(line: Line) -> bytes:
        return await line.connect().send(request(target, host=host))

    answer = on_a_line(story)
    assert (200 if is_ours else 421) == status(answer)
    assert is_ours or answer.endswith(b"\r\n\r\nWrong Host")


def test_a_preflight_opens_nothing() -> None:
    """A page of another origin may not read: a preflight has no token, and its answer allows nothing."""

    async def story(line: Line) -> bytes:
        asked = "Access-Control-Request-Headers: x-vault-token"
        return await line.connect().send(request(TARGET, asked, method="OPTIONS", token=""))

    answer = on_a_line(story)
    assert 403 == status(answer)
    assert b"access-control" not in answer.lower()
