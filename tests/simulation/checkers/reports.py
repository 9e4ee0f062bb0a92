"""What must hold of reports: they say what is held, by whom, not too often, and in the end the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from keyturn.cache.status import CacheStatus
from keyturn.convergence.table import report_of
from keyturn.model.markers import Report
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT
from tests.simulation.checkers import bounds, secrecy
from tests.simulation.checkers.broken import require
from tests.simulation.hosts import Host
from tests.simulation.peers.reports import TTL_S, ReportsTable
from tests.simulation.peers.secretsmanager import SecretsManager
from tests.simulation.reader import Reader
from tests.simulation.scheduler import NEVER_S

Process = tuple[str, int, float]
"""A host, its generation, and since when its process lives."""


def held_by(status: CacheStatus) -> dict[str, set[str]]:
    """What a process may say that it holds under AWSCURRENT, by marker key.

    Two versions where it holds a secret that was purged and the one that was created again.
    """
    held: dict[str, set[str]] = {}
    for one in status.secrets:
        if one.stage == AWSCURRENT:
            held.setdefault(secret_key(one.arn, one.name), set()).add(one.version_id)
    parameters = [(one.arn, int(one.version_id)) for one in status.parameters if one.stage == AWSCURRENT]
    # Of a clear copy and a ciphertext the earlier version: the highest first, so that the lowest stays.
    return held | {arn: {str(number)} for arn, number in sorted(parameters, reverse=True)}


def says(report: Report, held: Mapping[str, set[str]]) -> bool:
    """Whether this is what the report says, neither more nor less."""
    return report.held.keys() == held.keys() and all(report.held[key] in held[key] for key in held)


@dataclass(slots=True)
class ReportWatch:
    """Watches the reports of a world's readers."""

    table: ReportsTable
    readers: list[Reader]
    counted: Counter[str]
    owners: dict[str, Process] = field(default_factory=dict)
    sent_s: dict[str, list[float]] = field(default_factory=dict)

    def sent(self, host: Host, item: Mapping[str, object]) -> None:
        """A process reports this now."""
        self.counted["reports"] += 1
        secrecy.no_canary(repr(item), "a report")
        reader = next(one for one in self.readers if one.host is host)
        report = report_of(item)
        if report is None:
            require(False, "reports", f"{host.name} reports what is no report")  # noqa: FBT003 - always
            return
        lasts_s = report.expires_at_s - report.reported_at_s
        if reader.is_closing and not report.held and lasts_s <= 1:
            # It leaves the table; what it does until its end is reported under another id, perhaps at once.
            self.sent_s.pop(host.name, None)
            return
        held = held_by(reader.cache.status())
        require(says(report, held), "reports", f"{host.name} reports {report.held} and holds {held}")
        require(TTL_S <= lasts_s <= TTL_S + 1, "reports", f"{host.name} reports for {lasts_s:.1f} s")
        process = (*host.process, reader.born_s)
        owner = self.owners.setdefault(report.environment, process)
        require(owner == process, "reports", f"{host.name} reports as another process did")
        self._not_too_often(reader)

    def _not_too_often(self, reader: Reader) -> None:
        now_s, sent_s = self.table.scheduler.now_s, self.sent_s.setdefault(reader.host.name, [])
        before_s = sent_s[-1] if sent_s else -NEVER_S
        sent_s.append(now_s)
        interval_s = reader.limits["check_interval_s"]
        # A new process, or one whose clock was set, may report at once.
        if before_s > max(reader.born_s, reader.host.clock.disturbed_s):
            gap_s = (now_s - before_s) * bounds.DRIFT
            require(gap_s >= interval_s, "reports", f"{reader.host.name} reported again after {gap_s:.2f} s")

    def ended(self, reader: Reader, service: SecretsManager, quiet_s: float) -> None:
        """Faults are over and a quiet minute passed: this reader's report says what it serves, and lives."""
        if not self.table.used:
            return
        name, now_s = reader.host.name, self.table.scheduler.now_s
        status = reader.cache.status()
        report = self._last(status.reports.environment)
        if report is None:
            require(False, "reports", f"{name} has no report: {status.reports}")  # noqa: FBT003 - always
            return
        left_s = report.expires_at_s - reader.host.clock.wall()
        require(left_s > 0, "reports", f"the report of {name} ended {-left_s:.0f} s ago")
        require(says(report, held_by(status)), "reports", f"{name} is said to hold {report.held}")
        for secret in service.states:
            if service.now(secret) is not None:
                version = reader.cache.get(secret)
                said = report.held.get(secret_key(version.arn, version.name))
                require(said == version.version_id, "reports", f"{name} serves {version}, reports {said}")
        quiet = [at_s for at_s in self.sent_s[name] if at_s > now_s - quiet_s]
        require(len(quiet) <= 1, "reports", f"{name} reported {len(quiet)} times in a quiet minute")

    def _last(self, environment: str | None) -> Report | None:
        stored = self.table.items.get(environment or "")
        return report_of(stored[1]) if stored is not None else None

    def over(self) -> None:
        """Long after the last process was replaced, no report of a dead one counts any more."""
        now_s, living = self.table.scheduler.now_s, {reader.host.process for reader in self.readers}
        for environment, (at_s, item) in self.table.items.items():
            report, (name, generation, _) = report_of(item), self.owners[environment]
            ends_s = at_s + report.expires_at_s - report.reported_at_s if report is not None else at_s
            is_over = ends_s <= now_s or (name, generation) in living
            require(
                is_over, "reports", f"a dead process of {name} is counted for {ends_s - now_s:.0f} s more"
            )
