"""What becomes of a marker, decision by decision, without a table and without AWS."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from keyturn.errors import ConfigurationError, InvalidSecretIdError
from keyturn.markers.decisions import (
    LIST_LAG_S,
    STEPS,
    UNWATCHED,
    CurrentMove,
    Hint,
    agrees_with_description,
    announcement,
    corrected,
    hinted_key,
    is_misplaced,
    let_go,
    marker_after,
    move_of,
    moves_back,
    parameter_changes,
    should_have_been_announced,
    shows,
    was_missed,
)
from keyturn.model.markers import Marker
from keyturn.model.protocols import Seen
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described

NAME = "prod/db"
KEY = f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{NAME}"
ARN = f"{KEY}-AbCdEf"
AGAIN = f"{KEY}-GhIjKl"
PARAMETERS = "arn:aws:ssm:us-east-1:111122223333:parameter"
NOW_S = 1000.0

CURRENT = {AWSCURRENT: "v2", AWSPREVIOUS: "v1"}
ROTATING = {**CURRENT, AWSPENDING: "v3"}
BEFORE = Marker(
    KEY, ARN, CURRENT, left=("v0", "v1"), reason="before", changed_at_s=900.0, epoch="e", sequence=7
)


def described(stages: Mapping[str, str], *, arn: str = ARN, deleted: bool = False) -> Described:
    """An answer of DescribeSecret."""
    return Described(arn, NAME, stages, deleted)


@pytest.mark.parametrize("step", STEPS)
def test_an_announced_step_names_the_label_of_its_version(step: str) -> None:
    """Only finishSecret has moved AWSCURRENT to the version; before that it is pending."""
    stage = AWSCURRENT if step == "finishSecret" else AWSPENDING
    expected = Hint(ARN, version_id="v3", stage=stage, step=step, reason=f"announced {step}")
    assert expected == announcement(ARN, version_id="v3", step=step)


def test_an_announcement_without_a_step_is_about_a_pending_version() -> None:
    """It says that something happened, and claims no move of AWSCURRENT."""
    assert Hint(NAME, stage=AWSPENDING, reason="announced") == announcement(NAME)


def test_a_step_or_an_id_that_there_is_not_is_refused() -> None:
    """The error of a step says which step it was and which steps there are."""
    with pytest.raises(ConfigurationError, match=f"'startSecret' is not one of {', '.join(STEPS)}"):
        announcement(ARN, step="startSecret")
    with pytest.raises(InvalidSecretIdError):
        announcement("")


@pytest.mark.parametrize(
    ("marker", "answer", "agrees"),
    [
        (BEFORE, described(CURRENT), True),
        (BEFORE, described(ROTATING), False),
        (BEFORE, described(CURRENT, arn=AGAIN), False),
        (BEFORE, described(CURRENT, deleted=True), False),
        (BEFORE, None, False),
        (BEFORE._replace(deleted=True), None, True),
        (BEFORE._replace(deleted=True), described(CURRENT), False),
        (BEFORE._replace(deleted=True), described(CURRENT, deleted=True), True),
    ],
)
def test_a_marker_agrees_in_secret_labels_and_deletion(
    marker: Marker,
    answer: Described | None,
    agrees: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A marker that differs in one of them is written anew. One of a secret that is gone says "deleted"."""
    assert agrees is agrees_with_description(marker, answer)


def test_a_marker_takes_everything_from_the_answer_and_the_past_from_the_marker() -> None:
    """The version that AWSCURRENT leaves now is the last one that it has left."""
    answer = described({AWSCURRENT: "v3", AWSPREVIOUS: "v2"}, deleted=True)
    after = marker_after(BEFORE, answer, Hint(ARN, reason="a test"), NOW_S)
    left = ("v0", "v1", "v2")
    expected = Marker(KEY, ARN, answer.stages, left, deleted=True, reason="a test", changed_at_s=NOW_S)
    assert expected == after


def test_a_version_that_is_current_again_is_not_left() -> None:
    """After a roll-back an answer with its version is believed; the version before has been left."""
    after = marker_after(BEFORE, described({AWSCURRENT: "v1"}), Hint(ARN), NOW_S)
    assert ("v0", "v2") == after.left


@pytest.mark.parametrize(
    "before", [None, BEFORE._replace(arn=AGAIN, stages={AWSCURRENT: "v9"}, left=("v8",))]
)
@pytest.mark.parametrize(
    ("stages", "left"),
    [
        (CURRENT, ("v1",)),
        ({AWSCURRENT: "v2"}, ()),
        ({AWSCURRENT: "v2", AWSPREVIOUS: "v2"}, ()),
    ],
)
def test_a_new_marker_knows_the_version_before_alone(
    before: Marker | None, stages: Mapping[str, str], left: tuple[str, ...]
) -> None:
    """The marker of a secret that was created again knows nothing of the secret before."""
    assert left == marker_after(before, described(stages), Hint(ARN), NOW_S).left


@pytest.mark.parametrize(
    ("stages", "hint", "kept", "step"),
    [
        (ROTATING, Hint(ARN, version_id="v3", step="setSecret"), None, "setSecret"),
        (ROTATING, Hint(ARN, step="setSecret"), None, "setSecret"),
        (ROTATING, Hint(ARN, version_id="v2", step="setSecret"), None, None),
        (ROTATING, Hint(ARN, version_id="v3", step="startSecret"), None, None),
        # Steps go forward, whichever announcement comes last.
        (ROTATING, Hint(ARN, version_id="v3", step="createSecret"), "testSecret", "testSecret"),
        (ROTATING, Hint(ARN, version_id="v3", step="testSecret"), "createSecret", "testSecret"),
        (ROTATING, Hint(ARN), "setSecret", "setSecret"),
        # The rotation is at its end, and DescribeSecret does not show it yet.
        (ROTATING, Hint(ARN, version_id="v3", step="finishSecret"), "testSecret", "finishSecret"),
        # No version is pending any more.
        (CURRENT, Hint(ARN, step="setSecret"), "setSecret", None),
        ({AWSCURRENT: "v3", AWSPENDING: "v3"}, Hint(ARN, step="finishSecret"), "setSecret", None),
        # Another version is pending by now.
        ({**ROTATING, AWSPENDING: "v4"}, Hint(ARN), "setSecret", None),
    ],
)
def test_a_step_is_kept_while_its_version_is_pending(
    stages: Mapping[str, str], hint: Hint, kept: str | None, step: str | None
) -> None:
    """A marker shows the furthest step that was announced of the version that is pending now."""
    before = BEFORE._replace(stages=ROTATING, step=kept)
    assert step == marker_after(before, described(stages), hint, NOW_S).step


def test_another_secrets_step_is_not_kept() -> None:
    """The secret was created again, so the announcement was of the secret before."""
    before = BEFORE._replace(arn=AGAIN, stages=ROTATING, step="setSecret")
    assert marker_after(before, described(ROTATING), Hint(ARN), NOW_S).step is None


def test_a_marker_under_the_key_of_no_secret_is_that_of_a_secret_that_is_gone() -> None:
    """Only a forged one names a secret that has another key. Any other follows the answer."""
    hint, before = Hint(ARN, step="testSecret", reason="sweep"), BEFORE._replace(step="setSecret")
    forged = before._replace(key=ARN)
    assert [True, False, False] == [
        is_misplaced(*one)
        for one in ((forged, described(CURRENT)), (before, described(CURRENT)), (forged, None))
    ]
    buried = forged._replace(deleted=True, step=None, reason="sweep", changed_at_s=NOW_S)
    assert buried == corrected(forged, described(ROTATING), hint, NOW_S)
    assert marker_after(before, described(ROTATING), hint, NOW_S) == corrected(
        before, described(ROTATING), hint, NOW_S
    )


def test_a_marker_that_is_let_go_covers_nothing() -> None:
    """It keeps its place in the order of writes and the versions that were left, and says why."""
    before = BEFORE._replace(step="setSecret")
    expected = before._replace(stages={}, step=None, reason=UNWATCHED, changed_at_s=NOW_S)
    assert expected == let_go(before, NOW_S)
    assert let_go(expected, NOW_S + 1) is None


@pytest.mark.parametrize(
    ("before", "answer", "back"),
    [
        (BEFORE, described({AWSCURRENT: "v1"}), True),
        (BEFORE, described({AWSCURRENT: "v3"}), False),
        (BEFORE, described(CURRENT), False),
        (BEFORE._replace(left=("v2",)), described(CURRENT), False),
        (BEFORE, described({AWSCURRENT: "v1"}, arn=AGAIN), False),
        (None, described({AWSCURRENT: "v1"}), False),
    ],
)
def test_a_move_back_is_one_to_a_version_that_was_left(
    before: Marker | None,
    answer: Described,
    back: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """The version that is current now is no move, and another secret's past does not count."""
    assert back is moves_back(before, answer)


@pytest.mark.parametrize(
    ("before", "answer", "move"),
    [
        (BEFORE, described(CURRENT), CurrentMove(("e", 7), "v2")),
        (BEFORE, described({}), CurrentMove(("e", 7), None)),
        (BEFORE, None, CurrentMove(("e", 7), None)),
        (None, described(CURRENT), CurrentMove(None, "v2")),
    ],
)
def test_a_move_is_from_one_write_to_a_version(
    before: Marker | None, answer: Described | None, move: CurrentMove
) -> None:
    """Two answers confirm each other only if nobody wrote the marker between them."""
    assert move == move_of(before, answer)


@pytest.mark.parametrize(
    ("hint", "answer", "shown"),
    [
        (Hint(ARN), described({}), True),
        (Hint(ARN, version_id="v3"), described(CURRENT), True),
        (Hint(ARN, stage=AWSCURRENT), described(CURRENT), True),
        (Hint(ARN, version_id="v2", stage=AWSCURRENT), described(CURRENT), True),
        (Hint(ARN, version_id="v3", stage=AWSCURRENT), described(ROTATING), False),
        (Hint(ARN, version_id="v3", stage=AWSCURRENT), described(CURRENT, deleted=True), True),
        (Hint(ARN, version_id="v3", stage=AWSPENDING), described(ROTATING), True),
        (Hint(ARN, version_id="v3", stage=AWSPENDING), described(CURRENT), False),
        (Hint(ARN, version_id="v2", stage=AWSPENDING), described(ROTATING), True),
    ],
)
def test_an_answer_shows_the_version_under_its_label(
    hint: Hint,
    answer: Described,
    shown: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A version that was pending may be under any label by now; a hint that names none waits for nothing."""
    assert shown is shows(answer, hint)


@pytest.mark.parametrize(
    ("before", "after", "announced"),
    [
        (CURRENT, {AWSCURRENT: "v3", AWSPREVIOUS: "v2"}, True),
        (CURRENT, {**CURRENT, "custom": "v1"}, True),
        (CURRENT, {**CURRENT, AWSPREVIOUS: "v0"}, False),
        (CURRENT, ROTATING, False),
        (CURRENT, CURRENT, False),
        ({**CURRENT, "custom": "v1"}, CURRENT, False),
    ],
)
def test_a_label_that_moves_has_an_event(
    before: Mapping[str, str],
    after: Mapping[str, str],
    announced: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """AWSPENDING and AWSPREVIOUS move without events, and so does a label that is taken away."""
    was, now = BEFORE._replace(stages=before), BEFORE._replace(stages=after)
    assert announced is should_have_been_announced(was, now)
    assert not should_have_been_announced(was._replace(arn=AGAIN), now)
    assert not should_have_been_announced(was._replace(reason=UNWATCHED), now)


@pytest.mark.parametrize(
    ("hint", "key"),
    [
        (Hint(NAME), None),
        (Hint(NAME, NAME), None),
        (Hint(ARN, NAME), KEY),
        (Hint(ARN), KEY),
        (Hint(KEY), KEY),
        (Hint(f"{KEY}-AbCdEfG"), f"{KEY}-AbCdEfG"),
        # A name that ends like a suffix is known by the name alone.
        (Hint(f"{ARN}-GhIjKl", f"{NAME}-AbCdEf"), ARN),
    ],
)
def test_the_key_is_guessed_from_an_arn(hint: Hint, key: str | None) -> None:
    """With the name the suffix is certain. Without it, a hyphen before six characters is taken for it."""
    assert key == hinted_key(hint)


def told(key: str, latest: str | None) -> Marker:
    """A parameter's marker that is just old enough for the list to know of its event."""
    return Marker(key, key, {AWSCURRENT: latest} if latest else {}, changed_at_s=NOW_S - LIST_LAG_S)


def absent(key: str) -> Seen:
    """What a read finds where there is no item."""
    return Seen(key, None, None)


def changed(before: Marker, latest: str | None) -> Marker | None:
    """What a list of parameters makes of a marker, if it shows this version; None if it is left alone."""
    key, found = before.key, Seen(before.key, before, None)
    listed = {key: Described(key, NAME, {AWSCURRENT: latest})} if latest else {}
    changes = list(parameter_changes({key: found}, listed, absent, now_s=NOW_S, lag_s=LIST_LAG_S))
    assert [found] * len(changes) == [was for was, _ in changes]
    return changes[0][1] if changes else None


def test_a_listed_parameter_without_a_marker_gets_one() -> None:
    """What was read under its key goes with it, whether that was an item that is no marker or nothing."""
    unread, broken, known = (f"{PARAMETERS}/{name}" for name in ("unread", "broken", "known"))
    listed = {key: Described(key, NAME, {AWSCURRENT: "4"}) for key in (unread, broken, known)}
    read = {broken: Seen(broken, None, "a broken item"), known: Seen(known, told(known, "4"), None)}
    changes = list(parameter_changes(read, listed, absent, now_s=NOW_S, lag_s=LIST_LAG_S))
    first = Marker("", "", {AWSCURRENT: "4"}, reason="sweep: first seen", changed_at_s=NOW_S)
    assert [
        (absent(unread), first._replace(key=unread, arn=unread)),
        (read[broken], first._replace(key=broken, arn=broken)),
    ] == changes


def test_a_list_corrects_a_parameters_marker() -> None:
    """The marker gets the version that is listed, none if none is, and its own key as the ARN."""
    key = f"{PARAMETERS}/{NAME}"
    right, wrong = told(key, "4"), told(key, "3")
    put_right = right._replace(reason="sweep", changed_at_s=NOW_S)
    assert changed(right, "4") is None
    assert put_right == changed(wrong, "4")
    assert put_right == changed(right._replace(arn=f"{key}x"), "4")
    assert put_right == changed(right._replace(deleted=True), "4")
    assert put_right._replace(stages={}) == changed(right, None)
    assert put_right._replace(stages={}) == changed(right._replace(deleted=True), None)


def test_an_event_counts_for_more_than_a_list_that_may_be_older() -> None:
    """A marker without a version is left alone as long as the list may be from before its event."""
    old = told(f"{PARAMETERS}/{NAME}", None)
    young = old._replace(changed_at_s=old.changed_at_s + 1)
    assert changed(young, "4") is None
    assert changed(old, "4") is not None
    # A parameter that was deleted and is listed by nobody is right as it is.
    assert changed(old._replace(deleted=True), None) is None


def test_what_is_left_alone_keeps_no_other_from_being_corrected() -> None:
    """Neither a secret's marker, nor a broken item, nor a parameter with a young event ends the sweep."""
    key, young = f"{PARAMETERS}/{NAME}", f"{PARAMETERS}/young"
    just_now = told(young, None)._replace(changed_at_s=NOW_S)
    markers = {KEY: BEFORE, "broken": None, young: just_now, key: told(key, "3")}
    found = {key: Seen(key, marker, None) for key, marker in markers.items()}
    changes = list(parameter_changes(found, {}, absent, now_s=NOW_S, lag_s=LIST_LAG_S))
    assert [key] == [marker.key for _, marker in changes]


@pytest.mark.parametrize(
    ("was", "now", "missed"),
    [("3", "4", True), ("3", "3", False), (None, "4", False), ("3", None, False)],
)
def test_an_event_was_missed_if_the_version_changed_without_one(
    was: str | None,
    now: str | None,
    missed: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """An event would have taken the version out of the marker first."""
    before, after = (
        BEFORE._replace(stages={AWSCURRENT: version_id} if version_id else {}) for version_id in (was, now)
    )
    assert missed is was_missed(before, after)
    assert not was_missed(None, after)
