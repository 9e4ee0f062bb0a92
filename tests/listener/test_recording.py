"""A hint becomes a marker that says what Secrets Manager says, whatever comes late, twice or not at all."""

from __future__ import annotations

from collections import deque

import pytest

from keyturn.errors import (
    AccessDeniedError,
    ConfigurationError,
    InvalidSecretIdError,
)
from keyturn.markers.decisions import Hint, ParameterHint, announcement
from keyturn.markers.recorder import Outcome, Recorded
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT, AWSPENDING, Described
from tests.listener.conftest import NAME, SETTLE_S, TABLE, World

PARAMETER = "arn:aws:ssm:us-east-1:111122223333:parameter/prod/db"


def moved(world: World, version_id: str | None, stage: str = AWSCURRENT) -> Hint:
    """The hint of an event that says what moved."""
    return Hint(world.arn, NAME, version_id, stage, reason="a test")


def test_the_first_hint_makes_the_marker(world: World) -> None:
    """The marker holds the ARN, the labels, the reason and the time, and nothing is waited for."""
    done = world.recorder.record(moved(world, "v1"))
    assert (Outcome.WRITTEN, 1, []) == (done.outcome, done.looks, world.naps_s)
    found = world.found()
    assert (world.arn, {AWSCURRENT: "v1"}, "a test") == (found.arn, found.stages, found.reason)
    assert world.clock.wall() == found.changed_at_s


def test_a_doubled_hint_changes_nothing(world: World) -> None:
    """The second of two equal events reads and does not write."""
    assert [Outcome.WRITTEN, Outcome.UNCHANGED] == [
        world.recorder.record(moved(world, "v1")).outcome for _ in range(2)
    ]
    assert 1 == world.writes


def test_the_marker_is_read_before_the_secret(world: World) -> None:
    """A write that happened while DescribeSecret was on its way makes the condition fail."""
    order: list[str] = []
    world.catalog.before_answer = lambda: order.extend([*world.calls, "DescribeSecret"])
    world.recorder.record(moved(world, "v1"))
    assert ["GetItem", "DescribeSecret"] == order


def test_a_version_that_is_not_shown_yet_is_waited_for(world: World) -> None:
    """DescribeSecret is asked again at widening delays until it shows what was announced."""
    world.recorder.record(moved(world, "v1"))
    late = world.described()
    world.rotate("v2")
    world.catalog.late = deque([late, late])
    done = world.recorder.record(moved(world, "v2"))
    assert (Outcome.WRITTEN, 3, "v2") == (done.outcome, done.looks, world.current)
    assert world.naps_s == sorted(set(world.naps_s))


def test_a_version_that_is_never_shown_is_left_to_the_sweep(world: World) -> None:
    """What is seen is written, the wait ends after the settle time, and it is no error."""
    done = world.recorder.record(moved(world, "v-unknown"))
    assert (Outcome.DEFERRED, "v1") == (done.outcome, world.current)
    assert SETTLE_S == pytest.approx(sum(world.naps_s))
    assert 5 == world.secrets.calls["DescribeSecret"]


def test_a_new_marker_knows_the_version_before(world: World) -> None:
    """Made after a rotation, the marker takes AWSPREVIOUS for left: an old answer does not move it back."""
    late = world.described()
    world.rotate("v2")
    world.recorder.record(moved(world, "v2"))
    world.catalog.late = deque([late, late])
    done = world.recorder.record(Hint(world.arn, reason="RotationSucceeded"))
    assert (Outcome.UNCHANGED, "v2") == (done.outcome, world.current)


def test_an_update_of_a_description_is_not_waited_for(world: World) -> None:
    """UpdateSecret names a token that becomes no version when no value was given: nothing to wait for."""
    done = world.recorder.record(Hint(world.arn, version_id="token", reason="UpdateSecret"))
    assert (Outcome.WRITTEN, 1, []) == (done.outcome, done.looks, world.naps_s)


def test_a_late_answer_never_moves_the_marker_back(world: World) -> None:
    """After v2 was marked, an answer from before the move is not believed, not even for a moment."""
    world.recorder.record(moved(world, "v1"))
    late = world.described()
    world.rotate("v2")
    world.recorder.record(moved(world, "v2"))
    writes = world.writes
    world.catalog.late = deque([late, late])
    done = world.recorder.record(Hint(world.arn, reason="RotationSucceeded"))
    assert (Outcome.UNCHANGED, "v2", writes) == (done.outcome, world.current, world.writes)


def test_a_named_roll_back_is_believed_at_once(world: World) -> None:
    """An event that names the old version under AWSCURRENT needs no second answer."""
    for version_id in ("v1", "v2", "v1"):
        world.rotate(version_id)
        world.recorder.record(moved(world, version_id))
    assert ("v1", []) == (world.current, world.naps_s)
    assert ("v2",) == world.found().left


def test_answers_from_before_and_after_another_write_do_not_confirm_each_other(world: World) -> None:
    """What was read and written before a roll-back, and is read again after it, is an old answer."""
    world.recorder.record(moved(world, "v1"))
    world.rotate("v2")
    late = world.described()

    def roll_back_meanwhile(seconds: float) -> None:
        world.nap(seconds)
        if "v2" == world.current:
            world.rotate("v1")
            world.recorder.record(moved(world, "v1"))
            world.catalog.late.extend([late] * 4)

    slow = world.recorder_with(sleep=roll_back_meanwhile)
    done = slow.record(moved(world, "v-unknown"))
    assert (Outcome.DEFERRED, "v1", 5) == (done.outcome, world.current, done.looks)


@pytest.mark.parametrize("stage", [AWSPENDING, "custom", None])
def test_a_version_named_under_another_label_is_no_roll_back(world: World, stage: str | None) -> None:
    """Only AWSCURRENT's own event vouches for a move of AWSCURRENT back: others need the settle time."""
    for version_id in ("v1", "v2"):
        world.rotate(version_id)
        world.recorder.record(moved(world, version_id))
    world.rotate("v1")
    world.recorder.record(Hint(world.arn, NAME, "v1", stage))
    assert SETTLE_S == pytest.approx(sum(world.naps_s))


def test_an_unnamed_roll_back_needs_two_answers_a_settle_time_apart(world: World) -> None:
    """Without a name for it, the move back is written when the answer is still the same at the end."""
    for version_id in ("v1", "v2"):
        world.rotate(version_id)
        world.recorder.record(moved(world, version_id))
    world.rotate("v1")
    done = world.recorder.record(Hint(world.arn, reason="RotationSucceeded"))
    assert (Outcome.WRITTEN, "v1") == (done.outcome, world.current)
    assert SETTLE_S == pytest.approx(sum(world.naps_s))


def test_answers_that_disagree_are_left_to_the_sweep(world: World) -> None:
    """Two different moves back at the two ends of the settle time: nothing is believed."""
    for version_id in ("v0", "v1", "v2"):
        world.rotate(version_id)
        world.recorder.record(moved(world, version_id))
    was_v0, was_v1 = (world.described()._replace(stages={AWSCURRENT: old}) for old in ("v0", "v1"))
    world.catalog.late = deque([was_v0, was_v0, was_v0, was_v0, was_v1])
    done = world.recorder.record(Hint(world.arn))
    assert (Outcome.DEFERRED, "v2") == (done.outcome, world.current)


def test_a_late_event_of_an_older_move_changes_nothing(world: World) -> None:
    """v2's event after v3 was marked: the secret says v3, so does the marker."""
    for version_id in ("v1", "v2", "v3"):
        world.rotate(version_id)
    world.recorder.record(moved(world, "v3"))
    done = world.recorder.record(moved(world, "v2"))
    assert (Outcome.DEFERRED, "v3", 1) == (done.outcome, world.current, world.writes)


def test_a_writer_who_lost_the_race_starts_over(world: World) -> None:
    """Between reading and writing somebody marked v2: the older answer is not written over it."""
    late = world.described()
    other = world.recorder

    def somebody_is_faster() -> None:
        world.catalog.before_answer = lambda: None
        world.rotate("v2")
        other.record(moved(world, "v2"))
        world.catalog.late.append(late)

    world.catalog.before_answer = somebody_is_faster
    world.recorder.record(Hint(world.arn, reason="slow"))
    assert ("v2", 1) == (world.current, world.found().sequence)


@pytest.mark.parametrize("hinted", ["the move again", "something else", "nothing that is new"])
def test_a_marker_that_no_reader_was_told_of_is_told_of_by_the_next_hint(world: World, hinted: str) -> None:
    """Its writer was killed before it told the head; a hint that finds nothing new tells it."""
    world.recorder.record(moved(world, "v1"))
    world.client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": world.key}},
        UpdateExpression="SET untold = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )
    hints = {
        "the move again": moved(world, "v1"),
        "something else": Hint(world.arn, version_id="v0", stage=AWSPENDING),
        "nothing that is new": Hint(world.arn, reason="RotationSucceeded"),
    }
    before = world.table.read_head()
    world.recorder.record(hints[hinted])
    after = world.table.read_head()
    assert before is not None
    assert after is not None
    assert before.counter < after.counter
    assert not world.table.look(world.key).untold


def test_an_untold_parameter_is_told_of_by_the_same_event(world: World) -> None:
    """The event comes again, and its token is in the marker already."""
    hint = ParameterHint("arn:aws:ssm:us-east-1:111122223333:parameter/a", "event-1")
    world.recorder.record_parameter(hint)
    world.client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": hint.key}},
        UpdateExpression="SET untold = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )
    assert Outcome.UNCHANGED == world.recorder.record_parameter(hint).outcome
    assert not world.table.look(hint.key).untold


def test_endless_conflicts_end(world: World) -> None:
    """A writer who always loses leaves the marker to the winners: no error reaches a rotation function."""
    world.recorder.record(moved(world, "v1"))
    world.rotate("v2")

    def somebody_is_always_faster() -> None:
        seen = world.table.look(world.key)
        world.table.write([(seen, world.found()._replace(reason="faster"))])

    world.catalog.before_answer = somebody_is_always_faster
    assert Outcome.DEFERRED == world.recorder.record(moved(world, "v2")).outcome
    assert "v1" == world.current
    assert len(world.naps_s) <= 10


@pytest.mark.parametrize("form", ["name", "full ARN", "partial ARN", "full ARN with name"])
@pytest.mark.parametrize("name", [NAME, "prod/app-abcdef", "x-123456-abcdef"])
def test_every_way_to_name_a_secret_finds_its_key(world: World, name: str, form: str) -> None:
    """The key is cut after the Name of an answer, also where a name ends like a suffix."""
    arn = world.secrets.create(name, "value", "v1")
    key = secret_key(arn, name)
    ids = {"name": name, "full ARN": arn, "partial ARN": key, "full ARN with name": arn}
    hint = Hint(ids[form], name if form.endswith("with name") else None)
    assert Outcome.WRITTEN == world.recorder.record(hint).outcome
    found = world.table.look(key).marker
    assert found is not None
    assert arn == found.arn
    assert [key] == [seen.key for seen in world.table.scan()]


def test_a_secret_that_is_gone_gets_a_tombstone(world: World) -> None:
    """After a look by its name, the marker says deleted, once."""
    world.recorder.record(moved(world, "v1"))
    world.secrets.purge(NAME)
    outcomes = [world.recorder.record(Hint(world.arn, reason="DeleteSecret")).outcome for _ in range(2)]
    assert [Outcome.WRITTEN, Outcome.UNCHANGED] == outcomes
    assert world.found().deleted


def test_a_recreated_secret_is_no_tombstone(world: World) -> None:
    """The old ARN's late event finds the new secret by name, even with the same version id."""
    for version_id in ("v1", "v2"):
        world.rotate(version_id)
        world.recorder.record(moved(world, version_id))
    old_arn = world.arn
    world.secrets.purge(NAME)
    new_arn = world.secrets.create(NAME, "another value", "v1")
    assert old_arn != new_arn
    world.recorder.record(Hint(old_arn, reason="DeleteSecret"))
    found = world.found()
    assert (new_arn, False, ()) == (found.arn, found.deleted, found.left)
    assert ("v1", []) == (world.current, world.naps_s)


def test_another_secrets_event_buries_nobody(world: World) -> None:
    """A hint of an unknown ARN under a known key, or of an unknown name, writes nothing."""
    world.recorder.record(moved(world, "v1"))
    world.secrets.purge(NAME)
    for hint in (Hint(world.key + "-ZzZzZz"), Hint("no/such"), Hint(world.key)):
        assert Outcome.UNCHANGED == world.recorder.record(hint).outcome
    assert 1 == world.writes


def test_an_id_that_no_secret_has_is_no_error(world: World) -> None:
    """A forged event would otherwise be delivered again and again."""

    def invalid(secret_id: str) -> Exception:
        return InvalidSecretIdError(secret_id)

    world.secrets.fail = invalid
    assert Outcome.UNCHANGED == world.recorder.record(Hint("strange")).outcome


def test_scheduled_deletion_and_restoring_show(world: World) -> None:
    """The marker says deleted while the secret cannot be read, and keeps the labels."""
    world.recorder.record(moved(world, "v1"))
    world.secrets.delete(NAME)
    world.recorder.record(Hint(world.arn, reason="DeleteSecret"))
    assert (True, "v1") == (world.found().deleted, world.current)
    world.secrets.restore(NAME)
    world.recorder.record(Hint(world.arn, reason="RestoreSecret"))
    assert not world.found().deleted


def test_the_past_is_bounded(world: World) -> None:
    """The marker remembers the last 20 versions that AWSCURRENT left, oldest first."""
    told = Recorded(Outcome.UNCHANGED, None)
    for number in range(30):
        world.rotate(f"n{number}")
        told = world.recorder.record(moved(world, f"n{number}"))
    assert told.marker is not None
    expected = tuple(f"n{number}" for number in range(9, 29))
    assert expected == world.found().left == told.marker.left


def test_a_pending_version_shows_and_is_no_move(world: World) -> None:
    """AWSPENDING appears in the marker; AWSCURRENT and the past stay."""
    world.recorder.record(moved(world, "v1"))
    world.secrets.move(NAME, AWSPENDING, "v2")
    world.recorder.record(moved(world, "v2", AWSPENDING))
    assert ({AWSCURRENT: "v1", AWSPENDING: "v2"}, ()) == (world.found().stages, world.found().left)


def test_announced_steps_go_forward(world: World) -> None:
    """The marker keeps the furthest step of the pending version; other events do not lose it."""
    world.secrets.move(NAME, AWSPENDING, "v2")
    steps: list[str | None] = []
    for hint in (
        announcement(NAME, version_id="v2", step="createSecret"),
        announcement(NAME, version_id="v2", step="setSecret"),
        announcement(NAME, version_id="v2", step="createSecret"),
        Hint(world.arn, reason="RotationStarted"),
    ):
        world.recorder.record(hint)
        steps.append(world.found().step)
    assert ["createSecret", "setSecret", "setSecret", "setSecret"] == steps
    assert 2 == world.writes


def test_a_step_speaks_only_of_the_pending_version(world: World) -> None:
    """A step of another version is not kept, and the step ends with the rotation."""
    world.secrets.move(NAME, AWSPENDING, "v2")
    world.recorder.record(announcement(NAME, version_id="v2", step="setSecret"))
    world.secrets.move(NAME, AWSPENDING, "v3")
    world.recorder.record(announcement(NAME, version_id="v2", step="testSecret"))
    assert world.found().step is None
    world.recorder.record(announcement(NAME, version_id="v3", step="setSecret"))
    assert "setSecret" == world.found().step
    world.rotate("v3")
    world.recorder.record(announcement(NAME, version_id="v3", step="finishSecret"))
    assert world.found().step is None
    assert "v3" == world.current


def test_an_unknown_step_is_refused() -> None:
    """A typing error in a rotation function shows at once."""
    with pytest.raises(ConfigurationError, match="setSecret"):
        announcement(NAME, step="set_secret")


def test_a_denied_look_is_an_error_and_writes_nothing(world: World) -> None:
    """The event is to be delivered again, or set aside."""
    world.secrets.fail = AccessDeniedError
    with pytest.raises(AccessDeniedError):
        world.recorder.record(moved(world, "v1"))
    assert 0 == world.writes


def test_a_secret_without_a_value_has_a_marker(world: World) -> None:
    """No labels yet is a fact as well."""
    world.catalog.late.append(world.described()._replace(stages={}))
    world.recorder.record(Hint(world.arn))
    assert {} == world.found().stages


def test_a_secret_that_flees_its_key_is_an_error(world: World) -> None:
    """Answers that name another secret each time are not followed for ever."""
    names = iter(f"name{n}" for n in range(100))

    def fleeing() -> None:
        name = next(names)
        world.catalog.late = deque([Described(f"{world.key}/{name}-AbCdEf", name, {})])

    world.catalog.before_answer = fleeing
    with pytest.raises(Exception, match="names another secret"):
        world.recorder.record(Hint(world.arn))
    assert 0 == world.writes


def test_a_parameters_marker_is_the_events_id(world: World) -> None:
    """Each event moves the token once; a doubled one writes nothing; Delete shows."""
    hints = [ParameterHint(PARAMETER, "id-1"), ParameterHint(PARAMETER, "id-2", deleted=True)]
    outcomes = [world.recorder.record_parameter(hint).outcome for hint in (hints[0], hints[0], hints[1])]
    assert [Outcome.WRITTEN, Outcome.UNCHANGED, Outcome.WRITTEN] == outcomes
    found = world.table.look(PARAMETER).marker
    assert found is not None
    assert ("id-2", True, {}, PARAMETER) == (found.token, found.deleted, found.stages, found.arn)
    world.recorder.record_parameter(ParameterHint(PARAMETER, "id-3"))
    found = world.table.look(PARAMETER).marker
    assert found is not None
    assert not found.deleted
