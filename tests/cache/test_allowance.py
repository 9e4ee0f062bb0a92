"""How many reads in vain markers can cause: what is spent, and what comes back."""

from __future__ import annotations

import pytest

from keyturn import SecretVersion
from keyturn.cache.allowance import (
    OVERDRAFT,
    PROCESS_READS_MAX,
    PROCESS_READS_PER_S,
    SECRET_READS_MAX,
    SECRET_READS_PER_S,
    Allowance,
    Judged,
    Spent,
)
from keyturn.cache.held import HeldStage
from keyturn.model.instant import Instant
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSCURRENT

KEY = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/db"
OTHER = KEY + "2"
ARN = f"{KEY}-AbCdEf"
START_S = 50.0
WHOLE = int(SECRET_READS_MAX)
"""The reads of one secret's share."""


def held(version_id: str) -> HeldStage:
    """A copy of this version, as AWSCURRENT."""
    version = SecretVersion("prod/db", ARN, "prod/db", version_id, frozenset(), None, "a value")
    return HeldStage(AWSCURRENT, version, Instant(1000.0, START_S), generation=1)


FORGED = Marker(KEY, ARN, {AWSCURRENT: "nobody has this"}, changed_at_s=5000.0)
TRUE = FORGED._replace(stages={AWSCURRENT: "v1"})


@pytest.fixture
def allowance() -> Allowance:
    """The allowance of a process with room for three secrets."""
    return Allowance(3)


@pytest.mark.parametrize(
    ("now_s", "left"),
    [(START_S, 10.0), (START_S + 4, 8.0), (START_S + 20, 0.0), (START_S + 99, 0.0), (START_S - 9, 10.0)],
)
def test_what_is_spent_comes_back_with_time(now_s: float, left: float) -> None:
    """Never more than was spent, and nothing by a clock that goes back."""
    assert left == Spent(10.0, START_S).outstanding(now_s, 0.5)


def test_a_secret_is_followed_until_its_share_is_used_up(allowance: Allowance) -> None:
    """The last read of the share is allowed, the next one is not, and other secrets are followed on."""
    assert not allowance.spend(KEY, WHOLE - 1, START_S)
    assert allowance.allows(KEY, START_S)
    assert () == allowance.held_off(START_S)
    assert allowance.spend(KEY, 1, START_S)
    assert not allowance.allows(KEY, START_S)
    assert (KEY,) == allowance.held_off(START_S)
    assert allowance.allows(OTHER, START_S)
    assert (WHOLE, PROCESS_READS_MAX - WHOLE) == (allowance.in_vain, allowance.left(START_S))


def test_a_secret_that_is_held_off_is_followed_again_when_one_read_has_come_back(
    allowance: Allowance,
) -> None:
    """That is after ten seconds."""
    allowance.spend(KEY, WHOLE, START_S)
    assert not allowance.allows(KEY, START_S + 0.99 / SECRET_READS_PER_S)
    assert allowance.allows(KEY, START_S + 1.01 / SECRET_READS_PER_S)
    assert () == allowance.held_off(START_S + 1.01 / SECRET_READS_PER_S)


def test_reads_beyond_the_share_hold_a_secret_off_only_a_little_longer(allowance: Allowance) -> None:
    """Logins may read the secret again and again meanwhile."""
    for _ in range(10):
        allowance.spend(KEY, WHOLE, START_S)
    back_s = START_S + (OVERDRAFT + 1) / SECRET_READS_PER_S
    assert not allowance.allows(KEY, back_s - 0.5)
    assert allowance.allows(KEY, back_s + 0.5)
    assert 10 * WHOLE == allowance.in_vain
    assert PROCESS_READS_MAX - WHOLE - OVERDRAFT == allowance.left(START_S)


def test_all_secrets_together_have_a_ceiling() -> None:
    """Then no marker is followed, not even one that has caused nothing, until one read has come back."""
    allowance = Allowance(1000)
    for number in range(50):
        allowance.spend(f"{KEY}{number}", WHOLE, START_S)
    assert 0 == allowance.left(START_S)
    assert not allowance.allows(KEY, START_S)
    # What was under way already can go a little below nothing, and no further.
    back_s = START_S + OVERDRAFT + 1 / PROCESS_READS_PER_S
    assert not allowance.allows(KEY, back_s - 0.5)
    assert allowance.allows(KEY, back_s)


def test_a_true_rotation_costs_nothing(allowance: Allowance) -> None:
    """The reads before it were on the way to it, so they come back, those of other secrets do not."""
    allowance.spend(OTHER, 5, START_S)
    allowance.spend(KEY, WHOLE, START_S)
    judged = allowance.judge(KEY, FORGED, held("v1"), held("v2"), reads=1, now_s=START_S + 1)
    assert Judged() == judged
    assert allowance.allows(KEY, START_S + 1)
    assert PROCESS_READS_MAX - 5 + PROCESS_READS_PER_S == allowance.left(START_S + 1)
    allowance.give_back("never spent anything", START_S + 1)
    assert PROCESS_READS_MAX - 5 + PROCESS_READS_PER_S == allowance.left(START_S + 1)


def test_what_is_given_back_does_not_lift_the_ceiling(allowance: Allowance) -> None:
    """The share of the process has grown meanwhile, up to its end."""
    allowance.spend(KEY, 10, START_S)
    allowance.give_back(KEY, START_S + 5)
    allowance.spend(OTHER, 10, START_S + 5)
    assert PROCESS_READS_MAX - 10 == allowance.left(START_S + 5)


@pytest.mark.parametrize(("passed_s", "reads"), [(0.0, 14), (95.0, 23)])
def test_a_rotation_gives_back_one_share_at_most(allowance: Allowance, passed_s: float, reads: int) -> None:
    """Reads beyond the share were not all on the way to one change."""
    allowance.spend(KEY, 2 * WHOLE, START_S)
    allowance.give_back(KEY, START_S + passed_s)
    assert not allowance.spend(KEY, reads - 1, START_S + passed_s)
    assert allowance.spend(KEY, 1, START_S + passed_s)


def test_what_came_back_is_not_given_back_again(allowance: Allowance) -> None:
    """Reads before a share was whole again belong to no rotation of today."""
    allowance.spend(KEY, 4, START_S)
    later_s = START_S + 4 / SECRET_READS_PER_S + 1
    allowance.spend(OTHER, WHOLE, later_s)
    allowance.spend(KEY, 2, later_s)
    allowance.give_back(KEY, later_s)
    assert PROCESS_READS_MAX - WHOLE == allowance.left(later_s)


def test_reads_in_vain_count_since_the_last_whole_share(allowance: Allowance) -> None:
    """While something of them is left they are summed up, to a whole share at most."""
    for _ in range(3):
        allowance.spend(KEY, 2, START_S)
    allowance.spend(OTHER, 3, START_S)
    allowance.give_back(KEY, START_S)
    assert PROCESS_READS_MAX - 3 == allowance.left(START_S)


@pytest.mark.parametrize(
    ("marker", "spent"),
    [
        pytest.param(FORGED, 2, id="a marker that names what nobody has"),
        pytest.param(TRUE, 0, id="a marker that names what is held"),
        pytest.param(None, 0, id="no marker"),
    ],
)
def test_only_a_marker_that_was_followed_pays(
    allowance: Allowance, marker: Marker | None, spent: int
) -> None:
    """A read that had another cause is not spent."""
    judged = allowance.judge(KEY, marker, held("v1"), held("v1"), reads=2, now_s=START_S)
    assert Judged(spent) == judged
    assert (spent, PROCESS_READS_MAX - spent) == (allowance.in_vain, allowance.left(START_S))


def test_the_judgement_tells_that_a_marker_is_now_held_off(allowance: Allowance) -> None:
    """It is told with the read that uses up the share."""
    before = allowance.judge(KEY, FORGED, held("v1"), held("v1"), reads=WHOLE - 1, now_s=START_S)
    after = allowance.judge(KEY, FORGED, held("v1"), held("v1"), reads=1, now_s=START_S)
    assert (False, True) == (before.is_held_off, after.is_held_off)
    assert (KEY,) == allowance.held_off(START_S)


def test_no_more_secrets_are_remembered_than_there_is_room_for(allowance: Allowance) -> None:
    """The one that spent longest ago goes first; one that spends again counts anew."""
    for key in ("a", "b", "c", "a", "d"):
        allowance.spend(key, WHOLE, START_S)
    assert ("c", "a", "d") == allowance.held_off(START_S)
    assert allowance.allows("b", START_S)
    allowance.after_fork()
    assert ("c", "a", "d") == allowance.held_off(START_S)
    assert allowance.spend("c", 1, START_S)
