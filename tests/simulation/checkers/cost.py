"""What the readers may ask for: one check per interval, and few calls for each move."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyturn.errors import SecretError, StageNotFoundError, UnavailableError
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSPENDING
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.checkers.ceiling import Ceiling
from tests.simulation.peers.parameterstore import ARN_PREFIX as PARAMETER_ARN_PREFIX
from tests.simulation.peers.parameterstore import Asked
from tests.simulation.peers.secretsmanager import Answered
from tests.simulation.reader import Reader
from tests.simulation.scheduler import NEVER_S, Actor, Scheduler

ASKS_MAX = 7
"""Calls that one marker can cause: one pinned to its version, six by stage (docs/decisions.md)."""

ONCE_MAX = 7
"""Calls that come once: a first read by each id, two of a move that was seen in passing, four of an old
answer that was doubted (each with the read that is pinned to the marker's version)."""

SAME_CHECK_S = 1.5
"""Two reads of different heads that are closer than this are of one check."""


IN_VAIN_MAX = 3
"""Reads of a marker's version that may fail in a row: after one the stage is asked about, but a fork, an
interruption or a freeze may begin it anew."""

HUNG_S = 5.0
"""A request that took longer than this has hung."""


FORCED_S = 0.95
"""Checks that logins force are a second apart, by a clock that may run fast."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads that a host has read in one check: the first, the last, and the number of others."""

    first: str = ""
    first_s: float = -NEVER_S
    last: str = ""
    last_s: float = -NEVER_S
    others: int = 0


@dataclass(slots=True)
class Account:
    """The calls of one reader for one stage of one secret since something happened (true seconds).

    `hung`: how many were made long ago and answered late: no two of them were made for the same reason.
    `interrupted`: how many calls of the reader were interrupted: each may have begun a read for nobody.
    """

    since_s: float
    calls: int = 0
    hung: int = 0
    interrupted: int = 0
    forced: int = 0
    forced_since_s: float = NEVER_S


@dataclass(slots=True)
class Cost:
    """Counts the calls of every reader, by what they may be for.

    `logs_in`: whether the running actor asks for a login, which may force a check. `hangs_since`: whether
    requests have hung since a moment. `consistent`: the reads of the head that were consistent, by the actor
    that carries out one check: several may hang at a time. `in_vain`: the reads of a marker's version that
    failed in a row.
    """

    scheduler: Scheduler
    logs_in: Callable[[], bool]
    hangs_since: Callable[[float], bool]
    readers: dict[str, Reader] = field(default_factory=dict)
    forced_s: dict[str, float] = field(default_factory=dict)
    scheduled_s: dict[str, float] = field(default_factory=dict)
    last_head: dict[str, Heads] = field(default_factory=dict)
    consistent: Counter[Actor] = field(default_factory=Counter)
    markers: dict[tuple[str, str], Marker | None] = field(default_factory=dict)
    learned_s: dict[tuple[str, str], float] = field(default_factory=dict)
    happened_s: dict[str, float] = field(default_factory=dict)
    accounts: defaultdict[tuple[str, str], dict[str, Account]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    in_vain: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ceiling: Ceiling = field(init=False)

    def __post_init__(self) -> None:
        self.ceiling = Ceiling(self.scheduler, self.markers)

    def table_asked(self, host: str, label: str) -> None:
        """A call of a host to the table."""
        if host not in self.readers:
            return
        check = self.scheduler.running
        if label.startswith("head") and label.endswith(", consistent"):
            self.consistent[check] += 1
            require(
                self.consistent[check] <= 1, "cost", f"{host} read the head consistently twice in one check"
            )
        elif label.startswith("head"):
            # An actor that carries out one check after the other begins anew.
            self.consistent.pop(check, None)
            self._head_read(host, label)

    def _head_read(self, host: str, label: str) -> None:
        """A host reads the head, or a copy of it, once in an interval.

        Where that copy is none any more, the same check reads one or two others.
        """
        now_s, before = self.scheduler.now_s, self.last_head.get(host, Heads())
        last = before.last
        is_same_check = label != last and now_s - before.last_s < SAME_CHECK_S
        if label == before.first and now_s - before.first_s >= FORCED_S:
            # It begins anew where the check before began: a login has forced it.
            is_same_check = False
        others = before.others + 1 if is_same_check else 0
        first, first_s = (before.first, before.first_s) if is_same_check else (label, now_s)
        self.last_head[host] = Heads(first, first_s, label, now_s, others)
        if others:
            require(others <= 2, "cost", f"{host} read {others} other heads in one check")
            return
        reader, interval_s = self.readers[host], self.readers[host].limits["check_interval_s"]
        if "#" in label + last and self.hangs_since(self.scheduler.now_s - interval_s):
            # A check that hung on the head reads its copy when the next check is due already.
            return
        gap_s = self._gap_s(self.scheduled_s, host)
        if self.logs_in() and (reader.background or gap_s < interval_s - 1.0):
            forced_s = self._gap_s(self.forced_s, host)
            self.forced_s[host] = self.scheduler.now_s
            # A process that was forked, or whose clock was set, may check at once.
            is_new = self.scheduler.now_s - forced_s < max(reader.born_s, reader.host.clock.disturbed_s)
            least_s = reader.limits["min_refresh_interval_s"]
            require(is_new or forced_s >= least_s, "cost", f"{host} forced a check after {forced_s:.2f} s")
            return
        before_s = self.scheduled_s.get(host, -NEVER_S)
        self.scheduled_s[host] = self.scheduler.now_s
        # A background thread goes on at its own pace after a caller had to check, as callers do until it has
        # been round.
        is_first = reader.background and not reader.is_left_to_background()
        if is_first or before_s <= max(reader.born_s, reader.host.clock.disturbed_s + 2 * interval_s):
            return
        if gap_s < interval_s - 1.0:
            raise BrokenPromiseError("cost", f"{host} read the head again after {gap_s:.2f} s")

    def _gap_s(self, heads_s: Mapping[str, float], host: str) -> float:
        return (self.scheduler.now_s - heads_s.get(host, -NEVER_S)) * bounds.DRIFT

    def happened(self, name: str) -> None:
        """Something about this secret changed, in truth or in the table: readers may ask again."""
        self.happened_s[name] = self.scheduler.now_s

    def learned(self, host: str, name: str, marker: Marker | None) -> None:
        """A host has read a marker: any other than before is news to it, however late it comes."""
        if self.markers.get((host, name)) != marker:
            self.markers[host, name] = marker
            self.learned_s[host, name] = self.scheduler.now_s

    def invalidated(self, reader: Reader, name: str) -> None:
        """A reader was told to ask again."""
        self.ceiling.forced(reader.host.name, name)
        for account in self.accounts[reader.host.name, name].values():
            account.forced += 1
            account.forced_since_s = min(account.forced_since_s, self.scheduler.now_s)

    def interrupted(self, reader: Reader) -> None:
        """A call of a reader was interrupted: what it has begun may be done again."""
        for (host, name), accounts in self.accounts.items():
            for account in accounts.values() if host == reader.host.name else ():
                account.interrupted += 1
                self.ceiling.forced(host, name)

    def answered(self, answer: Answered) -> None:
        """A GetSecretValue of a host ended."""
        self.ceiling.answered(answer)
        self._version_read(answer)
        failed = isinstance(answer.outcome, SecretError) and not (
            isinstance(answer.outcome, StageNotFoundError) and answer.pinned
        )
        is_free = answer.stage == AWSPENDING
        self._count(answer.host, answer.name, answer.stage, answer.begun_s, failed=failed, is_free=is_free)

    def _version_read(self, answer: Answered) -> None:
        """After a read of the marker's version that failed, the stage itself is asked about."""
        key = (answer.host, answer.name, answer.stage)
        if not answer.pinned or not isinstance(answer.outcome, UnavailableError):
            self.in_vain.pop(key, None)
            return
        self.in_vain[key] += 1
        what = f"{answer.host} read a marker's version of {answer.name} {self.in_vain[key]} times in vain"
        require(self.in_vain[key] <= IN_VAIN_MAX, "cost", f"{what}, and never the stage")

    def parameter_asked(self, asked: Asked) -> None:
        """A read of a parameter by a host ended, alone or with others."""
        way = "" if asked.decrypt else " (ciphertext)"
        arn = PARAMETER_ARN_PREFIX + asked.name
        self._count(asked.host, arn, asked.selector + way, asked.begun_s, failed=asked.failed, is_free=False)

    def _count(
        self, host: str, name: str, stage: str, begun_s: float, *, failed: bool, is_free: bool
    ) -> None:
        accounts = self.accounts[host, name]
        reader, now_s = self.readers[host], self.scheduler.now_s
        began_s = max(
            self.happened_s.get(name, 0.0),
            self.happened_s.get("*", 0.0),
            self.learned_s.get((host, name), 0.0),
            reader.born_s,
            reader.host.clock.disturbed_s,
        )
        account = accounts.get(stage)
        if account is None or account.since_s < began_s or failed:
            account = accounts[stage] = Account(now_s)
        if failed or is_free:
            return
        if now_s - begun_s > HUNG_S:
            account.hung += 1
            return
        account.calls += 1
        # By name, and by two paths, whose names are asked anew when a short TTL ends.
        allowed = self._allowed(account, reader) * (3 if name.startswith(PARAMETER_ARN_PREFIX) else 1)
        if account.calls > allowed:
            raise BrokenPromiseError(
                "cost",
                f"{host} read {stage} of {name} {account.calls} times "
                f"in {now_s - account.since_s:.1f} s with nothing new, {allowed} are allowed",
            )

    def _allowed(self, account: Account, reader: Reader) -> int:
        now_s, limits = self.scheduler.now_s, reader.limits
        by_age = int((now_s - account.since_s) / (limits["uncovered_ttl_s"] * 0.75))
        forced = 0
        if account.forced:
            interval_s = limits["min_refresh_interval_s"]
            forced = 2 + min(account.forced, int((now_s - account.forced_since_s) / interval_s))
        # What was pinned to a marker's version and hung is followed by a read of the stage.
        return ASKS_MAX + ONCE_MAX + by_age + forced + account.hung + account.interrupted
