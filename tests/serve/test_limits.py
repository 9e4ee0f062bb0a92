"""Limits of the process and of its threads: file descriptors, requests at work, reads that queue."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from keyturn.errors import ConfigurationError
from keyturn.serve import descriptors
from keyturn.serve.gate import RESERVE_MAX, RESERVE_MIN
from keyturn.serve.queries import ParameterQuery, VersionQuery
from keyturn.serve.reading import Reader
from tests.serve.endpoint import AUTHORIZED, MAX_REQUESTS, Endpoint
from tests.world import NAME


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of this process, as the test sets them; the last one counts."""
    seen = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: seen[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seen.append(limits))
    return seen


def test_the_places_stay_below_the_descriptors(limits: list[tuple[int, int]]) -> None:
    """The soft limit is raised to what can be used, and no further; the hard one is left alone."""
    places = descriptors.provide(800, 32)
    assert 800 + RESERVE_MAX == places
    assert [(1024, 4096), (descriptors.needed(places, 32), 4096)] == limits
    assert descriptors.needed(places, 32) > places + 2 * 32
    descriptors.provide(100, 8)
    descriptors.provide(800, 32)
    assert 2 == len(limits)


def test_the_reserve_is_what_is_left(limits: list[tuple[int, int]]) -> None:
    """Where the hard limit is low, fewer connections may be open; never fewer than the limit and a few."""
    limits.append((1024, 1500))
    places = descriptors.provide(800, 32)
    assert 800 + RESERVE_MIN <= places < 800 + RESERVE_MAX
    assert 1500 == descriptors.needed(places, 32) == limits[-1][0]


def test_too_few_descriptors_are_an_error_that_says_what_fits(limits: list[tuple[int, int]]) -> None:
    """With the number that it names, the server starts."""
    limits.append((1024, 1024))
    with pytest.raises(ConfigurationError, match=r"800 connections need .* may have 1024") as caught:
        descriptors.provide(800, 32)
    fitting = int(str(caught.value).rpartition(" ")[2])
    assert fitting + RESERVE_MIN == descriptors.provide(fitting, 32)
    with pytest.raises(ConfigurationError):
        descriptors.provide(fitting + 1, 32)
    limits.append((64, 64))
    with pytest.raises(ConfigurationError, match="fewer --threads"):
        descriptors.provide(1, 32)


def test_a_limit_that_cannot_be_raised_counts_as_it_is(
    limits: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS refuses some numbers below its hard limit."""

    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(ConfigurationError, match="may have 1024"):
        descriptors.provide(800, 32)
    assert descriptors.needed(descriptors.provide(500, 32), 32) <= limits[0][0]


def test_no_limit_is_enough(limits: list[tuple[int, int]]) -> None:
    """Infinity is a negative number."""
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert 100_000 + RESERVE_MAX == descriptors.provide(100_000, 32)
    limits.append((256, resource.RLIM_INFINITY))
    places = descriptors.provide(800, 32)
    assert (descriptors.needed(places, 32), resource.RLIM_INFINITY) == limits[-1]


def held_by(gate: threading.Event) -> Callable[[str], None]:
    """Reads wait until the gate is open, and then succeed."""

    def wait(_: str) -> None:
        gate.wait(30)

    return wait


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Closed until the end of the test, or until it is set."""
    made = threading.Event()
    yield made
    made.set()


def test_too_many_requests_at_work_are_refused(gate: threading.Event) -> None:
    """The eleventh with the token is 429; who has none learns nothing of it, and /ping is answered."""
    endpoint = Endpoint()
    endpoint.world.secrets.fail = held_by(gate)

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
    endpoint.world.secrets.fail = held_by(gate)

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
