"""Parameter Store: what is true at every moment, and the client with which hosts see it, perhaps late.

A parameter that is created again has the same ARN and begins at version 1. A `Put` tells the two apart.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from botocore.exceptions import ClientError

from keyturn.model.versions import AWSCURRENT
from tests.simulation.hosts import EPOCH_S
from tests.simulation.peers.events import Event, parameter_changed
from tests.simulation.peers.flights import Flights
from tests.simulation.peers.secretsmanager import LIST_LAG_S, READ_LAG_S
from tests.simulation.rotator import CANARY
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import PARAMETERS, Wire

ARN_PREFIX = "arn:aws:ssm:us-east-1:111122223333:parameter"
TYPES = {"/app/host": "String", "/app/db/password": "SecureString", "/app/db/zones": "StringList"}
PAGE = 2


class Put(NamedTuple):
    """One version: the number of the parameter's life, and the version's number in it."""

    life: int
    number: int


@dataclass(frozen=True, slots=True)
class State:
    """One parameter at one moment: its latest version, and the version of each label."""

    latest: Put
    labels: Mapping[str, int] = field(default_factory=dict)

    def under(self, selector: str) -> Put | None:
        """The version that AWSCURRENT (the latest), a number or a label selects."""
        if selector == AWSCURRENT:
            return self.latest
        number = int(selector) if selector.isdecimal() else self.labels.get(selector, 0)
        return Put(self.latest.life, number) if 1 <= number <= self.latest.number else None


class Span(NamedTuple):
    """From `start_s` (true seconds) on a selector selects `holder`, or nothing."""

    start_s: float
    holder: Put | None


class Asked(NamedTuple):
    """A host asked for one parameter, and when (true seconds); `failed`: and was not told."""

    host: str
    name: str
    selector: str
    decrypt: bool
    failed: bool
    begun_s: float


def text_of(name: str, put: Put, *, decrypt: bool) -> str:
    """A version's value as it is answered."""
    said = f"{name}-{put.life}-{put.number}"
    return f"{CANARY}-{said}" if decrypt or TYPES[name] != "SecureString" else f"AQICAH-{said}"


class ParameterStore:
    """The service. Writes take effect at once, and are published as AWS does."""

    def __init__(self, scheduler: Scheduler, random: Random, publish: Callable[[Event], None]) -> None:
        self._scheduler = scheduler
        self._random = random
        self._publish = publish
        self._admitted: deque[float] = deque()
        self._spans: dict[tuple[str, str], tuple[list[Span], int]] = {}
        self._lives: Counter[str] = Counter()
        self._events = 0
        self.stale = 0.3
        self.throttled_s = 0.0
        self.flights: Flights[tuple[tuple[str, int], str]] = Flights(scheduler)
        self.calls: Counter[str] = Counter()
        self.history: dict[str, list[tuple[float, State | None]]] = {name: [(0.0, None)] for name in TYPES}
        self.put_s: dict[tuple[str, Put], float] = {}
        self.puts: dict[tuple[str, str], Put] = {}

    # The truth

    def now(self, name: str) -> State | None:
        """The state of a parameter now."""
        return self.history[name][-1][1]

    def since(self, name: str, at_s: float) -> list[State | None]:
        """Every state of a parameter since a moment, the one at that moment included."""
        history = self.history[name]
        return [
            state
            for at, (_, state) in enumerate(history)
            if at + 1 == len(history) or history[at + 1][0] > at_s
        ]

    def spans(self, name: str, selector: str) -> list[Span]:
        """What a selector selected, from the first to the last."""
        spans, known = self._spans.get((name, selector), ([Span(0.0, None)], 0))
        history = self.history[name]
        for at_s, state in history[known:]:
            holder = state.under(selector) if state is not None else None
            if spans[-1].holder != holder:
                spans.append(Span(at_s, holder))
        self._spans[name, selector] = (spans, len(history))
        return spans

    # Writing

    def put(self, name: str) -> None:
        """PutParameter with a new value."""
        before = self.now(name)
        self._lives[name] += before is None
        put = Put(self._lives[name], 1 if before is None else before.latest.number + 1)
        self.put_s[name, put] = self._scheduler.now_s
        for decrypt in (False, True):
            self.puts[name, text_of(name, put, decrypt=decrypt)] = put
        after = State(put) if before is None else replace(before, latest=put)
        self._become(name, after, "Create" if before is None else "Update")

    def label(self, name: str, label: str, number: int) -> None:
        """LabelParameterVersion."""
        state = self.now(name)
        if state is not None and state.under(label) != Put(state.latest.life, number):
            labels = {**state.labels, label: number}
            self._become(name, replace(state, labels=labels), "LabelParameterVersion")

    def delete(self, name: str) -> None:
        """DeleteParameter."""
        if self.now(name) is not None:
            self._become(name, None, "Delete")

    def _become(self, name: str, state: State | None, operation: str) -> None:
        self.history[name].append((self._scheduler.now_s, state))
        self._events += 1
        self._publish(parameter_changed(f"event-{self._events}", ARN_PREFIX + name, name, operation))

    # Seeing

    def seen(self, name: str, lag_s: float) -> State | None:
        """The state at some moment within the bound."""
        at_s, history = self._scheduler.now_s, self.history[name]
        if history[-1][0] > at_s - lag_s and self._random.random() < self.stale:
            at_s -= lag_s * min(1.0, 1.4 * self._random.random())
        return next((state for since_s, state in reversed(history) if since_s <= at_s), None)

    def admit(self, per_s: int) -> None:
        """Raise ThrottlingException beyond so many reads a second: 40 in an account, shared by all."""
        now_s = self._scheduler.now_s
        while self._admitted and self._admitted[0] <= now_s - 1.0:
            self._admitted.popleft()
        if len(self._admitted) >= per_s:
            self.throttled_s = now_s
            raise _error("ThrottlingException")
        self._admitted.append(now_s)


@dataclass(slots=True, repr=False)
class ParameterLine:
    """A client for Systems Manager of one host. `told` hears of every parameter that was asked for."""

    store: ParameterStore
    wire: Wire
    told: Callable[[Asked], None]

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Mapping[str, object]:
        name, _, selector = Name.removeprefix(ARN_PREFIX).partition(":")

        def effect() -> dict[str, object]:
            state = self._seen(name)
            if state is None:
                raise _error("ParameterNotFound")
            put = state.under(selector or AWSCURRENT)
            if put is None:
                raise _error("ParameterVersionNotFound")
            return {"Parameter": self._entry(name, put, decrypt=WithDecryption)}

        return self._asked("GetParameter", [name], selector or AWSCURRENT, WithDecryption, effect)

    def get_parameters(self, *, Names: Sequence[str], WithDecryption: bool) -> Mapping[str, object]:
        names = [name.removeprefix(ARN_PREFIX) for name in Names]
        return self._asked(
            "GetParameters", names, AWSCURRENT, WithDecryption, lambda: self._entries(names, WithDecryption)
        )

    def get_parameters_by_path(
        self, *, Path: str, Recursive: bool, WithDecryption: bool, MaxResults: int, NextToken: str = ""
    ) -> Mapping[str, object]:
        names = under_path(Path, recursive=Recursive)
        first = int(NextToken or 0)
        page, rest = names[first : first + PAGE], names[first + PAGE :]

        def effect() -> dict[str, object]:
            more = {"NextToken": str(first + PAGE)} if rest else {}
            return {**self._entries(page, WithDecryption), **more}

        return self._asked("GetParametersByPath", page, AWSCURRENT, WithDecryption, effect)

    def describe_parameters(self, **request: object) -> Mapping[str, object]:
        """One page of the list, which may be behind."""
        first = int(str(request.get("NextToken") or 0))

        def effect() -> dict[str, object]:
            names = list(TYPES)[first : first + PAGE]
            found = [(name, self.store.seen(name, LIST_LAG_S)) for name in names]
            entries = [
                {"Name": name, "ARN": ARN_PREFIX + name, "Version": state.latest.number}
                for name, state in found
                if state is not None
            ]
            more = {"NextToken": str(first + PAGE)} if first + PAGE < len(TYPES) else {}
            return {"Parameters": entries, **more}

        self.store.calls["DescribeParameters"] += 1
        return self.wire.call(effect, self._failure)

    def _asked(
        self,
        operation: str,
        names: Sequence[str],
        selector: str,
        decrypt: bool,  # noqa: FBT001 # as AWS has it
        effect: Callable[[], dict[str, object]],
    ) -> Mapping[str, object]:
        self.store.calls[operation] += 1
        failed, begun_s = True, self.wire.scheduler.now_s
        try:
            with self.store.flights.flying(*((self.wire.host.process, name) for name in names)):
                answer = self.wire.call(lambda: self._admitted(effect), self._failure, PARAMETERS)
            failed = False
        except ClientError as error:
            failed = error.response["Error"]["Code"] != "ParameterVersionNotFound"
            raise
        finally:
            for name in names:
                self.told(Asked(self.wire.host.name, name, selector, decrypt, failed, begun_s))
        return answer

    def _admitted(self, effect: Callable[[], dict[str, object]]) -> dict[str, object]:
        self.store.admit(self.wire.weather.parameters_per_s)
        return effect()

    def _entries(self, names: Sequence[str], decrypt: bool) -> dict[str, object]:  # noqa: FBT001
        states = [(name, self._seen(name)) for name in names]
        found = [self._entry(name, one.latest, decrypt=decrypt) for name, one in states if one is not None]
        return {"Parameters": found}

    def _seen(self, name: str) -> State | None:
        return self.store.seen(name, READ_LAG_S)

    def _entry(self, name: str, put: Put, *, decrypt: bool) -> dict[str, object]:
        return {
            "Name": name,
            "ARN": ARN_PREFIX + name,
            "Type": TYPES[name],
            "Version": put.number,
            "Value": text_of(name, put, decrypt=decrypt),
            "LastModifiedDate": datetime.fromtimestamp(EPOCH_S + self.store.put_s[name, put], UTC),
        }

    def _failure(self) -> Exception | None:
        weather = self.wire.weather
        if self.wire.host.name in weather.denied:
            return _error("AccessDeniedException")
        failed = weather.hits(weather.secrets_error, "Parameter Store calls failed")
        return _error("ThrottlingException") if failed else None


def under_path(path: str, *, recursive: bool) -> list[str]:
    """The names that can be under a path."""
    inside = {name: name.removeprefix(f"{path}/") for name in TYPES if name.startswith(f"{path}/")}
    return [name for name, rest in inside.items() if recursive or "/" not in rest]


def _error(code: str) -> ClientError:
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "Call")  # type: ignore[arg-type] # the shape that botocore gives it
