"""What is checked of every parameter that is served: that it is true, fresh enough, and no step back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyturn.errors import (
    AccessDeniedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT
from tests.simulation.checkers import bounds, secrecy
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.checkers.errors import MEMORY_S
from tests.simulation.checkers.serving import Position
from tests.simulation.peers.flights import Flights
from tests.simulation.peers.parameterstore import ARN_PREFIX, TYPES, ParameterStore, Put, Span, under_path
from tests.simulation.peers.secretsmanager import READ_LAG_S
from tests.simulation.reader import Reader
from tests.simulation.rotator import CANARY
from tests.simulation.scheduler import NEVER_S, Scheduler
from tests.simulation.weather import EVENTS, LISTENER, SECRETS, SWEEPS, TABLE, TAMPER, Weather

MARGIN_S = 60.0
"""What may come on top of a TTL before a new parameter is found under its path."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one reader asked for and when it began (true seconds).

    `is_second`: another thread of the process began a call at the very same moment; see `Reader.begins`.
    """

    reader: Reader
    names: tuple[str, ...]
    selector: str
    decrypt: bool
    begun_s: float
    is_second: bool = False


@dataclass(slots=True)
class ServingParameters:
    """Watches every answer of every reader. `swept`: whether the sweep lists parameters."""

    scheduler: Scheduler
    store: ParameterStore
    weather: Weather
    swept: bool
    checks: Flights[tuple[str, int]]
    late: Callable[[str, float], None]
    pace_s: float
    positions: dict[tuple[str, str, str, bool], Position] = field(default_factory=dict)

    def forgotten(self, host: str) -> None:
        """A process that has lost what it knew may begin anew."""
        self.positions = {key: one for key, one in self.positions.items() if key[0] != host}

    def served(self, ask: Ask, outcome: Mapping[str, Parameter] | SecretError) -> None:
        """Judge one answer: each parameter by its name, or the error."""
        if isinstance(outcome, SecretError):
            self._raised(ask, outcome)
            return
        if set(outcome) != set(ask.names):
            raise BrokenPromiseError("safety", f"asked for {ask.names}, got {sorted(outcome)}")
        for name, parameter in outcome.items():
            self._judge(ask, name.removeprefix(ARN_PREFIX), parameter)

    def served_path(
        self, ask: Ask, path: str, outcome: Mapping[str, Parameter] | SecretError, *, recursive: bool
    ) -> None:
        """Judge what was found under a path: what is there long enough has to be in it."""
        if isinstance(outcome, SecretError):
            self._raised(ask, outcome)
            return
        possible = under_path(path, recursive=recursive)
        require(set(outcome) <= set(possible), "safety", f"{sorted(outcome)} are not all under {path}")
        for name, parameter in outcome.items():
            self._judge(ask, name, parameter)
        # With a background thread the caller that finds the names too old may leave with them.
        ttls = 2 if ask.reader.background else 1
        since_s = ask.begun_s - ttls * ask.reader.limits["uncovered_ttl_s"] - MARGIN_S
        if not self._is_well(ask.reader, since_s) or self._is_patience_spent(ask):
            return
        for name in set(possible) - set(outcome):
            was_there = all(state is not None for state in self.store.since(name, since_s))
            found = not was_there or bool(ask.reader.cache.status().resting)
            require(found, "path", f"{ask.reader.host.name} does not find {name} under {path}")

    def _is_patience_spent(self, ask: Ask) -> bool:
        """Whether this caller has waited as long as it may, and so leaves with what there is."""
        return self.scheduler.now_s - ask.begun_s >= bounds.PATIENCE_S

    def _judge(self, ask: Ask, name: str, parameter: Parameter) -> None:
        put = self.store.puts.get((name, parameter.value))
        genuine = put is not None and parameter.name == name and parameter.type == TYPES[name]
        fits = put is not None and parameter.version == put.number and ask.selector in parameter.stages
        if put is None or not (genuine and fits):
            what = f"{_what(ask, name)}: {put} as {parameter.version_id} is a mix of parameters"
            raise BrokenPromiseError("safety", what)
        is_secret = TYPES[name] == "SecureString"
        in_clear = CANARY in parameter.value
        if in_clear != (ask.decrypt or not is_secret):
            raise BrokenPromiseError("safety", f"{_what(ask, name)}: {put} is in the wrong form")
        spans = self.store.spans(name, ask.selector)
        last = next((at for at in range(len(spans) - 1, -1, -1) if spans[at].holder == put), None)
        if last is None:
            raise BrokenPromiseError("safety", f"{_what(ask, name)}: {put} was never there")
        if last + 1 < len(spans) and ask.begun_s > spans[last + 1].start_s:
            self._stale(ask, name, put, spans, last)
        self._no_relapse(ask, name, put, spans)

    def _stale(self, ask: Ask, name: str, put: Put, spans: list[Span], last: int) -> None:
        reader, moved = ask.reader, spans[last + 1]
        age_s = ask.begun_s - moved.start_s
        clock, status = reader.host.clock, reader.cache.status()
        bound_s = max(
            (one.bound_s for one in status.parameters if (one.name, one.stage) == (name, ask.selector)),
            default=READ_LAG_S,
        )
        allowed_s = bound_s * bounds.DRIFT + (clock.hidden_s if clock.stops else 0.0)
        what = f"{_what(ask, name)}: {put} {age_s:.1f} s after it was {moved.holder}"
        require(age_s <= allowed_s, "bound", f"{what}, bound {bound_s:.1f} s")
        process = reader.host.process
        if status.resting:
            # Nobody waits for a service that rests, and what is known is served, within the bound.
            return
        asks = ask.is_second or self.store.flights.by_others((process, name), ask.begun_s)
        asks = asks or self._is_patience_spent(ask)
        if asks or self.checks.by_others(process, ask.begun_s) or not self._is_well(reader, moved.start_s):
            return
        if any(span.holder is not None and span.holder.number == put.number for span in spans[last + 1 :]):
            # Created again, at the same version since: to the sweep it looks as it was.
            return
        promised_s, promise = self._promised(ask, name, put, moved)
        if promised_s < NEVER_S:
            self.late(f"{promise}, parameters", age_s / promised_s)
        require(age_s <= promised_s, f"freshness by {promise}", f"{what}, promised {promised_s:.1f} s")

    def _promised(self, ask: Ask, name: str, put: Put, moved: Span) -> tuple[float, str]:
        """In how many seconds a change is noticed, and by what."""
        limits, moved_s, holder = ask.reader.limits, moved.start_s, moved.holder
        interval_s = limits["check_interval_s"] + self.pace_s
        back = holder is not None and (holder.life != put.life or holder.number < put.number)
        by_event_s = bounds.by_event_s(interval_s, back=back)
        if ask.selector.isdecimal() or self.weather.calm_since(TABLE, TAMPER) + bounds.REST_S >= moved_s:
            return NEVER_S, "nothing"
        if self._events_reach(name, moved_s):
            return by_event_s, "event"
        if not self.swept or ask.selector != AWSCURRENT:
            return limits["uncovered_ttl_s"] + by_event_s, "TTL"
        if self.weather.calm_since(SWEEPS, LISTENER) < moved_s:
            return bounds.by_sweep_s(interval_s, back=back), "sweep"
        return bounds.by_lease_s(limits["lease_s"], interval_s, back=back), "lease"

    def _events_reach(self, name: str, moved_s: float) -> bool:
        """Whether this change was announced by an event that nothing held up, and no other was near."""
        near = [at_s for at_s, _ in self.store.history[name] if 0 < abs(at_s - moved_s) < bounds.APART_S]
        return self.weather.calm_since(EVENTS, LISTENER) + 1 < moved_s and not near

    def _is_well(self, reader: Reader, moved_s: float) -> bool:
        troubled_s = max(self.weather.calm_since(SECRETS), self.store.throttled_s)
        return troubled_s + bounds.REST_S < moved_s and reader.host.clock.disturbed_s + 1 < moved_s

    def _no_relapse(self, ask: Ask, name: str, put: Put, spans: list[Span]) -> None:
        """Along a selector's life a reader only goes forward."""
        key = (ask.reader.host.name, name, ask.selector, ask.decrypt)
        position = self.positions.setdefault(key, Position())
        least = position.least(ask.begun_s)
        found = next((at for at in range(least, len(spans)) if spans[at].holder == put), None)
        if found is None and ask.reader.host.clock.leapt_s > position.since_s:
            del self.positions[key]
            return
        if found is None:
            newer = spans[least].holder
            raise BrokenPromiseError("relapse", f"{_what(ask, name)}: {put} after {newer} was served")
        if found > position.index:
            position.before, position.index = position.index, found
            position.since_s = self.scheduler.now_s

    def _raised(self, ask: Ask, error: SecretError) -> None:
        secrecy.error(error)
        since_s = ask.begun_s - MEMORY_S
        match error:
            case UnavailableError() | AccessDeniedError():
                troubled_s = max(self.weather.calm_since(SECRETS), self.store.throttled_s)
                # As in `errors`: a host stood still in the middle of the call.
                stood_still = ask.reader.host.clock.disturbed_s > ask.begun_s
                truthful = stood_still or troubled_s > ask.begun_s - bounds.REST_S
            case SecretNotFoundError() | StageNotFoundError():
                truthful = any(
                    state is None or state.under(ask.selector) is None
                    for name in ask.names
                    for state in self.store.since(name.removeprefix(ARN_PREFIX), since_s)
                )
                if truthful:
                    self._forget_absent(ask)
            case _:
                truthful = False
        require(truthful, "error", f"{_what(ask, *ask.names)}: {type(error).__name__}, untruly")

    def _forget_absent(self, ask: Ask) -> None:
        """A process that was told that something is gone has forgotten it, and may begin anew."""
        gone = {(ask.reader.host.name, name.removeprefix(ARN_PREFIX)) for name in ask.names}
        self.positions = {key: one for key, one in self.positions.items() if key[:2] not in gone}


def _what(ask: Ask, *names: str) -> str:
    return f"{ask.reader.host.name} asked for {ask.selector} of {', '.join(names)}"
