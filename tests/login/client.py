"""One process that logs in to a server in memory, and counts what it tries."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyturn import Peers, SecretCache
from keyturn.model.versions import SecretVersion
from tests.world import NAME, World


class RefusedError(Exception):
    """The server's 'wrong password'."""


def is_refused(error: Exception) -> bool:
    """Whether it is the server's 'wrong password'."""
    return isinstance(error, RefusedError)


@dataclass
class Server:
    """A server that accepts some values; it counts every attempt."""

    accepts: set[str] = field(default_factory=lambda: {"one"})
    attempts: list[str] = field(default_factory=list)

    def connect(self, version: SecretVersion) -> str:
        self.attempts.append(version.version_id)
        if version.text() not in self.accepts:
            raise RefusedError("password authentication failed")
        return f"connected with {version.version_id}"

    def tried(self) -> list[str]:
        tried, self.attempts = self.attempts, []
        return tried


@dataclass
class Client:
    """One process: a cache with a clock that its own pauses move."""

    world: World
    server: Server = field(default_factory=Server)
    table: bool = True
    jitter: float = 0.0

    def __post_init__(self) -> None:
        self.slept_s = 0.0
        peers = Peers(
            source=self.world.secrets,
            markers=self.world.table if self.table else None,
            clock=self.world.clock,
            random=lambda: self.jitter,
            sleep=self.sleep,
        )
        self.cache = SecretCache(peers=peers)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.world.clock.advance(seconds)
        self.woken()

    def woken(self) -> None:
        """What happens in the world while this process waits."""

    def login(self, **policy: object) -> str:
        return self.cache.login(
            NAME,
            self.server.connect,
            is_refused=is_refused,
            **policy,  # type: ignore[arg-type] # as the test gives it
        )
