"""The keys of a secret: which versions may have signed, each once, as fresh as any copy, at what cost."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine, Generator
from contextlib import suppress

import pytest

from keyturn import (
    AccessDeniedError,
    ConfigurationError,
    KeyMismatchError,
    KeyturnError,
    SecretNotFoundError,
    SecretVersion,
    UnavailableError,
)
from tests.verifying.conftest import MakeVerifier
from tests.verifying.verifiers import AnyKeys, Message
from tests.world import NAME, World


def ids(versions: tuple[SecretVersion, ...]) -> list[str]:
    """The ids of these versions."""
    return [one.version_id for one in versions]


class NoMatchError(Exception):
    """The check's own error for another key."""


class ExpiredError(Exception):
    """The check's own error for a message of the right key that is too old."""


def test_all_labels_each_version_once(world: World, verifier: MakeVerifier) -> None:
    """CURRENT, PENDING and PREVIOUS in this order; a version with two labels is there once."""
    keys = verifier().keys
    assert ["v1"] == ids(keys.all())
    world.secrets.put(NAME, "two", "v2")
    world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    world.clock.advance(301)
    assert ["v2", "v3", "v1"] == ids(keys.all())
    world.secrets.move(NAME, "AWSPENDING", "v2")
    world.clock.advance(301)
    assert ["v2", "v1"] == ids(keys.all())
    assert "v2" == keys.current().version_id


def test_a_message_of_the_current_version_costs_a_hit(world: World, verifier: MakeVerifier) -> None:
    """However many messages: no request beyond the read of AWSCURRENT."""
    checked = verifier()
    good = Message.signed("hello", "one")
    for _ in range(50):
        assert checked.takes(good)
    assert 1 == world.reads


@pytest.mark.parametrize("stage", ["AWSPENDING", "AWSPREVIOUS"])
def test_a_message_of_another_label(world: World, verifier: MakeVerifier, stage: str) -> None:
    """It fits after one look; the next of its kind cost nothing."""
    checked = verifier()
    if stage == "AWSPENDING":
        world.secrets.put(NAME, "two", "v2", "AWSPENDING")
        message = Message.signed("hello", "two")
    else:
        world.secrets.put(NAME, "two", "v2")
        message = Message.signed("hello", "one")
    checked.keys.current()
    assert checked.takes(message)
    reads = world.reads
    for _ in range(20):
        assert checked.takes(message)
    assert reads == world.reads


def test_a_new_version_is_found_by_its_message(world: World, verifier: MakeVerifier) -> None:
    """Nobody announced it: the first message of the new key makes this look, and fits, as the old does."""
    checked = verifier(table=False)
    assert checked.takes(Message.signed("a", "one"))
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("b", "two"))
    assert checked.takes(Message.signed("c", "one"))
    assert "v2" == checked.keys.current().version_id


def test_a_message_that_nothing_fits(world: World, verifier: MakeVerifier) -> None:
    """It is refused by an error that shows neither the message nor a key, after one look."""
    checked = verifier()
    world.secrets.put(NAME, "the-key-itself", "v2")
    said = "no version that fits this message: 2 of its versions"
    with pytest.raises(KeyMismatchError, match=said) as raised:
        checked.keys.verify(Message.signed("a", "forged").is_signed_by)
    assert "the-key-itself" not in str(raised.value)
    assert raised.value.secret_id == NAME
    assert world.reads <= 4


def test_a_forger_costs_one_look_a_second(world: World, verifier: MakeVerifier) -> None:
    """A hundred forged messages, one after the other, cause a hundred looks: one a second, two reads each."""
    checked = verifier(check_interval_s=3600)
    checked.keys.all()
    reads, began_s = world.reads, world.clock.monotonic_s
    for _ in range(100):
        assert not checked.takes(Message.signed("a", "forged"))
    passed_s = world.clock.monotonic_s - began_s
    assert 100 <= passed_s
    assert world.reads - reads <= 2 * passed_s + 2


def test_the_checks_own_error_is_raised(world: World, verifier: MakeVerifier) -> None:
    """The error with AWSCURRENT: so handlers of a library's errors work on. Others are raised at once."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    tried = list[str]()

    def check(version: SecretVersion) -> None:
        tried.append(version.version_id)
        if version.version_id == "v2":
            raise ExpiredError
        raise NoMatchError(version.version_id)

    with pytest.raises(ExpiredError):
        verifier().keys.verify(check, mismatch=NoMatchError)
    assert ["v1", "v2"] == tried
    with pytest.raises(NoMatchError, match="v1"):
        verifier().keys.verify(check)


@pytest.mark.parametrize("result", [None, b"", 0, "", ()])
def test_only_false_is_a_mismatch(verifier: MakeVerifier, result: object) -> None:
    """A check may return nothing, or something empty: an empty plain text is a success."""
    assert result == verifier().keys.verify(lambda _: result)


def test_an_async_check_verifies_nothing(world: World, verifier: MakeVerifier) -> None:
    """Its coroutine is true whatever it would return: it is refused, also where every error is a mismatch."""

    async def refuses(_version: SecretVersion) -> bool:
        raise AssertionError("nobody runs this")

    def of_another_kind(version: SecretVersion) -> object:
        return Awaited(refuses(version))

    for check in (refuses, of_another_kind):
        with pytest.raises(ConfigurationError, match="check is async, so it has decided nothing"):
            verifier().keys.verify(check)
    assert world.reads <= 2


class Awaited:
    """What is awaited, and is no coroutine itself: a future, say."""

    def __init__(self, coroutine: Coroutine[object, object, object]) -> None:
        coroutine.close()

    def __await__(self) -> Generator[None]:
        yield


def test_by_id(world: World, verifier: MakeVerifier) -> None:
    """The version id is the key id: an id of any label is found, one that is new after one look."""
    keys = verifier().keys
    assert "one" == keys.by_id("v1").text()
    world.secrets.put(NAME, "two", "v2")
    assert "two" == keys.by_id("v2").text()
    assert "one" == keys.by_id("v1").text()
    with pytest.raises(KeyMismatchError, match="no version that may sign has this key id") as raised:
        keys.by_id("forged")
    assert "forged" not in str(raised.value)


def test_a_version_without_a_label_signs_nothing_more(world: World, verifier: MakeVerifier) -> None:
    """After two rotations the first version is refused, by its id and by its signature."""
    checked = verifier()
    assert checked.takes(Message.signed("a", "one"))
    world.secrets.put(NAME, "two", "v2")
    world.secrets.put(NAME, "three", "v3")
    world.clock.advance(301)
    assert checked.takes(Message.signed("a", "two"))
    assert not checked.takes(Message.signed("a", "one"))
    with pytest.raises(KeyMismatchError):
        checked.keys.by_id("v1")


def test_previous_for_a_while(world: World, verifier: MakeVerifier) -> None:
    """AWSPREVIOUS counts for so many seconds after this process saw the move."""
    checked = verifier(previous_for_s=60, table=False)
    old = Message.signed("a", "one")
    assert checked.takes(old)
    checked.keys.all()
    world.clock.advance(200)
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("b", "two"))
    world.clock.advance(55)
    assert checked.takes(old)
    assert ["v2", "v1"] == ids(checked.keys.all())
    world.clock.advance(10)
    assert not checked.takes(old)
    assert ["v2"] == ids(checked.keys.all())


def test_previous_by_the_created_date(world: World, verifier: MakeVerifier) -> None:
    """A process that did not see the move counts from the CreatedDate of AWSCURRENT."""
    world.clock.advance(10)
    world.secrets.put(NAME, "two", "v2")
    world.clock.advance(100)
    old = Message.signed("a", "one")
    assert not verifier(previous_for_s=60).takes(old)
    assert verifier(previous_for_s=600).takes(old)


def test_previous_not_at_all(world: World, verifier: MakeVerifier) -> None:
    """With 0 the old key is refused as soon as the move is known: after a leak."""
    checked = verifier(previous_for_s=0, table=False)
    assert checked.takes(Message.signed("a", "one"))
    checked.keys.all()
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("b", "two"))
    assert not checked.takes(Message.signed("a", "one"))
    assert ["v2"] == ids(checked.keys.all())


@pytest.mark.parametrize("wrong", [-1, "60", float("nan"), True])
def test_a_wrong_duration(verifier: MakeVerifier, wrong: float) -> None:
    """What is no duration is refused at once."""
    with pytest.raises(ConfigurationError, match="previous_for_s is"):
        verifier(previous_for_s=wrong)


def test_a_cancelled_rotation_takes_its_key_back(world: World, verifier: MakeVerifier) -> None:
    """AWSPENDING was removed: within one check interval its version signs nothing more."""
    checked = verifier()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    message = Message.signed("a", "two")
    assert checked.takes(message)
    world.secrets.move(NAME, "AWSPENDING", None)
    world.clock.advance(5)
    assert not checked.takes(message)


def test_a_marker_makes_all_look_again(world: World, verifier: MakeVerifier) -> None:
    """The marker tells of a pending version: `all` has it at the next check, and nothing is read before."""
    world.mark()
    keys = verifier().keys
    assert ["v1"] == ids(keys.all())
    reads = world.reads
    world.clock.advance(5)
    assert ["v1"] == ids(keys.all())
    world.clock.advance(5)
    reads = world.reads
    assert ["v1"] == ids(keys.all())
    assert reads == world.reads
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    world.mark()
    world.clock.advance(5)
    assert ["v1", "v2"] == ids(keys.all())


def test_a_version_made_right_after_a_look(world: World, verifier: MakeVerifier) -> None:
    """A look found no AWSPENDING, and then there is one: the next look does not take the first one's word."""
    checked = verifier()

    def take_a_while(_: str) -> None:
        world.clock.advance(0.2)

    world.secrets.fail = take_a_while
    assert not checked.takes(Message.signed("a", "forged"))
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    assert checked.takes(Message.signed("a", "two"))


def test_a_look_right_after_a_login(world: World, verifier: MakeVerifier) -> None:
    """A login had AWSCURRENT read, before the new version: the look waits until it may read again."""
    checked = verifier(table=False)
    assert checked.takes(Message.signed("a", "one"))

    def refuse(_: SecretVersion) -> None:
        raise NoMatchError

    with pytest.raises(KeyturnError):
        checked.cache.login(NAME, refuse, is_refused=lambda _: True, budget_s=0)
    world.clock.advance(0.1)
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("a", "two"))


def test_denied_for_long_is_no_key_any_more(world: World, verifier: MakeVerifier) -> None:
    """Access to the secret was taken away: after `max_denied_s` nothing verifies, not even by AWSPREVIOUS."""
    checked = verifier(table=False)
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("a", "one"))
    world.secrets.fail = AccessDeniedError
    for _ in range(3):
        world.clock.advance(301)
        with suppress(AccessDeniedError):
            checked.keys.current()
    with pytest.raises(AccessDeniedError):
        checked.takes(Message.signed("a", "one"))


def test_an_outage_refuses_no_known_key(world: World, verifier: MakeVerifier) -> None:
    """While nothing can be read, the known versions go on to count."""
    checked = verifier(table=False)
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("a", "one"))
    world.secrets.fail = lambda one: UnavailableError(one, "down")
    for _ in range(5):
        world.clock.advance(400)
        assert checked.takes(Message.signed("a", "two"))
        assert checked.takes(Message.signed("a", "one"))
    assert not checked.takes(Message.signed("a", "forged"))


def test_a_secret_that_is_not_there(world: World, verifier: MakeVerifier) -> None:
    """The error of the read is raised, and no message is taken for forged."""
    world.secrets.purge(NAME)
    keys: AnyKeys = verifier().keys
    for call in (keys.current, keys.all, lambda: keys.verify(lambda _: True), lambda: keys.by_id("v1")):
        with pytest.raises(SecretNotFoundError):
            call()


def test_a_secret_made_anew_takes_no_old_key(world: World, verifier: MakeVerifier) -> None:
    """Deleted and made anew under its name, with the same version id: what the old one signed is refused."""
    checked = verifier(table=False)
    assert checked.takes(Message.signed("a", "one"))
    checked.keys.all()
    world.secrets.purge(NAME)
    world.secrets.create(NAME, "new", "v1")
    world.clock.advance(301)
    assert checked.takes(Message.signed("a", "new"))
    assert not checked.takes(Message.signed("a", "one"))
    assert ["v1"] == ids(checked.keys.all())


def test_a_label_moved_back(world: World, verifier: MakeVerifier) -> None:
    """A rollback: AWSCURRENT is on the old version again, and both go on to count."""
    checked = verifier(table=False)
    world.secrets.put(NAME, "two", "v2")
    assert checked.takes(Message.signed("a", "one"))
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(400)
    for _ in range(3):
        assert checked.takes(Message.signed("a", "one"))
        assert checked.takes(Message.signed("a", "two"))
        world.clock.advance(7)


def test_names_show_no_value(world: World, verifier: MakeVerifier) -> None:
    """The repr of the keys, and of what they return, shows no value."""
    world.secrets.put(NAME, "the-key-itself", "v2")
    keys = verifier().keys
    assert "the-key-itself" not in f"{keys!r} {keys.all()!r}"


def test_a_traceback_shows_no_value(world: World, verifier: MakeVerifier) -> None:
    """An error tracker that shows the locals of a traceback shows no key, of a mismatch or another error."""
    world.secrets.put(NAME, "the-key-itself", "v2")

    def check(version: SecretVersion) -> None:
        key = version.text()
        if key:
            raise NoMatchError

    keys = verifier().keys
    for kinds in (NoMatchError, LookupError):
        with pytest.raises(NoMatchError) as raised:
            keys.verify(check, mismatch=kinds)
        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert "the-key-itself" not in "".join(shown.format())


def test_what_ends_a_check_shows_no_value(world: World, verifier: MakeVerifier) -> None:
    """Nor does a deadline of gevent, or Ctrl-C, that an application handles further up."""
    world.secrets.put(NAME, "the-key-itself", "v2")

    class DeadlineError(BaseException):
        pass

    def check(version: SecretVersion) -> None:
        key = version.text()
        if key:
            raise DeadlineError

    with pytest.raises(DeadlineError) as raised:
        verifier().keys.verify(check)
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert "the-key-itself" not in "".join(shown.format())


def test_keys_are_iterated(world: World) -> None:
    """Threads may write `for key in keys`."""
    assert ["v1"] == [one.version_id for one in world.cache().keys(NAME)]
