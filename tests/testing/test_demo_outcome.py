"""The demonstration's figures, promises, tables, files and exit status, from runs made up here."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from keyturn.demo import __main__ as program
from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.figures import broken_promises, figures
from keyturn.demo.markdown import main as print_markdown
from keyturn.demo.records import Kind, Move, Record, Run
from keyturn.demo.report import read, report, write
from keyturn.demo.terminal import table
from keyturn.demo.words import COLUMNS

DAY = date(2026, 5, 17)
READY_S, ENDED_S = 1000.0, 1036.0


def lane(worker: str, *facts: tuple[float, Kind, str]) -> list[Record]:
    """The records of one worker; times are seconds after the fleet was ready."""
    return [Record(worker, kind, READY_S + at_s, what) for at_s, kind, what in facts]


def made_run() -> Run:
    """One window from 8 to 10 s.

    keyturn's get notices 1.5 s after the move, its login 1.9 s before it, Powertools (1 s) after 0.5 s,
    nobody else.
    """
    workers = {key: (f"{key}/1",) for key in CONTENDERS}
    get = lane(
        "keyturn-get/1",
        (-1, "call", "GetSecretValue"),
        (-1, "held", "v1"),
        (-1, "login", "v1"),
        (3, "call", "GetItem"),
        (10.5, "refused", "v1"),
        (10.5, "failed", "v1"),
        (11.5, "call", "GetItem"),
        (11.5, "call", "GetSecretValue"),
        (11.5, "held", "v2"),
        (11.5, "login", "v2"),
    )
    login = lane(
        "keyturn-login/1",
        (-1, "held", "v1"),
        (-1, "login", "v1"),
        (8.1, "refused", "v1"),
        (8.1, "held", "v2"),
        (8.1, "login", "v2"),
        (12, "login", "v2"),
    )
    powertools = lane(
        "powertools-1s/1",
        (-1, "held", "v1"),
        (-1, "login", "v1"),
        (10.5, "call", "GetSecretValue"),
        (10.5, "held", "v2"),
        (10.5, "login", "v2"),
    )
    others = [
        record
        for key in CONTENDERS.keys() - {"keyturn-get", "keyturn-login", "powertools-1s"}
        for record in lane(f"{key}/1", (-1, "held", "v1"), (-1, "login", "v1"))
    ]
    move = Move(READY_S + 8, READY_S + 10, READY_S + 10.01, "v2")
    records = (*get, *login, *powertools, *others)
    return Run(workers, records, (move,), READY_S, ENDED_S, check_interval_s=1)


def shown(run: Run) -> str:
    """The table of a run on a wide terminal."""
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table(report(run, DAY)))
    return capture.get()


def row_of(words: str, name: str) -> str:
    """The first line in which a contender stands."""
    return next(line for line in words.splitlines() if name in line)


def without(run: Run, record: Record) -> Run:
    """The run without one of its records."""
    return replace(run, records=tuple(one for one in run.records if one != record))


def test_figures() -> None:
    """Seconds from the move, logins, calls by the hour and by the move, and what the checks cost."""
    row = figures(made_run(), "keyturn-get")
    assert (row.median_s, row.worst_s, row.noticed_all) == (1.5, 1.5, True)
    assert (row.logins, row.failed, row.refused) == (3, 1, 1)
    assert row.checks_per_hour == 2 / 36 * 3600
    assert row.reads_per_move == {"GetSecretValue": 1.0}
    assert row.dollars_per_million_checks == 0.0625
    assert row.dollars_per_month == pytest.approx(200 * 730 * 1000 / 1e6 * 0.0625)


def test_a_refusal_that_was_bridged_is_no_failure_and_is_counted() -> None:
    """A login that is refused and then accepted succeeds for its user; the server's refusal shows."""
    row = figures(made_run(), "keyturn-login")
    assert (row.logins, row.failed, row.refused) == (3, 0, 1)
    assert row_of(shown(made_run()), "keyturn, login").split()[2:5] == ["3", "0", "1"]


def test_a_use_within_the_window_is_told_as_before_the_move() -> None:
    """The new version was used 1.9 s before AWSCURRENT moved: no time after it, and no hidden sign."""
    assert figures(made_run(), "keyturn-login").worst_s == pytest.approx(-1.9)
    assert "1.90 s" in row_of(shown(made_run()), "keyturn, login")
    assert shown(made_run()).count("before  before") == 1


def test_what_was_not_noticed_has_no_time() -> None:
    """A contender that never used the new version has no median, and its row says so."""
    run = made_run()
    row = figures(run, "module-variable")
    assert (row.median_s, row.worst_s, row.first_uses_s, row.uses_due) == (None, None, (), 1)
    assert (row.dollars_per_million_checks, row.dollars_per_month) == (None, None)
    words = row_of(shown(run), "module-level variable")
    assert "not in" in words
    assert "none in the run" in words


def test_a_kept_promise() -> None:
    """One read after the move and a use within the interval and a second are all that is asked."""
    assert broken_promises(made_run()) == []


def test_a_late_use_breaks_the_promise() -> None:
    """With the move a second earlier the same use is too late."""
    run = made_run()
    early = Move(READY_S + 8, READY_S + 9, READY_S + 9.01, "v2")
    assert broken_promises(replace(run, moves=(early,))) == [
        "keyturn-get/1 used v2 2.50 s after the move, more than 2 s"
    ]


@pytest.mark.parametrize("worker", ["keyturn-get/1", "keyturn-login/1"])
def test_a_missing_use_breaks_the_promise(worker: str) -> None:
    """A worker that kept the old version is named."""
    run = made_run()
    assert broken_promises(without(run, run.of(worker, "held")[1])) == [f"{worker} never used v2"]


@pytest.mark.parametrize("at_s", [5, 9, 30])
def test_a_failed_login_breaks_the_promise_of_login(at_s: float) -> None:
    """One failure of keyturn's login in the whole run is told; get promises none within the window."""
    run = made_run()
    extra = lane("keyturn-login/1", (at_s, "refused", "v1"), (at_s, "failed", "v1"))
    assert broken_promises(replace(run, records=(*run.records, *extra))) == [
        "1 logins of keyturn-login/1 failed"
    ]


@pytest.mark.parametrize(
    ("at_s", "complaint"),
    [
        (5, "keyturn-get/1 called GetSecretValue 1 times, not 0, before any move"),
        (20, "keyturn-get/1 called GetSecretValue 2 times, not 1, after the move to v2"),
    ],
)
def test_a_needless_read_breaks_the_promise(at_s: float, complaint: str) -> None:
    """A GetSecretValue when nothing changed, or a second one for one move, is told."""
    run = made_run()
    extra = lane("keyturn-get/1", (at_s, "call", "GetSecretValue"))
    assert broken_promises(replace(run, records=(*run.records, *extra))) == [complaint]


def test_the_report(tmp_path: Path) -> None:
    """It has a row for each contender, with what can be derived, and the window of each rotation."""
    made = report(made_run(), DAY)
    write(tmp_path / "new", made_run(), replace(made, broken_promises=("a broken promise",)))
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert len(written["contenders"]) == len(CONTENDERS)
    assert written["moves"] == [{"to": "v2", "at_s": 10.0, "window_s": 2.0, "took_s": 0.01}]
    assert written["broken_promises"] == ["a broken promise"]
    assert written["contenders"][-1]["noticed"] == "1 of 1"


def test_the_picture(tmp_path: Path) -> None:
    """Each lane is coloured by the version that logins succeed with, and shows when they fail."""
    write(tmp_path, made_run(), report(made_run(), DAY))
    drawing = ET.parse(tmp_path / "timeline.svg")  # noqa: S314 - our own
    kinds = [box.get("class") for box in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds.count("version0") == 1 + len(CONTENDERS)  # one in the legend
    assert kinds.count("version1") == 1 + 3
    assert kinds.count("failing") == 1 + 1
    assert kinds.count("window") == 1 + 1
    lines = [line.get("class") for line in drawing.iter("{http://www.w3.org/2000/svg}line")]
    assert lines.count("refused") == 1 + 2


def test_the_window_lies_where_it_was(tmp_path: Path) -> None:
    """Its shade begins where logins begin to use the pending version and ends where AWSCURRENT moves."""
    write(tmp_path, made_run(), report(made_run(), DAY))
    drawing = ET.parse(tmp_path / "timeline.svg")  # noqa: S314 - our own
    *_, shade = drawing.iterfind("{*}rect[@class='window']")
    *_, moved = drawing.iterfind("{*}line[@class='move']")
    *_, bridged = drawing.iterfind("{*}rect[@class='version1']")
    begins, width, moves, uses = (
        float(one.get(name, ""))
        for one, name in ((shade, "x"), (shade, "width"), (moved, "x1"), (bridged, "x"))
    )
    assert begins + width == pytest.approx(moves)
    assert width == pytest.approx((moves - uses) * 2 / 1.9, rel=0.02)


def test_markdown_from_the_report_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row for each contender, and says when and on what it was measured."""
    write(tmp_path, made_run(), report(made_run(), DAY))
    assert read(tmp_path / "report.json") == report(made_run(), DAY)
    print_markdown([str(tmp_path / "report.json")])
    words = capsys.readouterr().out
    rows = [line for line in words.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(CONTENDERS)
    assert {row.count(" | ") for row in rows} == {len(COLUMNS) - 1}
    assert row_of(words, "keyturn, login").startswith(
        "| **keyturn, login**<br>check_interval_s=1 | 3 | 0 | 1 | 1.90 s<br>before | 1.90 s<br>before |"
    )
    measured = words.splitlines()[0]
    assert "1 rotations in 36 s, finishSecret 2.0 to 2.0 s after setSecret" in measured
    machine = report(made_run(), DAY).machine
    for word in ("2026-05-17", machine.system, f"Python {machine.python}", "ministack 1", "keyturn 0"):
        assert word in measured


@pytest.mark.parametrize(("moved_at_s", "status"), [(10.0, 0), (9.0, 1)])
def test_the_exit_status(
    moved_at_s: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is 1, and the promise that was not kept is named, when keyturn was late."""
    move = Move(READY_S + 8, READY_S + moved_at_s, READY_S + moved_at_s, "v2")
    monkeypatch.setattr(program, "tell", lambda _plan, _progress: replace(made_run(), moves=(move,)))
    assert program.main(["--quick", "--output", str(tmp_path)]) == status
    assert ("promise not kept: keyturn-get/1 used v2" in capsys.readouterr().out) == bool(status)
