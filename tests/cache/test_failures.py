"""What is served, and what is raised, when something does not answer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection
from contextlib import nullcontext

import pytest

from keyturn import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    MarkerTableError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.limits import Limits
from keyturn.cache.tables import Tables
from keyturn.model.markers import MarkersRead
from tests.world import NAME, World, held


def test_an_outage_is_bridged_with_the_known_version(world: World) -> None:
    """Throttles and time-outs: the known version is served up to max_stale_s, then a typed error."""
    cache = world.cache(table=False, max_stale_s=3600)
    cache.get(NAME)
    world.secrets.fail = UnavailableError
    world.pass_time(cache, 3595)
    assert "UnavailableError" in str(held(cache).last_error)
    assert held(cache).bound_s >= 3600
    world.clock.advance(10)
    with pytest.raises(UnavailableError, match="prod/db"):
        cache.get(NAME)


def test_an_outage_causes_few_calls_and_a_recovery_is_quick(world: World) -> None:
    """Retries back off with jitter up to a minute; after the outage all is well within that minute."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.fail = UnavailableError
    world.clock.advance(300)
    world.random = 1.0  # the longest pauses
    reads = world.reads
    world.pass_time(cache, 600, step_s=1)
    assert 8 <= world.reads - reads <= 20
    world.rotate("v2", "two", mark=False)
    world.secrets.fail = lambda secret_id: None
    world.pass_time(cache, 60, step_s=1)
    assert "two" == cache.get_secret_string(NAME)
    assert held(cache).last_error is None


@pytest.mark.parametrize("denial", [AccessDeniedError, DecryptionError])
def test_a_revocation_takes_effect(world: World, denial: type[SecretError]) -> None:
    """Denied or undecryptable: served for max_denied_s, reported, then the typed error; and back again."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.fail = denial
    world.clock.advance(300)
    assert "one" == cache.get_secret_string(NAME)
    assert denial.__name__ in str(held(cache).last_error)
    world.pass_time(cache, 295)
    world.clock.advance(5)
    for _ in range(2):
        with pytest.raises(denial):
            cache.get(NAME)
    world.secrets.fail = lambda secret_id: None
    world.clock.advance(60)
    assert "one" == cache.get_secret_string(NAME)


def test_an_outage_after_a_denial_does_not_prolong_it(world: World) -> None:
    """The clock of max_denied_s runs from the first denial until a success, whatever comes between."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.fail = AccessDeniedError
    world.clock.advance(300)
    cache.get(NAME)
    world.secrets.fail = UnavailableError
    world.pass_time(cache, 295)
    world.clock.advance(60)
    with pytest.raises(UnavailableError):
        cache.get(NAME)


def test_a_failure_evicts_nothing(world: World) -> None:
    """During an outage of one secret the others are hits as before, and the copy survives."""
    world.secrets.create("other", "o")
    cache = world.cache(table=False)
    cache.get(NAME)
    cache.get("other")
    world.secrets.fail = lambda secret_id: UnavailableError(secret_id) if "db" in secret_id else None
    cache.invalidate(NAME)
    assert "one" == cache.get_secret_string(NAME)
    assert "o" == cache.get_secret_string("other")
    assert 3 == world.reads


def test_gone_is_gone_at_once(world: World) -> None:
    """A secret that is not found any more is not served from memory."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.purge(NAME)
    world.clock.advance(300)
    with pytest.raises(SecretNotFoundError):
        cache.get(NAME)
    assert () == cache.status().secrets


def test_a_cold_failure_is_not_repeated_in_a_loop(world: World) -> None:
    """1,000 gets of a secret that does not exist: one call per second, each time a fresh error."""
    cache = world.cache()
    caught: list[SecretError] = []
    for _ in range(1000):
        with pytest.raises(SecretNotFoundError) as error:
            cache.get("prod/typo")
        caught.append(error.value)
        world.clock.advance(0.01)
    assert world.reads <= 11
    assert 1000 == len(set(map(id, caught)))
    assert max(len(traceback.extract_tb(error.__traceback__)) for error in caught) < 12


def test_a_secret_made_later_is_found_within_a_second(world: World) -> None:
    """The memory of a failed cold read is short."""
    cache = world.cache()
    with pytest.raises(SecretNotFoundError):
        cache.get("prod/late")
    world.secrets.create("prod/late", "here")
    world.clock.advance(1)
    assert "here" == cache.get_secret_string("prod/late")


@pytest.mark.parametrize("secret_id", ["", "x" * 2049, "a\nb", 7, None, b"prod/db"])
def test_an_impossible_id_is_told_without_a_call(world: World, secret_id: str) -> None:
    """What no secret can be called is refused before any call, with what to do."""
    with pytest.raises(InvalidSecretIdError, match="What to do"):
        world.cache().get(secret_id)
    assert 0 == world.reads


def test_a_dead_table_is_logged_once_and_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Unreachable table: served on the short TTL, one warning, the reason in status(); nothing raised."""
    cache = world.covered()
    world.table.fail = lambda: MarkerTableError("markers", "unreachable")
    with caplog.at_level(logging.INFO, "keyturn"):
        world.pass_time(cache, 600)
        assert "unreachable" in str(cache.status().table.trouble)
        assert "unreachable" in held(cache).why
        assert not held(cache).covered
        assert 2 <= world.reads <= 4
        world.table.fail = lambda: None
        world.table.sweep()
        world.pass_time(cache, 120, sweep=True)
    assert cache.status().table.trouble is None
    assert held(cache).covered
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 == len(warnings)


def test_a_dead_table_is_asked_ever_less_often(world: World) -> None:
    """Checks of a table that does not answer back off to one a minute: requests are not slowed by it."""
    cache = world.covered()
    world.random = 1.0  # the longest pauses
    world.table.fail = lambda: MarkerTableError("markers", "unreachable")
    world.table.calls.clear()
    world.pass_time(cache, 600, step_s=1)
    assert 8 <= world.table.calls["head"] <= 16


def test_a_denied_marker_is_named_and_the_others_covered(world: World) -> None:
    """One marker denied: that secret on the short TTL with its key in status(), the other covered."""
    other = world.secrets.create("other", "o")
    world.mark()
    world.table.set(other[:-7], other, {"AWSCURRENT": "v1"})
    world.table.denied = frozenset({world.key})
    cache = world.cache()
    cache.get(NAME)
    cache.get("other")
    world.pass_time(cache, 60, sweep=True)
    by_name = {one.name: one for one in cache.status().secrets}
    assert (False, True) == (by_name[NAME].covered, by_name["other"].covered)
    assert world.key in by_name[NAME].why
    assert 2 >= world.table.calls["markers"]


def test_a_partial_answer_leaves_no_marker_unread(world: World) -> None:
    """A batch that left a marker out: uncovered until it was read, asked for again at the next check."""
    cache = world.covered()
    # Of two moves the head tells the second alone, so the marker must be read.
    world.rotate("v1b", "one b")
    world.rotate("v2", "two")
    read = world.table.read_markers
    world.table.read_markers = _unread  # type: ignore[method-assign]
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    assert "the marker was not read yet" == held(cache).why
    world.table.read_markers = read  # type: ignore[method-assign]
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)


def _unread(keys: Collection[str]) -> MarkersRead:
    return MarkersRead({}, unread=frozenset(keys))


def test_a_revocation_is_told_also_between_two_tries(world: World) -> None:
    """While the next try waits, callers get the same error without a call: the same advice, too."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.fail = lambda secret_id: AccessDeniedError(secret_id, "no trust", advice="trust the role")
    world.clock.advance(300)
    assert "one" == cache.get_secret_string(NAME)
    world.random = 1.0  # the longest pauses
    world.clock.advance(301)
    for _ in range(3):
        with pytest.raises(AccessDeniedError, match=r"prod/db.*no trust.*trust the role"):
            cache.get(NAME)
    assert 3 == world.reads


def test_what_is_doubted_is_not_served_beyond_every_limit(world: World) -> None:
    """Nothing may be stale here, and the new answer is not believed yet: there is nothing to serve."""
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False, uncovered_ttl_s=1, max_stale_s=1)
    assert "two" == cache.get_secret_string(NAME)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(1)
    assert "two" == cache.get_secret_string(NAME)
    world.clock.advance(1)
    with pytest.raises(UnavailableError, match="too old"):
        cache.get(NAME)
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)


@pytest.mark.parametrize("failure", [UnavailableError, SecretNotFoundError])
def test_a_failure_brings_back_nothing_that_made_room_meanwhile(
    world: World, failure: type[SecretError]
) -> None:
    """The secret was evicted during its refresh: what is held is what took its place, and nothing else."""
    world.secrets.create("other", "o")
    cache = world.cache(table=False, max_secrets=1)
    cache.get(NAME)
    world.clock.advance(300)

    def evicted_meanwhile(secret_id: str) -> Exception:
        world.secrets.fail = lambda _: None
        cache.get("other")
        return failure(secret_id)

    world.secrets.fail = evicted_meanwhile
    with pytest.raises(failure) if failure is SecretNotFoundError else nullcontext():
        assert "one" == cache.get_secret_string(NAME)
    assert ["other"] == [one.name for one in cache.status().secrets]


def test_a_label_that_goes_takes_its_version_along(world: World) -> None:
    """The rotation was cancelled: AWSPENDING is an error at its next read, AWSCURRENT stays."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    cache = world.cache()
    assert ["one", "two"] == [
        cache.get_secret_string(NAME, stage=stage) for stage in ("AWSCURRENT", "AWSPENDING")
    ]
    world.secrets.move(NAME, "AWSPENDING", None)
    world.clock.advance(5)
    with pytest.raises(StageNotFoundError, match="prod/db"):
        cache.get(NAME, stage="AWSPENDING")
    assert ["AWSCURRENT"] == [one.stage for one in cache.status().secrets]


@pytest.mark.parametrize("failure", [UnavailableError, StageNotFoundError])
def test_a_failure_leaves_what_another_read_brought_meanwhile(
    world: World, failure: type[SecretError]
) -> None:
    """Two reads of one label, by two ids: the one that fails undoes nothing of the other."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    cache = world.cache()
    cache.get(world.arn, stage="AWSPENDING")
    world.clock.advance(5)

    def read_meanwhile(secret_id: str) -> Exception:
        world.secrets.fail = lambda _: None
        world.secrets.put(NAME, "three", "v3", "AWSPENDING")
        assert "three" == cache.get_secret_string(NAME, stage="AWSPENDING")
        return failure(secret_id)

    world.secrets.fail = read_meanwhile
    with pytest.raises(failure) if failure is StageNotFoundError else nullcontext():
        cache.get(world.arn, stage="AWSPENDING")
    reads = world.reads
    assert "three" == cache.get_secret_string(NAME, stage="AWSPENDING")
    assert (reads, None) == (world.reads, held(cache, "AWSPENDING").last_error)


def test_markers_that_cannot_be_read_are_read_at_the_next_check(world: World) -> None:
    """The head says that something moved, the markers do not come: uncovered and shown, then caught up."""
    cache = world.covered()
    world.rotate("v1b", "one b")
    world.rotate("v2", "two")
    read = world.table.read_markers

    def fail(keys: Collection[str]) -> MarkersRead:
        raise MarkerTableError("markers", "throttled")

    world.table.read_markers = fail  # type: ignore[method-assign]
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    assert ("throttled" in held(cache).why, False) == (True, held(cache).covered)
    world.table.read_markers = read  # type: ignore[method-assign]
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    assert held(cache).covered


def ahead(world: World) -> tuple[Cache, Checker]:
    """What is behind a cache with a background thread, whose checks the test does itself."""
    limits, clock = Limits(), world.clock
    cache = Cache(world.secrets, Tables(), limits=limits, clock=clock, random=lambda: 0.0, window_s=10)
    return cache, Checker((cache,), Tables(), limits=limits, clock=clock, window_s=10)


def test_a_refresh_ahead_of_use_tells_what_is_gone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The background finds the secret deleted: logged, not raised there, and the caller is told."""
    cache, checker = ahead(world)
    cache.get(NAME, "AWSCURRENT", checker.waiting())
    world.secrets.delete(NAME)
    world.clock.advance(295)
    checker.check_ahead()
    assert "scheduled for deletion" in caplog.text
    with pytest.raises(SecretDeletedError):
        cache.get(NAME, "AWSCURRENT", checker.waiting())


def test_a_refresh_ahead_of_use_leaves_out_what_a_caller_did(world: World) -> None:
    """Two copies are due; while the background reads one, a caller reads the other: two reads in all."""
    world.secrets.create("other", "o")
    cache, checker = ahead(world)
    for name in (NAME, "other"):
        cache.get(name, "AWSCURRENT", checker.waiting())
    world.clock.advance(300)
    reads = world.reads

    def read_meanwhile(secret_id: str) -> None:
        world.secrets.fail = lambda _: None
        cache.get("other", "AWSCURRENT", checker.waiting())

    world.secrets.fail = read_meanwhile
    checker.check_ahead()
    assert reads + 2 == world.reads


def test_a_slow_background_does_not_close_a_callers_window(world: World) -> None:
    """A caller found the window ended and opened it; the background's older check does not take it back."""
    cache, checker = ahead(world)
    cache.get(NAME, "AWSCURRENT", checker.waiting())
    world.clock.advance(300)

    def check_meanwhile(secret_id: str) -> None:
        world.secrets.fail = lambda _: None
        world.clock.advance(10)
        checker.check_if_due()

    world.secrets.fail = check_meanwhile
    checker.check_ahead()
    assert world.clock.wall() + 10 == cache.holdings.window.closes_at


@pytest.mark.parametrize("error", [MarkerTableError("markers", "no answer"), PermissionError("credentials")])
def test_a_moved_head_covers_nothing_while_its_markers_cannot_be_read(world: World, error: Exception) -> None:
    """An old copy is read again then, whatever the client raised: its marker may be what has moved."""
    cache = world.covered()
    world.pass_time(cache, 400, sweep=True)
    world.rotate("v2", "two")
    failures = iter((None, error))
    world.table.fail = lambda: next(failures, None)
    world.clock.advance(5)
    assert "v2" == cache.get(NAME).version_id


class VaultError(UnavailableError):
    """A source's own error, which takes other arguments than keyturn's."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "the vault is sealed", advice="unseal it")


class BareError(SecretDeletedError):
    """One that has not even the attributes."""

    def __init__(self) -> None:
        Exception.__init__(self)


class SealedError(UnavailableError):
    """One that is made as keyturn's are."""


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (VaultError("kv/db"), UnavailableError, "'prod/db' could not be read now: the vault is sealed. "),
        (BareError(), SecretDeletedError, "'prod/db' is scheduled for deletion: BareError. "),
        (SealedError("kv/db"), SealedError, "'prod/db' could not be read now. "),
    ],
    ids=["other arguments", "no attributes", "the same arguments"],
)
def test_a_sources_own_error_is_one_of_a_secret(
    world: World, raised: SecretError, kind: type[SecretError], said: str
) -> None:
    """The nearest class of keyturn's, with the source's words; a copy is served or dropped by that."""
    world.secrets.fail = lambda _: raised
    cache = world.cache(table=False)
    for _ in range(2):
        with pytest.raises(kind) as caught:
            cache.get(NAME)
        assert type(caught.value) is kind
        assert said in str(caught.value)
    world.secrets.fail = lambda _: None
    world.clock.advance(60)
    cache.get(NAME)
    world.secrets.fail = lambda _: raised
    world.clock.advance(300)
    if kind is SecretDeletedError:
        with pytest.raises(kind):
            cache.get(NAME)
    else:
        assert "one" == cache.get_secret_string(NAME)
