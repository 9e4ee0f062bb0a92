"""The life of one parameter, and what readers ask of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeAlias

from keyturn.cache.status import CacheStatus, HeldStatus
from keyturn.errors import SecretError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT
from tests.simulation.checkers.parameters import Ask, ServingParameters
from tests.simulation.checkers.waits import Waits
from tests.simulation.interruptions import AlarmError
from tests.simulation.peers.parameterstore import ARN_PREFIX, TYPES, ParameterStore, under_path
from tests.simulation.reader import Reader, foreign
from tests.simulation.scheduler import NEVER_S, Scheduler
from tests.simulation.weather import PARAMETERS

Listing: TypeAlias = tuple[str, int, float, bool, bool]
"""A process and since when it lives, and one of its readings of a path: recursive or not, in clear or not."""

LISTED_S: Final = 800.0
"""For so long the names under a path may be served, at least: less than any reader's `max_stale_s`."""

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
    waits: Waits
    counted: Counter[str]
    listed: dict[Listing, float] = field(default_factory=dict)

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
        get, is_warm = reader.cache.get_parameter, self._has_copies(reader, (name,), selector)
        outcome = _outcome(reader, lambda: {name: get(asked, decrypt=decrypt)})
        self._ended(ask, outcome, is_warm=is_warm)
        self.serving.served(ask, outcome)

    def some(self, reader: Reader, names: tuple[str, ...], *, decrypt: bool) -> None:
        """get_parameters."""
        ask = self._ask(reader, names, AWSCURRENT, decrypt=decrypt)
        get, is_warm = reader.cache.get_parameters, self._has_copies(reader, names, AWSCURRENT)
        outcome = _outcome(reader, lambda: get(names, decrypt=decrypt))
        self._ended(ask, outcome, is_warm=is_warm)
        self.serving.served(ask, outcome)

    def path(self, reader: Reader, *, recursive: bool, decrypt: bool) -> None:
        """get_parameters_by_path."""
        ask = self._ask(reader, (), AWSCURRENT, decrypt=decrypt)
        get, names = reader.cache.get_parameters_by_path, under_path("/app", recursive=recursive)
        path = (*reader.host.process, reader.born_s, recursive, decrypt)
        is_warm = ask.begun_s - self.listed.get(path, -NEVER_S) < LISTED_S and self._has_copies(
            reader, names, AWSCURRENT
        )
        outcome = _outcome(reader, lambda: get("/app", recursive=recursive, decrypt=decrypt))
        self._ended(ask, outcome, is_warm=is_warm)
        if not isinstance(outcome, SecretError):
            self.listed[path] = ask.begun_s
        self.serving.served_path(ask, "/app", outcome, recursive=recursive)

    def _has_copies(self, reader: Reader, names: Collection[str], selector: str) -> bool:
        """Return True if each of these ids has a copy that may be served: in clear and as a ciphertext."""
        known = set(names)

        def held(status: CacheStatus) -> list[HeldStatus]:
            return [one for one in status.parameters if known & set(one.secret_ids) and one.stage == selector]

        return bool(self.waits.copies(reader, held, 2 * len(known)))

    def _ended(self, ask: Ask, outcome: Mapping[str, Parameter] | SecretError, *, is_warm: bool) -> None:
        # An answer that a parameter is gone takes its copy away, so its next caller has none.
        is_warm = is_warm and not isinstance(outcome, SecretError)
        what = f"{ask.selector} of {ask.names}"
        self.waits.ended(ask.reader, PARAMETERS, ask.begun_s, what, is_warm=is_warm)

    def _ask(self, reader: Reader, names: tuple[str, ...], selector: str, *, decrypt: bool) -> Ask:
        return Ask(reader, names, selector, decrypt, self.scheduler.now_s, is_second=reader.begins())


def _outcome(
    reader: Reader, get: Callable[[], Mapping[str, Parameter]]
) -> Mapping[str, Parameter] | SecretError:
    try:
        with reader.armed():
            return get()
    except SecretError as error:
        return error
    except AlarmError:
        raise
    except Exception as error:
        raise foreign(error) from error
