"""One address, behind which now one server answers and now another, as after a failover."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from keyturn.testing.embedded import LOCALHOST


class Relay:
    """Passes each new connection on to the server at `ports[to]`. Connections that are open stay."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self._ports = ports
        self._to = 0
        self._open: set[asyncio.StreamWriter] = set()

    def switch(self, to: int) -> None:
        """Let the server with this number answer from now on."""
        self._to = to

    async def serve(self, is_ready: threading.Event, ended: asyncio.Event) -> None:
        """Serve at a free port until `ended` is set."""
        server = await asyncio.start_server(self._pass_on, LOCALHOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        is_ready.set()
        await ended.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        # The loop closes a socket in its next round.
        await asyncio.sleep(0.05)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection(LOCALHOST, self._ports[self._to])
            self._open |= {writer, forth}
            await asyncio.gather(_copy(reader, forth), _copy(back, writer))
            self._open -= {writer, forth}
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until the end, then the end."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def relaying(ports: Sequence[int]) -> Iterator[Relay]:
    """A relay in a thread of its own."""
    relay, is_ready, ended = Relay(ports), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(relay.serve(is_ready, ended)), daemon=True
    )
    thread.start()
    try:
        assert is_ready.wait(10), "the relay did not start"
        yield relay
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
