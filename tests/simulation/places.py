"""A process that holds secrets of several accounts and Regions, whose tables have faults of their own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random
from typing import Final

from keyturn import Limits, Peers, SecretCache
from keyturn.errors import MarkerTableError, UnavailableError
from keyturn.model.markers import Head, MarkersRead
from keyturn.model.names import Place, secret_key
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeMarkers, FakeSecretsManager
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.hosts import Host, HostClock
from tests.simulation.record import Record
from tests.simulation.scheduler import NEVER_S, Scheduler, Waiting

SEVERAL_TABLES: Final = "several tables"
"""What `--only` calls this world."""

PLACES: Final = (
    Place("aws", "us-east-1", "111122223333"),
    Place("aws", "eu-west-1", "111122223333"),
    Place("aws", "us-east-1", "444455556666"),
)
NAME: Final = "prod/db"
INTERVAL_S: Final = 5.0
UNCOVERED_TTL_S: Final = 60.0
ACTIVE_S, END_S = 240.0, 400.0
"""The faults are over after so many seconds, and the last look is at the end."""

UNDER_WAY_S: Final = 0.2
"""A check and the reads that follow it take so long where nothing hangs."""

AT_ONCE_S: Final = 0.001
"""A check that begins so soon in a call is the check of that call."""

LATE_S: Final = 1.6
"""How much later than one interval a change may be seen: a table may begin to hang, and calls take time."""

PAUSE_MAX_S: Final = 15.0
"""The longest pause between two checks of a table that fails."""

TABLE_FAULTS: Final = ("table hangs", "table is denied", "table throttles")

RECOVERED_S: Final = 30.0
"""So long after a fault its table is asked again for sure, also after a probe that hung."""

WAIT_S: Final = 1.2
"""No caller with a copy waits longer."""

EDGE_S: Final = 15.0
"""A copy whose bound ends within so many seconds counts as none."""

SLOW_MAX: Final = 3
"""So many callers may wait for one thing that begins to hang: two threads, and one at the edge."""

READS_A_CHANGE: Final = 10
"""So many reads follow one change at most, and one short TTL."""


class Clocked(HostClock):
    """A host's clock with the fields that the fakes of the test kit look at."""

    @property
    def wall_s(self) -> float:
        return self.wall()


@dataclass(slots=True, repr=False)
class Site:
    """One account and Region: a secret, its table, and what is wrong with that table now.

    `told_s`: when the marker of each version was written. `calm_s`: since when nothing is wrong.
    """

    place: Place
    scheduler: Scheduler
    random: Random
    clock: Clocked
    secrets: FakeSecretsManager = field(init=False)
    markers: FakeMarkers = field(init=False)
    arn: str = field(init=False)
    version: int = 1
    told_s: dict[int, float] = field(default_factory=dict)
    fault: str = ""
    calm_s: float = -RECOVERED_S
    fault_s: float = NEVER_S
    hanging: Waiting = field(default_factory=Waiting)
    heads_s: list[float] = field(default_factory=list)
    slow: int = 0
    under_way: int = 0
    calls: int = 0

    def __post_init__(self) -> None:
        place = self.place
        prefix = f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:"
        self.secrets = FakeSecretsManager(self.clock, arn_prefix=prefix)  # type: ignore[arg-type] # as it looks at
        self.markers = FakeMarkers(self.clock)  # type: ignore[arg-type] # as it looks at
        self.arn = self.secrets.create(NAME, "1", "1")
        self.mark()

    @property
    def key(self) -> str:
        return secret_key(self.arn, NAME)

    @property
    def table(self) -> str:
        return f"arn:aws:dynamodb:{self.place.region}:{self.place.account}:table/keyturn-markers"

    @property
    def service(self) -> str:
        """What the status calls Secrets Manager here."""
        is_first = self.place == PLACES[0]
        return "Secrets Manager" + ("" if is_first else f" in {self.place.region} of {self.place.account}")

    def mark(self) -> None:
        """Do what the listener and the sweep do."""
        self.markers.set(self.key, self.arn, self.secrets.describe(self.arn).stages)
        self.markers.sweep(self.clock.wall())
        self.told_s.setdefault(self.version, self.scheduler.now_s)

    def begin_fault(self, fault: str) -> None:
        """Let something be wrong with the table from now on."""
        self.fault, self.calm_s, self.fault_s, self.slow = fault, NEVER_S, self.scheduler.now_s, 0

    def end_fault(self) -> None:
        """Let the table work again; what hangs is answered."""
        self.fault, self.calm_s, self.fault_s = "", self.scheduler.now_s, NEVER_S
        self.scheduler.wake(self.hanging)

    # As a `MarkerReader`

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.heads_s.append(self.scheduler.now_s)
        self._travel()
        return self.markers.read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        require(set(keys) == {self.key}, "places", f"the table of {self.place} was asked about {keys}")
        self._travel()
        return self.markers.read_markers(keys)

    def _travel(self) -> None:
        self.scheduler.pause(0.002 + 0.03 * self.random.random())
        if self.fault == "table hangs":
            self.scheduler.park(self.hanging)
        elif self.fault == "table is denied":
            raise MarkerTableError(self.table, "denied", denied=True)
        elif self.fault == "table throttles" and self.random.random() < 0.7:
            raise MarkerTableError(self.table, "throttled")


@dataclass(slots=True, repr=False)
class Places:
    """The world of one seed, and the one process in it."""

    random: Random
    record: Record
    sites: tuple[Site, ...] = field(init=False)
    tables: int = field(init=False)
    background: bool = field(init=False)
    cache: SecretCache = field(init=False)
    first_s: dict[Place, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scheduler, random = self.record.scheduler, self.random
        self.background = random.random() < 0.3
        self.tables = random.choice((2, 3))
        clock = Clocked(scheduler, drift=random.uniform(-2e-4, 2e-4))
        self.sites = tuple(Site(place, scheduler, random, clock) for place in PLACES)
        self.cache = SecretCache(
            background=self.background,
            limits=Limits(
                check_interval_s=INTERVAL_S, uncovered_ttl_s=UNCOVERED_TTL_S, max_backoff_s=PAUSE_MAX_S
            ),
            peers=Peers(
                source=self,
                markers={site.table: site for site in self.sites[: self.tables]},
                clock=clock,
                random=random.random,
            ),
        )

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read the secret where its ARN says."""
        self.record.scheduler.pause(0.002 + 0.03 * self.random.random())
        [site] = [site for site in self.sites if site.place == Place.of(secret_id)]
        if site.fault == "service hangs":
            self.record.scheduler.park(site.hanging)
        return site.secrets.read(secret_id, stage=stage, version_id=version_id)

    def live(self) -> None:
        """From the first read to the last look."""
        scheduler, host = self.record.scheduler, Host("process", self.record.scheduler)
        for number in range(2):
            scheduler.spawn(f"caller{number}", host.machine, self._call)
        for site in self.sites:
            away = Host(f"{site.place.region} of {site.place.account}", scheduler)
            scheduler.spawn("rotation", away.machine, lambda site=site: self._rotate(site))  # type: ignore[misc] # bound now
            scheduler.spawn("faults", away.machine, lambda site=site: self._err(site))  # type: ignore[misc] # bound now
        scheduler.spawn("last look", host.machine, self._look_at_the_end, after_s=END_S)
        scheduler.run(END_S)

    # What goes on

    def _rotate(self, site: Site) -> None:
        while self._pause(self.random.uniform(8, 60)):
            site.version += 1
            site.secrets.put(NAME, str(site.version), str(site.version))
            self.record.counted["several tables: rotations"] += 1
            self.record.scheduler.pause(self.random.random())
            site.mark()
            # Who writes one account's table writes about a secret of another account, too.
            other = self.random.choice([one for one in self.sites if one is not site])
            for number in range(3):
                site.markers.set(other.key, other.arn, {"AWSCURRENT": f"forged{number}{site.version}"})

    def _err(self, site: Site) -> None:
        while self._pause(self.random.uniform(10, 120)):
            fault = self.random.choice(TABLE_FAULTS)
            # Secrets Manager of a place without a table is one with that of the first table.
            if site in self.sites[: self.tables] and self.random.random() < 1 / 4:
                fault = "service hangs"
            self.record.say(site.place, fault)
            self.record.counted[f"several tables: a {fault}"] += 1
            site.begin_fault(fault)
            self.record.scheduler.pause(self.random.uniform(5, 90))
            site.end_fault()

    def _pause(self, seconds: float) -> bool:
        self.record.scheduler.pause(seconds)
        return self.record.scheduler.now_s < ACTIVE_S

    def _call(self) -> None:
        scheduler, late = self.record.scheduler, self.random.choice((0.0, 40.0))
        while True:
            chosen = self.random.sample(self.sites, self.random.randrange(1, 4))
            for site in chosen:
                if site is self.sites[0] or scheduler.now_s >= late:
                    self._get(site)
            scheduler.pause(self.random.expovariate(1 / 3.5))

    # What must hold

    def _get(self, site: Site) -> None:
        begun_s = self.record.scheduler.now_s
        self.first_s.setdefault(site.place, begun_s)
        # A copy that is about to be too old to be served is none.
        status = self.cache.status()
        held = {one.arn for one in status.secrets if one.age_s < one.bound_s - EDGE_S}
        resting = {one.service for one in status.resting}
        is_alone = site.under_way == 0
        site.under_way += 1
        site.calls += 1
        calls = site.calls
        try:
            served = int(self.cache.get(site.arn).version_id)
        except UnavailableError:
            require(
                site.arn not in held, "places", f"{site.place}: no copy was served although there was one"
            )
            return
        finally:
            site.under_way -= 1
        took_s = self.record.scheduler.now_s - begun_s
        self.record.counted["several tables: gets"] += 1
        if site.arn in held:
            require(took_s <= WAIT_S, "waiting", f"a get of {site.place} took {took_s:.2f} s with a copy")
            self._count_waits(took_s)
        if is_alone and calls == site.calls and site.service not in resting:
            # The caller that does not read takes the copy, and after a rest the next read is a probe.
            self._require_fresh(site, served, begun_s)

    def _count_waits(self, took_s: float) -> None:
        """What hangs makes few callers wait, wherever their secrets are."""
        hanging = [site for site in self.sites if site.fault.endswith("hangs")]
        if took_s > 0.5:
            for site in hanging:
                site.slow += 1
        most = max((site.slow for site in hanging), default=0)
        require(most <= SLOW_MAX * len(hanging), "waiting", f"{most} callers waited for what hangs")

    def _require_fresh(self, site: Site, served: int, begun_s: float) -> None:
        """What a table has told is served one interval later, whatever the other tables do."""
        if site not in self.sites[: self.tables]:
            return
        latest_s = begun_s - INTERVAL_S * (2 if self.background else 1) - LATE_S
        if site.heads_s and not self.background and 0 <= site.heads_s[-1] - begun_s < AT_ONCE_S:
            # The caller that looks has time left to read what its own table tells.
            latest_s = begun_s
        elif site.heads_s and 0 <= begun_s - site.heads_s[-1] < UNDER_WAY_S:
            # A check that another caller has begun, for whatever place, may be under way.
            return
        for version, told_s in site.told_s.items():
            if told_s > latest_s or version <= served or site.calm_s + RECOVERED_S > told_s:
                continue
            late_s = begun_s - told_s
            raise BrokenPromiseError(
                "places",
                f"{site.place}: {served} was served {late_s:.1f} s after its table told of {version}",
            )

    def _look_at_the_end(self) -> None:
        status = {one.arn: one for one in self.cache.status().secrets}
        for number, site in enumerate(self.sites):
            covers, one = number < self.tables, status[site.arn]
            require(one.covered == covers, "places", f"{site.place} at the end: {one.why}")
            reads = site.secrets.calls["GetSecretValue"]
            most = READS_A_CHANGE * site.version + 2 * END_S / UNCOVERED_TTL_S
            require(reads <= most, "cost", f"{reads} reads for {site.version} versions in {site.place}")
            self._require_cheap(site)

    def _require_cheap(self, site: Site) -> None:
        """Each table is asked once an interval, and not before a secret of its place is held."""
        first_s = self.first_s.get(site.place, NEVER_S)
        require(all(at_s > first_s for at_s in site.heads_s), "cost", f"{site.place} was asked too early")
        gaps_s = [later - sooner for sooner, later in zip(site.heads_s, site.heads_s[1:], strict=False)]
        shortest_s = min(gaps_s, default=INTERVAL_S)
        require(shortest_s > 0.98 * INTERVAL_S, "cost", f"{site.place} was asked after {shortest_s:.2f} s")
