"""What must hold once all faults are over: everybody has converged, and nothing is left running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from keyturn.markers import HEAD_KEY, head_of, marker_of
from keyturn.values import AWSCURRENT, AWSPREVIOUS
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import require
from tests.simulation.hosts import EPOCH_S
from tests.simulation.peers.secretsmanager import ARN_PREFIX, SecretsManager
from tests.simulation.reader import Reader


@dataclass(slots=True)
class Ending:
    """Judges the last, quiet minutes."""

    service: SecretsManager
    undescribed: frozenset[str]

    def table(self, items: Mapping[str, Mapping[str, object]], now_s: float) -> None:
        """Every marker says the truth, and the lease is in force."""
        for name in self.service.states:
            marker, state = marker_of(items.get(ARN_PREFIX + name)), self.service.now(name)
            if name in self.undescribed or state is None:
                continue
            said = (marker.arn, dict(marker.stages)) if marker is not None else None
            require(
                said == (state.arn, dict(state.stages)),
                "liveness",
                f"the marker of {name} stays wrong: {said}",
            )
        head = head_of(items.get(HEAD_KEY))
        swept_s = (head.swept_as_of_s or 0.0) - EPOCH_S if head is not None else 0.0
        require(now_s - swept_s < 3 * bounds.SWEEP_EVERY_S, "liveness", "the lease is not renewed any more")

    def listener(self, waiting: int) -> None:
        """No event is handled for ever."""
        require(waiting == 0, "liveness", f"{waiting} events are still being handled")

    def reader(self, reader: Reader) -> None:
        """This reader serves the truth, knows that it is covered, and has no trouble."""
        for name in self.service.states:
            state = self.service.now(name)
            for stage in (AWSCURRENT, AWSPREVIOUS):
                wanted = state.stages.get(stage) if state is not None else None
                if state is None or wanted is None:
                    continue
                version = reader.cache.get(name, stage)
                said = (version.arn, version.version_id)
                require(
                    said == (state.arn, wanted), "liveness", f"{reader.host.name} stays at {said} for {stage}"
                )
        status = reader.cache.status()
        require(status.table.trouble is None, "liveness", f"{reader.host.name}: {status.table.trouble}")
        states = (self.service.now(name) for name in self.service.states if name not in self.undescribed)
        arns = {state.arn for state in states if state is not None}
        for held in status.secrets:
            if held.stage in (AWSCURRENT, AWSPREVIOUS) and held.arn in arns:
                require(held.covered, "liveness", f"{reader.host.name} is not covered: {held.why}")

    def quiet_minute(self, reader: Reader, calls: Counter[str], seconds: float) -> None:
        """In steady state a reader costs its checks, and a re-read where a TTL ended."""
        heads = seconds / reader.limits["check_interval_s"] + 2
        require(calls["head"] <= heads, "liveness", f"{reader.host.name} made {calls['head']} checks")
        require(calls["head, consistent"] == 0, "liveness", f"{reader.host.name} reads the head consistently")
        held = len(reader.cache.status().secrets)
        reads = calls["GetSecretValue"]
        require(reads <= held, "liveness", f"{reader.host.name} read {reads} times in a quiet minute")
