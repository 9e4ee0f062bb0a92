"""One world for the tests of the cache and its logins: a clock moved by hand, peers in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyturn import HeldStatus, Limits, Peers, SecretCache
from keyturn.model.names import secret_key
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager

NAME = "prod/db"


@dataclass
class World:
    """A secret `prod/db` at version v1, a marker table, and caches with one clock and one random number."""

    clock: FakeClock = field(default_factory=FakeClock)
    secrets: FakeSecretsManager = field(init=False)
    table: FakeMarkers = field(init=False)
    arn: str = field(init=False)
    random: float = 0.0

    def __post_init__(self) -> None:
        self.secrets = FakeSecretsManager(self.clock)
        self.table = FakeMarkers(self.clock)
        self.arn = self.secrets.create(NAME, "one", "v1")

    @property
    def key(self) -> str:
        return secret_key(self.arn, NAME)

    @property
    def reads(self) -> int:
        return self.secrets.calls["GetSecretValue"]

    def cache(self, *, table: bool = True, **limits: float) -> SecretCache:
        peers = Peers(
            source=self.secrets,
            markers=self.table if table else None,
            clock=self.clock,
            random=lambda: self.random,
        )
        # No fake hangs unless a test says so: a busy machine must not be taken for one that does.
        named = Limits(**{"refresh_wait_s": 20, **limits})  # type: ignore[arg-type] # numbers
        return SecretCache(limits=named, peers=peers)

    def mark(self, *, sweep: bool = True) -> None:
        """Write what the listener would write now."""
        described = self.secrets.describe(NAME)
        self.table.set(
            secret_key(described.arn, NAME), described.arn, described.stages, deleted=described.deleted
        )
        if sweep:
            self.table.sweep()

    def rotate(self, version_id: str, value: str, *, mark: bool = True) -> None:
        """Move AWSCURRENT to a new version, a second after whatever was before."""
        self.clock.advance(1)
        self.secrets.put(NAME, value, version_id)
        if mark:
            self.mark()

    def covered(self, **limits: float) -> SecretCache:
        """A cache that holds v1 and has seen its marker."""
        self.mark()
        cache = self.cache(table=True, **limits)
        cache.get(NAME)
        self.clock.advance(5)
        cache.get(NAME)
        return cache

    def pass_time(
        self, cache: SecretCache, seconds: float, *, step_s: float = 5, sweep: bool = False
    ) -> None:
        """Let time pass with a `get` at every step, and the sweep at work if asked."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            if sweep:
                self.table.sweep()
            cache.get(NAME)


def held(cache: SecretCache, stage: str = "AWSCURRENT") -> HeldStatus:
    """What the status says of the one secret's stage."""
    return next(one for one in cache.status().secrets if one.stage == stage)


class AtWork:
    """A background thread that is alive and goes round."""

    def is_at_work(self) -> bool:
        """Return True."""
        return True
