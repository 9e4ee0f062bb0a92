"""Assertions for tests of a rotation. Their failures say what was seen instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.client import SecretCache
from keyturn.testing.parts import parts_of

if TYPE_CHECKING:
    from keyturn.aio.client import AsyncSecretCache
    from keyturn.testing.rotating import RotatingSecret

STEP_S: Final = 1.0


def assert_converges(
    cache: SecretCache | AsyncSecretCache, secret: RotatingSecret, *, within_s: float
) -> float:
    """Let time pass, in steps of a second, until `cache` serves the current version.

    Return the seconds it took. An `AsyncSecretCache` is read through its `sync`, which has the same copies.

    Raises `AssertionError` with both version ids (never a value) if the cache still serves another version
    after `within_s` seconds, and at once if the cache and the secret have different clocks: the test's time
    never passes for a cache on the real clock. Errors of the cache pass through.
    """
    if not isinstance(cache, SecretCache):
        cache = cache.sync
    if parts_of(cache).clock is not secret.clock:
        raise AssertionError(
            f"this cache runs on another clock than the secret {secret.name!r}, so the test's time never "
            "passes for it; use the fixture keyturn_cache, keyturn_make_cache or Peers(clock=keyturn_clock)"
        )
    begun_s = secret.clock.monotonic()
    while True:
        passed_s = secret.clock.monotonic() - begun_s
        served, expected = cache.get(secret.name).version_id, secret.current_version_id
        if served == expected:
            return passed_s
        if passed_s >= within_s:
            raise AssertionError(
                f"secret {secret.name!r}: {served} is still served after {passed_s:g} s, "
                f"AWSCURRENT is {expected}"
            )
        secret.clock.advance(min(STEP_S, within_s - passed_s))


def assert_no_refusals(*secrets: RotatingSecret) -> None:
    """Check that no server of these secrets refused a login.

    Raises `AssertionError` with the refused versions.
    """
    for secret in secrets:
        refused = secret.server.refused
        if refused:
            raise AssertionError(
                f"secret {secret.name!r}: {len(refused)} logins were refused, "
                f"with versions {', '.join(refused)}"
            )
