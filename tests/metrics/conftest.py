"""A process whose every measurement is kept: `prod/db` in a world, a parameter, and a server to log in to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from keyturn import Metric, Metrics, Peers, SecretCache
from keyturn.metrics.outbox import Measurement
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeParameterStore, RecordedMetrics
from tests.world import NAME, World


class RefusedError(Exception):
    """The server's 'wrong password'."""


@dataclass
class Measured:
    """A cache with a hook; `told` takes what the hook was told since the last time."""

    world: World = field(default_factory=World)
    hook: RecordedMetrics = field(default_factory=RecordedMetrics)
    accepts: set[str] = field(default_factory=lambda: {"one"})

    def __post_init__(self) -> None:
        self.parameters = FakeParameterStore(self.world.clock)
        self.cache = self.made(self.hook)

    def made(self, hook: Metrics | None, *, table: bool = True) -> SecretCache:
        clock = self.world.clock
        return SecretCache(
            metrics=hook,
            peers=Peers(
                source=self.world.secrets,
                parameter_source=self.parameters.source,
                markers=self.world.table if table else None,
                clock=clock,
                sleep=clock.advance,
                random=lambda: self.world.random,
            ),
        )

    def told(self, *metrics: Metric) -> list[Measurement]:
        """What the hook was told since, of these metrics or of all."""
        told, self.hook.told = self.hook.told, []
        return [one for one in told if not metrics or one.metric in metrics]

    def warm(self) -> None:
        """Hold v1 and have seen its marker; what that told is forgotten."""
        self.world.mark()
        self.cache.get(NAME)
        self.after(5)
        self.cache.get(NAME)
        self.hook.told.clear()

    def after(self, seconds: float) -> SecretCache:
        """The cache, so much later."""
        self.world.clock.advance(seconds)
        return self.cache

    def connect(self, version: SecretVersion) -> str:
        if version.text() not in self.accepts:
            raise RefusedError
        return version.version_id

    def login(self, **options: float) -> str:
        return self.cache.login(
            NAME,
            self.connect,
            is_refused=lambda error: isinstance(error, RefusedError),
            **options,  # type: ignore[arg-type] # numbers
        )


@pytest.fixture
def measured() -> Measured:
    """A process that has not read anything yet."""
    return Measured()
