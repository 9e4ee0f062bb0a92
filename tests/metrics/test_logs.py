"""Every log record of the library says in fields what it is about, and the text stays for people."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from keyturn import MarkerTableError, UnavailableError
from keyturn.runtime.logs import LogEvent, about
from keyturn.runtime.process import around_snapshot, watch_process
from tests.metrics.conftest import Measured
from tests.world import NAME

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
LIBRARY_LOG = "from keyturn.runtime.logs import about, log"
CANARY = "c4n4ry-Pa55w0rd"


def log_calls(text: str) -> Iterator[ast.Call]:
    """The calls of `log.…` in a source file whose logger is the library's."""
    if LIBRARY_LOG not in text:
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=attr)) if attr in LEVELS:
                yield node


def events_of(call: ast.Call) -> list[str]:
    """The events that a call's text names."""
    return re.findall(r"about\(\s*'(\w+)'", ast.unparse(call))


def test_every_record_has_its_event() -> None:
    """No call of the library's logger is without `extra`, and each event is logged by somebody."""
    files = sorted((ROOT / "src" / "keyturn").rglob("*.py"))
    calls = [(file.name, call) for file in files for call in log_calls(file.read_text("utf-8"))]
    assert [] == [
        f"{name}:{call.lineno}"
        for name, call in calls
        if not any(one.arg == "extra" for one in call.keywords)
    ]
    texts = "".join(file.read_text("utf-8") for file in files)
    logged = set(re.findall(r'about\(\s*"(\w+)"', texts))
    assert set(get_args(LogEvent)) == logged
    assert len(calls) >= len(logged)


def test_a_record_without_its_event_is_seen() -> None:
    """The search finds a call, with and without `extra`."""
    text = 'log.info("a")\nlog.info("b", extra=about("table_trouble"))'
    assert [[], ["table_trouble"]] == [events_of(call) for call in log_calls(f"{LIBRARY_LOG}\n{text}")]


def test_the_page_has_every_event() -> None:
    """One row of docs/metrics.md for each, and no row for another."""
    section = PAGE.partition("## Logs")[2]
    assert sorted(get_args(LogEvent)) == sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_fields_that_say_nothing_are_left_out() -> None:
    """No secret, no error: only the event."""
    assert {"keyturn_event": "table_answers"} == about("table_answers")
    assert {
        "keyturn_event": "stale_served",
        "keyturn_secret": NAME,
        "keyturn_error": "UnavailableError",
    } == about("stale_served", secret=NAME, error=UnavailableError(NAME, CANARY))


@pytest.mark.parametrize("formatter", [LambdaPowertoolsFormatter()], ids=["Powertools"])
def test_a_json_formatter_shows_the_fields(measured: Measured, formatter: logging.Formatter) -> None:
    """A stale copy and a table in trouble, as lines of JSON: fields to filter by, and no value."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.getLogger("keyturn")
    log.addHandler(handler)
    try:
        measured.world.secrets.put(NAME, CANARY, "v2")
        measured.warm()
        measured.world.secrets.fail = UnavailableError
        measured.cache.invalidate(NAME)
        measured.cache.get(NAME)
        measured.world.table.fail = lambda: MarkerTableError("markers", "throttled")
        measured.after(5).get(NAME)
    finally:
        log.removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    stale = next(one for one in lines if one["keyturn_event"] == "stale_served")
    assert (NAME, "UnavailableError") == (stale["keyturn_secret"], stale["keyturn_error"])
    assert stale["message"].startswith("a known version is served, since")
    assert "table_trouble" in [one["keyturn_event"] for one in lines]
    assert CANARY not in stream.getvalue()


class RaisingFilter(logging.Filter):
    """A filter of the application's that has a fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError(record.msg)


class RaisingHandler(logging.Handler):
    """A handler of the application's that catches nothing, as those of the standard library do."""

    def emit(self, record: logging.LogRecord) -> None:
        raise LookupError(record.msg)


@pytest.fixture(params=[RaisingFilter, RaisingHandler])
def _faulty_log(request: pytest.FixtureRequest) -> Iterator[None]:
    log, fault = logging.getLogger("keyturn"), request.param()
    add, remove = (
        (log.addFilter, log.removeFilter)
        if request.param is RaisingFilter
        else (log.addHandler, log.removeHandler)
    )
    add(fault)
    yield
    remove(fault)


@pytest.mark.usefixtures("_faulty_log")
def test_what_a_handler_of_the_log_raises_costs_no_read(measured: Measured) -> None:
    """The copy is served while the service and the table fail, and both are found back."""
    measured.warm()
    measured.world.secrets.fail = UnavailableError
    measured.cache.invalidate(NAME)
    held = measured.cache.get(NAME).version_id
    measured.world.table.fail = lambda: MarkerTableError("markers", "throttled")
    assert [held, held] == [measured.after(5).get(NAME).version_id for _ in range(2)]
    assert measured.cache.status().table.trouble is not None
    measured.world.table.fail = lambda: None
    measured.world.secrets.fail = lambda _id: None
    measured.after(60).get(NAME)
    assert measured.cache.status().table.trouble is None


@pytest.mark.usefixtures("_faulty_log")
def test_what_a_handler_of_the_log_raises_keeps_no_secret_in_a_snapshot() -> None:
    """One object fails to forget, and the log of that raises: all others are told all the same."""
    told = list[str]()

    class Watched:
        def after_fork(self) -> None: ...

        def forget(self) -> None:
            told.append("forgot")
            raise RuntimeError

    watched = [Watched() for _ in range(3)]
    for one in watched:
        watch_process(one)
    around_snapshot()
    assert len(watched) == len(told)


def test_a_record_names_the_line_that_logs(measured: Measured, caplog: pytest.LogCaptureFixture) -> None:
    """Not that of the log itself, which all records pass."""
    measured.warm()
    measured.world.secrets.fail = UnavailableError
    measured.cache.invalidate(NAME)
    measured.cache.get(NAME)
    assert ["copies.py"] == [one.filename for one in caplog.records]


def test_all_is_logged_by_the_one_log() -> None:
    """A module with a logger of its own would have the faults of an application's handlers."""
    files = (ROOT / "src" / "keyturn").rglob("*.py")
    own = [
        file.name for file in files if re.search(r"getLogger\(['\"]keyturn['\"]\)", file.read_text("utf-8"))
    ]
    assert [] == own
