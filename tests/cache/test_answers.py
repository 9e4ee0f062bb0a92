"""What is asked of Secrets Manager, and what becomes of a copy by its answer: decision by decision."""

from __future__ import annotations

from itertools import repeat

import pytest

from keyturn import (
    AccessDeniedError,
    DecryptionError,
    Limits,
    SecretError,
    SecretVersion,
    UnavailableError,
)
from keyturn.cache.held import Dispute, Doubt, HeldSecret, HeldStage, Trouble, with_id, without_id
from keyturn.cache.refresh import (
    ASKS_PER_MARKER_MAX,
    FIRST_PAUSE_S,
    Asked,
    after_answer,
    after_pinned,
    as_landed,
    backoff_s,
    failed,
    paced,
    version_to_pin,
)
from keyturn.model.instant import Instant
from keyturn.model.markers import LEFT_MAX, Marker
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS

NAME = "prod/db"
KEY = f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{NAME}"
ARN = f"{KEY}-AbCdEf"
AGAIN = f"{KEY}-GhIjKl"

LIMITS = Limits()
BEHIND_A_CACHE = Limits(source_ttl_s=300.0)


def later(seconds: float, wall_s: float | None = None) -> Instant:
    """So much later than the copy was confirmed; by the wall clock perhaps another time."""
    return Instant(1000.0 + (seconds if wall_s is None else wall_s), 50.0 + seconds)


def version(version_id: str, *stages: str, arn: str = ARN, created_s: float | None = None) -> SecretVersion:
    """A version as an answer has it."""
    return SecretVersion(NAME, arn, NAME, version_id, frozenset(stages), created_s, "a value")


def asked(seconds: float = 1.0, limits: Limits = LIMITS, *, wall_s: float | None = None) -> Asked:
    """A refresh that was begun so much after the copy was confirmed, of a later generation."""
    return Asked(later(seconds, wall_s), 4, limits)


HELD = HeldStage(AWSCURRENT, version("v2", AWSCURRENT), later(0), generation=3, left=("v1",))
MARKER = Marker(KEY, ARN, {AWSCURRENT: "v3"})
AGREES = MARKER._replace(stages={AWSCURRENT: "v2"})
EVENT = Marker(KEY, ARN, {}, token="an event", changed_at_s=1000.0)
V1, V2, V3 = (version(version_id, AWSCURRENT) for version_id in ("v1", "v2", "v3"))
MOVED = HeldStage(AWSCURRENT, V3, later(1), 4, ("v1", "v2"))
CONFIRMED = HELD._replace(confirmed=later(1), generation=4)


# What is asked


@pytest.mark.parametrize(
    ("held", "marker", "limits", "expected"),
    [
        (HELD, MARKER, LIMITS, "v3"),
        (HELD, None, LIMITS, None),
        (HELD, AGREES, LIMITS, None),
        (HELD, MARKER._replace(deleted=True), LIMITS, None),
        (HELD, MARKER._replace(arn=AGAIN), LIMITS, None),
        (HELD, MARKER._replace(stages={AWSCURRENT: "v1"}), LIMITS, None),
        (HELD, EVENT, LIMITS, None),
        # It was followed already: to its end, or by one read, which is enough unless a cache repeats itself.
        (HELD._replace(dispute=Dispute(MARKER, 1, settled=True)), MARKER, BEHIND_A_CACHE, None),
        (HELD._replace(dispute=Dispute(MARKER, 1, settled=False)), MARKER, LIMITS, None),
        (HELD._replace(dispute=Dispute(MARKER, 1, settled=False)), MARKER, BEHIND_A_CACHE, "v3"),
        (HELD._replace(dispute=Dispute(AGREES, 1, settled=True)), MARKER, LIMITS, "v3"),
    ],
)
def test_a_marker_names_the_version_to_ask_for(
    held: HeldStage, marker: Marker | None, limits: Limits, expected: str | None
) -> None:
    """One read by the id for each marker, of this secret and of a version that the label has not left."""
    assert expected == version_to_pin(held, marker, limits)


@pytest.mark.parametrize(
    ("pinned", "expected"),
    [
        (V3, MOVED),
        (None, None),
        (V2, None),
        (V1, None),
        (version("v3", AWSPENDING), None),
        (version("v3"), None),
        (version("v3", AWSCURRENT, arn=AGAIN), None),
    ],
)
def test_a_version_that_was_asked_for_by_its_id_is_believed_if_it_is_news(
    pinned: SecretVersion | None, expected: HeldStage | None
) -> None:
    """It says itself that it is of this secret and under this label, and the label was not on it before."""
    assert expected == after_pinned(HELD, pinned, asked())


# The label is where it was


def test_an_answer_that_agrees_confirms_the_copy() -> None:
    """What was doubtful or in trouble is over, and the version is the one that was answered last."""
    trouble = Trouble(UnavailableError, "no answer", 2, later(-1))
    held = HELD._replace(doubt=Doubt(V1, later(-2)), trouble=trouble, paused=later(0))
    answer = version("v2", AWSCURRENT, "custom")
    assert CONFIRMED._replace(version=answer) == after_answer(held, None, answer, asked())
    assert CONFIRMED == after_answer(held, AGREES, V2, asked())


def test_an_older_answer_that_agrees_confirms_nothing_anew() -> None:
    """Of two reads side by side the one that was begun last counts, whichever ends last."""
    assert HELD._replace(generation=4) == after_answer(HELD, None, V2, asked(-1))
    assert HELD._replace(generation=4) == after_answer(HELD, None, V2, asked(-1, wall_s=9))
    set_back = asked(1, wall_s=-9)
    assert set_back.begun == after_answer(HELD, None, V2, set_back).confirmed


@pytest.mark.parametrize(
    ("before", "times", "pause_s"),
    [(None, 1, 0.25), (Dispute(AGREES, 4, settled=False), 1, 0.25)]
    + [(Dispute(MARKER, times, settled=False), times + 1, 0.25 * 2**times) for times in (1, 2, 3, 4)],
)
def test_a_marker_that_disagrees_is_asked_about_again(
    before: Dispute | None, times: int, pause_s: float
) -> None:
    """The pauses double from `FIRST_PAUSE_S`. Each marker is counted by itself."""
    after = after_answer(HELD._replace(dispute=before), MARKER, V2, asked())
    expected = CONFIRMED._replace(dispute=Dispute(MARKER, times, settled=False))
    assert expected.paused_for(pause_s, later(1)) == after
    assert FIRST_PAUSE_S == 0.25


def test_a_marker_that_disagrees_for_long_is_behind() -> None:
    """After so many answers the marker is asked about no more, and nothing waits."""
    held = HELD._replace(dispute=Dispute(MARKER, ASKS_PER_MARKER_MAX - 1, settled=False))
    settled = Dispute(MARKER, ASKS_PER_MARKER_MAX, settled=True)
    assert CONFIRMED._replace(dispute=settled) == after_answer(held, MARKER, V2, asked())


@pytest.mark.parametrize(
    ("pinned", "settled"),
    [
        (version("v3"), True),
        (version("v3", AWSPREVIOUS), True),
        (version("v3", AWSPENDING), False),
        (version("v3", AWSCURRENT), False),
        (version("v3", AWSCURRENT, arn=AGAIN), True),
        # A parameter's version by its number: what was asked for is what is held, and is not the marker's.
        (V2, True),
        (None, False),
    ],
)
def test_the_version_itself_says_whether_the_marker_is_behind(
    pinned: SecretVersion | None,
    settled: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """It has lost the label and is not pending: the marker is behind. Else nobody can tell yet."""
    after = after_answer(HELD, MARKER, V2, asked(), pinned)
    assert Dispute(MARKER, 1, settled=settled) == after.dispute
    assert settled is (after.paused is None)


def test_no_marker_is_a_reason_to_doubt_where_a_version_is_pending() -> None:
    """No event announces each move of AWSPENDING, so the copy is confirmed and nothing else."""
    held = HELD._replace(stage=AWSPENDING)
    after = after_answer(held, MARKER._replace(stages={AWSPENDING: "v3"}), V2, asked())
    assert CONFIRMED._replace(stage=AWSPENDING) == after


# The label has moved


@pytest.mark.parametrize(
    "marker", [None, MARKER, MARKER._replace(stages={AWSCURRENT: "v4"}), AGREES._replace(left=("v3",))]
)
def test_an_answer_of_another_version_is_believed(marker: Marker | None) -> None:
    """The version before is left. The marker names it, or another one, or has seen this version leave."""
    assert MOVED == after_answer(HELD, marker, V3, asked())


def test_a_marker_that_agreed_with_the_copy_before_is_behind() -> None:
    """The reader has seen the move before the listener has: it does not ask again because of that marker."""
    expected = MOVED._replace(dispute=Dispute(AGREES, 1, settled=True))
    assert expected == after_answer(HELD, AGREES, V3, asked())


@pytest.mark.parametrize("marker", [None, AGREES, EVENT])
def test_a_secret_that_was_created_again_has_no_past(marker: Marker | None) -> None:
    """Its versions may have the ids of before, and the marker is of the secret before."""
    answer = version("v1", AWSCURRENT, arn=AGAIN)
    assert HeldStage(AWSCURRENT, answer, later(1), 4) == after_answer(HELD, marker, answer, asked())


@pytest.mark.parametrize(
    ("created_s", "is_known"), [(None, True), (1000.0, True), (994.0, True), (993.9, False), (1007.0, True)]
)
def test_of_two_events_the_second_one_is_still_to_come(
    created_s: float | None,
    is_known: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A version made well before an event is not what the event is about, so it is read again soon."""
    answer = version("v3", AWSCURRENT, created_s=created_s)
    moved = MOVED._replace(version=answer, dispute=Dispute(EVENT, 1, settled=is_known))
    expected = moved if is_known else moved.paused_for(FIRST_PAUSE_S, later(1))
    assert expected == after_answer(HELD, EVENT, answer, asked())


def test_the_versions_that_a_label_left_are_bounded_and_in_order() -> None:
    """A version that is back is not left any more; the oldest one is forgotten."""
    left = tuple(f"v{number}" for number in range(LEFT_MAX))
    full = HELD._replace(version=version("held"), left=left)
    assert (*left[1:], "held") == full.moved_to(version("new"), later(1), 4).left
    assert (*left[:5], *left[6:], "held") == full.moved_to(version("v5"), later(1), 4).left


# The label has gone back, perhaps


@pytest.mark.parametrize(
    ("held", "answer", "back"),
    [
        (HELD, V1, True),
        (HELD, V3, False),
        (HELD, version("v1", arn=AGAIN), False),
        (HELD._replace(stage=AWSPENDING), V1, False),
        (HELD._replace(version=version("v2", created_s=9.0)), version("v3", created_s=8.0), True),
        (HELD._replace(version=version("v2", created_s=9.0)), version("v2", created_s=8.0), True),
        (HELD._replace(version=version("v2", created_s=9.0)), version("v3", created_s=9.0), False),
        (HELD._replace(version=version("v2", created_s=9.0)), version("v3", created_s=10.0), False),
        (HELD._replace(version=version("v2", created_s=9.0)), version("v3"), False),
        (HELD, version("v3", created_s=8.0), False),
    ],
)
def test_back_is_to_a_version_that_was_left_or_is_older(
    held: HeldStage,
    answer: SecretVersion,
    back: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Such an answer may be from before the last move, so it changes nothing at once."""
    assert back is held.goes_back(answer)
    after = after_answer(held, None, answer, asked())
    assert back is (after.doubt is not None)
    assert (held.version if back else answer) == after.version


def test_a_label_that_goes_back_is_doubted_first() -> None:
    """The copy stays as it is. Nothing is asked until the answer cannot be an old one any more."""
    expected = HELD._replace(doubt=Doubt(V1, later(1)), paused=later(1), pause_s=6.0)
    assert expected == after_answer(HELD, MARKER, V1, asked())


@pytest.mark.parametrize(
    ("limits", "doubted_s", "pause_s"),
    [(LIMITS, 4.0, 2.0), (LIMITS, 0.0, 6.0), (BEHIND_A_CACHE, 4.0, 6.0), (BEHIND_A_CACHE, 303.0, 3.0)],
)
def test_the_same_answer_soon_after_proves_nothing(limits: Limits, doubted_s: float, pause_s: float) -> None:
    """The doubt keeps its beginning; the next read is when it can be decided, or a settle time later."""
    held = HELD._replace(doubt=Doubt(V1, later(1)))
    expected = held.paused_for(pause_s, later(1 + doubted_s))
    assert expected == after_answer(held, None, V1, asked(1 + doubted_s, limits))


@pytest.mark.parametrize(("limits", "lag_s"), [(LIMITS, 6.0), (BEHIND_A_CACHE, 306.0)])
def test_a_label_that_is_still_back_a_settle_time_later_is_believed(limits: Limits, lag_s: float) -> None:
    """By the monotonic clock, from the first answer that said so."""
    held = HELD._replace(doubt=Doubt(V1, later(1)))
    expected = HeldStage(AWSCURRENT, V1, later(1 + lag_s), 4, ("v2",))
    assert expected == after_answer(held, None, V1, asked(1 + lag_s, limits))


def test_another_old_answer_is_another_doubt() -> None:
    """Two answers that differ do not confirm each other."""
    held = HELD._replace(left=("v0", "v1"), doubt=Doubt(version("v0"), later(1)))
    expected = held._replace(doubt=Doubt(V1, later(8)), paused=later(8), pause_s=6.0)
    assert expected == after_answer(held, None, V1, asked(8))


@pytest.mark.parametrize(
    ("limits", "passed_s", "wall_s", "moved"),
    [
        (LIMITS, 11.9, 11.9, False),
        (LIMITS, 12.0, 12.0, True),
        (LIMITS, 12.0, 1.0, True),
        # The host was frozen, and its monotonic clock with it.
        (LIMITS, 0.0, 299.9, False),
        (LIMITS, 0.0, 300.0, True),
        (Limits(uncovered_ttl_s=1.0), 0.0, 11.9, False),
        (Limits(uncovered_ttl_s=1.0), 0.0, 12.0, True),
    ],
)
def test_a_copy_from_long_ago_is_no_reason_to_doubt(
    limits: Limits,
    passed_s: float,
    wall_s: float,
    moved: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """No answer is so late. What is confirmed twice the lag ago says nothing about the label now."""
    after = after_answer(HELD, None, V1, asked(passed_s, limits, wall_s=wall_s))
    expected = HeldStage(AWSCURRENT, V1, later(passed_s, wall_s), 4, ("v2",))
    assert moved is (expected == after)
    assert moved is (after.doubt is None)


@pytest.mark.parametrize(("passed_s", "moved"), [(21.9, False), (22.0, True)])
def test_an_answer_that_came_late_may_be_true_of_when_it_came(passed_s: float, moved: bool) -> None:  # noqa: FBT001 # as above
    """The read hung for 10 s: until 12 s after its answer another answer may be the older one of the two."""
    held = as_landed(HELD, None, later(10), LIMITS)
    after = after_answer(held, None, V1, asked(passed_s))
    assert moved is (after.version == V1)
    assert moved is (after.doubt is None)


@pytest.mark.parametrize(("passed_s", "moved"), [(15.9, False), (16.0, True)])
def test_a_doubt_is_counted_from_when_the_doubtful_answer_has_come(passed_s: float, moved: bool) -> None:  # noqa: FBT001 # as above
    """Reads that hung side by side are answered together: the second answer is no later word."""
    held = as_landed(HELD, None, later(10), LIMITS)._replace(doubt=Doubt(V1, later(1)))
    assert moved is (after_answer(held, None, V1, asked(passed_s)).version == V1)


@pytest.mark.parametrize(("took_s", "came"), [(1.0, None), (1.1, later(1.1))])
def test_only_what_a_caller_would_not_have_waited_for_came_late(took_s: float, came: Instant | None) -> None:
    """The next answer that comes in time ends that. One that confirms nothing changes nothing."""
    held = as_landed(HELD, None, later(took_s), LIMITS)
    assert HELD._replace(came=came) == held
    assert held.confirmed_by(HELD.version, later(8), 3).came is None
    assert HELD == as_landed(HELD, HELD, later(took_s), LIMITS)
    assert held.moved_to(V3, later(8), 3).came is None


@pytest.mark.parametrize(("wall_s", "confirmed"), [(-100.0, later(0, -102.0)), (0.0, later(0))])
def test_a_clock_that_was_set_back_does_not_end_a_doubtful_copy(wall_s: float, confirmed: Instant) -> None:
    """Its age is that of the other clock from then on, and it is served while the doubt lasts."""
    after = after_answer(HELD, None, V1, asked(2, wall_s=wall_s))
    assert confirmed == after.confirmed
    assert Doubt(V1, later(2, wall_s)) == after.doubt


# A refresh that fails, and a refresh that waits


@pytest.mark.parametrize("denial", [AccessDeniedError, DecryptionError])
def test_a_denial_counts_from_the_first_of_them(denial: type[SecretError]) -> None:
    """No other failure ends or prolongs it; each failure counts and brings a pause."""
    errors = [
        UnavailableError(NAME, "no answer"),
        denial(NAME, "not yours", advice="ask the owner"),
        denial(NAME, "still not yours"),
    ]
    held = HELD
    found = []
    for second, error in enumerate([*errors, errors[0]], start=1):
        held = failed(held, error, later(second), pause_s=7.0)
        assert (later(second), 7.0) == (held.paused, held.pause_s)
        found.append(held.trouble)
    assert [
        Trouble(UnavailableError, errors[0].detail, 1, None, UnavailableError.default_advice),
        Trouble(denial, errors[1].detail, 2, later(2), "ask the owner"),
        Trouble(denial, errors[2].detail, 3, later(2), denial.default_advice),
        Trouble(UnavailableError, errors[0].detail, 4, later(2), UnavailableError.default_advice),
    ] == found
    assert HELD == held._replace(trouble=None, paused=None, pause_s=0.0)


@pytest.mark.parametrize(("failures", "pause_s"), [(0, 3.0), (1, 6.0), (4, 48.0), (5, 60.0), (10_000, 60.0)])
def test_pauses_double_up_to_the_longest(failures: int, pause_s: float) -> None:
    """However many failures there were. Chance takes a part of the pause."""
    for part in (1.0, 0.5, 0.0):
        random = repeat(part).__next__
        assert part * pause_s == backoff_s(failures, first_s=3.0, longest_s=60.0, random=random)


@pytest.mark.parametrize(
    ("age_s", "lasts_s", "paused", "pause_s"),
    [
        (2.0, 60.0, None, 4.0),
        (9.5, 60.0, None, 0.25),
        (10.0, 60.0, None, None),
        (11.0, 60.0, None, None),
        (2.0, 60.0, later(1), None),
        (2.0, 3.0, None, 3.0),
        (2.0, 0.0, None, None),
    ],
)
def test_a_fleet_spreads_its_reads_from_its_last_check_on(
    age_s: float, lasts_s: float, paused: Instant | None, pause_s: float | None
) -> None:
    """Half of what is left of ten seconds, by chance, while the copy lasts. No pause is begun twice."""
    held = HELD._replace(paused=paused, pause_s=5.0)
    now = later(age_s)
    after = paced(held, later(0), now, pace_s=10.0, lasts_s=lasts_s, random=lambda: 0.5)
    assert (held if pause_s is None else held.paused_for(pause_s, now)) == after


@pytest.mark.parametrize(("paused", "pauses"), [(None, False), (later(0), True), (later(-1), False)])
def test_a_pause_has_an_end(
    paused: Instant | None,
    pauses: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """At its end the next refresh may begin."""
    assert pauses is HELD._replace(paused=paused, pause_s=5.0).pauses(later(4.0))


# By which id


def test_a_secret_is_asked_for_by_a_name_that_callers_use() -> None:
    """A name finds a secret that was created again, and an ARN does not. Without a name the ARN has to do."""
    secret = HeldSecret(ARN, NAME, KEY)
    secret.use_name(ARN)
    assert ARN == secret.asks_by()
    for name in (NAME, KEY, NAME):
        secret.use_name(name)
    assert ((NAME, KEY), KEY) == (secret.names, secret.asks_by())


def test_a_use_shows_when_and_by_which_id() -> None:
    """An id that was known stays where it is among the others."""
    secret = HeldSecret(ARN, NAME, KEY, aliases=(ARN,))
    for second, secret_id in enumerate((NAME, ARN)):
        secret.use(secret_id, later(second))
    assert ((ARN, NAME), later(1).monotonic_s, True) == (secret.aliases, secret.asked_s, secret.is_used)
    assert [True, True, False] == [secret.is_in_use(later(1 + age_s), 5.0) for age_s in (0, 5, 5.5)]


def test_an_id_stands_once_among_the_ids() -> None:
    """Whether it was there before or not."""
    assert ("a",) == with_id((), "a")
    assert ("a", "b") == with_id(("a", "b"), "a")
    assert ("b",) == without_id(("a", "b"), "a")
    assert ("a", "b") == without_id(("a", "b"), "c")
