"""Whether the endpoint may be sent requests: each secret that it was told to read first has been read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from keyturn.errors import KeyturnError
from keyturn.serve.logs import place_of
from keyturn.serve.queries import VersionQuery
from keyturn.serve.reading import Reader

log = logging.getLogger("keyturn.serve")

PAUSE_S: Final = 2.0
"""Seconds between two tries. The cache behind the reader asks AWS less often while AWS does not answer."""


class Readiness:
    """Reads secrets at the start. It stays ready for ever: known versions are served whatever AWS does.

    Args:
        reader: reads for this endpoint.
        secret_ids: what must have been read. None at all makes the endpoint ready at once.
        sleep: waits so many seconds.
    """

    def __init__(
        self, reader: Reader, secret_ids: Iterable[str], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._reader = reader
        self._missing = set(secret_ids)
        self._sleep = sleep

    def is_ready(self) -> bool:
        """Return True once each of the secrets was read."""
        return not self._missing

    async def read(self) -> None:
        """Read the secrets, at the same time, and again those that cannot be read."""
        while True:
            await asyncio.gather(*(self._read(one) for one in tuple(self._missing)))
            if not self._missing:
                return
            await self._sleep(PAUSE_S)

    async def _read(self, secret_id: str) -> None:
        try:
            await self._reader.secret(secret_id, VersionQuery())
        except KeyturnError as error:
            log.warning("not ready: %s", error)
        except Exception as error:  # noqa: BLE001 # no thread can be started, say: the next try may have room
            # Its words may quote anything.
            log.warning("not ready: %s", place_of(error))
        else:
            self._missing.discard(secret_id)
