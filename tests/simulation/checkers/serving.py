"""What is checked of every single answer of `get`: that it is true, fresh enough, and no step back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyturn.cache.status import CacheStatus
from keyturn.errors import (
    AccessDeniedError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.model.versions import AWSCURRENT, AWSPENDING, SecretVersion
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.checkers.errors import Errors
from tests.simulation.peers.flights import Flights
from tests.simulation.peers.secretsmanager import READ_LAG_S, Answered, SecretsManager, Span
from tests.simulation.reader import Reader, Served
from tests.simulation.scheduler import NEVER_S, Actor, Scheduler
from tests.simulation.weather import EVENTS, LISTENER, SECRETS, SWEEPS, TABLE, TAMPER, Weather

Key = tuple[str, str, str]


@dataclass(slots=True)
class Position:
    """How far along a label's life a reader was seen, since when, and before that."""

    index: int = 0
    since_s: float = 0.0
    before: int = 0

    def least(self, begun_s: float) -> int:
        """Where a `get` begun then must not fall behind."""
        return self.index if begun_s >= self.since_s else self.before


@dataclass(slots=True)
class Told:
    """What Secrets Manager last told a host of a secret's stage (true seconds).

    `read_s`: when the last read was begun that brought a version.
    """

    begun_s: float = 0.0
    read_s: float = -NEVER_S
    gone_s: float = 0.0
    gone_to: Actor | None = None
    denied_to: Actor | None = None


@dataclass(slots=True)
class Serving:
    """Watches every answer of every reader. `proved`: the ids by which a process was served a stage."""

    scheduler: Scheduler
    service: SecretsManager
    weather: Weather
    undescribed: frozenset[str]
    checks: Flights[tuple[str, int]]
    muddled_s: dict[str, float] = field(default_factory=dict)
    positions: dict[Key, Position] = field(default_factory=dict)
    invalidated_s: dict[tuple[str, str], float] = field(default_factory=dict)
    denied_s: dict[Key, float] = field(default_factory=dict)
    told: dict[Key, Told] = field(default_factory=dict)
    proved: set[Key] = field(default_factory=set)
    late: Callable[[str, float], None] = lambda _name, _age_s: None
    pace_s: float = 0.0
    errors: Errors = field(init=False)

    def __post_init__(self) -> None:
        self.errors = Errors(self.service, self.weather)

    # What Secrets Manager told

    def answered(self, answer: Answered) -> None:
        """Hear what a host was told."""
        told = self.told.setdefault((answer.host, answer.name, answer.stage), Told())
        outcome = answer.outcome
        told.begun_s = max(told.begun_s, answer.begun_s)
        if isinstance(outcome, SecretVersion):
            told.read_s = answer.begun_s if not answer.pinned else told.read_s
            told.gone_to = told.denied_to = None
            self.denied_s.pop((answer.host, outcome.arn, answer.stage), None)
        elif isinstance(outcome, AccessDeniedError) and not answer.pinned:
            # As below: the stage may be read all the same, and is asked for next.
            told.denied_to = self.scheduler.caller
        elif isinstance(outcome, StageNotFoundError) and not answer.pinned:
            told.gone_to, told.gone_s = self.scheduler.caller, self.scheduler.now_s
            self.forgotten(answer.host, answer.name, answer.stage)
        elif isinstance(outcome, SecretDeletedError) or (
            isinstance(outcome, SecretNotFoundError) and not answer.pinned
        ):
            # What is said of a marker's version may be that version's fault.
            told.gone_to, told.gone_s = self.scheduler.caller, self.scheduler.now_s
            self.forgotten(answer.host, answer.name)

    def invalidated(self, reader: Reader, secret_id: str) -> None:
        """A reader was told to ask again."""
        self.invalidated_s[reader.host.name, secret_id] = self.scheduler.now_s

    def forgotten(self, host: str, name: str | None = None, stage: str | None = None) -> None:
        """A process that has lost what it knew may begin anew."""
        for key in list(self.positions):
            if key[0] == host and name in (None, self._name(key[1])) and stage in (None, key[2]):
                del self.positions[key]
        for key, told in self.told.items():
            if key[0] == host and name in (None, key[1]) and stage in (None, key[2]):
                told.read_s = -NEVER_S
        self.proved = {key for key in self.proved if key[0] != host or name not in (None, self._name(key[1]))}

    # What a reader served

    def served(self, served: Served) -> None:
        """Judge one answer."""
        name = self._name(served.secret_id)
        told = self.told.setdefault((served.reader.host.name, name, served.stage), Told())
        # An answer that came after its caller had left it is none to this get.
        is_told = told.gone_to is self.scheduler.caller and told.gone_s >= served.begun_s
        was_gone, told.gone_to = is_told, None
        if isinstance(served.outcome, SecretError):
            told.denied_to = None
            # An id means nothing to a process before an answer to it: it may be another account's.
            is_proved = (served.reader.host.name, served.secret_id, served.stage) in self.proved
            read_s = told.read_s if is_proved else -NEVER_S
            self.errors.raised(served, served.outcome, name, _what(served), read_s)
            return
        version = served.outcome
        self.proved.add((served.reader.host.name, served.secret_id, served.stage))
        self._identity(served, version, name)
        self._asked_again(served, told, name)
        if was_gone:
            raise BrokenPromiseError("gone", f"{_what(served)} although it was just told that it is gone")
        self._not_denied(served, version, told)
        spans = self.service.label(name, served.stage)
        holder = (version.arn, version.version_id)
        last = next((at for at in range(len(spans) - 1, -1, -1) if spans[at].holder == holder), None)
        if last is None:
            raise BrokenPromiseError("safety", f"{_what(served)} was never there")
        if last + 1 < len(spans):
            self._stale(served, version, spans, last)
        if served.stage != AWSPENDING:
            self._no_relapse(served, spans, version)

    def _identity(self, served: Served, version: SecretVersion, name: str) -> None:
        if version.secret_id != served.secret_id:
            raise BrokenPromiseError("safety", f"{_what(served)} is under another id")
        foreign = served.secret_id not in (name, version.arn) and not version.arn.startswith(served.secret_id)
        if version.name != name or foreign:
            raise BrokenPromiseError("safety", f"{_what(served)} is of another secret")
        stored = self.service.versions.get((version.arn, version.version_id))
        if stored is None or stored.value != version.string or served.stage not in version.stages:
            raise BrokenPromiseError("safety", f"{_what(served)} is a mix of versions")

    def _asked_again(self, served: Served, told: Told, name: str) -> None:
        """After an invalidation only reads that were begun later count, once the pauses are over."""
        reader, since_s = served.reader, self.invalidated_s.get((served.reader.host.name, served.secret_id))
        if since_s is None or served.stage != AWSCURRENT or told.begun_s >= since_s:
            return
        if self._is_asked_meanwhile(served, name) or self._is_patience_spent(served):
            return
        troubled_s = max(since_s, self.weather.calm_since(SECRETS), reader.host.clock.disturbed_s)
        late_s = served.begun_s - troubled_s
        # While a service rests, this caller's own probe may be the first request since.
        in_time = late_s < bounds.REST_S or bool(reader.cache.status().resting)
        require(in_time, "invalidation", f"{_what(served)} {late_s:.1f} s after it was invalidated")

    def _not_denied(self, served: Served, version: SecretVersion, told: Told) -> None:
        reader, key = served.reader, (served.reader.host.name, version.arn, served.stage)
        if told.denied_to is self.scheduler.caller:
            self.denied_s.setdefault(key, served.begun_s)
            # The next answer may be of another secret that had the same name.
            told.denied_to = None
        since_s = self.denied_s.get(key, NEVER_S)
        allowed_s = reader.limits["max_denied_s"] * bounds.DRIFT + self._hidden_s(reader) + 1.0
        if served.begun_s - since_s > allowed_s and since_s > reader.born_s:
            denied_s = served.begun_s - since_s
            raise BrokenPromiseError("denied", f"{_what(served)} {denied_s:.1f} s after the first denial")

    def _stale(self, served: Served, version: SecretVersion, spans: list[Span], last: int) -> None:
        moved = spans[last + 1]
        age_s = served.begun_s - moved.start_s
        if age_s <= 0:
            return
        status = served.reader.cache.status()
        bound_s, why = self._bound_s(status, version.arn, served)
        allowed_s = bound_s * bounds.DRIFT + self._hidden_s(served.reader)
        if age_s > allowed_s:
            what = f"{_what(served)} {age_s:.1f} s after it moved, bound {bound_s:.1f} s, since {why}"
            raise BrokenPromiseError("bound", what)
        # While a service rests nobody waits for it, and what is known is served, within the bound.
        if served.stage != AWSPENDING and not status.resting:
            self._fresh(served, version, spans, last, status.table.checked_age_s)

    def _fresh(
        self, served: Served, version: SecretVersion, spans: list[Span], last: int, checked_s: float | None
    ) -> None:
        """Whether a stale answer is as fresh as what was in order since the move promises.

        `checked_s`: how long ago the reader last checked the table, by its own status.
        """
        moved, age_s = spans[last + 1], served.begun_s - spans[last + 1].start_s
        reader, limits, name = served.reader, served.reader.limits, version.name
        if (
            served.is_second
            or self._is_patience_spent(served)
            or self._is_asked_meanwhile(served, name)
            or self.checks.by_others(reader.host.process, served.begun_s)
            or not self._reader_is_well(reader, moved.start_s)
        ):
            return
        holders = [span.holder for span in spans[:last]]
        back = moved.holder in holders or self._is_older(moved.holder, (version.arn, version.version_id))
        promised_s, promise = self._promised(name, spans, last, limits, back=back)
        if checked_s is None or checked_s > age_s + 1:
            interval_s = limits["check_interval_s"] + self.pace_s
            short_s = limits["uncovered_ttl_s"] + bounds.by_event_s(interval_s, back=back)
            promised_s, promise = min((promised_s, promise), (short_s, "outage"))
        self.late(promise, age_s / promised_s)
        require(
            age_s <= promised_s,
            f"freshness by {promise}",
            f"{_what(served)} {age_s:.1f} s after it moved, promised {promised_s:.1f} s",
        )

    def _is_asked_meanwhile(self, served: Served, name: str) -> bool:
        """Whether another thread of the process asked at the same time: this one got what there was."""
        flight = (served.reader.host.process, name, served.stage)
        return self.service.flights.by_others(flight, served.begun_s)

    def _is_patience_spent(self, served: Served) -> bool:
        """Whether this caller has waited as long as it may, and so leaves with what there is."""
        return self.scheduler.now_s - served.begun_s >= bounds.PATIENCE_S

    def _promised(
        self, name: str, spans: list[Span], last: int, limits: Mapping[str, float], *, back: bool
    ) -> tuple[float, str]:
        """In how many seconds a move is noticed, and by what."""
        moved_s, interval_s = spans[last + 1].start_s, limits["check_interval_s"] + self.pace_s
        if self.weather.calm_since(TABLE, TAMPER) + bounds.REST_S >= moved_s:
            return NEVER_S, "nothing"
        if self._events_reach(name, spans, last):
            return bounds.by_event_s(interval_s, back=back), "event"
        if self._sweeps_reach(name, moved_s):
            return bounds.by_sweep_s(interval_s, back=back), "sweep"
        return bounds.by_lease_s(limits["lease_s"], interval_s, back=back), "lease"

    def _bound_s(self, status: CacheStatus, arn: str, served: Served) -> tuple[float, str]:
        """What the reader's own status says, at the time of serving, and why."""
        for held in status.secrets:
            if (held.arn, held.stage) == (arn, served.stage):
                return held.bound_s, held.why
        if self.weather.hangs_since(served.begun_s):
            # It was taken away while its caller waited for what hangs: what it was allowed is not known.
            return NEVER_S, "it was forgotten while its caller waited"
        return READ_LAG_S, "it was forgotten while it was read"

    def _reader_is_well(self, reader: Reader, moved_s: float) -> bool:
        calm_s = self.weather.calm_since(SECRETS)
        return calm_s + bounds.REST_S < moved_s and reader.host.clock.disturbed_s + 1 < moved_s

    def _sweeps_reach(self, name: str, moved_s: float) -> bool:
        return name not in self.undescribed and self.weather.calm_since(SWEEPS, LISTENER) < moved_s

    def _events_reach(self, name: str, spans: list[Span], last: int) -> bool:
        """Whether this move was announced by an event that nothing held up or contradicted."""
        moved, before = spans[last + 1], spans[last].holder
        if name in self.undescribed or moved.holder is None or before is None or moved.holder[0] != before[0]:
            return False
        near = [
            span
            for span in self.service.label(name, AWSCURRENT)
            if 0 < abs(span.start_s - moved.start_s) < bounds.APART_S
        ]
        calm_s = max(self.weather.calm_since(EVENTS, LISTENER), self.muddled_s.get(name, 0.0))
        return calm_s + 1 < moved.start_s and not near

    def _is_older(self, one: tuple[str, str] | None, other: tuple[str, str]) -> bool:
        return one is not None and self.service.versions[one].put_s < self.service.versions[other].put_s

    def _no_relapse(self, served: Served, spans: list[Span], version: SecretVersion) -> None:
        """Along a label's life a reader only goes forward: by each id, and of each secret by any id."""
        holder, host = (version.arn, version.version_id), served.reader.host.name
        for asked in dict.fromkeys((served.secret_id, version.arn)):
            key = (host, asked, served.stage)
            position = self.positions.setdefault(key, Position())
            least = position.least(served.begun_s)
            found = next((at for at in range(least, len(spans)) if spans[at].holder == holder), None)
            if found is None and served.reader.host.clock.leapt_s > position.since_s:
                # It cannot be told from a freeze, after which an old copy is not served while in doubt.
                del self.positions[key]
                continue
            if found is None:
                newer = spans[least].holder
                raise BrokenPromiseError("relapse", f"{_what(served)} after {newer} was served")
            if found > position.index:
                position.before, position.index, position.since_s = (
                    position.index,
                    found,
                    self.scheduler.now_s,
                )

    def _name(self, secret_id: str) -> str:
        return self.service.name_by_id.get(secret_id, secret_id)

    @staticmethod
    def _hidden_s(reader: Reader) -> float:
        clock = reader.host.clock
        return clock.hidden_s if clock.stops else 0.0


def _what(served: Served) -> str:
    outcome = served.outcome
    said = f"{outcome.version_id} of {outcome.arn}" if isinstance(outcome, SecretVersion) else "an error"
    return f"{served.reader.host.name} asked for {served.stage} of {served.secret_id}: {said}"
