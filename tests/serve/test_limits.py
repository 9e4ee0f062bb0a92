"""Limits of the process and of its threads: file descriptors, requests at work, reads that queue."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Iterator

import httpx
import pytest

from keyturn.errors import ConfigurationError
from keyturn.serve import descriptors
from keyturn.serve.queries import ParameterQuery, VersionQuery
from keyturn.serve.reading import Reader
from tests.serve.endpoint import AUTHORIZED, MAX_REQUESTS, Endpoint
from tests.world import NAME

NOFILE = resource.RLIMIT_NOFILE


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of this process, as the test sets them; the last one counts."""
    seen = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: seen[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seen.append(limits))
    return seen


def test_the_limit_of_connections_stays_below_the_descriptors(limits: list[tuple[int, int]]) -> None:
    """The soft limit is raised to what is needed, and no further; the hard one is left alone."""
    descriptors.provide(800, 32)
    wanted = descriptors.needed(800, 32)
    assert wanted > 800 + 32 + 32
    assert [(1024, 4096), (wanted, 4096)] == limits
    descriptors.provide(100, 8)
    descriptors.provide(800, 32)
    assert 2 == len(limits)


def test_too_few_descriptors_are_an_error_that_says_what_fits(limits: list[tuple[int, int]]) -> None:
    """With the number that it names, the server starts."""
    limits.append((1024, 1024))
    with pytest.raises(ConfigurationError, match="800 connections need .* may have 1024") as caught:
        descriptors.provide(800, 32)
    fitting = int(str(caught.value).rpartition(" ")[2])
    descriptors.provide(fitting, 32)
    with pytest.raises(ConfigurationError):
        descriptors.provide(fitting + 1, 32)
    limits.append((64, 64))
    with pytest.raises(ConfigurationError, match="fewer --threads"):
        descriptors.provide(1, 32)


def test_no_limit_is_enough(limits: list[tuple[int, int]]) -> None:
    """Infinity is a negative number."""
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    descriptors.provide(100_000, 32)
    limits.append((256, resource.RLIM_INFINITY))
    descriptors.provide(800, 32)
    assert (descriptors.needed(800, 32), resource.RLIM_INFINITY) == limits[-1]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Closed until the end of the test, or until it is set."""
    made = threading.Event()
    yield made
    made.set()


def test_too_many_requests_at_work_are_refused(gate: threading.Event) -> None:
    """The eleventh with the token is 429; who has none learns nothing of it, and health checks are answered."""
    endpoint = Endpoint()
    endpoint.world.secrets.fail = lambda _: None if gate.wait(30) else None

    async def story() -> list[int]:
        transport = httpx.ASGITransport(endpoint.guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            at_work = [
                asyncio.create_task(client.get(f"/v1/{NAME}", headers=AUTHORIZED))
                for _ in range(MAX_REQUESTS)
            ]
            await asyncio.sleep(0.1)
            seen = [
                (await client.get(f"/v1/{NAME}", headers=AUTHORIZED)).status_code,
                (await client.get(f"/v1/{NAME}")).status_code,
                (await client.get("/ping")).status_code,
            ]
            gate.set()
            seen += [(await one).status_code for one in at_work]
            seen.append((await client.get(f"/v1/{NAME}", headers=AUTHORIZED)).status_code)
        return seen

    assert [429, 403, 200, *MAX_REQUESTS * [200], 200] == asyncio.run(story())


def test_a_read_does_not_queue_for_ever(gate: threading.Event) -> None:
    """If no thread gets free in time, it is as if AWS had not answered: 503, or the error of it."""
    endpoint = Endpoint()
    endpoint.world.secrets.fail = lambda _: None if gate.wait(30) else None

    async def story() -> list[BaseException | object]:
        reader = Reader(endpoint.cache, endpoint.versions, threads=1, queue_s=0.05)
        first = asyncio.create_task(reader.secret(NAME, VersionQuery()))
        await asyncio.sleep(0.02)
        queued = await asyncio.gather(
            reader.secret("prod/other", VersionQuery()),
            reader.parameter(ParameterQuery(name="/prod/host")),
            return_exceptions=True,
        )
        gate.set()
        return [*queued, (await first).string]

    secret, parameter, value = asyncio.run(story())
    assert ["UnavailableError", "ParameterUnavailableError"] == [
        type(one).__name__ for one in (secret, parameter)
    ]
    assert "no thread was free" in str(secret)
    assert "one" == value
