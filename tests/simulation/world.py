"""One world of one seed: the production code between its peers, watched by the checkers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from keyturn import Limits, Peers, Reporting
from keyturn.aws.catalog import ParameterListing
from keyturn.aws.parameterstore import ParameterStoreSource
from keyturn.cache.status import CacheStatus, HeldStatus
from keyturn.client import SecretCache
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import ConvergenceTableError, SecretError
from keyturn.markers.decisions import Hint, ParameterHint
from keyturn.markers.recorder import Recorder
from keyturn.markers.table import MarkerTable
from keyturn.metrics.hook import Metric
from keyturn.model.markers import Marker
from keyturn.model.markers import Report as ConvergenceReport
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import Host as RuntimeHost
from rotation_listener.events import Parsed, parse
from rotation_listener.listener import Listener, Settings
from tests.simulation.changer import LABEL, Changer, ParameterReads
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.bounds import SWEEP_EVERY_S
from tests.simulation.checkers.broken import BrokenPromiseError
from tests.simulation.checkers.cost import Cost
from tests.simulation.checkers.ending import Ending
from tests.simulation.checkers.logins import Logins
from tests.simulation.checkers.measures import Measures
from tests.simulation.checkers.order import Order
from tests.simulation.checkers.parameters import ServingParameters
from tests.simulation.checkers.reports import ReportWatch
from tests.simulation.checkers.serving import Serving
from tests.simulation.checkers.table import Items
from tests.simulation.checkers.waits import Waits
from tests.simulation.gremlins import Gremlins
from tests.simulation.hosts import Host, HostClock
from tests.simulation.moves import Moves
from tests.simulation.peers.database import Database, connect
from tests.simulation.peers.dynamodb import Table, TableClient, WatchedMarkers
from tests.simulation.peers.events import Event
from tests.simulation.peers.lambdas import ENVIRONMENTS, Bus, Function
from tests.simulation.peers.old_table import OldTable
from tests.simulation.peers.parameterstore import TYPES, Asked, ParameterLine, ParameterStore
from tests.simulation.peers.reports import TTL_S, ReportsLine, ReportsTable
from tests.simulation.peers.secretsmanager import ARN_PREFIX, Answered, SecretsLine, SecretsManager
from tests.simulation.plan import NAMES, Plan, ReaderPlan, planned
from tests.simulation.reader import Reader, Served
from tests.simulation.rotator import Rotator
from tests.simulation.scheduler import Scheduler
from tests.simulation.threads import cooperative
from tests.simulation.weather import SECRETS, SWEEPS, TABLE, Requests, Weather, Wire

HEALED_AFTER_S = 1450.0
"""The latest event, with Lambda's last retry, and a sweep that began a list's lag after it."""

QUIET_S = 60.0
TIME_MAX_S = 40_000.0


class OutOfReach:
    """A convergence table that no report reaches: secrets are served all the same."""

    def write(self, report: ConvergenceReport) -> None:
        raise ConvergenceTableError("fleet", "out of reach")


@dataclass(slots=True)
class Report:
    """How one seed went. `tightest`: how much of each promised time was used, at worst."""

    seed: int
    simulated_s: float
    counted: Counter[str]
    tightest: dict[str, float]
    broken: BrokenPromiseError | None = None


@dataclass(slots=True, repr=False)
class World:
    """Everything there is in one simulation, and the one random that decides."""

    random: Random
    trace: Callable[[str], None] | None
    scheduler: Scheduler
    only: str | None = None
    counted: Counter[str] = field(default_factory=Counter)
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    tightest: dict[str, float] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)
    hints: dict[int, tuple[Event, Parsed]] = field(default_factory=dict)
    plan: Plan = field(init=False)
    weather: Weather = field(init=False)
    requests: Requests = field(init=False)
    waits: Waits = field(init=False)
    service: SecretsManager = field(init=False)
    store: ParameterStore = field(init=False)
    table: Table = field(init=False)
    function: Function = field(init=False)
    bus: Bus = field(init=False)
    databases: dict[str, Database] = field(init=False)
    serving: Serving = field(init=False)
    logins: Logins = field(init=False)
    serving_parameters: ServingParameters = field(init=False)
    parameters: ParameterReads = field(init=False)
    cost: Cost = field(init=False)
    items: Items = field(init=False)
    reporting: ReportWatch = field(init=False)
    gremlins: Gremlins = field(init=False)
    ground: Host = field(init=False)
    moves: Moves = field(init=False)

    def __post_init__(self) -> None:
        self.ground = Host("aws", self.scheduler)
        self.moves = Moves(self.scheduler, self.random)
        self.weather = Weather(self.scheduler, self.random)
        self.requests = Requests(self.scheduler)
        self.waits = Waits(self.scheduler, self.weather, self.requests, self._late)
        self.service = SecretsManager(self.scheduler, self.random, self._publish)
        self.store = ParameterStore(self.scheduler, self.random, self._publish_change)
        self.table = Table(self.scheduler, self.random, self._written)
        self.databases = {name: Database(self.scheduler) for name in NAMES}
        self.function = Function(
            self.scheduler, self.weather, [], self._event_begun, self._event_ended, set()
        )
        self.gremlins = Gremlins(
            self.scheduler,
            self.random,
            self.weather,
            self.table,
            self.service,
            self.function,
            self.readers,
            self.moves,
            self.say,
            lambda: self.cost.happened("*"),
        )
        self.plan = planned(self.random, list(self.gremlins.faults()), self.only)
        self.service.stale = self.store.stale = self.plan.stale
        self.reporting = ReportWatch(
            ReportsTable.of(self.plan, self.scheduler, self.weather), self.readers, self.counted
        )
        self.bus = Bus(self.scheduler, self.random, self.weather, self.function, self.plan.trail)
        self.serving = Serving(
            self.scheduler,
            self.service,
            self.weather,
            self.plan.undescribed,
            checks=self.table.flights,
            late=self._late,
            pace_s=self.plan.pace_s,
        )
        self.serving_parameters = ServingParameters(
            self.scheduler,
            self.store,
            self.weather,
            self.plan.swept_parameters,
            checks=self.table.flights,
            late=self._late,
            pace_s=self.plan.pace_s,
        )
        self.parameters = ParameterReads(
            self.random, self.scheduler, self.serving_parameters, self.waits, self.counted
        )
        self.logins = Logins(
            self.scheduler,
            self.service,
            self.weather,
            self.databases,
            failed=self.serving.served,
            looks=self._looks,
            say=self.say,
            counted=self.counted,
        )
        self.cost = Cost(self.scheduler, self._logs_in, self.weather.hangs_since)
        heads = self.plan.slots, self.plan.copies
        self.items = Items(
            self.scheduler, self.service, self.weather, self.table.items, self.cost.happened, *heads
        )
        self.function.listeners += [self._listener(number) for number in range(ENVIRONMENTS)]
        self.readers += [self._reader(number, one) for number, one in enumerate(self.plan.readers)]
        self.cost.readers.update({reader.host.name: reader for reader in self.readers})

    # Telling

    def say(self, *parts: object) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace(f"{self.scheduler.now_s:10.3f}  {' '.join(map(str, parts))}")

    def _late(self, promise: str, share: float) -> None:
        self.tightest[promise] = max(share, self.tightest.get(promise, 0.0))

    # What happens is checked

    def _hint(self, event: Event) -> Parsed:
        """What the event says, parsed once. Kept with it, so that no other event gets its id."""
        if id(event) not in self.hints:
            self.hints[id(event)] = event, parse(event)
        return self.hints[id(event)][1]

    def _publish(self, event: Event) -> None:
        hint = self._hint(event)
        if isinstance(hint, Hint):
            name = self.service.name_by_id.get(hint.secret_id, hint.secret_id)
            self.cost.happened(name)
            if (hint.reason, hint.stage) == ("Secret Label Updated", "AWSCURRENT"):
                self.moves.happened(name)
            self.say("Secrets Manager:", hint.reason, hint.secret_id, hint.stage, hint.version_id)
        self.counted["events"] += 1
        self.bus.publish(event)

    def _publish_change(self, event: Event) -> None:
        hint = self._hint(event)
        if isinstance(hint, ParameterHint):
            self.cost.happened(hint.key)
            self.say(hint.reason, hint.key)
        self.counted["events"] += 1
        self.bus.publish(event)

    def _parameter_asked(self, asked: Asked) -> None:
        self.calls.setdefault(asked.host, Counter())["parameters"] += 1
        self.say(
            asked.host, "read", asked.selector, "of", asked.name, "" if asked.decrypt else "(ciphertext)"
        )
        self.cost.parameter_asked(asked)

    def _written(self, key: str, item: Mapping[str, object]) -> None:
        self.say("table:", item)
        self.items.written(key, item)

    def _event_begun(self, event: Event) -> None:
        hint = self._hint(event)
        self.say("listener begins:", hint)
        self._muddle(hint)

    def _event_ended(self, event: Event, answer: Mapping[str, object] | BaseException) -> None:
        hint = self._hint(event)
        self.say("listener ended:", answer, hint)
        self.counted["listener invocations"] += 1
        self._muddle(hint)

    def _muddle(self, hint: Parsed) -> None:
        """An event that names a version which is not current (any more) can hold up the marker."""
        if not isinstance(hint, Hint) or hint.version_id is None:
            return
        name = self.service.name_by_id.get(hint.secret_id, hint.secret_id)
        self.items.hinted(name, hint.version_id)
        state = self.service.now(name)
        if state is None or state.stages.get(hint.stage or "AWSCURRENT") != hint.version_id:
            self.serving.muddled_s[name] = self.scheduler.now_s

    def _answered(self, answer: Answered) -> None:
        self.calls.setdefault(answer.host, Counter())["GetSecretValue"] += 1
        pinned = "(pinned)" if answer.pinned else ""
        self.say(answer.host, "read", answer.stage, "of", answer.secret_id, pinned, _said(answer.outcome))
        self.serving.answered(answer)
        self.cost.answered(answer)

    def _asked(self, host: str, label: str) -> None:
        self.calls.setdefault(host, Counter())[label] += 1
        self.say(host, "asks the table:", label)
        self.cost.table_asked(host, label)

    def _logs_in(self) -> bool:
        """Whether the running actor asks for a login.

        A login that waits for nothing any more may end in the moment in which it has begun a check, before
        that check's thread runs.
        """
        caller = self.scheduler.caller
        return caller in self.logins.flying or self.logins.ended_s.get(caller) == self.scheduler.now_s

    def _learned(self, host: str, key: str, marker: Marker | None) -> None:
        self.cost.learned(host, self.service.name_by_id.get(key, key), marker)

    def _served(self, served: Served) -> None:
        self.say(served.reader.host.name, "got", served.stage, "of", served.secret_id, _said(served.outcome))
        self._waited(served)
        self.serving.served(served)
        if self.counted["gets"] % (10 if isinstance(served.outcome, Exception) else 150) == 0:
            secrecy.served(served)

    def _copies(self, reader: Reader, secret_id: str, stage: str) -> Collection[str]:
        """The ARN of the copy that the reader may serve under this id, if there is any."""

        def held(status: CacheStatus) -> list[HeldStatus]:
            return [one for one in status.secrets if one.stage == stage and secret_id in one.secret_ids]

        return self.waits.copies(reader, held, 1)

    def _waited(self, served: Served) -> None:
        """A copy that was taken away meanwhile, or another secret's by now, is none."""
        outcome = served.outcome
        is_warm = isinstance(outcome, SecretVersion) and outcome.arn in served.copies
        what = f"{served.stage} of {served.secret_id}"
        self.waits.ended(
            served.reader, SECRETS, served.begun_s, what, is_warm=is_warm, is_left=served.is_left
        )

    def _reborn(self, reader: Reader) -> None:
        reader.born_s = self.scheduler.now_s
        self.serving.forgotten(reader.host.name)
        self.logins.forgotten(reader.host.name)
        self.serving_parameters.forgotten(reader.host.name)

    # Making

    def _listener(self, number: int) -> tuple[Host, Listener]:
        clock = HostClock(self.scheduler, skew_s=self.random.uniform(-2, 2))
        host = Host(f"listener{number}", self.scheduler, clock)
        line, pauses = self._line(host, crashes=True)
        parameters = ParameterLine(
            self.store, Wire(self.scheduler, self.weather, host, crashes=True), self._no_read
        )
        listed = ParameterListing(parameters, ("/app/",)) if self.plan.swept_parameters else None
        return host, Listener(Settings("markers"), line, line, pauses, listed)

    def _no_read(self, asked: Asked) -> None:
        raise BrokenPromiseError("secrecy", f"the listener read {asked.name}")

    def _line(self, host: Host, *, crashes: bool) -> tuple[Order, RuntimeHost]:
        """The catalog and the table of a writer on this host, watched, and its clock, pauses and chance."""
        wire = Wire(self.scheduler, self.weather, host, crashes)
        catalog = SecretsLine(self.service, wire, self._answered, self.plan.undescribed)
        line = Order(
            self.scheduler,
            catalog,
            self._markers(wire, sweeps=crashes),
            lambda of: self.service.name_by_id.get(of, of),
        )
        return line, self._runtime(host)

    def _markers(self, wire: Wire, *, sweeps: bool = False) -> MarkerTable | OldTable:
        client = TableClient(self.table, wire, partial(self._asked, wire.host.name))
        host, plan = self._runtime(wire.host), self.plan
        if plan.old and self.random.random() < plan.old:
            return OldTable(client, "markers", host, slots=plan.slots)
        # What the sweep decides, the others learn from the head.
        copies, pace_s = (plan.copies, plan.pace_s) if sweeps else (None, None)
        return MarkerTable(client, "markers", host, slots=plan.slots, copies=copies, pace_s=pace_s)

    def _runtime(self, host: Host) -> RuntimeHost:
        return RuntimeHost(
            wall=host.clock.wall,
            sleep=self.scheduler.pause,
            random=self.random.random,
            new_epoch=lambda: f"{self.random.getrandbits(64):016x}",
        )

    def _reader(self, number: int, plan: ReaderPlan) -> Reader:
        host = Host(
            f"reader{number}", self.scheduler, HostClock(self.scheduler, skew_s=plan.skew_s, drift=plan.drift)
        )
        make = partial(self._cache, host, plan)
        return Reader(
            host=host,
            scheduler=self.scheduler,
            random=self.random,
            make_cache=make,
            limits=plan.limits,
            ids=self._ids,
            moves=self.moves,
            told=self._served,
            invalidated=self._invalidated,
            reborn=self._reborn,
            connect=partial(self._connect, Wire(self.scheduler, self.weather, host)),
            logins=self.logins,
            parameters=self.parameters.read,
            copies=self._copies,
            counted=self.counted,
            mean_gap_s=plan.mean_gap_s,
            storms=plan.storms,
            steady=plan.steady,
            background=plan.background,
            cache=make(),
        )

    def _cache(self, host: Host, plan: ReaderPlan) -> SecretCache:
        wire = Wire(self.scheduler, self.weather, host, requests=self.requests)
        line, limits = ParameterLine(self.store, wire, self._parameter_asked), plan.limits
        reports = self._reports(host)
        return SecretCache(
            convergence_table=Reporting("given", ttl_s=TTL_S) if reports is not None else False,
            metrics=Measures((*NAMES, *TYPES), self._happened),
            background=plan.background,
            check_interval_s=limits["check_interval_s"],
            limits=Limits(
                covered_ttl_s=limits["covered_ttl_s"],
                uncovered_ttl_s=limits["uncovered_ttl_s"],
                lease_s=limits["lease_s"],
                max_denied_s=limits["max_denied_s"],
                max_stale_s=limits["max_stale_s"],
            ),
            peers=Peers(
                source=SecretsLine(self.service, wire, self._answered),
                parameter_source=lambda decrypt: ParameterStoreSource(lambda: line, decrypt=decrypt),
                markers=WatchedMarkers(
                    self._markers(wire),
                    host,
                    self.table.flights,
                    partial(self._learned, host.name),
                    throttled=partial(self.weather.struck, TABLE),
                ),
                reports=reports,
                clock=host.clock,
                sleep=self._sleep,
                random=self.random.random,
            ),
        )

    def _reports(self, host: Host) -> ConvergenceTable | OutOfReach | None:
        table = self.reporting.table
        if not table.used:
            return OutOfReach() if table.is_given_to(host) else None
        return ConvergenceTable(ReportsLine(table, host, self.reporting.sent), "fleet")

    def _happened(self, metric: Metric) -> int | None:
        """How often what a metric counts has happened, to all readers together; None where nobody counts."""
        match metric:
            case Metric.CHECK_S:
                return sum(number for label, number in self.table.calls.items() if label.startswith("head"))
            case Metric.READ_S:
                return self.service.calls["GetSecretValue"] + self.store.calls.total()
            case Metric.REFUSALS:
                return self.counted["logins: versions refused"]
        return None

    def _connect(self, wire: Wire, version: SecretVersion, server: str) -> None:
        connect(self.databases[version.name], server, wire, version.text())

    def _sleep(self, seconds: float) -> None:
        """What a login does between two looks; nothing else of a reader sleeps."""
        self.logins.paused(seconds)
        self.scheduler.pause(seconds)

    def _looks(self, reader: Reader, name: str) -> None:
        """A login may ask again for its secret, whatever is known of it."""
        self.cost.invalidated(reader, name)

    def _ids(self) -> list[str]:
        """Every id by which a reader may know a secret now: name, partial ARN, full ARN."""
        states = [self.service.now(name) for name in NAMES]
        arns = [state.arn for state in states if state is not None]
        return [*NAMES, *NAMES, *(ARN_PREFIX + name for name in NAMES), *arns]

    def _invalidated(self, reader: Reader, secret_id: str) -> None:
        name = self.service.name_by_id.get(secret_id, secret_id)
        self.cost.invalidated(reader, name)
        self.serving.invalidated(reader, secret_id)

    # Living

    def live(self) -> None:
        """From the first secret to the last check."""
        rotators = [self._rotator(name) for name in NAMES]
        self._spawn("sweeps", self._sweep_on)
        changers = [
            Changer(name, self.scheduler, self.random, self.store, 4 * self.plan.mean_gap_s, self.counted)
            for name in TYPES
        ]
        for changer in changers:
            self._spawn(f"creation of {changer.name}", changer.begin)
        busy = len(rotators)

        def rotate(rotator: Rotator) -> None:
            nonlocal busy
            rotator.run(self.plan.rotations)
            busy -= 1

        for rotator in rotators:
            self._spawn(f"rotator of {rotator.name}", partial(rotate, rotator))
        for reader in self.readers:
            reader.start()
        # Until here nobody had a marker: the faults begin once the first sweep has made them.
        self.scheduler.run(30)
        chaos = Host("gremlins", self.scheduler)
        people = Host("people", self.scheduler)
        for changer in changers:
            self.scheduler.spawn(f"changes of {changer.name}", people.machine, changer.run)
        for number in range(2 if self.plan.faults else 0):
            run = partial(self.gremlins.run, list(self.plan.faults), self.plan.mean_fault_gap_s)
            self.scheduler.spawn(f"gremlin{number}", chaos.machine, run)
        while busy and self.scheduler.now_s < TIME_MAX_S:
            self.scheduler.run(self.scheduler.now_s + 50)
        chaos.kill()
        people.kill()
        self._heal()

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        self.scheduler.spawn(name, self.ground.machine, run)

    def _rotator(self, name: str) -> Rotator:
        host = Host(f"rotation of {name}", self.scheduler)
        announcer = None
        if self.plan.announced:
            line, pauses = self._line(host, crashes=False)
            announcer = Recorder(line, line, pauses, settle_s=6.0)
        rotator = Rotator(
            name=name,
            scheduler=self.scheduler,
            random=self.random,
            service=self.service,
            database=self.databases[name],
            publish=self._publish,
            host=host,
            announcer=announcer,
            alternating=self.plan.alternating,
            mean_gap_s=self.plan.mean_gap_s,
            counted=self.counted,
            say=self.say,
            hinted=self.items.hinted,
        )
        self._spawn(f"creation of {name}", rotator.begin)
        return rotator

    def _sweep_on(self) -> None:
        while True:
            if self.weather.sweeps_off:
                self.weather.struck(SWEEPS)
            else:
                self.counted["sweeps"] += 1
                self.function.invoke({"keyturn": "sweep"}, 0.0)
            self.scheduler.pause(SWEEP_EVERY_S)

    def _heal(self) -> None:
        """All faults end; then everybody has time to get over them, and is looked at."""
        self.say("all faults are over")
        self.weather.end()
        self.table.exists = True
        for reader in self.readers:
            reader.quiet = True
        self._spawn("one move more", self._move_each)
        thawed_s = max(self.scheduler.now_s, *(reader.host.machine.thaws_at_s for reader in self.readers))
        self.scheduler.run(thawed_s + HEALED_AFTER_S)
        self.logins.all_ended()
        ending = Ending(
            self.service,
            self.plan.undescribed,
            self.store,
            self.plan.swept_parameters,
            self.plan.copies,
            self.weather,
            self.requests,
        )
        for reader in self.readers:
            self.scheduler.spawn(
                f"end of {reader.host.name}", reader.host.machine, partial(self._end, ending, reader)
            )
        self.scheduler.run(self.scheduler.now_s + 3 * QUIET_S)
        ending.table(self.table.items(), self.scheduler.now_s)
        ending.listener(self.function.waiting)
        self.reporting.over()

    def _move_each(self) -> None:
        """From a reader of the version before slots a forged or restored head may hide what has changed.

        Until the next move that it sees.
        """
        for name in NAMES if self.plan.old else ():
            self.scheduler.pause(30.0)
            self.service.move(name, "blue", None)
            self.service.move(name, "blue", self.service.held(name).stages["AWSCURRENT"])
        for name in TYPES:
            self.store.put(name)
            self.store.label(name, LABEL, 1)

    def _end(self, ending: Ending, reader: Reader) -> None:
        self._get_all(reader, QUIET_S, every_s=20.0)
        self.calls.setdefault(reader.host.name, Counter()).clear()
        self._get_all(reader, QUIET_S, every_s=5.0)
        ending.quiet_minute(reader, self.calls[reader.host.name], QUIET_S)
        ending.reader(reader)
        self.reporting.ended(reader, self.service, QUIET_S)
        reader.forget()
        # What the background thread was reading just then lands, and counts for nothing.
        self.scheduler.pause(1.0)
        self.calls[reader.host.name].clear()
        self._get_parameters(reader, QUIET_S / 2)
        ending.first_minute(reader, self.calls[reader.host.name])
        self.counted["readers seen converged"] += 1

    def _get_parameters(self, reader: Reader, seconds: float) -> None:
        until_s = self.scheduler.now_s + seconds
        while self.scheduler.now_s < until_s:
            for name in TYPES:
                self.parameters.one(reader, name, "AWSCURRENT", decrypt=True)
            self.scheduler.pause(1.0)

    def _get_all(self, reader: Reader, seconds: float, *, every_s: float) -> None:
        until_s = self.scheduler.now_s + seconds
        while self.scheduler.now_s < until_s:
            for name in NAMES:
                for stage in ("AWSCURRENT", "AWSPREVIOUS"):
                    reader.get(name, stage)
            for name in TYPES:
                for selector in ("AWSCURRENT", LABEL):
                    self.parameters.one(reader, name, selector, decrypt=True)
            self.parameters.some(reader, tuple(TYPES), decrypt=True)
            self.parameters.path(reader, recursive=True, decrypt=True)
            self.scheduler.pause(every_s)


def _said(outcome: SecretVersion | SecretError) -> str:
    """An answer in one word."""
    return outcome.version_id if isinstance(outcome, SecretVersion) else type(outcome).__name__


def simulate(seed: int, trace: Callable[[str], None] | None = None, *, only: str | None = None) -> Report:
    """Run the world of one seed, up to its end or to the first broken promise.

    `only`: instead of the faults that it draws, this one; empty for none.
    """
    scheduler, broken = Scheduler(), None
    with cooperative(scheduler), secrecy.listening_to_logs():
        world = World(Random(seed), trace, scheduler, only)
        try:
            world.live()
        except BrokenPromiseError as error:
            broken = error
        finally:
            scheduler.close()
    world.counted.update({f"fault: {name}": number for name, number in world.weather.counted.items()})
    world.counted.update(world.service.calls)
    world.counted.update(world.store.calls)
    world.counted.update({f"table: {name}": number for name, number in world.table.calls.items()})
    return Report(seed, world.scheduler.now_s, world.counted, world.tightest, broken)
