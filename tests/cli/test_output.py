"""What all tables share: colours only where they are seen, and no text that steers a terminal."""

from __future__ import annotations

import json
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import pytest
from rich.console import Console

from keyturn import ConfigurationError, UnavailableError
from keyturn.cli.output import echo_json, moment, patiently, printable, short_key, table_of
from keyturn.cli.root import one_line
from tests.cli.conftest import World


@pytest.mark.parametrize(("is_terminal", "coloured"), [(True, True), (False, False)])
def test_colours_are_for_terminals(*, is_terminal: bool, coloured: bool) -> None:
    """A file or a pipe gets the bare words."""
    system: Literal["standard", "auto"] = "standard" if is_terminal else "auto"
    to = Console(force_terminal=is_terminal, color_system=system, width=80)
    with to.capture() as captured:
        to.print(table_of("", ("",), [("wrong",)]))
    assert coloured is ("\x1b[" in captured.get())


def test_what_steers_a_terminal_is_replaced() -> None:
    """Escapes, line ends and the marks that reverse a text's direction."""
    assert printable("a\x1b[2J\n\u202eb") == "a\ufffd[2J\ufffd\ufffdb"


def test_json_steers_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    """Such characters are escapes, so the document is the same for whoever parses it."""
    told = {"secret": "a\x1b[2J\n\u202eb\x9b\u2028 \N{KEY}é \ud800", "deep": ["\x7f"]}
    echo_json(told)
    shown = capsys.readouterr().out
    assert told == json.loads(shown)
    assert all(one.isprintable() or one == "\n" for one in shown)
    assert "\N{KEY}é" in shown


@pytest.mark.parametrize(
    "error", [ConfigurationError("a\x1b[2J\n\u202e\x9b"), UnavailableError("a", "b\x1b[2J\n\x9b")]
)
def test_an_error_steers_no_terminal(error: Exception) -> None:
    """A message may quote a name from the table, or what AWS answered."""
    message = one_line(error).format_message()
    assert message.isprintable()
    assert "[2J" in message


@pytest.mark.parametrize(
    ("at_s", "shown"),
    [(0.0, "1970-01-01 00:00:00Z"), (None, "never"), (2.0**53, "9.0072e+15 s")],
)
def test_moments_are_utc_to_the_second(at_s: float | None, shown: str) -> None:
    """Also those that no calendar has, which a marker may hold."""
    assert moment(at_s) == shown


def test_a_key_is_shown_without_its_place() -> None:
    """A secret by its name. What says that it is a parameter stays: a secret may have the same name."""
    assert short_key("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db") == "prod/db"
    assert short_key("arn:aws:ssm:eu-west-1:111122223333:parameter/prod/host") == "parameter/prod/host"


def test_who_waits_long_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that what a program reads from stdout stays the same."""
    with patiently("an answer", after_s=0.0):
        late_s = time.monotonic() + 10
        told = ""
        while not told and time.monotonic() < late_s:
            told = capsys.readouterr().err
    assert "waiting for an answer; calls have time-outs, a credential_process has none\n" == told
    with patiently("an answer"):
        pass
    assert ("", "") == tuple(capsys.readouterr())


def test_where_no_thread_can_be_had_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command goes on without the note."""

    def refuse(_timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    done = False
    with patiently("an answer"):
        done = True
    assert done


def test_a_failure_ends_the_patience() -> None:
    """No thread is left behind that would speak later."""
    before = threading.active_count()
    with pytest.raises(UnavailableError), patiently("an answer", after_s=60.0):
        raise UnavailableError("prod/db", "no answer")
    late_s = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < late_s


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("keyturn.cli.status.command", ["status"]),
        ("keyturn.cli.announce", ["announce", "prod/db"]),
        ("keyturn.cli.sweep", ["sweep"]),
    ],
)
def test_what_is_waited_for_holds_for_each_call(
    world: World, monkeypatch: pytest.MonkeyPatch, module: str, arguments: list[str]
) -> None:
    """Calls of several services are made within it, and any of them may hang."""
    told = list[str]()

    def patiently(what: str) -> AbstractContextManager[None]:
        told.append(what)
        return nullcontext()

    monkeypatch.setattr(f"{module}.patiently", patiently)
    world.run(*arguments)
    (what,) = told
    assert what.endswith("answers of AWS")
