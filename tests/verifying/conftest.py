from __future__ import annotations

from collections.abc import Callable

import pytest

from keyturn import AsyncSecretCache, Limits, Peers, SecretCache
from tests.aio.loops import LOOPS
from tests.verifying.verifiers import OnALoop, Verifier
from tests.world import World

MakeVerifier = Callable[..., Verifier]


@pytest.fixture
def world() -> World:
    """A secret at version v1."""
    return World()


@pytest.fixture(params=["threads", *LOOPS])
def verifier(request: pytest.FixtureRequest, world: World) -> MakeVerifier:
    """Makes the keys of a secret for threads, and for each kind of loop: called alike."""

    def make(*, previous_for_s: float | None = None, table: bool = True, **limits: float) -> Verifier:
        peers = Peers(
            source=world.secrets,
            markers=world.table if table else None,
            clock=world.clock,
            sleep=world.clock.advance,
            random=lambda: 0.0,
        )
        named = Limits(**{"refresh_wait_s": 20, **limits})  # type: ignore[arg-type] # numbers
        cache = SecretCache(peers=peers, limits=named)
        if request.param == "threads":
            return Verifier(cache, cache.keys("prod/db", previous_for_s=previous_for_s))
        keys = AsyncSecretCache(cache).keys("prod/db", previous_for_s=previous_for_s)
        return Verifier(cache, OnALoop(keys, request.param))

    return make
