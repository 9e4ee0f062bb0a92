"""`/ready`: an endpoint is ready once it has read what it was told to read first, and stays so."""

from __future__ import annotations

import asyncio
import logging

import pytest

from keyturn.errors import UnavailableError
from keyturn.model.versions import SecretVersion
from keyturn.serve.queries import VersionQuery
from keyturn.serve.readiness import PAUSE_S, Readiness
from keyturn.serve.reading import Reader
from tests.serve.endpoint import AUTHORIZED, Endpoint
from tests.world import NAME, World

OTHER = "prod/api"


def test_an_endpoint_without_secrets_to_read_is_ready_at_once() -> None:
    """Anybody on this host may ask, without a token; it says so in one word."""
    answer = Endpoint().ask("/ready", {})
    assert (200, "ready") == (answer.status_code, answer.text)


def test_it_is_ready_when_each_secret_was_read_and_stays_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """One secret appears late: 503 until then, and the log says why. An outage changes nothing any more."""
    plain = Endpoint(world)
    reader = Reader(plain.cache, plain.versions, threads=2)
    pauses: list[float] = []
    states: list[bool] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        states.append(readiness.is_ready())
        # Time enough for the cache, which asks again for what it did not find.
        world.clock.advance(60)
        if len(pauses) == 3:
            world.secrets.create(OTHER, "one", "v1")

    readiness = Readiness(reader, [NAME, OTHER], pause)
    endpoint = Endpoint(world, given_cache=plain.cache, is_ready=readiness.is_ready)
    before = endpoint.ask("/ready", {})
    assert (503, "not ready") == (before.status_code, before.text)
    with caplog.at_level(logging.WARNING):
        asyncio.run(readiness.read())
    assert ([PAUSE_S] * 3, [False] * 3) == (pauses, states)
    assert 3 == sum("not ready" in line and OTHER in line for line in caplog.messages)
    world.secrets.fail = lambda _: UnavailableError(NAME, "as told")
    assert 200 == endpoint.ask("/ready", {}).status_code
    assert 200 == endpoint.ask(f"/secretsmanager/get?secretId={NAME}", AUTHORIZED).status_code


def test_no_error_ends_the_tries(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Also an error that is not keyturn's: it is logged without its words, and the secret is read again."""

    class Crowded(Reader):
        """A reader that at first gets no thread."""

        async def secret(self, secret_id: str, asked: VersionQuery) -> SecretVersion:
            if not pauses:
                raise RuntimeError("canary: can't start new thread")
            return await super().secret(secret_id, asked)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    pauses: list[float] = []
    plain = Endpoint(world)
    readiness = Readiness(Crowded(plain.cache, plain.versions, threads=2), [NAME], pause)
    with caplog.at_level(logging.WARNING):
        asyncio.run(readiness.read())
    assert ([PAUSE_S], True) == (pauses, readiness.is_ready())
    assert "not ready: RuntimeError in secret:" in caplog.text
    assert "canary" not in caplog.text


def test_only_a_get_of_this_host_is_answered() -> None:
    """As for `/openapi.json`: no other method, no proxy, no other name."""
    endpoint = Endpoint()
    assert 405 == endpoint.ask("/ready", {}, method="POST").status_code
    assert 400 == endpoint.ask("/ready", {"X-Forwarded-For": "10.0.0.1"}).status_code
    assert 421 == endpoint.ask("/ready", {"Host": "evil.example"}).status_code
