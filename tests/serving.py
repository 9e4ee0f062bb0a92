"""Servers of the standard library that answer for the length of a block, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import Final

POLL_S: Final = 0.01
"""How often the server looks whether it is to end: a test waits for that."""


@contextmanager
def answering(server: BaseServer) -> Iterator[None]:
    """Let the server answer while the block runs, then close it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
