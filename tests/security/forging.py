"""A process that holds some secrets whose markers somebody forges, and how often it asks for that reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyturn import Limits, Peers, SecretCache
from keyturn.model.markers import Head, Marker
from keyturn.model.names import secret_key
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager, RecordedMetrics

CHECK_INTERVAL_S = 5
STEP_S = 0.25


@dataclass
class Attacked:
    """A busy process with a cache of `held` secrets, of which it has seen the true markers."""

    held: int
    clock: FakeClock = field(default_factory=FakeClock)
    metrics: RecordedMetrics = field(default_factory=RecordedMetrics)

    def __post_init__(self) -> None:
        self.secrets, self.table = FakeSecretsManager(self.clock), FakeMarkers(self.clock)
        self.names = [f"app/{number}" for number in range(self.held)]
        self.arns = {name: self.secrets.create(name, "one") for name in self.names}
        peers = Peers(source=self.secrets, markers=self.table, clock=self.clock, random=lambda: 0.0)
        limits = Limits(refresh_wait_s=20, max_secrets=self.held)
        self.cache = SecretCache(peers=peers, limits=limits, metrics=self.metrics)
        for name in self.names:
            self.mark(name)
        self.table.sweep()
        for _ in range(3):
            self.use()
            self.clock.advance(CHECK_INTERVAL_S)
        self.secrets.calls.clear()
        self.forged = 0

    @property
    def reads(self) -> int:
        """All GetSecretValue since the attack began."""
        return self.secrets.calls["GetSecretValue"]

    def key(self, name: str) -> str:
        return secret_key(self.arns[name], name)

    def mark(self, name: str) -> None:
        """Write what the listener would."""
        described = self.secrets.describe(name)
        self.table.set(self.key(name), described.arn, described.stages)

    def forge(self, *names: str) -> None:
        """Forge a new marker of each, and move the head."""
        self.forged += 1
        for name in names:
            stages = {"AWSCURRENT": f"forged-{self.forged}"}
            marker = Marker(self.key(name), self.arns[name], stages, epoch="forged", sequence=self.forged)
            self.table.items[self.key(name)] = marker
        self.table.head = Head("forged", self.forged, self.clock.wall_s)

    def use(self) -> None:
        """Ask for every secret once."""
        for name in self.names:
            self.cache.get(name)

    def use_for(self, seconds: float, step_s: float = STEP_S) -> None:
        """Ask for every secret all the time."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.use()

    def forged_anew_for(self, seconds: float, *names: str, step_s: float = STEP_S) -> None:
        """Be asked all the time, while these markers are forged anew for each check."""
        for _ in range(round(seconds / CHECK_INTERVAL_S)):
            self.forge(*names)
            self.use_for(CHECK_INTERVAL_S, step_s)
