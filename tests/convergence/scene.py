"""A world whose processes report: secrets, a convergence table in memory, one clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyturn import Limits, Peers, Reporting, SecretCache
from keyturn.model.markers import Report
from keyturn.testing.fakes import FakeMarkers, FakeParameterStore, FakeReports
from tests.world import NAME, World


@dataclass
class Scene:
    """One secret `prod/db` at version v1 with its marker, and processes that report what they hold."""

    world: World
    reports: FakeReports = field(init=False)
    store: FakeParameterStore = field(init=False)

    def __post_init__(self) -> None:
        self.reports = FakeReports(self.world.clock)
        self.store = FakeParameterStore(self.world.clock)
        self.world.mark()

    @property
    def writes(self) -> int:
        return self.reports.calls["write"]

    @property
    def report(self) -> Report:
        """The one report that there is."""
        (report,) = self.reports.items.values()
        return report

    def process(
        self,
        *,
        markers: FakeMarkers | None = None,
        background: bool = False,
        report_ttl_s: float = 900,
        refresh_wait_s: float = 1.0,
    ) -> SecretCache:
        """A process that has just started."""
        return SecretCache(
            convergence_table=Reporting("given", ttl_s=report_ttl_s, label="orders"),
            background=background,
            limits=Limits(refresh_wait_s=refresh_wait_s),
            peers=Peers(
                source=self.world.secrets,
                parameter_source=self.store.source,
                markers=markers or self.world.table,
                reports=self.reports,
                clock=self.world.clock,
                random=lambda: 0.0,
            ),
        )

    def warm(self, **options: float) -> SecretCache:
        """A process that holds v1, has checked once and reported."""
        cache = self.process(**options)  # type: ignore[arg-type] # numbers
        cache.get(NAME)
        self.pass_time(cache, 5)
        return cache

    def pass_time(self, cache: SecretCache, seconds: float) -> None:
        """Let time pass with a `get` every 5 s, and the sweep at work."""
        for _ in range(round(seconds / 5)):
            self.world.clock.advance(5)
            self.world.table.sweep()
            cache.get(NAME)
