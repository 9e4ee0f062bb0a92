"""The processes of one world: readers, listeners and rotations, each on a host with a way to the services."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random

from keyturn import Limits, Peers, Reporting
from keyturn.aws.catalog import ParameterListing
from keyturn.aws.parameterstore import ParameterStoreSource
from keyturn.client import SecretCache
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import ConvergenceTableError
from keyturn.markers.recorder import Recorder
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Report
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import Host as RuntimeHost
from rotation_listener.listener import Listener, Settings
from tests.simulation.account import Account
from tests.simulation.changer import ParameterReads
from tests.simulation.checkers.broken import BrokenPromiseError
from tests.simulation.checkers.measures import Measures
from tests.simulation.checkers.order import Order
from tests.simulation.hosts import Host, HostClock
from tests.simulation.interruptions import Interruptions
from tests.simulation.judges import Judges
from tests.simulation.peers.database import connect
from tests.simulation.peers.dynamodb import TableClient, WatchedMarkers
from tests.simulation.peers.old_table import OldTable
from tests.simulation.peers.parameterstore import TYPES, Asked, ParameterLine
from tests.simulation.peers.reports import TTL_S, ReportsLine
from tests.simulation.peers.secretsmanager import SecretsLine
from tests.simulation.plan import NAMES, Plan, ReaderPlan
from tests.simulation.reader import Reader
from tests.simulation.rotator import Rotator
from tests.simulation.scheduler import Scheduler
from tests.simulation.setting import Setting
from tests.simulation.watch import Watch
from tests.simulation.weather import TABLE, Weather, Wire


class OutOfReach:
    """A convergence table that no report reaches: secrets are served all the same."""

    def write(self, report: Report) -> None:
        raise ConvergenceTableError("fleet", "out of reach")


@dataclass(slots=True, repr=False)
class Processes:
    """Makes the processes that the plan asks for."""

    setting: Setting
    judges: Judges
    watch: Watch
    parameters: ParameterReads
    plan: Plan = field(init=False)
    scheduler: Scheduler = field(init=False)
    random: Random = field(init=False)
    weather: Weather = field(init=False)
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        setting = self.setting
        self.plan, self.random, self.account = setting.plan, setting.random, setting.account
        self.scheduler, self.weather = setting.scheduler, setting.weather

    def listener(self, number: int) -> tuple[Host, Listener]:
        """Make one environment of the listener."""
        clock = HostClock(self.scheduler, skew_s=self.random.uniform(-2, 2))
        host = Host(f"listener{number}", self.scheduler, clock)
        line, pauses = self._line(host, crashes=True)
        parameters = ParameterLine(
            self.account.store, Wire(self.scheduler, self.weather, host, crashes=True), _no_read
        )
        listed = ParameterListing(parameters, ("/app/",)) if self.plan.swept_parameters else None
        return host, Listener(Settings("markers"), line, line, pauses, listed)

    def rotator(self, name: str) -> Rotator:
        """Make what rotates this secret; it announces its steps where the plan says so."""
        host = Host(f"rotation of {name}", self.scheduler)
        announcer = None
        if self.plan.announced:
            line, pauses = self._line(host, crashes=False)
            announcer = Recorder(line, line, pauses, settle_s=6.0)
        return Rotator(
            name=name,
            scheduler=self.scheduler,
            random=self.random,
            service=self.account.service,
            database=self.account.databases[name],
            publish=self.watch.published,
            host=host,
            announcer=announcer,
            alternating=self.plan.alternating,
            mean_gap_s=self.plan.mean_gap_s,
            counted=self.setting.record.counted,
            say=self.setting.record.say,
            hinted=self.judges.items.hinted,
        )

    def reader(self, number: int, plan: ReaderPlan) -> Reader:
        """Make a process that reads."""
        clock = HostClock(self.scheduler, skew_s=plan.skew_s, drift=plan.drift)
        host = Host(f"reader{number}", self.scheduler, clock)
        make = partial(self._cache, host, plan)
        return Reader(
            host=host,
            scheduler=self.scheduler,
            random=self.random,
            make_cache=make,
            limits=plan.limits,
            ids=self.account.ids,
            moves=self.setting.moves,
            told=self.judges.served,
            invalidated=self.judges.invalidated,
            reborn=self.judges.reborn,
            connect=partial(self._connect, Wire(self.scheduler, self.weather, host)),
            logins=self.judges.logins,
            parameters=self.parameters.read,
            copies=self.judges.copies,
            counted=self.setting.record.counted,
            interruptions=Interruptions.of(
                host, self.scheduler, repr(self.plan), self.setting.record.counted
            ),
            interrupted=self.judges.interrupted,
            closed=self.judges.waits.closed,
            mean_gap_s=plan.mean_gap_s,
            storms=plan.storms,
            steady=plan.steady,
            background=plan.background,
            cache=make(),
        )

    # Readers

    def _cache(self, host: Host, plan: ReaderPlan) -> SecretCache:
        wire = Wire(self.scheduler, self.weather, host, requests=self.setting.requests)
        account, judges, limits = self.account, self.judges, plan.limits
        line, reports = ParameterLine(account.store, wire, judges.parameter_asked), self._reports(host)
        return SecretCache(
            convergence_table=Reporting("given", ttl_s=TTL_S) if reports is not None else False,
            metrics=Measures((*NAMES, *TYPES), judges.happened),
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
                source=SecretsLine(account.service, wire, judges.answered),
                parameter_source=lambda decrypt: ParameterStoreSource(lambda: line, decrypt=decrypt),
                markers=WatchedMarkers(
                    self._markers(wire),
                    host,
                    account.table.flights,
                    partial(judges.learned, host.name),
                    throttled=partial(self.weather.struck, TABLE),
                ),
                reports=reports,
                clock=host.clock,
                sleep=self._sleep,
                random=self.random.random,
            ),
        )

    def _reports(self, host: Host) -> ConvergenceTable | OutOfReach | None:
        reporting = self.judges.reporting
        if not reporting.table.used:
            return OutOfReach() if reporting.table.is_given_to(host) else None
        return ConvergenceTable(ReportsLine(reporting.table, host, reporting.sent), "fleet")

    def _connect(self, wire: Wire, version: SecretVersion, server: str) -> None:
        connect(self.account.databases[version.name], server, wire, version.text())

    def _sleep(self, seconds: float) -> None:
        """Do what a login does between two looks; nothing else of a reader sleeps."""
        self.judges.logins.paused(seconds)
        self.scheduler.pause(seconds)

    # Writers

    def _line(self, host: Host, *, crashes: bool) -> tuple[Order, RuntimeHost]:
        """The catalog and the table of a writer on this host, watched, and its clock, pauses and chance."""
        wire = Wire(self.scheduler, self.weather, host, crashes)
        catalog = SecretsLine(self.account.service, wire, self.judges.answered, self.plan.undescribed)
        line = Order(self.scheduler, catalog, self._markers(wire, sweeps=crashes), self.account.name)
        return line, self._runtime(host)

    def _markers(self, wire: Wire, *, sweeps: bool = False) -> MarkerTable | OldTable:
        client = TableClient(self.account.table, wire, partial(self.judges.table_asked, wire.host.name))
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


def _no_read(asked: Asked) -> None:
    raise BrokenPromiseError("secrecy", f"the listener read {asked.name}")
