"""The faults, one after another, each for a while: what goes wrong in one world, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from keyturn.markers.schema import HEAD_KEY, count_name, entry_name, is_head_key
from tests.simulation.hosts import EPOCH_S
from tests.simulation.moves import Moves
from tests.simulation.peers import events
from tests.simulation.peers.dynamodb import Table
from tests.simulation.peers.lambdas import Function
from tests.simulation.peers.secretsmanager import ARN_PREFIX, SecretsManager
from tests.simulation.reader import Reader
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import (
    EVENTS,
    KINDS,
    LISTENER,
    PARAMETERS,
    PARAMETERS_PER_S,
    SECRETS,
    SWEEPS,
    TABLE,
    TAMPER,
    Hang,
    Weather,
)

HUGE = str(2**53)


@dataclass(slots=True)
class Gremlins:
    """Everything that can go wrong, by name in `faults`."""

    scheduler: Scheduler
    random: Random
    weather: Weather
    table: Table
    service: SecretsManager
    function: Function
    readers: list[Reader]
    moves: Moves
    say: Callable[[str], None]
    disturbed: Callable[[], None]

    def faults(self) -> dict[str, Callable[[], None]]:
        """Every fault by its name."""
        return {
            "events lost for a while": self._events_lost,
            "events late and doubled for a while": self._events_late,
            "nothing announces: events, listener, sweeps off": self._silence,
            "listener dead": self._listener_dead,
            "listener crashes between steps": self._listener_crashes,
            "sweeps off": self._sweeps_off,
            "sweeps out of time": self._sweeps_out_of_time,
            "Secrets Manager throttles": self._secrets_fail,
            "Parameter Store is busy with others": self._parameters_busy,
            "reads denied": self._reads_denied,
            "Secrets Manager hangs": lambda: self._hang(SECRETS),
            "Parameter Store hangs": lambda: self._hang(PARAMETERS),
            "table hangs": lambda: self._hang(TABLE),
            "all services hang": lambda: self._hang(*KINDS),
            "clients raise foreign exceptions": self._foreign,
            "database does not answer": self._database_fails,
            "database refuses right passwords now and then": self._database_whims,
            "table throttles and times out": self._table_fails,
            "table denied": self._table_denied,
            "table lost, then made anew": self._table_lost,
            "table restored to an earlier moment": self._table_restored,
            "marker forged": self._marker_forged,
            "markers forged all the time": self._marker_forged_anew,
            "head forged": self._head_forged,
            "item broken": self._item_broken,
            "event forged": self._event_forged,
            "clock set forward": self._clock_forward,
            "clock set back": self._clock_back,
            "host frozen": lambda: self._freeze(stops_monotonic=False),
            "host frozen, monotonic clock stopped": lambda: self._freeze(stops_monotonic=True),
            "restored from a snapshot": self._restored,
            "process forked": self._forked,
            "process replaced": self._replaced,
        }

    def run(self, favourites: list[str], mean_gap_s: float) -> None:
        """One fault after another, for ever; many strike when a label has just moved."""
        faults = self.faults()
        while True:
            self.moves.pause(self.random.expovariate(1 / mean_gap_s))
            name = self.random.choice(favourites)
            self.weather.counted[name] += 1
            self.say(f"fault begins: {name}")
            faults[name]()
            self.say(f"fault ends: {name}")

    # Events, listener, sweeps

    def _events_lost(self) -> None:
        with self.weather.blowing(EVENTS):
            self.weather.event_lost = self.random.choice((0.3, 1.0))
            self._last(600)
            self.weather.event_lost = 0.0

    def _events_late(self) -> None:
        with self.weather.blowing(EVENTS):
            self.weather.event_late, self.weather.event_doubled = 0.3, 0.3
            self._last(300)
            self.weather.event_late = self.weather.event_doubled = 0.0

    def _silence(self) -> None:
        with self.weather.blowing(EVENTS, LISTENER, SWEEPS):
            self.weather.event_lost, self.weather.listener_dead, self.weather.sweeps_off = 1.0, True, True
            self._last(1500)
            self.weather.event_lost, self.weather.listener_dead, self.weather.sweeps_off = 0.0, False, False

    def _listener_dead(self) -> None:
        with self.weather.blowing(LISTENER):
            self.weather.listener_dead = True
            self._last(400)
            self.weather.listener_dead = False

    def _listener_crashes(self) -> None:
        with self.weather.blowing(LISTENER):
            self.weather.crash = 0.1
            self._last(300)
            self.weather.crash = 0.0

    def _sweeps_off(self) -> None:
        with self.weather.blowing(SWEEPS):
            self.weather.sweeps_off = True
            self._last(1500)
            self.weather.sweeps_off = False

    def _sweeps_out_of_time(self) -> None:
        with self.weather.blowing(SWEEPS):
            self.weather.out_of_time = 0.3
            self._last(600)
            self.weather.out_of_time = 0.0

    def _event_forged(self) -> None:
        name = self.random.choice(sorted(self.service.states))
        arn = self.random.choice([known for known, of in self.service.name_by_id.items() if of == name])
        version_id = f"v{self.random.randrange(1, 9)}"
        forged: list[events.Event] = [
            events.label_updated(arn, name, "AWSCURRENT", version_id),
            events.label_updated(ARN_PREFIX + "nobody-abcdef", "nobody", "AWSCURRENT", "v1"),
            events.api_call("DeleteSecret", arn, {"secretId": name}),
            {"detail-type": "Secret Label Updated", "detail": None},
            {"keyturn": "announce", "secret_id": name, "version_id": version_id, "step": "finishSecret"},
        ]
        for event in self.random.sample(forged, 2):
            self.function.invoke(event, self.random.random())

    # Secrets Manager

    def _secrets_fail(self) -> None:
        with self.weather.blowing(SECRETS, LISTENER):
            self.weather.secrets_error = self.random.choice((0.2, 0.6, 1.0))
            self._last(200)
            self.weather.secrets_error = 0.0

    def _parameters_busy(self) -> None:
        with self.weather.blowing(SECRETS):
            self.weather.parameters_per_s = self.random.choice((0, 1, 2))
            self._last(100)
            self.weather.parameters_per_s = PARAMETERS_PER_S

    def _reads_denied(self) -> None:
        host = self._reader().host.name
        with self.weather.blowing(SECRETS):
            self.weather.denied.add(host)
            self._last(600)
            self.weather.denied.discard(host)

    def _hang(self, *services: str) -> None:
        """Requests are accepted and not answered for long, or not before this is over."""
        hang = Hang(self.random.choice((0.3, 1.0, 1.0)), self.random.random() < 0.5)
        with self.weather.blowing(*(KINDS[service] for service in services)):
            self.weather.hangs.update(dict.fromkeys(services, hang))
            self._last(120)
            for service in services:
                self.weather.answer_again(service)

    def _foreign(self) -> None:
        """Credentials, configuration files and other people's code raise what they like."""
        chance, services = self.random.choice((0.3, 1.0)), self.random.sample(list(KINDS), 2)
        with self.weather.blowing(*(KINDS[service] for service in services)):
            self.weather.foreign.update(dict.fromkeys(services, chance))
            self._last(100)
            for service in services:
                self.weather.foreign.pop(service, None)

    def _database_fails(self) -> None:
        self.weather.database_error = self.random.choice((0.2, 1.0))
        self._last(100)
        self.weather.database_error = 0.0

    def _database_whims(self) -> None:
        self.weather.database_whims = self.random.choice((0.1, 0.5))
        self._last(100)
        self.weather.database_whims = 0.0

    # The table

    def _table_fails(self) -> None:
        with self.weather.blowing(TABLE, LISTENER):
            self.weather.table_error = self.random.choice((0.2, 0.6, 1.0))
            self._last(400)
            self.weather.table_error = 0.0

    def _table_denied(self) -> None:
        with self.weather.blowing(TABLE, LISTENER):
            self.weather.table_denied = True
            self._last(200)
            self.weather.table_denied = False

    def _table_lost(self) -> None:
        with self.weather.blowing(TABLE, TAMPER, LISTENER):
            self.table.exists = False
            self.disturbed()
            self._last(200)
            self.table.become({})
            self.weather.lasting.add(TAMPER)
            self.table.exists = True

    def _table_restored(self) -> None:
        ago_s = self.random.expovariate(1 / 400)
        with self.weather.blowing(TABLE, TAMPER, LISTENER):
            self.table.exists = False
            self.disturbed()
            self._last(20)
            self.table.become(self.table.as_of(max(0.0, self.scheduler.now_s - ago_s)))
            self.weather.lasting.add(TAMPER)
            self.table.exists = True

    def _marker_forged(self) -> None:
        key = self._some_marker()
        item = self.table.item(key) if key is not None else None
        if key is None or item is None:
            return
        version_id = f"v{self.random.randrange(1, 40)}"
        forged: list[Mapping[str, object]] = [
            {"stages": {"M": {"AWSCURRENT": {"S": version_id}, "AWSPREVIOUS": {"S": "v1"}}}},
            {"stages": {"M": {}}},
            {"deleted": {"BOOL": True}},
            {"sequence": {"N": HUGE}, "epoch": {"S": "forged"}},
            {"arn": {"S": f"{key}-999999"}},
            {"left": {"L": [{"S": f"v{number}"} for number in range(1, 20)]}},
        ]
        self._tamper(key, {**item, **self.random.choice(forged)})
        self._move_head()

    def _marker_forged_anew(self) -> None:
        """Some marker or other is forged anew, again and again."""
        for _ in range(self.random.randrange(1, 200)):
            self._marker_forged()
            self.scheduler.pause(self.random.uniform(1, 8))

    def _head_forged(self) -> None:
        key = self._some_head()
        item = self.table.item(key)
        if item is None:
            return
        forged = _forged_heads(EPOCH_S + self.scheduler.now_s, self.random.randrange(2))
        self._tamper(key, {**item, **self.random.choice(forged)})

    def _item_broken(self) -> None:
        key = self._some_head() if self.random.random() < 0.3 else self._some_marker()
        if key is None:
            return
        misshapen = {"schema": {"N": "1"}, "epoch": {"N": "1"}, "counter": {"S": "x"}, "sequence": {"S": "x"}}
        broken: list[Mapping[str, object]] = [{"schema": {"N": "2"}}, {}, misshapen]
        self._tamper(key, {"pk": {"S": key}, **self.random.choice(broken)})

    def _tamper(self, key: str, item: Mapping[str, object]) -> None:
        with self.weather.blowing(TAMPER):
            self.table.put(key, item)
        self.weather.lasting.add(TAMPER)
        self.disturbed()

    def _move_head(self) -> None:
        for key in filter(is_head_key, self.table.items()):
            item = self.table.item(key)
            counter = item.get("counter") if item is not None else None
            digits = counter.get("N") if isinstance(counter, Mapping) else None
            if item is not None and isinstance(digits, str):
                self._tamper(key, {**item, "counter": {"N": str(min(int(digits) + 1, 2**53))}})

    def _some_marker(self) -> str | None:
        keys = [key for key in self.table.items() if not is_head_key(key)]
        return self.random.choice(keys) if keys else None

    def _some_head(self) -> str:
        keys = [key for key in self.table.items() if is_head_key(key)]
        return self.random.choice(keys) if keys else HEAD_KEY

    # Hosts

    def _clock_forward(self) -> None:
        self._reader().host.clock.step(self.random.choice((0.5, 30.0, 3600.0)))

    def _clock_back(self) -> None:
        self._reader().host.clock.step(-self.random.choice((0.5, 4.0, 30.0, 900.0)))

    def _freeze(self, *, stops_monotonic: bool) -> None:
        self._reader().host.freeze(self.random.expovariate(1 / 300), stops_monotonic=stops_monotonic)

    def _restored(self) -> None:
        """A snapshot's clone: the hook runs before the first `get`."""
        reader = self._reader()
        reader.host.freeze(self.random.expovariate(1 / 1000), stops_monotonic=True)
        reader.forget()

    def _forked(self) -> None:
        """Only the forking thread lives on in the child, with what the parent held."""
        self._reader().fork()

    def _replaced(self) -> None:
        self._reader().restart()

    def _reader(self) -> Reader:
        return self.random.choice(self.readers)

    def _last(self, mean_s: float) -> None:
        self.scheduler.pause(self.random.expovariate(1 / mean_s))


def _forged_heads(now_s: float, slot: int) -> list[Mapping[str, object]]:
    return [
        {"counter": {"N": "1"}},
        {"counter": {"N": HUGE}},
        {"counter": {"N": str(2**53 - 1)}},
        {"epoch": {"S": "forged"}},
        {"swept_as_of_s": {"N": str(now_s - 1)}},
        {"swept_as_of_s": {"N": str(now_s + 10_000)}},
        {"swept_as_of_s": {"N": "0"}},
        {count_name(slot): {"N": "1"}},
        {count_name(slot): {"N": HUGE}},
        {count_name(slot): {"S": "x"}},
        {entry_name(slot): {"B": b"forged"}},
        {"copies": {"N": "3"}},
        {"pace_s": {"N": "-1"}},
    ]
