"""The event loop never waits for AWS, and no more threads do than were allowed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import httpx

from keyturn.errors import UnavailableError
from tests.serve.endpoint import AUTHORIZED, THREADS, Endpoint
from tests.world import NAME

TIMEOUT_S = 30


class Slow:
    """Reads of the secrets `slow/...` wait here until they are let go."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._gate = threading.Event()
        self.waiting = 0
        endpoint.world.secrets.fail = self._wait

    def let_go(self) -> None:
        self._gate.set()

    def _wait(self, name: str) -> Exception | None:
        if not name.startswith("slow/"):
            return None
        self.waiting += 1
        assert self._gate.wait(TIMEOUT_S)
        return UnavailableError(name, "too slow")


def test_a_slow_read_holds_up_no_hit() -> None:
    """While as many reads as there are threads wait for AWS, hits are answered and further reads queue."""
    endpoint = Endpoint()
    slow = Slow(endpoint)
    assert endpoint.ask(f"/v1/{NAME}").status_code == 200

    async def story(get: Callable[[str], Awaitable[httpx.Response]]) -> list[int]:
        late = [asyncio.ensure_future(get(f"/v1/slow/{number}")) for number in range(THREADS + 3)]
        async with asyncio.timeout(TIMEOUT_S):
            while slow.waiting < THREADS:  # noqa: ASYNC110 # counted by threads
                await asyncio.sleep(0.001)
            assert (await get(f"/v1/{NAME}")).status_code == 200
        assert (slow.waiting, [one for one in late if one.done()]) == (THREADS, [])
        slow.let_go()
        return [(await one).status_code for one in late]

    async def told() -> list[int]:
        transport = httpx.ASGITransport(endpoint.guard)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=AUTHORIZED
        ) as client:
            return await story(client.get)

    assert asyncio.run(told()) == [503] * (THREADS + 3)
