"""What markers can cost a reader: reads that change nothing have a share for each secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyturn.cache.allowance import OVERDRAFT, SECRET_READS_MAX, SECRET_READS_PER_S
from keyturn.errors import StageNotFoundError
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSPENDING, SecretVersion
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import require
from tests.simulation.peers.secretsmanager import Answered
from tests.simulation.scheduler import NEVER_S, Scheduler

OTHERS_MAX = 14
"""Reads for other reasons that look the same: first reads, doubts, a short TTL that ends."""

FORCED_S = 10.0
"""For so long after a login or an invalidation reads are not counted: these may have caused them."""


@dataclass(slots=True)
class Ceiling:
    """Counts the reads of each reader and secret that its marker explains and that changed nothing."""

    scheduler: Scheduler
    markers: Mapping[tuple[str, str], Marker | None]
    seen: dict[tuple[str, str, str], str] = field(default_factory=dict)
    forced_s: dict[tuple[str, str], float] = field(default_factory=dict)
    in_vain: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def forced(self, host: str, name: str) -> None:
        """A login or an invalidation may read this secret now."""
        self.forced_s[host, name] = self.scheduler.now_s

    def answered(self, answer: Answered) -> None:
        """A GetSecretValue has ended."""
        key, now_s = (answer.host, answer.name), self.scheduler.now_s
        marker, outcome = self.markers.get(key), answer.outcome
        if isinstance(outcome, SecretVersion) and answer.stage == AWSPENDING:
            # Logins read it, so it is not counted. A new version of it is a change as any other.
            stage = *key, AWSPENDING
            if self.seen.get(stage) != outcome.version_id:
                self.seen[stage] = outcome.version_id
                self.in_vain.pop(key, None)
        if marker is None or answer.stage == AWSPENDING:
            return
        if isinstance(outcome, SecretVersion):
            stage = *key, answer.stage
            before, self.seen[stage] = self.seen.get(stage), outcome.version_id
            if before != outcome.version_id:
                self.in_vain.pop(key, None)
                return
            agrees = marker.arn == outcome.arn and marker.stages.get(answer.stage) == outcome.version_id
            if agrees and not marker.deleted:
                return
        elif not (answer.pinned and isinstance(outcome, StageNotFoundError)):
            return
        if now_s - self.forced_s.get(key, -NEVER_S) < FORCED_S:
            return
        reads, since_s = self.in_vain.get(key, (0.0, now_s))
        reads = max(0.0, reads - SECRET_READS_PER_S * bounds.DRIFT * (now_s - since_s)) + 1
        self.in_vain[key] = reads, now_s
        most = SECRET_READS_MAX + OVERDRAFT + OTHERS_MAX
        what = f"{answer.host} read {answer.name} {reads:.0f} times for markers that changed nothing"
        require(reads <= most, "ceiling", f"{what}, {most:g} are allowed")
