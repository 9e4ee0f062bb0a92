"""The demonstration's figures, promise, table, files and exit status, from runs made up here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from keyturn.demo import __main__ as program
from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.figures import broken_promises, figures
from keyturn.demo.records import Kind, Move, Record, Run
from keyturn.demo.report import table, write

READY_S, ENDED_S = 1000.0, 1036.0


def lane(worker: str, *facts: tuple[float, Kind, str]) -> list[Record]:
    """The records of one worker; times are seconds after the fleet was ready."""
    return [Record(worker, kind, READY_S + at_s, what) for at_s, kind, what in facts]


def made_run() -> Run:
    """One move at 10 s: keyturn notices after 1.5 s, Powertools (1 s) after 0.5 s, nobody else."""
    workers = {key: (f"{key}/1",) for key in CONTENDERS}
    keyturn = lane(
        "keyturn/1",
        (-1, "call", "GetSecretValue"),
        (-1, "held", "v1"),
        (-1, "login", "v1"),
        (3, "call", "GetItem"),
        (10.5, "login", "v1"),
        (10.5, "refused", "v1"),
        (11.5, "call", "GetItem"),
        (11.5, "call", "GetSecretValue"),
        (11.5, "held", "v2"),
        (11.5, "login", "v2"),
    )
    powertools = lane(
        "powertools-1s/1", (-1, "held", "v1"), (10.5, "call", "GetSecretValue"), (10.5, "held", "v2")
    )
    others = [
        record
        for key in CONTENDERS.keys() - {"keyturn", "powertools-1s"}
        for record in lane(f"{key}/1", (-1, "held", "v1"), (-1, "login", "v1"))
    ]
    move = Move(READY_S + 10, READY_S + 10.01, "v2")
    return Run(workers, (*keyturn, *powertools, *others), (move,), READY_S, ENDED_S, check_interval_s=1)


def without(run: Run, record: Record) -> Run:
    """The run without one of its records."""
    return replace(run, records=tuple(one for one in run.records if one != record))


def test_figures() -> None:
    """Seconds from the move, logins, calls by the hour and by the move, and what the checks cost."""
    row = figures(made_run(), "keyturn")
    assert (row.median_s, row.worst_s, row.noticed_all) == (1.5, 1.5, True)
    assert (row.logins, row.refused) == (3, 1)
    assert row.checks_per_hour == 2 / 36 * 3600
    assert row.reads_per_move == {"GetSecretValue": 1.0}
    assert row.dollars_per_million_checks == 0.0625
    assert row.dollars_per_month == pytest.approx(200 * 730 * 1000 / 1e6 * 0.0625)


def test_what_was_not_noticed_has_no_time() -> None:
    """A contender that never used the new version has no median, and its row says so."""
    run = made_run()
    row = figures(run, "module-variable")
    assert (row.median_s, row.worst_s, row.first_uses_s, row.uses_due) == (None, None, (), 1)
    assert (row.dollars_per_million_checks, row.dollars_per_month) == (None, None)
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table(run, [row]))
    assert all(words in capture.get() for words in ("not within", "the run"))
    assert "none in the run" in capture.get()


def test_a_kept_promise() -> None:
    """One read after the move and a use within the interval and a second are all that is asked."""
    assert broken_promises(made_run()) == []


def test_a_late_use_breaks_the_promise() -> None:
    """With the move a second earlier the same use is too late."""
    run = made_run()
    early = Move(READY_S + 9, READY_S + 9.01, "v2")
    assert broken_promises(replace(run, moves=(early,))) == [
        "keyturn/1 used v2 2.50 s after the move, more than 2 s"
    ]


def test_a_missing_use_breaks_the_promise() -> None:
    """A worker that kept the old version is named."""
    run = made_run()
    assert broken_promises(without(run, run.of("keyturn/1", "held")[1])) == ["keyturn/1 never used v2"]


@pytest.mark.parametrize(
    ("at_s", "complaint"),
    [
        (5, "keyturn/1 called GetSecretValue 1 times, not 0, before any move"),
        (20, "keyturn/1 called GetSecretValue 2 times, not 1, after the move to v2"),
    ],
)
def test_a_needless_read_breaks_the_promise(at_s: float, complaint: str) -> None:
    """A GetSecretValue when nothing changed, or a second one for one move, is told."""
    run = made_run()
    extra = lane("keyturn/1", (at_s, "call", "GetSecretValue"))
    assert broken_promises(replace(run, records=(*run.records, *extra))) == [complaint]


def test_the_files(tmp_path: Path) -> None:
    """The report has a row for each contender, the picture a lane and its refusals for each worker."""
    run = made_run()
    rows = [figures(run, key) for key in CONTENDERS]
    write(tmp_path / "new", run, rows, ["a broken promise"])
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert len(report["contenders"]) == len(CONTENDERS)
    assert report["moves"] == [{"at_s": 10.0, "took_s": 0.01, "to": "v2"}]
    assert report["broken_promises"] == ["a broken promise"]
    picture = (tmp_path / "new" / "timeline.svg").read_text()
    assert picture.count('class="refused"') == 1 + 2  # in the legend, two
    assert picture.count("<rect") == 1 + 2 + len(CONTENDERS) + 2  # ground, legend, lanes, two changes


@pytest.mark.parametrize(("moved_at_s", "status"), [(10.0, 0), (9.0, 1)])
def test_the_exit_status(
    moved_at_s: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is 1, and the promise that was not kept is named, when keyturn was late."""
    move = Move(READY_S + moved_at_s, READY_S + moved_at_s, "v2")
    monkeypatch.setattr(program, "tell", lambda _plan, _progress: replace(made_run(), moves=(move,)))
    assert program.main(["--quick", "--output", str(tmp_path)]) == status
    assert ("promise not kept: keyturn/1 used v2" in capsys.readouterr().out) == bool(status)
