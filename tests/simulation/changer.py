"""The life of one parameter, and what readers ask of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from keyturn.errors import SecretError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT
from tests.simulation.checkers.parameters import Ask, ServingParameters
from tests.simulation.peers.parameterstore import ARN_PREFIX, TYPES, ParameterStore
from tests.simulation.reader import Reader
from tests.simulation.scheduler import Scheduler

LABEL: Final = "live"
SELECTORS: Final = (AWSCURRENT,) * 6 + (LABEL, LABEL, "2")
CHANGES: Final = {"parameter put": 6, "parameter labelled": 2, "parameter deleted and created again": 1}


@dataclass(slots=True)
class Changer:
    """Does one thing after another to one parameter, for ever."""

    name: str
    scheduler: Scheduler
    random: Random
    store: ParameterStore
    mean_gap_s: float
    counted: Counter[str]

    def begin(self) -> None:
        """Create it, with a label."""
        self.store.put(self.name)
        self.store.label(self.name, LABEL, 1)

    def run(self) -> None:
        """Change after change; some follow at once."""
        while True:
            self.scheduler.pause(self.random.expovariate(1 / self.mean_gap_s))
            self.change(self.random.choices(list(CHANGES), list(CHANGES.values()))[0])

    def change(self, action: str) -> None:
        """One thing that happens to it."""
        self.counted[action] += 1
        state = self.store.now(self.name)
        match action:
            case "parameter put":
                self.store.put(self.name)
            case "parameter labelled" if state is not None:
                self.store.label(self.name, LABEL, self.random.randint(1, state.latest.number))
            case _:
                self.store.delete(self.name)
                self.scheduler.pause(self.random.expovariate(1 / self.random.choice((1.0, 200.0))))
                self.begin()


@dataclass(slots=True)
class ParameterReads:
    """What readers do with parameters: one by name, some by name, all under a path."""

    random: Random
    scheduler: Scheduler
    serving: ServingParameters
    counted: Counter[str]

    def read(self, reader: Reader) -> None:
        """One of them, at random."""
        self.counted["parameter reads"] += 1
        decrypt, way = self.random.random() < 0.7, self.random.random()
        if way < 0.6:
            name = self.random.choice((*TYPES, *(ARN_PREFIX + name for name in TYPES)))
            self.one(reader, name, self.random.choice(SELECTORS), decrypt=decrypt)
        elif way < 0.8:
            self.some(reader, tuple(self.random.sample(list(TYPES), 2)), decrypt=decrypt)
        else:
            self.path(reader, recursive=self.random.random() < 0.5, decrypt=decrypt)

    def one(self, reader: Reader, name: str, selector: str, *, decrypt: bool) -> None:
        """get_parameter."""
        asked = name if selector == AWSCURRENT else f"{name}:{selector}"
        ask = self._ask(reader, (name,), selector, decrypt=decrypt)
        get = reader.cache.get_parameter
        self.serving.served(ask, _outcome(lambda: {name: get(asked, decrypt=decrypt)}))

    def some(self, reader: Reader, names: tuple[str, ...], *, decrypt: bool) -> None:
        """get_parameters."""
        ask = self._ask(reader, names, AWSCURRENT, decrypt=decrypt)
        get = reader.cache.get_parameters
        self.serving.served(ask, _outcome(lambda: get(names, decrypt=decrypt)))

    def path(self, reader: Reader, *, recursive: bool, decrypt: bool) -> None:
        """get_parameters_by_path."""
        ask = self._ask(reader, (), AWSCURRENT, decrypt=decrypt)
        get = reader.cache.get_parameters_by_path
        outcome = _outcome(lambda: get("/app", recursive=recursive, decrypt=decrypt))
        self.serving.served_path(ask, "/app", outcome, recursive=recursive)

    def _ask(self, reader: Reader, names: tuple[str, ...], selector: str, *, decrypt: bool) -> Ask:
        return Ask(reader, names, selector, decrypt, self.scheduler.now_s)


def _outcome(get: Callable[[], Mapping[str, Parameter]]) -> Mapping[str, Parameter] | SecretError:
    try:
        return get()
    except SecretError as error:
        return error
