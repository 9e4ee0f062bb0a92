"""Secrets Manager: what is true at every moment, and the lines on which hosts see it, perhaps late.

Any read shows the state at some moment within the bound of its operation (AWS: all operations are
eventually consistent; up to 5 s were seen; ListSecrets up to five minutes). A state is seen whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from keyturn.errors import (
    AccessDeniedError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described, SecretVersion
from tests.simulation.hosts import EPOCH_S
from tests.simulation.peers import events
from tests.simulation.peers.flights import Flights
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import SECRETS, Wire

ARN_PREFIX = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"
READ_LAG_S = 5.0
LIST_LAG_S = 300.0


@dataclass(frozen=True, slots=True)
class State:
    """One secret at one moment; `stages` maps a label to a version id."""

    arn: str
    name: str
    stages: Mapping[str, str]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One version's value, and when it was put (true seconds)."""

    value: str
    put_s: float


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_s` (true seconds) on a label is on `holder` (ARN and version id), or on nothing."""

    start_s: float
    holder: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Answered:
    """One GetSecretValue of a host: what was asked and when (true seconds), and how it ended."""

    host: str
    secret_id: str
    name: str
    stage: str
    pinned: bool
    begun_s: float
    outcome: SecretVersion | SecretError


class SecretsManager:
    """The service. Writes take effect at once, and are published as AWS does."""

    def __init__(self, scheduler: Scheduler, random: Random, publish: Callable[[events.Event], None]) -> None:
        self._scheduler = scheduler
        self._random = random
        self._publish = publish
        self.stale = 0.3
        self.calls: Counter[str] = Counter()
        self.flights: Flights[tuple[tuple[str, int], str, str]] = Flights(scheduler)
        self.states: dict[str, list[tuple[float, State | None]]] = {}
        self.spans: dict[tuple[str, str], list[Span]] = {}
        self.versions: dict[tuple[str, str], Stored] = {}
        self.name_by_id: dict[str, str] = {}

    # The truth

    def now(self, name: str) -> State | None:
        """The state of a secret now."""
        return self.states[name][-1][1] if name in self.states else None

    def held(self, name: str) -> State:
        """The state of a secret that is there."""
        state = self.now(name)
        if state is None:
            raise KeyError(name)
        return state

    def at(self, name: str, at_s: float) -> State | None:
        """The state of a secret at a moment."""
        history = self.states.get(name, [])
        found = bisect_right(history, at_s, key=lambda entry: entry[0])
        return history[found - 1][1] if found else None

    def label(self, name: str, stage: str) -> list[Span]:
        """Where a label was, from the first to the last."""
        spans = self.spans.get((name, stage))
        if spans is None:
            spans = self.spans[name, stage] = [Span(0.0, None)]
        return spans

    # Writing

    def create(self, name: str, version_id: str, value: str) -> None:
        """A new secret with its first value; a name that is free again gets another ARN."""
        made = sum(1 for known in self.name_by_id.values() if known == name)
        arn = f"{ARN_PREFIX}{name}-{made:06d}"
        for known in (name, f"{ARN_PREFIX}{name}", arn):
            self.name_by_id[known] = name
        self.versions[arn, version_id] = Stored(value, self._scheduler.now_s)
        self._become(name, State(arn, name, {AWSCURRENT: version_id}))
        self._publish(events.api_call("CreateSecret", arn, {"name": name, "clientRequestToken": version_id}))
        self._publish(events.label_updated(arn, name, AWSCURRENT, version_id))

    def start_rotation(self, name: str, version_id: str) -> None:
        """RotateSecret: AWSPENDING is on a version id before there is a value."""
        state = self.held(name)
        self._become(name, replace(state, stages={**state.stages, AWSPENDING: version_id}))
        request = {"secretId": name, "clientRequestToken": version_id}
        self._publish(events.api_call("RotateSecret", state.arn, request))

    def put(self, name: str, version_id: str, value: str, stage: str = AWSCURRENT) -> None:
        """PutSecretValue; doing it again with the same value changes nothing."""
        state = self.held(name)
        self.versions.setdefault((state.arn, version_id), Stored(value, self._scheduler.now_s))
        request: dict[str, object] = {
            "secretId": state.arn,
            "clientRequestToken": version_id,
            "versionStages": [stage],
        }
        self._move(state, stage, version_id)
        self._publish(events.api_call("PutSecretValue", state.arn, request))

    def move(self, name: str, stage: str, version_id: str | None) -> None:
        """UpdateSecretVersionStage: to another version, or off."""
        state = self.held(name)
        request = {"secretId": name, "versionStage": stage, "moveToVersionId": version_id}
        self._move(state, stage, version_id)
        self._publish(events.api_call("UpdateSecretVersionStage", state.arn, request))

    def delete(self, name: str) -> None:
        """Schedule the deletion."""
        state = self.held(name)
        self._become(name, replace(state, deleted=True))
        self._publish(events.api_call("DeleteSecret", state.arn, {"secretId": name}))

    def restore(self, name: str) -> None:
        """Take the deletion back."""
        state = self.held(name)
        self._become(name, replace(state, deleted=False))
        self._publish(events.api_call("RestoreSecret", state.arn, {"secretId": name}))

    def purge(self, name: str) -> None:
        """Delete without recovery."""
        state = self.held(name)
        self._become(name, None)
        self._publish(events.api_call("DeleteSecret", state.arn, {"secretId": state.arn}))

    def _move(self, state: State, stage: str, version_id: str | None) -> None:
        stages = dict(state.stages)
        before = stages.pop(stage, None)
        if version_id is not None:
            stages[stage] = version_id
        if stage == AWSCURRENT and before is not None and before != version_id:
            stages[AWSPREVIOUS] = before
        self._become(state.name, replace(state, stages=stages))
        if version_id not in (None, before) and stage not in (AWSPENDING, AWSPREVIOUS):
            self._publish(events.label_updated(state.arn, state.name, stage, str(version_id)))

    def _become(self, name: str, state: State | None) -> None:
        now_s = self._scheduler.now_s
        self.states.setdefault(name, [(0.0, None)]).append((now_s, state))
        shown = state.stages if state is not None and not state.deleted else {}
        known = {stage for named, stage in self.spans if named == name}
        for stage in sorted(known | shown.keys()):
            spans = self.label(name, stage)
            holder = (state.arn, shown[stage]) if state is not None and stage in shown else None
            if holder is not None and holder not in self.versions:
                holder = None
            if spans[-1].holder != holder:
                spans.append(Span(now_s, holder))

    # Seeing

    def seen(self, name: str, lag_s: float) -> tuple[float, State | None]:
        """A moment within the bound, and the state then."""
        at_s = self._scheduler.now_s
        if self.states[name][-1][0] > at_s - lag_s and self._random.random() < self.stale:
            at_s -= lag_s * min(1.0, 1.4 * self._random.random())
        return at_s, self.at(name, at_s)


@dataclass(slots=True, repr=False)
class SecretsLine:
    """Secrets Manager as one host reaches it: a `SecretSource` and a `Catalog`.

    `told` hears of every GetSecretValue. `undescribed`: names that this host may not describe.
    """

    service: SecretsManager
    wire: Wire
    told: Callable[[Answered], None]
    undescribed: frozenset[str] = frozenset()

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """GetSecretValue."""
        self.service.calls["GetSecretValue"] += 1
        name = self.service.name_by_id.get(secret_id, secret_id)
        begun_s, flight = self.wire.scheduler.now_s, (self.wire.host.process, name, stage)
        outcome: SecretVersion | SecretError
        raised: Exception | None = None
        with self.service.flights.flying(flight):
            try:
                outcome = self.wire.call(
                    lambda: self._read(secret_id, name, stage, version_id),
                    lambda: self._failure(secret_id),
                    SECRETS,
                )
            except SecretError as error:
                outcome = raised = error
            except Exception as error:  # noqa: BLE001 - of any class, as it is meant to be
                outcome, raised = UnavailableError(secret_id, type(error).__name__), error
        pinned = version_id is not None
        self.told(Answered(self.wire.host.name, secret_id, name, stage, pinned, begun_s, outcome))
        if isinstance(outcome, SecretError):
            raise raised or outcome
        return outcome

    def describe(self, secret_id: str) -> Described:
        """DescribeSecret."""
        self.service.calls["DescribeSecret"] += 1
        return self.wire.call(lambda: self._describe(secret_id), lambda: self._failure(secret_id))

    def list(self) -> Iterator[Described]:
        """ListSecrets, deleted ones included."""
        self.service.calls["ListSecrets"] += 1
        yield from self.wire.call(self._listed, lambda: self._failure("*"))

    def _read(self, secret_id: str, name: str, stage: str, version_id: str | None) -> SecretVersion:
        at_s, state = self._found(secret_id)
        if state.deleted:
            raise SecretDeletedError(secret_id)
        labelled = state.stages.get(stage)
        stored = self.service.versions.get((state.arn, labelled)) if labelled is not None else None
        if labelled is None or stored is None or stored.put_s > at_s or version_id not in (None, labelled):
            raise StageNotFoundError(secret_id, f"{stage} is not on {version_id or 'any version'}")
        stages = frozenset(label for label, holder in state.stages.items() if holder == labelled)
        created_s = EPOCH_S + stored.put_s
        return SecretVersion(secret_id, state.arn, name, labelled, stages, created_s, string=stored.value)

    def _describe(self, secret_id: str) -> Described:
        _, state = self._found(secret_id)
        if state.name in self.undescribed:
            raise AccessDeniedError(secret_id)
        return Described(state.arn, state.name, dict(state.stages), state.deleted)

    def _listed(self) -> Sequence[Described]:
        seen = (self.service.seen(name, LIST_LAG_S)[1] for name in self.service.states)
        return [
            Described(one.arn, one.name, dict(one.stages), one.deleted) for one in seen if one is not None
        ]

    def _found(self, secret_id: str) -> tuple[float, State]:
        name = self.service.name_by_id.get(secret_id)
        at_s, state = self.service.seen(name, READ_LAG_S) if name is not None else (0.0, None)
        if state is None or (
            state.arn != secret_id and secret_id not in (state.name, ARN_PREFIX + state.name)
        ):
            raise SecretNotFoundError(secret_id)
        return at_s, state

    def _failure(self, secret_id: str) -> Exception | None:
        weather = self.wire.weather
        if self.wire.host.name in weather.denied:
            weather.counted["calls denied"] += 1
            return AccessDeniedError(secret_id, "AccessDeniedException")
        if weather.hits(weather.secrets_error, "Secrets Manager calls failed"):
            return UnavailableError(secret_id, "ThrottlingException")
        return None
