"""What forged markers cost a process in reads: a share for each secret, a ceiling for all."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from keyturn import Metric
from keyturn.cache.allowance import (
    OVERDRAFT,
    PROCESS_READS_MAX,
    PROCESS_READS_PER_S,
    SECRET_READS_MAX,
    SECRET_READS_PER_S,
    Allowance,
)
from tests.security.forging import CHECK_INTERVAL_S, STEP_S, Attacked

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
UNCOVERED_TTL_S = 300
COARSE_S = 1.25
"""How often a process that holds many is asked in these tests."""


def ceiling(held: int, seconds: float) -> float:
    """The most reads that markers can cause in this time, and those of the short TTL."""
    shares = held * (SECRET_READS_MAX + SECRET_READS_PER_S * seconds + 1)
    process = PROCESS_READS_MAX + PROCESS_READS_PER_S * seconds + OVERDRAFT
    return min(shares, process) + held * (seconds // UNCOVERED_TTL_S)


@pytest.mark.parametrize("minutes", [1, 10, pytest.param(30, marks=pytest.mark.proof)])
def test_one_secrets_forgeries_cost_its_share(minutes: int) -> None:
    """Forged anew for each check: 24 reads at once and one each ten seconds, not 72 a minute."""
    one = Attacked(1)
    one.forged_anew_for(60 * minutes, *one.names)
    assert 24 <= one.reads <= ceiling(1, 60 * minutes)


@pytest.mark.parametrize("held", [10, *(pytest.param(many, marks=pytest.mark.proof) for many in (50, 200))])
def test_many_secrets_forgeries_cost_the_processs_ceiling(held: int) -> None:
    """All markers forged anew for each check, for ten minutes: never above the ceiling, no other value."""
    one = Attacked(held)
    one.forged_anew_for(600, *one.names, step_s=COARSE_S)
    assert one.reads <= ceiling(held, 600)
    assert {"one"} == {one.cache.get_secret_string(name) for name in one.names}


def test_status_and_metrics_show_the_ceiling() -> None:
    """`status()` counts the reads in vain and names the markers held off; two metrics say the same."""
    one = Attacked(2)
    assert {"in_vain": 0, "left": PROCESS_READS_MAX, "held_off": ()} == asdict(one.cache.status().allowance)
    forged, _ = one.names
    one.forge(forged)
    one.use_for(1)
    assert one.cache.status().allowance.left < PROCESS_READS_MAX
    one.forged_anew_for(60, forged)
    allowance = one.cache.status().allowance
    assert one.reads == allowance.in_vain == sum(one.metrics.of(Metric.READS_IN_VAIN))
    assert (one.key(forged),) == allowance.held_off
    assert one.metrics.of(Metric.MARKERS_HELD_OFF)
    assert {forged} == {told.secret for told in one.metrics.told if told.metric is Metric.MARKERS_HELD_OFF}
    one.mark(forged)
    one.use_for(300)
    assert () == one.cache.status().allowance.held_off
    assert PROCESS_READS_MAX == one.cache.status().allowance.left


@pytest.mark.parametrize("forgers", [1, *(pytest.param(many, marks=pytest.mark.proof) for many in (5, 10))])
def test_forgeries_of_some_hold_up_no_other(forgers: int) -> None:
    """Up to ten markers forged all the time: the rotation of another secret is used at the next check."""
    one = Attacked(forgers + 1)
    *forged, other = one.names
    for number in range(1, 30):
        one.forged_anew_for(60, *forged, step_s=COARSE_S)
        one.secrets.put(other, f"two-{number}", f"v{number + 1}")
        one.mark(other)
        one.table.sweep()
        one.clock.advance(CHECK_INTERVAL_S)
        assert f"two-{number}" == one.cache.get_secret_string(other)


def test_a_rotation_of_the_very_secret_is_noticed() -> None:
    """While its marker is forged anew for each check, a rotation is used within half a minute."""
    one = Attacked(1)
    (name,) = one.names
    one.forged_anew_for(600, name)
    for number in range(1, 10):
        one.secrets.put(name, f"two-{number}", f"v{number + 1}")
        moved_s = one.clock.wall_s
        while f"two-{number}" != one.cache.get_secret_string(name):
            one.forged_anew_for(CHECK_INTERVAL_S, name)
            assert one.clock.wall_s - moved_s <= 30
        one.forged_anew_for(60, name)


@pytest.mark.proof
@pytest.mark.parametrize("lag_s", [0, 5])
def test_rotations_at_awss_highest_rate_are_followed_at_once(lag_s: float) -> None:
    """25 secrets a second for a minute, each answered `lag_s` after its marker: in use a check and 4 s later.

    Nothing of the allowance is used up in the end, since every read was on the way to a change.
    """
    one = Attacked(250)
    due: list[tuple[float, str, str]] = []
    moved: dict[str, tuple[str, float]] = {}
    for step in range(4 * 80):
        second, begins = divmod(step, 4)
        if begins == 0 and second < 60:
            for name in (one.names[(second * 25 + at) % 250] for at in range(25)):
                # The marker comes first, as if Secrets Manager showed the past.
                one.table.set(one.key(name), one.arns[name], {"AWSCURRENT": f"v-{second}"})
                due.append((one.clock.wall_s + lag_s, name, f"v-{second}"))
        while due and due[0][0] <= one.clock.wall_s:
            _, name, value = due.pop(0)
            one.secrets.put(name, value, value)
            moved[name] = value, one.clock.wall_s
        one.table.sweep()
        one.use()
        assert () == one.cache.status().allowance.held_off
        for name, (value, since_s) in tuple(moved.items()):
            if value == one.cache.get_secret_string(name):
                del moved[name]
            assert one.clock.wall_s - since_s <= CHECK_INTERVAL_S + 4
        one.clock.advance(STEP_S)
    assert {} == moved
    assert PROCESS_READS_MAX == one.cache.status().allowance.left


def test_what_is_spent_is_bounded_by_what_is_held() -> None:
    """The allowance remembers as many keys as secrets fit; the others have their whole share again."""
    allowance = Allowance(2)
    for key in ("a", "b", "c"):
        allowance.spend(key, 100, 0.0)
    assert ("b", "c") == allowance.held_off(0.0)
    assert allowance.allows("a", 0.0)


def test_a_clock_that_goes_back_gives_nothing_back() -> None:
    """Time that did not pass brings no reads."""
    allowance = Allowance(2)
    assert allowance.spend("a", 100, 1000.0)
    assert not allowance.allows("a", 0.0)
    assert not allowance.allows("a", 1000.0)
    assert allowance.allows("a", 1000.0 + (OVERDRAFT + 1) / SECRET_READS_PER_S)


@pytest.mark.parametrize("held", [1, pytest.param(100, marks=pytest.mark.proof)])
def test_the_figures_of_the_page_are_measured(held: int) -> None:
    """docs/security.md has what a process does after one forgery of each marker, and in a minute of them."""
    step_s = STEP_S if held == 1 else COARSE_S
    once, minute = Attacked(held), Attacked(held)
    once.forge(*once.names)
    once.use_for(60, step_s)
    minute.forged_anew_for(60, *minute.names, step_s=step_s)
    row = re.search(rf"^\| {held:,} \| ([\d,]+) \| ([\d,]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert row is not None
    assert [f"{once.reads:,}", f"{minute.reads:,}"] == list(row.groups())
