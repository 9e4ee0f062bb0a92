"""How long a copy is fresh, how long it may be served, and how old it can get: decision by decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import pytest

from keyturn import Limits, SecretVersion, UnavailableError
from keyturn.cache.freshness import (
    Assurance,
    Evidence,
    bound_s,
    brought,
    disputed,
    evidence_of,
    fresh_for_s,
    names_held_version,
    predates,
    servable_for_s,
    since_marker_s,
)
from keyturn.cache.held import Dispute, Doubt, HeldStage, Trouble
from keyturn.model.instant import Instant
from keyturn.model.markers import Head, Marker
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from keyturn.testing.fakes import FakeClock

NAME = "prod/db"
KEY = f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{NAME}"
ARN = f"{KEY}-AbCdEf"
AGAIN = f"{KEY}-GhIjKl"

LIMITS = Limits(max_denied_s=200.0, source_ttl_s=4.0, spread=0.9)


def later(seconds: float) -> Instant:
    """So much later than the copy was confirmed."""
    return Instant(1000.0 + seconds, 50.0 + seconds)


def version(version_id: str, arn: str = ARN) -> SecretVersion:
    """A version as an answer has it."""
    return SecretVersion(NAME, arn, NAME, version_id, frozenset(), None, "a value")


HELD = HeldStage(AWSCURRENT, version("v2"), later(0), generation=3)
PENDING = HELD._replace(stage=AWSPENDING)
AGREES = Marker(KEY, ARN, {AWSCURRENT: "v2"}, changed_at_s=5000.0)
DIFFERS = AGREES._replace(stages={AWSCURRENT: "v3"})
EVENT = AGREES._replace(stages={}, token="an event")
HEAD = Head("e", 1, swept_as_of_s=5000.0, answered_at_s=5030.0)
CHECKED = Assurance(HEAD, later(10))


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "age_s"),
    [(1003.0, 52.0, 3.0), (1002.0, 53.0, 3.0), (1000.0, 50.0, 0.0), (999.9, 53.0, inf), (1000.0, 53.0, 3.0)],
)
def test_an_age_is_never_too_small(wall_s: float, monotonic_s: float, age_s: float) -> None:
    """Either clock may have stopped, so the larger age counts; one that went back tells no age at all."""
    assert age_s == Instant(1000.0, 50.0).age_s(Instant(wall_s, monotonic_s))


def test_this_moment_is_that_of_both_clocks() -> None:
    """Each of the two numbers is of its own clock."""
    clock = FakeClock()
    assert Instant(clock.wall(), clock.monotonic()) == Instant.now(clock)


# Markers


@pytest.mark.parametrize(
    ("marker", "names"),
    [
        (AGREES, True),
        (None, False),
        (DIFFERS, False),
        (EVENT, False),
        (AGREES._replace(deleted=True), False),
        (AGREES._replace(arn=AGAIN), False),
    ],
)
def test_a_marker_names_a_version_of_a_secret(
    marker: Marker | None,
    names: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Of this very secret, under this label, and not as that of a deleted secret. Else it is disputed."""
    assert names is names_held_version(marker, HELD)
    assert (not names and marker is not None) is disputed(marker, HELD)


@pytest.mark.parametrize(
    ("held", "is_disputed"),
    [
        (HELD, True),
        (PENDING, False),
        (HELD._replace(stage="v2"), False),
        (HELD._replace(stage="custom"), True),
        (HELD._replace(dispute=Dispute(DIFFERS, 1, settled=False)), True),
        (HELD._replace(dispute=Dispute(DIFFERS, 1, settled=True)), False),
        (HELD._replace(dispute=Dispute(EVENT, 1, settled=True)), True),
    ],
)
def test_a_marker_is_followed_to_its_end_and_no_further(
    held: HeldStage,
    is_disputed: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A pending version is read anew anyway, and a version by its number names itself."""
    assert is_disputed is disputed(DIFFERS, held)


@pytest.mark.parametrize(
    ("marker", "before", "after", "was_it"),
    [
        (DIFFERS, HELD, HELD._replace(version=version("v3")), True),
        (EVENT, HELD, HELD._replace(version=version("v3")), True),
        (DIFFERS, HELD, HELD._replace(version=version("v4")), False),
        (AGREES, HELD, HELD._replace(version=version("v3")), False),
        (DIFFERS, HELD, HELD, False),
        (EVENT, HELD, HELD, False),
        (DIFFERS, PENDING, PENDING._replace(version=version("v3")), False),
        (
            DIFFERS._replace(stages={"custom": "v3"}),
            HELD._replace(stage="custom"),
            HELD._replace(stage="custom", version=version("v3")),
            False,
        ),
        (
            DIFFERS,
            HELD._replace(dispute=Dispute(DIFFERS, 6, settled=True)),
            HELD._replace(version=version("v3")),
            False,
        ),
    ],
)
def test_a_marker_brought_the_version_that_it_told_of(
    marker: Marker,
    before: HeldStage,
    after: HeldStage,
    was_it: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Only then the time since it was written is how late this process is."""
    assert was_it is brought(marker, before, after)


@pytest.mark.parametrize(
    ("held", "marker", "event_age_s", "is_over"),
    [
        (HELD, EVENT, 17.0, False),
        (HELD, EVENT, 17.1, True),
        (HELD, DIFFERS, 100.0, False),
        (HELD, DIFFERS._replace(token="an event"), 100.0, False),
        (HELD._replace(dispute=Dispute(EVENT, 1, settled=True)), EVENT, 100.0, False),
        (HELD._replace(confirmed=later(-5)), EVENT, 17.1, False),
        (HELD, EVENT, None, False),
    ],
)
def test_an_event_from_well_before_a_read_is_no_news(
    held: HeldStage,
    marker: Marker,
    event_age_s: float | None,
    is_over: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """The read was 10 s before the check. The settle time and a second of a `Date` are added."""
    answered_at_s = None if event_age_s is None else marker.changed_at_s + event_age_s
    assurance = Assurance(HEAD._replace(answered_at_s=answered_at_s), later(10))
    dispute = held.dispute
    if dispute is not None:
        held = held._replace(dispute=dispute._replace(marker=marker))
    assert is_over is predates(marker, held, assurance, LIMITS)


@pytest.mark.parametrize(
    ("changed_at_s", "answered_at_s", "now", "since_s"),
    [
        (5000.0, 5030.0, later(14), 34.0),
        (5040.0, 5030.0, later(14), 0.0),
        (5000.0, None, later(14), None),
        (0.0, 5030.0, later(14), None),
        (5000.0, 5030.0, later(-1), None),
        (5000.0, 5030.0, later(10 + 1e9), 30.0 + 1e9),
    ],
)
def test_the_age_of_a_marker_is_measured_where_it_is_known(
    changed_at_s: float, answered_at_s: float | None, now: Instant, since_s: float | None
) -> None:
    """Until the check by the clocks of AWS, from then on by durations of this host; else it is unknown."""
    assurance = Assurance(HEAD._replace(answered_at_s=answered_at_s), later(10))
    assert since_s == since_marker_s(AGREES._replace(changed_at_s=changed_at_s), assurance, now)


# A rotation that may be under way


@pytest.mark.parametrize(
    ("others", "marker", "evidence"),
    [
        ({}, None, Evidence()),
        ({}, AGREES, Evidence()),
        ({}, DIFFERS, Evidence(moving=True)),
        ({AWSPENDING: "v3"}, None, Evidence(moving=True)),
        ({AWSPENDING: "v2"}, AGREES, Evidence()),
        ({AWSPREVIOUS: "v1"}, AGREES, Evidence()),
        ({AWSPREVIOUS: "v2"}, AGREES, Evidence(moving=True)),
        ({}, AGREES._replace(stages={AWSCURRENT: "v2", AWSPENDING: "v3"}), Evidence(moving=True)),
        ({}, AGREES._replace(stages={AWSCURRENT: "v2", AWSPENDING: "v2"}), Evidence()),
        ({AWSPENDING: "v3"}, AGREES._replace(step="createSecret"), Evidence(moving=True)),
        ({AWSPENDING: "v3"}, AGREES._replace(step="setSecret"), Evidence(moving=True, pending_is_set=True)),
        ({AWSPENDING: "v3"}, AGREES._replace(step="testSecret"), Evidence(moving=True, pending_is_set=True)),
        ({AWSPENDING: "v2"}, AGREES._replace(step="setSecret"), Evidence()),
    ],
)
def test_what_is_pending_or_disputed_is_a_rotation(
    others: Mapping[str, str], marker: Marker | None, evidence: Evidence
) -> None:
    """The announced steps say whether the server takes the pending version already."""
    stages = {AWSCURRENT: HELD}
    stages |= {label: HeldStage(label, version(held), later(0)) for label, held in others.items()}
    assert evidence == evidence_of(stages, marker)


def test_without_a_current_version_nothing_is_known() -> None:
    """What is pending says nothing by itself."""
    assert Evidence() == evidence_of({AWSPENDING: PENDING}, DIFFERS)


def test_a_version_that_may_be_current_again_is_told() -> None:
    """A login may try it, though it is not believed yet."""
    held = HELD._replace(doubt=Doubt(version("v1"), later(1)))
    assert Evidence(doubted=version("v1")) == evidence_of({AWSCURRENT: held}, AGREES)


# How long


def fresh(  # the defaults of a copy that is fresh
    held: HeldStage = HELD,
    marker: Marker | None = AGREES,
    assurance: Assurance | None = CHECKED,
    *,
    now_s: float = 20.0,
    limits: Limits = LIMITS,
    is_followed: bool = True,
) -> float:
    """How long the copy is fresh."""
    return fresh_for_s(
        held,
        marker=marker,
        assurance=assurance,
        generation=3,
        now=later(now_s),
        limits=limits,
        is_followed=is_followed,
    )


def swept(age_s: float | None) -> Assurance:
    """A check that found the sweep's last statement so old."""
    return Assurance(HEAD._replace(swept_as_of_s=None if age_s is None else 5030.0 - age_s), later(10))


def test_a_copy_that_was_outdated_is_not_fresh() -> None:
    """By an invalidation, by a denial, or by a marker that disagrees and may be followed."""
    assert 0.0 == fresh(HELD._replace(generation=2))
    assert 0.0 == fresh(HELD._replace(trouble=Trouble(UnavailableError, "", 1, later(1))))
    assert 250.0 == fresh(HELD._replace(trouble=Trouble(UnavailableError, "", 1, None)), marker=None)
    assert 0.0 == fresh(marker=DIFFERS)
    assert 250.0 == fresh(marker=DIFFERS, is_followed=False)


def test_without_a_marker_or_a_check_the_short_ttl_counts() -> None:
    """It is spread over the fleet, and counts from the read on."""
    assert 270.0 - 20.0 == fresh(marker=None) == fresh(assurance=None)
    assert 270.0 - 300.0 == fresh(marker=None, now_s=300.0)


def test_a_pending_version_is_read_at_each_check() -> None:
    """Or more often, if the short TTL is shorter."""
    assert 5.0 - 2.0 == fresh(PENDING, now_s=2.0)
    assert 3.0 - 2.0 == fresh(PENDING, now_s=2.0, limits=replace(LIMITS, uncovered_ttl_s=3.0))


@pytest.mark.parametrize(
    ("age_s", "now_s", "fresh_s"),
    [
        # A table that does not answer: the last good check counts for one short TTL.
        (30.0, 200.0, 270.0 - 190.0),
        # A sweep that does not run: its lease of 1,134 s ends, less a second for the `Date`.
        (868.0, 200.0, 1134.0 - 868.0 - 1.0 - 190.0),
        (1000.0, 200.0, 70.0),
        # A sweep from the future, or none, covers nothing.
        (-0.5, 200.0, 70.0),
        (None, 200.0, 70.0),
        (0.0, 200.0, 80.0),
    ],
)
def test_a_cover_lasts_as_long_as_its_proof(age_s: float | None, now_s: float, fresh_s: float) -> None:
    """And a copy is fresh for its short TTL at least."""
    assert pytest.approx(fresh_s) == fresh(assurance=swept(age_s), now_s=now_s)


@pytest.mark.parametrize(
    ("age_s", "since_check_s", "lasts_s"),
    [
        (30.0, 0.0, 270.0),
        (30.0, 100.0, 170.0),
        (1000.0, 0.0, 133.0),
        (1000.0, 100.0, 33.0),
        (1200.0, 0.0, -67.0),
        (0.0, 10.0, 260.0),
        (-0.5, 0.0, 0.0),
        (None, 0.0, 0.0),
    ],
)
def test_the_word_of_the_sweep_ends(age_s: float | None, since_check_s: float, lasts_s: float) -> None:
    """With its lease by the table's clock, or a short TTL after the last check that the table answered."""
    assert pytest.approx(lasts_s) == swept(age_s).lasts_s(later(10 + since_check_s), LIMITS)
    assert age_s == swept(age_s).head.swept_age_s


def test_a_covered_copy_is_confirmed_after_its_long_ttl() -> None:
    """However good the cover is."""
    just_now = Assurance(HEAD, later(3590))
    assert 10.0 == fresh(assurance=just_now, now_s=3590.0)
    assert 270.0 == fresh(assurance=Assurance(HEAD, later(1000)), now_s=1000.0)


@pytest.mark.parametrize(
    ("denied_since", "now_s", "left_s"),
    [
        (None, 100.0, 21500.0),
        (later(50), 100.0, 150.0),
        (later(50), 300.0, -50.0),
        (later(21500), 21550.0, 50.0),
    ],
)
def test_a_copy_that_is_not_fresh_is_served_for_a_while(
    denied_since: Instant | None, now_s: float, left_s: float
) -> None:
    """From its last confirmation on, and after a denial for a shorter while from that on."""
    held = HELD._replace(trouble=Trouble(UnavailableError, "", 1, denied_since))
    assert left_s == servable_for_s(held, later(now_s), LIMITS)


def test_a_copy_without_trouble_is_served_for_as_long() -> None:
    """The time is that of an outage."""
    assert 21500.0 == servable_for_s(HELD, later(100), LIMITS)


@pytest.mark.parametrize(
    ("held", "covered", "is_resting", "ttl_s"),
    [
        (HELD, True, False, 3600.0),
        (HELD, False, False, 300.0),
        (PENDING, True, False, 5.0),
        (PENDING, False, False, 5.0),
        (HELD, True, True, 21600.0),
        (PENDING, False, True, 21600.0),
        (HELD._replace(trouble=Trouble(UnavailableError, "", 1, None)), False, False, 21600.0),
    ],
)
def test_the_bound_is_the_ttl_and_what_may_come_on_top(
    held: HeldStage,
    covered: bool,  # noqa: FBT001 # a parameter of the test
    is_resting: bool,  # noqa: FBT001 # a parameter of the test
    ttl_s: float,
) -> None:
    """One check interval, and twice the time for which an answer may show the past."""
    assert ttl_s + 5.0 + 2 * 10.0 == bound_s(held, covered=covered, limits=LIMITS, is_resting=is_resting)


def test_trouble_makes_no_bound_shorter() -> None:
    """Where a known version is served for a shorter time than a covered one, the cover counts."""
    limits = replace(LIMITS, max_stale_s=60.0)
    assert 3625.0 == bound_s(HELD, covered=True, limits=limits, is_resting=True)
    assert 85.0 == bound_s(PENDING, covered=True, limits=limits, is_resting=True)
