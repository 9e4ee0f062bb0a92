"""`keyturn watch`: what it reads at each poll, and what it shows of what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import pytest
from rich.console import Console

from keyturn.cli.watch import command as watch
from keyturn.cli.watch.following import Follower, Glance, changed
from keyturn.errors import MarkerTableError
from keyturn.model.markers import Head, Marker
from tests.cli.conftest import World

KEY = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
MARKER = Marker(KEY, KEY + "-AbCdEf", {"AWSCURRENT": "v1"}, epoch="e", sequence=1, reason="a test")


@dataclass
class Table:
    """A table that a test writes between two polls."""

    markers: dict[str, Marker] = field(default_factory=dict)
    counter: int = 0
    fails: bool = False
    calls: list[str] = field(default_factory=list)

    def write(self, marker: Marker) -> None:
        self.markers[marker.key] = marker
        self.counter += 1

    def read_head(self) -> Head | None:
        self.calls.append("head")
        if self.fails:
            raise MarkerTableError("markers", "unreachable")
        return Head("e", self.counter, 100.0, 400.0)

    def read_markers(self) -> Mapping[str, Marker]:
        self.calls.append("markers")
        return dict(self.markers)

    def glances(self) -> Iterator[Glance]:
        return Follower(self.read_head, self.read_markers, lambda _: None, 5.0).glances()


def test_markers_are_read_only_when_the_head_moved() -> None:
    """A poll that finds nothing costs one read of the head; the first shows no change."""
    table = Table()
    table.write(MARKER)
    glances = table.glances()
    assert [next(glances).changed, next(glances).changed] == [[], []]
    assert table.calls == ["head", "markers", "head"]
    after = MARKER._replace(sequence=2, stages={"AWSCURRENT": "v2"})
    table.write(after)
    assert next(glances).changed == [after]
    assert table.calls[3:] == ["head", "markers"]


@pytest.mark.parametrize("interval", ["1e10", "inf", "nan", "0"])
def test_an_interval_that_no_sleep_takes_is_refused(world: World, interval: str) -> None:
    """As an error of usage, before any call: the system knows no such time."""
    told = world.run("watch", "--interval", interval)
    assert (2, "") == (told.exit_code, told.stdout)
    assert "Invalid value for '--interval'" in told.stderr


def test_it_waits_the_interval_between_polls() -> None:
    """Not before the first, and each time as long."""
    naps: list[float] = []
    table = Table()
    follower = Follower(table.read_head, table.read_markers, naps.append, 5.0)
    assert len(list(islice(follower.glances(), 3))) == 3
    assert naps == [5.0, 5.0]


def test_trouble_is_shown_and_nothing_is_missed() -> None:
    """The watch goes on, and what changed meanwhile is shown after it."""
    table = Table()
    table.write(MARKER)
    glances = table.glances()
    next(glances)
    table.fails = True
    assert "unreachable" in str(next(glances).trouble)
    table.fails = False
    table.write(MARKER._replace(sequence=2))
    assert [one.sequence for one in next(glances).changed] == [2]


def test_a_watch_that_begins_in_trouble_has_no_changes() -> None:
    """What was there before is no change, whenever the first answer comes."""
    table = Table(fails=True)
    table.write(MARKER)
    glances = table.glances()
    assert next(glances).trouble is not None
    table.fails = False
    assert next(glances).changed == []


def test_what_counts_as_changed() -> None:
    """A new item, another epoch or sequence; in the order of their writing. A removed one is none."""
    other = MARKER._replace(key=KEY + "2", changed_at_s=5.0)
    assert changed({}, {"a": other, "b": MARKER}) == [MARKER, other]
    assert changed({"a": MARKER}, {"a": MARKER._replace(epoch="f")}) == [MARKER._replace(epoch="f")]
    assert changed({"a": MARKER}, {}) == []


def test_lines_are_for_people_and_json_lines_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each change is one line; the same trouble is said once until it passes."""
    down = Glance(None, {}, trouble="marker table 'm': unreachable")
    glances = [Glance(None, {}), down, down, Glance(None, {}, [MARKER])]
    watch.stream(glances, watch.lines)
    written = capsys.readouterr()
    assert written.out.splitlines() == [
        "marker table 'm': unreachable",
        "1970-01-01 00:00:00Z  prod/db  -  a test  AWSCURRENT=v1",
    ]
    assert written.err.startswith("Waiting for changes: no head, since nothing was ever written")
    watch.stream(glances, watch.json_lines)
    trouble, change = map(json.loads, capsys.readouterr().out.splitlines())
    assert trouble == {"trouble": "marker table 'm': unreachable"}
    assert (KEY, {"AWSCURRENT": "v1"}) == (change["changed"]["key"], change["changed"]["stages"])


@pytest.mark.parametrize(
    ("glance", "says"),
    [
        (Glance(Head("e", 7, 100.0, 400.0), {KEY: MARKER}), "1 marker, counter 7, complete up to 300 s ago"),
        (Glance(Head("e", 7), {}), "never swept"),
        (Glance(None, {}), "no head"),
        (Glance(None, {}, trouble="unreachable"), "unreachable"),
    ],
)
def test_the_live_view_shows_head_and_changes(glance: Glance, says: str) -> None:
    """The head above, the last changes below, deleted ones as such."""
    to = Console(width=200)
    with to.capture() as captured:
        to.print(watch.picture(glance, [MARKER, MARKER._replace(deleted=True)]))
    shown = captured.get()
    assert says in shown
    assert "AWSCURRENT=v1" in shown
    assert "deleted" in shown


def test_the_live_view_keeps_the_last_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """The latest is on top."""
    first, second = MARKER._replace(reason="first"), MARKER._replace(reason="second")
    watch.live([Glance(None, {}, [first]), Glance(None, {}, [second])])
    shown = capsys.readouterr().out
    assert shown.index("second") < shown.index("first")


def test_the_command_reads_the_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All markers by default, else those of the secrets named; Ctrl-C ends it with 130."""
    world.run("sweep")

    def interrupted(_seconds: float) -> None:
        world.rotate("prod/db")
        world.run("announce", "prod/db")
        if len(naps) == 1:
            raise KeyboardInterrupt
        naps.append(_seconds)

    for secrets in ([], ["prod/db"]):
        naps: list[float] = []
        monkeypatch.setattr(watch, "system_sleep", interrupted)
        result = world.run("watch", "--json", "--interval", "1", *secrets)
        assert (130, [1.0]) == (result.exit_code, naps)
        (line,) = result.stdout.splitlines()
        assert "announced" in json.loads(line)["changed"]["reason"]
    plain = world.run("watch", "prod/nothing")
    assert (1, True) == (plain.exit_code, "was not found" in plain.stderr)
