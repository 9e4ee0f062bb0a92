"""The token: where it is from, what is none, and what happens to its file."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from keyturn.errors import ConfigurationError
from keyturn.serve.tokens import LOOK_S, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, VARIABLES, Token, found_token
from keyturn.testing.fakes import FakeClock

OPEN = Path("/proc/self/fd")
ONE, TWO = "one-token-of-this-test", "two-token-of-this-test"


@pytest.fixture
def clock() -> FakeClock:
    """The time, which only the test moves."""
    return FakeClock()


def found(environment: dict[str, str], clock: FakeClock) -> Token:
    """The token of these variables."""
    return found_token(environment, clock.monotonic)


def takes(token: Token) -> list[str]:
    """Which of the two tokens lets a caller in."""
    return [one for one in (ONE, TWO) if token.matches([one.encode()])]


def test_the_token_is_that_of_the_first_variable(clock: FakeClock) -> None:
    """AWS_TOKEN before AWS_SESSION_TOKEN before AWS_CONTAINER_AUTHORIZATION_TOKEN; an empty one is none."""
    variables = {name: f"token-of-{name}" for name in reversed(VARIABLES)}
    for name in VARIABLES:
        assert found(variables, clock).matches([f"token-of-{name}".encode()])
        variables[name] = ""


def test_the_token_may_be_in_a_file(tmp_path: Path, clock: FakeClock) -> None:
    """file://PATH names a file that holds the token; white space around it is not part of it."""
    file = tmp_path / "token"
    file.write_text(f" {ONE}\r\n")
    assert [ONE] == takes(found({"AWS_TOKEN": f"file://{file}"}, clock))


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        ("x", f"shorter than {TOKEN_BYTES_MIN} bytes"),
        ("a" * 15, f"shorter than {TOKEN_BYTES_MIN} bytes"),
        ("a" * (TOKEN_BYTES_MAX + 1), f"longer than {TOKEN_BYTES_MAX} bytes"),
        ("a token with some spaces", "a character that a header cannot carry"),
        (" leading-white-space", "a character that a header cannot carry"),
        ("two-lines-of-\r\n-a-token", "a character that a header cannot carry"),
        ("tökén-of-many-bytes", "a character that a header cannot carry"),
        ("nul-in-the-token-\0", "a character that a header cannot carry"),
    ],
)
def test_a_bad_token_is_refused_by_its_rule(token: str, rule: str, clock: FakeClock) -> None:
    """The error names the variable and the rule, and has nothing of the token."""
    with pytest.raises(ConfigurationError, match=rule) as caught:
        found({"AWS_TOKEN": token}, clock)
    assert "AWS_TOKEN" in str(caught.value)
    assert token[:10] not in str(caught.value).replace("a header", "")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe" * 20, b"short", b"\0" * 40])
def test_without_a_token_it_does_not_begin(tmp_path: Path, content: bytes | None, clock: FakeClock) -> None:
    """No variable, no file, an empty, short or unreadable one: an error that names it, not an open door."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"AWS_TOKEN, which names '{file}'"):
        found({"AWS_TOKEN": f"file://{file}"}, clock)
    with pytest.raises(ConfigurationError, match="set AWS_TOKEN"):
        found({}, clock)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    """A folder, a device without end, and a pipe into which nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", "/proc/self/mem\0"):
        with pytest.raises(ConfigurationError, match="is not the text of a file"):
            found({"AWS_TOKEN": f"file://{path}"}, clock)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_why_a_file_cannot_be_read_is_said(tmp_path: Path, clock: FakeClock) -> None:
    """No file and a folder, which Docker makes where a mounted file is missing; no file stays open."""
    open_files = len(list(OPEN.iterdir()))
    for path, why in ((tmp_path / "no", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(
            ConfigurationError, match=f"AWS_TOKEN, which names '{path}', cannot be read: {why}"
        ):
            found({"AWS_TOKEN": f"file://{path}"}, clock)
    assert open_files == len(list(OPEN.iterdir()))


def test_a_file_that_anybody_may_write_is_no_token(tmp_path: Path, clock: FakeClock) -> None:
    """Whoever writes it chooses the token."""
    file = tmp_path / "token"
    file.write_text(ONE)
    file.chmod(0o646)
    with pytest.raises(ConfigurationError, match="may be written by every user"):
        found({"AWS_TOKEN": f"file://{file}"}, clock)


def test_a_replaced_file_is_the_new_token(tmp_path: Path, clock: FakeClock) -> None:
    """The new token is good at once, and the old one no longer than a second."""
    file = tmp_path / "token"
    file.write_text(ONE)
    token = found({"AWS_TOKEN": f"file://{file}"}, clock)
    clock.advance(0.1)
    (tmp_path / "new").write_text(TWO)
    (tmp_path / "new").replace(file)
    assert [ONE, TWO] == takes(token)
    assert [TWO] == takes(token)
    (tmp_path / "new").write_text(ONE)
    (tmp_path / "new").replace(file)
    clock.advance(LOOK_S)
    assert [ONE] == takes(token)


def test_a_link_that_moves_is_the_new_token(tmp_path: Path, clock: FakeClock) -> None:
    """A Kubernetes volume replaces a folder's link, not the file."""
    for name, value in (("1", ONE), ("2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(value)
    (tmp_path / "now").symlink_to(tmp_path / "1")
    token = found({"AWS_TOKEN": f"file://{tmp_path}/now/token"}, clock)
    (tmp_path / "next").symlink_to(tmp_path / "2")
    (tmp_path / "next").replace(tmp_path / "now")
    clock.advance(LOOK_S)
    assert [TWO] == takes(token)


@pytest.mark.parametrize("content", [None, "", "short", "not ascii: ä" * 4, "x" * (TOKEN_BYTES_MAX + 1)])
def test_a_spoilt_file_keeps_the_last_good_token(
    tmp_path: Path, content: str | None, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Emptied, removed or filled with other things: it goes on, says so once, and heeds the next good one."""
    file = tmp_path / "token"
    file.write_text(ONE)
    token = found({"AWS_TOKEN": f"file://{file}"}, clock)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with caplog.at_level(logging.INFO, "keyturn.serve"):
        for _ in range(5):
            clock.advance(LOOK_S)
            assert [ONE] == takes(token)
        (line,) = (record.getMessage() for record in caplog.records)
        assert line.startswith(f"the token is as before, since the token of AWS_TOKEN, which names '{file}'")
        file.write_text(TWO)
        clock.advance(LOOK_S)
        assert [TWO] == takes(token)
    assert ONE not in caplog.text
    assert TWO not in caplog.text


def test_a_flood_of_wrong_tokens_reads_the_file_a_few_times(tmp_path: Path, clock: FakeClock) -> None:
    """A thousand requests within a tenth of a second are two looks at most."""
    looks: list[float] = []

    def read() -> str:
        looks.append(clock.monotonic())
        return ONE

    token = Token(read, is_fixed=False, monotonic=clock.monotonic)
    for _ in range(1000):
        clock.advance(0.0001)
        assert not token.matches([TWO.encode()])
    assert len(looks) <= 3


def test_every_token_must_be_right() -> None:
    """None, or another one beside the right one, lets nobody in."""
    token = Token(lambda: ONE, is_fixed=True, monotonic=lambda: 0.0)
    one, two = ONE.encode(), TWO.encode()
    cases: tuple[list[bytes], ...] = (
        [],
        [one],
        [one, one],
        [one, two],
        [two, one],
        [b""],
        [one, b""],
        [one[:-1]],
    )
    assert [[one], [one, one]] == [given for given in cases if token.matches(given)]


def test_nothing_shows_the_token() -> None:
    """What is kept is a digest: neither repr, nor attributes, nor a core file has the token."""
    secret = "canary" + os.urandom(8).hex()
    token = Token(lambda: str(secret), is_fixed=True, monotonic=lambda: 0.0)
    assert secret not in repr(token) + repr({**vars(token), "_read": None})
