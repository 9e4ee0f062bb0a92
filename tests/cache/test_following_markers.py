"""Markers make a cache ask; only Secrets Manager's answers are believed."""

from __future__ import annotations

import pytest

from keyturn import Peers, SecretCache, SecretDeletedError, UnavailableError
from keyturn.model.markers import Marker
from keyturn.model.versions import SecretVersion
from tests.world import NAME, World, held

CALLS_PER_MARKER_MAX = 7
"""One pinned read and one by stage at once, then one at 0.25, 0.75, 1.75, 3.75 and 7.75 s."""


class LaggingSecrets:
    """Secrets Manager of which some reads still show the past."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.past: SecretVersion | None = None

    def remember(self) -> None:
        """From now on, show this moment."""
        self.past = self.world.secrets.read(NAME, stage="AWSCURRENT")
        self.world.secrets.calls.clear()

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        now = self.world.secrets.read
        if self.past is None or version_id not in (None, self.past.version_id):
            return now(secret_id, stage=stage, version_id=version_id)
        self.world.secrets.calls["GetSecretValue"] += 1
        return self.past


def lagging(world: World) -> tuple[LaggingSecrets, SecretCache]:
    """A cache, covered at v1, whose Secrets Manager can be held back in the past."""
    source = LaggingSecrets(world)
    world.mark()
    cache = SecretCache(
        peers=Peers(source=source, markers=world.table, clock=world.clock, random=lambda: 0.0)
    )
    cache.get(NAME)
    world.clock.advance(5)
    cache.get(NAME)
    return source, cache


def test_a_marker_of_a_version_nobody_made_changes_nothing(world: World) -> None:
    """A forged marker costs a bounded number of calls, no value, and only the long TTL."""
    cache = world.covered()
    world.secrets.calls.clear()
    world.table.set(world.key, world.arn, {"AWSCURRENT": "forged"})
    for _ in range(600):
        world.clock.advance(0.1)
        assert "one" == cache.get_secret_string(NAME)
    assert CALLS_PER_MARKER_MAX >= world.reads > 1
    assert "the marker names another version" == held(cache).why
    assert held(cache).bound_s < 400


def test_a_marker_back_at_the_previous_version_never_takes_the_reader_back(world: World) -> None:
    """The marker names the version before: asked, disbelieved, forgotten, and the value stays."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    world.secrets.calls.clear()
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
    for _ in range(100):
        world.clock.advance(1)
        assert "two" == cache.get_secret_string(NAME)
    assert CALLS_PER_MARKER_MAX >= world.reads


def test_a_reader_ahead_of_its_marker_asks_no_more(world: World) -> None:
    """Read by TTL before the listener wrote: the old marker is behind, and causes no further call."""
    cache = world.covered()
    world.rotate("v2", "two", mark=False)
    cache.invalidate(NAME)
    assert "two" == cache.get_secret_string(NAME)
    world.secrets.calls.clear()
    world.pass_time(cache, 60)
    assert 0 == world.reads
    world.mark()
    world.secrets.calls.clear()
    world.pass_time(cache, 60)
    assert 0 == world.reads
    assert held(cache).covered


def test_a_marker_of_another_arn_is_not_believed(world: World) -> None:
    """A marker that names a foreign ARN makes the reader ask, and nothing else."""
    cache = world.covered()
    world.table.set(world.key, world.arn[:-6] + "zzzzzz", {"AWSCURRENT": "v1"})
    world.pass_time(cache, 60)
    assert ("one", world.arn) == (cache.get(NAME).string, cache.get(NAME).arn)
    assert 1 + CALLS_PER_MARKER_MAX >= world.reads


def test_secrets_manager_behind_the_marker_is_asked_again(world: World) -> None:
    """The event was faster than Secrets Manager's own caches: asked again, widening, until it shows."""
    source, cache = lagging(world)
    source.remember()
    world.clock.advance(1)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    world.secrets.move(NAME, "AWSCURRENT", "v2")
    source.past = None
    world.clock.advance(0.26)
    assert "two" == cache.get_secret_string(NAME)


def test_a_busy_reader_asks_no_faster(world: World) -> None:
    """100 gets in a second ask at once and after 0.25 and 0.75 s: the asks outlast Secrets Manager's lag."""
    source, cache = lagging(world)
    source.remember()
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
    world.clock.advance(5)
    for _ in range(100):
        assert "one" == cache.get_secret_string(NAME)
        world.clock.advance(0.01)
    assert 1 + 3 == world.reads
    world.rotate("v2", "two", mark=False)
    source.past = None
    world.clock.advance(4)
    assert "two" == cache.get_secret_string(NAME)


def test_a_pinned_read_sees_the_new_version_before_a_plain_one(world: World) -> None:
    """Reads by stage still show the past, the pinned read of the marker's version does not: one call."""
    source, cache = lagging(world)
    source.remember()
    world.rotate("v2", "two")
    world.secrets.calls.clear()
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    assert 1 == world.reads


def test_an_old_answer_does_not_pass_for_news_after_a_roll_back(world: World) -> None:
    """The marker agrees, and has seen the answered version leave: it is not behind, the answer is old."""
    world.rotate("v2", "two")
    source = LaggingSecrets(world)
    source.remember()
    past, source.past = source.past, None
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    rolled_back = Marker(world.key, world.arn, {"AWSCURRENT": "v1", "AWSPREVIOUS": "v2"}, left=("v2",))
    world.table.write([(world.table.look(world.key), rolled_back)])
    cache = SecretCache(
        peers=Peers(source=source, markers=world.table, clock=world.clock, random=lambda: 0.0)
    )
    cache.get(NAME)
    world.pass_time(cache, 5)
    source.past = past
    cache.invalidate(NAME)
    assert "v2" == cache.get(NAME).version_id
    source.past = None
    world.pass_time(cache, 15)
    assert "v1" == cache.get(NAME).version_id


def test_a_deletion_is_believed_at_the_first_answer(world: World) -> None:
    """The read of the marker's version tells of it: the secret is gone, though the next read would fail."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.secrets.delete(NAME)
    answers = iter([None])
    world.secrets.fail = lambda _: next(answers, UnavailableError(NAME, "down"))
    world.clock.advance(5)
    with pytest.raises(SecretDeletedError):
        cache.get(NAME)


def test_an_old_answer_does_not_take_the_reader_back(world: World) -> None:
    """After the new version was served, a late replica's old answer is doubted, then outvoted."""
    source, cache = lagging(world)
    source.remember()
    past = source.past
    source.past = None
    world.rotate("v2", "two")
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    source.past = past
    world.clock.advance(2)
    cache.invalidate(NAME)
    assert "two" == cache.get_secret_string(NAME)
    source.past = None
    world.clock.advance(6)
    assert "two" == cache.get_secret_string(NAME)
    assert "two" == cache.get_secret_string(NAME)


def test_an_old_answer_given_again_too_early_counts_for_nothing(world: World) -> None:
    """Caches repeat themselves: the same old answer is believed when it is given a settle time later."""
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False)
    cache.get(NAME)
    world.clock.advance(1)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    cache.invalidate(NAME)
    assert "two" == cache.get_secret_string(NAME)
    world.clock.advance(3)
    # The wall clock runs ahead: the pause seems to be over, but the monotonic clock knows better.
    world.clock.step(3)
    reads = world.reads
    assert ("two", reads + 1) == (cache.get_secret_string(NAME), world.reads)
    world.clock.advance(3)
    assert "one" == cache.get_secret_string(NAME)


def test_a_clock_set_back_does_not_make_an_old_answer_true(world: World) -> None:
    """NTP sets the wall clock back by an hour: the copy is served on, at its true age, until the TTL."""
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False)
    cache.get(NAME)
    world.clock.advance(1)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.step(-3600)
    assert "two" == cache.get_secret_string(NAME)
    assert 1 == held(cache).age_s
    world.clock.advance(299)
    assert "one" == cache.get_secret_string(NAME)


def test_an_older_version_never_seen_before_is_doubted_as_well(world: World) -> None:
    """A cache that started on v2 takes v1 for an old answer by its creation date."""
    source = LaggingSecrets(world)
    source.remember()
    past = source.past
    source.past = None
    world.rotate("v2", "two", mark=False)
    cache = SecretCache(peers=Peers(source=source, clock=world.clock, random=lambda: 0.0))
    assert "two" == cache.get_secret_string(NAME)
    source.past = past
    cache.invalidate(NAME)
    assert "two" == cache.get_secret_string(NAME)


def test_a_rollback_is_believed_when_said_twice(world: World) -> None:
    """AWSCURRENT really moved back: served after one settle time, by two reads more than a rotation."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.advance(5)
    cache.get(NAME)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.mark()
    world.secrets.calls.clear()
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    world.clock.advance(5.9)
    assert "two" == cache.get_secret_string(NAME)
    world.clock.advance(0.1)
    assert "one" == cache.get_secret_string(NAME)
    assert 2 == world.reads
    world.pass_time(cache, 100, sweep=True)
    assert held(cache).covered
    assert 2 == world.reads


def test_a_tombstone_of_a_living_secret_changes_nothing(world: World) -> None:
    """A marker that says deleted is a question like any other."""
    cache = world.covered()
    world.table.set(world.key, world.arn, {}, deleted=True)
    world.pass_time(cache, 60)
    assert "one" == cache.get_secret_string(NAME)


def test_a_deletion_is_noticed_and_a_restoration_too(world: World) -> None:
    """Scheduled for deletion: a typed error at the next check; restored: served again."""
    cache = world.covered()
    world.secrets.delete(NAME)
    world.mark()
    world.clock.advance(5)
    for _ in range(3):
        with pytest.raises(SecretDeletedError, match="prod/db"):
            cache.get(NAME)
    world.secrets.restore(NAME)
    world.clock.advance(1)
    assert "one" == cache.get_secret_string(NAME)


def test_a_restored_table_is_followed(world: World) -> None:
    """A table set back to an earlier state (same epoch, lower counter): its new changes are seen."""
    cache = world.covered()
    items, head = dict(world.table.items), world.table.head
    for number in range(5):
        world.table.set("arn:other", "arn:other-abcdef", {"AWSCURRENT": str(number)})
    world.pass_time(cache, 5)
    world.table.items, world.table.head = items, head
    world.rotate("v2", "two")
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    assert 1 == world.table.calls["head, consistent"]


def test_a_lost_and_remade_table_is_followed(world: World) -> None:
    """A new head (another epoch) makes every marker read again."""
    cache = world.covered()
    world.table.items, world.table.head = {}, None
    world.pass_time(cache, 5)
    assert not held(cache).covered
    world.rotate("v2", "two")
    world.pass_time(cache, 15)
    assert "two" == cache.get_secret_string(NAME)
    assert held(cache).covered
