"""docs/verifying.md is true: each recipe runs, through a rotation, and refuses what is forged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import cast

import jwt
import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core import signing
from django.core.signals import request_started
from itsdangerous import BadSignature, URLSafeTimedSerializer

from keyturn import KeyMismatchError, Peers, SecretCache
from tests.docs.pages import python_blocks
from tests.world import World

FERNET_KEYS = [Fernet.generate_key().decode() for _ in range(3)]
LONG = "a-key-of-at-least-32-bytes-number-{}"

Page = dict[str, Callable[..., object]]


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    """The names that the page makes, with a cache that reads a world in memory."""
    world.clock.wall_s = time.time()
    for name in ("webhooks", "tokens", "sessions", "django"):
        world.secrets.create(f"prod/{name}", LONG.format(0), "v0")
    world.secrets.create("prod/fields", FERNET_KEYS[0], "v0")
    cache = SecretCache(
        peers=Peers(source=world.secrets, clock=world.clock, sleep=world.clock.advance, random=lambda: 0.0)
    )
    names: dict[str, object] = {"made_cache": cache}
    if not settings.configured:
        settings.configure(USE_TZ=True)
    kept = settings.SECRET_KEY if "SECRET_KEY" in vars(settings) else ""
    for example in python_blocks("docs/verifying.md"):
        text = example.replace('SecretCache(marker_table="keyturn-markers")', "made_cache")
        exec(compile(text, "docs/verifying.md", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    yield cast("Page", names)
    request_started.disconnect(dispatch_uid="keyturn")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = kept, []


def rotate(world: World, name: str, number: int, *, key: str | None = None) -> None:
    """Make the next version current, unannounced."""
    world.secrets.put(f"prod/{name}", key or LONG.format(number), f"v{number}")


def test_the_first_example(world: World, page: Page) -> None:
    """A body that is signed with the new key, the old key, a guess."""
    is_genuine, signature, hooks = page["is_genuine"], page["signature"], page["hooks"]
    old = hooks.current()  # type: ignore[attr-defined] # the page's own
    assert is_genuine(b"body", signature(old, b"body"))
    rotate(world, "webhooks", 1)
    world.clock.advance(301)
    new = hooks.current()  # type: ignore[attr-defined] # the page's own
    assert "v1" == new.version_id
    assert is_genuine(b"body", signature(new, b"body"))
    assert is_genuine(b"body", signature(old, b"body"))
    for forged in ("0" * 64, "", "é", "\ud800", "0" * 1_000_000):
        assert not is_genuine(b"body", forged)


def test_pyjwt(world: World, page: Page) -> None:
    """By kid and without: a token of each version is taken, one of another key or an unknown kid is not."""
    token_for, by_kid, without = page["token_for"], page["subject_of"], page["subject_without_kid"]
    old = token_for("ann")
    rotate(world, "tokens", 1)
    new = jwt.encode({"sub": "bob"}, LONG.format(1), algorithm="HS256", headers={"kid": "v1"})
    for subject_of in (by_kid, without):
        assert ["bob", "ann"] == [subject_of(new), subject_of(old)]
    forged = jwt.encode({"sub": "eve"}, LONG.format(9), algorithm="HS256", headers={"kid": "v1"})
    for subject_of in (by_kid, without):
        with pytest.raises(jwt.InvalidSignatureError):
            subject_of(forged)
    with pytest.raises(KeyMismatchError):
        by_kid(jwt.encode({"sub": "eve"}, LONG.format(9), algorithm="HS256", headers={"kid": "v9"}))
    expired = jwt.encode({"sub": "ann", "exp": 1}, LONG.format(1), algorithm="HS256", headers={"kid": "v1"})
    before = world.reads
    with pytest.raises(jwt.ExpiredSignatureError):
        without(expired)
    assert before == world.reads


def test_fernet(world: World, page: Page) -> None:
    """What the old key sealed is opened and sealed anew; what another key sealed is not."""
    sealed, opened, anew = page["sealed"], page["opened"], page["sealed_anew"]
    token = sealed(b"text")
    rotate(world, "fields", 1, key=FERNET_KEYS[1])
    assert b"text" == opened(Fernet(FERNET_KEYS[1]).encrypt(b"text"))
    assert b"text" == opened(token)
    token = anew(token)
    assert b"text" == Fernet(FERNET_KEYS[1]).decrypt(cast("bytes", token))
    with pytest.raises(InvalidToken):
        opened(Fernet(FERNET_KEYS[2]).encrypt(b"text"))


def test_itsdangerous(world: World, page: Page) -> None:
    """A cookie of each version is taken; a forged one and an old one are not."""
    cookie_of, session_of = page["cookie_of"], page["session_of"]
    cookie = cookie_of({"user": "ann"})
    rotate(world, "sessions", 1)
    assert {"user": "bob"} == session_of(URLSafeTimedSerializer(LONG.format(1)).dumps({"user": "bob"}))
    assert {"user": "ann"} == session_of(cookie)
    with pytest.raises(BadSignature):
        session_of(URLSafeTimedSerializer(LONG.format(9)).dumps({"user": "eve"}))
    page["time"] = FutureTime
    with pytest.raises(PermissionError):
        session_of(cookie)


class FutureTime:
    """In place of `time`: fifteen days later."""

    @staticmethod
    def time() -> float:
        return time.time() + 15 * 86_400


def test_django(world: World, page: Page) -> None:
    """Django's own signer signs with the new key, and takes what it signed with the old one."""
    request_started.send(sender=None)
    old = signing.dumps({"user": "ann"})
    rotate(world, "django", 1)
    world.clock.advance(301)
    request_started.send(sender=None)
    assert (LONG.format(1), [LONG.format(0)]) == (settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS)
    assert {"user": "ann"} == signing.loads(old)
    assert {"user": "bob"} == signing.loads(signing.dumps({"user": "bob"}))
    rotate(world, "django", 2)
    world.clock.advance(301)
    request_started.send(sender=None)
    with pytest.raises(signing.BadSignature):
        signing.loads(old)


def test_stripe(world: World, page: Page) -> None:
    """A header of each version is taken, also with several signatures; forged, old and empty ones are not."""
    verified, signature, hooks = page["verified"], page["signature"], page["hooks"]
    now = int(time.time())
    key = hooks.current()  # type: ignore[attr-defined] # the page's own
    signed = signature(key, f"{now}.".encode() + b"body")
    rotate(world, "webhooks", 1)
    assert b"body" == verified(b"body", f"t={now},v1={'0' * 64},v1={signed},v0=x")
    with pytest.raises(KeyMismatchError):
        verified(b"other", f"t={now},v1={signed}")
    for forged in ("é", "\ud800", ""):
        with pytest.raises(KeyMismatchError):
            verified(b"body", f"t={now},v1={forged}")
    before = world.reads
    times = (f"{now - 301}", "x", "", "9" * 400, "9" * 5000, "²")
    for header in (*(f"t={one},v1={signed}" for one in times), f"v1={signed}", "", "t"):
        with pytest.raises(PermissionError):
            verified(b"body", header)
    assert before == world.reads
