"""What the simulation has found, each as small as it gets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from typing import NamedTuple

import pytest

from keyturn import Limits, Peers, SecretCache
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.held import HeldStage
from keyturn.cache.refresh import Asked, after_answer
from keyturn.cache.tables import Tables
from keyturn.errors import AccessDeniedError, MarkerTableError, SecretNotFoundError, UnavailableError
from keyturn.login.logins import Attempt
from keyturn.login.turns import Turn
from keyturn.markers.decisions import Hint, ParameterHint
from keyturn.markers.recorder import Recorder
from keyturn.model.instant import Instant
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.parameter import Parameter
from keyturn.model.versions import Described, SecretVersion
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeParameterStore, FakeReports, FakeSecretsManager
from tests.hosts import host_of
from tests.simulation.hosts import HostClock
from tests.simulation.scheduler import NEVER_S, Machine, Scheduler, Waiting
from tests.simulation.threads import cooperative
from tests.world import NAME, World


def test_a_label_that_went_back_while_nobody_looked_is_believed_at_once() -> None:
    """An answer long after a copy was confirmed is not from before it: the bound holds for idle readers."""
    world = World()
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False)
    assert "v2" == cache.get(NAME).version_id
    world.clock.advance(20)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(3600)
    assert "v1" == cache.get(NAME).version_id


def test_a_marker_that_agrees_again_does_not_outlive_a_denial() -> None:
    """After a denied refresh a copy is served for `max_denied_s`, whatever the table says meanwhile."""
    world = World()
    cache = world.covered(max_denied_s=60)
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
    world.secrets.fail = AccessDeniedError
    world.clock.advance(5)
    cache.get(NAME)
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
    world.clock.advance(30)
    assert "v1" == cache.get(NAME).version_id
    world.clock.advance(35)
    with pytest.raises(AccessDeniedError):
        cache.get(NAME)


def test_a_pending_version_that_nobody_asks_for_is_not_read_ahead() -> None:
    """The background thread does not read AWSPENDING at every interval for as long as the label is there."""
    world = World()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    limits, clock = Limits(), world.clock
    tables = Tables.watching({None: world.table}, limits=limits, clock=clock, random=lambda: 0.0)
    cache = Cache(world.secrets, tables, limits=limits, clock=clock, random=lambda: 0.0, window_s=10.0)
    checker = Checker((cache,), tables, limits=limits, clock=clock, window_s=10.0)
    cache.get(NAME, "AWSPENDING", checker.waiting())
    before = world.reads
    for _ in range(20):
        world.clock.advance(5)
        checker.check_ahead()
    assert before == world.reads


def test_a_covered_copy_survives_invalidations_faster_than_they_are_followed() -> None:
    """The rate limit of forced refreshes never turns a copy that is fresh into an error."""
    world = World()
    world.secrets.put(NAME, "two", "v2", "blue")
    world.mark()
    cache = world.cache(max_stale_s=60.0)
    cache.get(NAME)
    cache.get(NAME, stage="blue")
    world.clock.advance(5)
    cache.get(NAME)
    world.pass_time(cache, 100, sweep=True)
    cache.invalidate(NAME)
    cache.get(NAME)
    assert "v2" == cache.get(NAME, stage="blue").version_id


def test_a_partial_arn_finds_a_secret_that_was_created_again() -> None:
    """A caller by partial ARN is never told "not found" because the secret was first read by its full ARN."""
    world = World()
    cache = world.cache(table=False)
    cache.get(world.arn)
    assert "v1" == cache.get(world.key).version_id
    world.clock.advance(400)
    world.secrets.purge(NAME)
    again = world.secrets.create(NAME, "anew", "v1")
    assert again == cache.get(world.key).arn


def test_a_check_in_flight_takes_nothing_from_others() -> None:
    """While one thread reads the markers, the others go by the last check: no read, and no better bound."""
    world = World()
    cache = world.covered()
    world.pass_time(cache, 400, sweep=True)
    # As a writer that knows no slots moves it: then all markers are read.
    assert world.table.head is not None
    world.table.head = world.table.head._replace(counter=world.table.head.counter + 1)
    told: list[bool] = []

    def look_while_markers_are_read() -> None:
        if world.table.calls["markers"] > asked:
            cache.get(NAME)
            told.append(cache.status().secrets[0].covered)

    asked, reads = world.table.calls["markers"], world.reads
    world.table.fail = look_while_markers_are_read
    world.clock.advance(5)
    cache.get(NAME)
    assert ([True], reads) == (told, world.reads)


def test_a_copy_whose_marker_has_just_moved_keeps_its_long_bound_until_the_answer() -> None:
    """While the first answer is on its way the others are served what was covered, and status says so."""
    world = World()
    cache = world.covered()
    world.pass_time(cache, 400, sweep=True)
    world.rotate("v2", "two")
    told: list[float] = []
    world.secrets.fail = lambda _: told.append(cache.status().secrets[0].bound_s)
    world.clock.advance(5)
    cache.get(NAME)
    assert told[0] > 3600


@dataclass
class SlowSecrets:
    """A source that takes a second for each answer."""

    scheduler: Scheduler
    secrets: FakeSecretsManager

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.scheduler.pause(1.0)
        return self.secrets.read(secret_id, stage=stage, version_id=version_id)


@pytest.mark.parametrize("idle_s", [3600, 312])
def test_nobody_is_served_a_copy_that_idled_past_its_bound(idle_s: float) -> None:
    """Two callers come at once after idling: one asks, the other waits for the answer.

    The bound is 317 s; what is held for 312 s may have been 6 s old when it was read.
    """
    world, scheduler, got = World(), Scheduler(), list[str]()
    with cooperative(scheduler):
        cache = SecretCache(
            peers=Peers(
                source=SlowSecrets(scheduler, world.secrets), clock=HostClock(scheduler), random=lambda: 0.0
            )
        )

        def get() -> None:
            got.append(cache.get(NAME).version_id)

        scheduler.spawn("first", Machine("host"), get)
        scheduler.run(2)
        world.rotate("v2", "two")
        for name in ("asks", "waits"):
            scheduler.spawn(name, Machine("host"), get, after_s=idle_s)
        scheduler.run(3700)
    assert ["v1", "v2", "v2"] == got


@dataclass
class OldCatalog:
    """A catalog that still answers from before a move."""

    described: Described

    def describe(self, secret_id: str) -> Described:
        return self.described

    def list(self) -> Iterator[Described]:
        yield self.described


@dataclass
class Meanwhile:
    """A sleep during which the listener of an event moves the marker on."""

    table: FakeMarkers
    after: Marker
    naps_s: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        if not self.naps_s:
            self.table.write([(self.table.look(self.after.key), self.after)])
        self.naps_s.append(seconds)


def test_an_answer_from_before_a_move_does_not_confirm_one_from_after_it() -> None:
    """Two looks that say v1 are no roll-back when the marker moved on to v2 between them."""
    world = World()
    described = Described(world.arn, NAME, {"AWSCURRENT": "v1"})
    world.table.set(world.key, world.arn, described.stages)
    after = Marker(world.key, world.arn, {"AWSCURRENT": "v2"}, left=("v1",))
    host = host_of(world.clock, sleep=Meanwhile(world.table, after).sleep, random=0.0)
    recorder = Recorder(OldCatalog(described), world.table, host, settle_s=6.0)
    recorder.record(Hint(world.arn, NAME, "v3", "AWSPENDING"))
    marker = world.table.look(world.key).marker
    assert marker is not None
    assert "v2" == marker.stages["AWSCURRENT"]


def test_a_clock_that_is_set_back_ends_no_doubt() -> None:
    """An old answer right after a move stays doubtful, whatever happens to the wall clock."""
    world = World()
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False)
    cache.get(NAME)
    world.clock.step(-900)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    assert ["v2", "v2"] == [cache.get(NAME).version_id for _ in range(2)]
    world.clock.step(-900)
    assert "v2" == cache.get(NAME).version_id


def test_an_invalidation_is_meant_for_the_successor_as_well() -> None:
    """The name means a secret that is known by its ARN already: what was read of it before does not count."""
    world = World()
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.purge(NAME)
    successor = world.secrets.create(NAME, "anew", "a1")
    world.rotate("a2", "anew, rotated", mark=False)
    assert "a1" == cache.get(successor, stage="AWSPREVIOUS").version_id
    world.rotate("a3", "anew, rotated again", mark=False)
    cache.invalidate(NAME)
    assert "a3" == cache.get(NAME).version_id
    assert "a2" == cache.get(NAME, stage="AWSPREVIOUS").version_id


def test_who_finds_the_successor_gets_what_is_held_of_it() -> None:
    """A name that turns out to mean a secret known by its ARN gets that one's version, doubts included."""
    world = World()
    cache = world.cache(table=False)
    cache.get(NAME)
    world.clock.advance(290)
    world.secrets.purge(NAME)
    again = world.secrets.create(NAME, "anew", "v1")
    world.rotate("v2", "two", mark=False)
    cache.get(again)
    world.clock.advance(10)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    assert ["v2", "v2"] == [cache.get(NAME).version_id for _ in range(2)]


def test_a_loop_of_attempts_that_is_left_lets_the_others_in() -> None:
    """Who leaves the loop but keeps its iterator, as a traceback does, holds no other thread up."""
    world, scheduler, kept = World(), Scheduler(), list[Iterator[Attempt]]()
    logged_in = list[str]()
    with cooperative(scheduler):
        cache = world.cache(table=False)

        def leave() -> None:
            kept.append(cache.login_attempts(NAME, is_refused=lambda _: False))
            with suppress(TimeoutError), next(kept[0]):
                raise TimeoutError

        def log_in() -> None:
            logged_in.append(
                cache.login(NAME, lambda version: version.version_id, is_refused=lambda _: False)
            )

        scheduler.spawn("leaves", Machine("host"), leave)
        scheduler.spawn("logs in", Machine("host"), log_in, after_s=1)
        scheduler.run(10)
    assert ["v1"] == logged_in
    scheduler.close()


def test_a_refused_login_reads_the_pending_version_anew() -> None:
    """A pending version held since before setSecret is read again after a refusal, as AWSCURRENT is."""
    world = World()
    world.secrets.move(NAME, "AWSPENDING", "v1")
    cache, tried = world.cache(table=False), list[str]()
    cache.get(NAME, stage="AWSPENDING")
    world.clock.advance(2)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    def connect(version: SecretVersion) -> None:
        tried.append(version.version_id)
        if version.version_id == "v1":
            raise PermissionError

    cache.login(NAME, connect, is_refused=lambda error: isinstance(error, PermissionError), budget_s=0.0)
    assert ["v1", "v2"] == tried


def test_a_process_that_only_logs_in_has_its_background_thread() -> None:
    """What a login read is refreshed ahead, so that no caller after it waits for a check."""
    world, scheduler = World(), Scheduler()
    with cooperative(scheduler):
        cache = SecretCache(
            background=True,
            limits=Limits(uncovered_ttl_s=60.0),
            peers=Peers(source=world.secrets, clock=HostClock(scheduler), random=lambda: 0.0),
        )
        scheduler.spawn(
            "logs in",
            Machine("host"),
            lambda: cache.login(NAME, lambda _: None, is_refused=lambda _: False),
        )
        scheduler.run(60)
    assert 2 == world.reads
    scheduler.close()


HOST = "/app/host"


@dataclass
class ParameterWorld:
    """One parameter, the marker table, one clock."""

    clock: FakeClock = field(default_factory=FakeClock)
    events: int = 0

    def __post_init__(self) -> None:
        self.store = FakeParameterStore(self.clock)
        self.table = FakeMarkers(self.clock)
        self.store.put(HOST, "one")

    def event(self, name: str = HOST, *, deleted: bool = False) -> None:
        """What the listener writes when an event comes."""
        self.events += 1
        catalog = FakeSecretsManager(self.clock)
        recorder = Recorder(catalog, self.table, host_of(self.clock), settle_s=6.0)
        recorder.record_parameter(ParameterHint(self.store.arn(name), f"event-{self.events}", deleted))

    def cache(self) -> SecretCache:
        return SecretCache(
            peers=Peers(
                source=FakeSecretsManager(self.clock),
                parameter_source=self.store.source,
                markers=self.table,
                clock=self.clock,
                random=lambda: 0.0,
            )
        )


def test_the_news_of_one_event_is_not_taken_for_that_of_the_next() -> None:
    """Two events while nobody reads, and an answer from between them: it is asked for the second's."""
    world = ParameterWorld()
    cache = world.cache()
    cache.get_parameter(HOST)
    world.clock.advance(30)
    world.store.put(HOST, "two")
    world.event()
    world.clock.advance(30)
    world.event()
    assert "two" == cache.get_parameter(HOST).value
    world.store.put(HOST, "three")
    for _ in range(20):
        world.clock.advance(0.5)
        cache.get_parameter(HOST)
    assert "three" == cache.get_parameter(HOST).value


def test_a_parameter_that_was_just_found_deleted_is_left_out_of_its_path() -> None:
    """Its absence is remembered for a moment; the others under the path are served all the same."""
    world = ParameterWorld()
    world.store.put("/app/zone", "a")
    cache = world.cache()
    cache.get_parameters_by_path("/app")
    world.clock.advance(10)
    world.store.delete("/app/zone")
    world.event("/app/zone", deleted=True)
    for _ in range(2):
        assert {HOST} == cache.get_parameters_by_path("/app").keys()


def test_a_marker_that_is_behind_a_parameter_costs_two_reads() -> None:
    """Its event was lost: a later version than the marker's says so, at once and for good."""
    world = ParameterWorld()
    world.store.put(HOST, "two")
    arn = world.store.arn(HOST)
    world.table.set(arn, arn, {"AWSCURRENT": "1"})
    cache = world.cache()
    for _ in range(60):
        cache.get_parameter(HOST)
        world.clock.advance(1.0)
    assert 3 >= world.store.calls["GetParameter"]


def test_an_old_answer_about_a_parameter_that_was_created_again_is_doubted() -> None:
    """Both are version 1 of the same ARN: the dates tell which is the older."""

    def put(value: str, created_s: float) -> Parameter:
        stages = frozenset({"AWSCURRENT"})
        return Parameter(HOST, "arn:aws:ssm", HOST, "1", stages, created_s, string=value)

    held = HeldStage("AWSCURRENT", put("second life", 200.0), Instant(201.0, 1.0))
    asked = Asked(Instant(202.0, 2.0), 0, Limits())
    assert "second life" == after_answer(held, None, put("first life", 100.0), asked).version.text()


def test_an_event_of_the_past_costs_the_background_thread_nothing() -> None:
    """It asks nobody about an event that was over when the copy was read, as callers do not."""
    world, limits = ParameterWorld(), Limits()
    world.event()
    world.clock.advance(600)
    tables = Tables.watching({None: world.table}, limits=limits, clock=world.clock, random=lambda: 0.0)
    cache = Cache(
        world.store.source(),
        tables,
        limits=limits,
        clock=world.clock,
        random=lambda: 0.0,
        window_s=10.0,
        key_of=lambda arn, _: arn,
    )
    checker = Checker((cache,), tables, limits=limits, clock=world.clock, window_s=10.0)
    cache.get(HOST, "AWSCURRENT", checker.waiting())
    for _ in range(6):
        world.clock.advance(1)
        checker.check_ahead()
    assert {"GetParameter": 1} == world.store.calls


def test_a_child_forked_during_a_batch_reads_batches() -> None:
    """The lock of a batch whose thread is not in the child is made anew."""
    world = ParameterWorld()
    cache, values = world.cache(), list[str]()

    def fork(_: str) -> None:
        world.store.fail = lambda _: None
        cache.after_fork()
        values.append(cache.get_parameters([HOST])[HOST].value)

    world.store.fail = fork
    parent = threading.Thread(target=cache.get_parameters, args=([HOST],), daemon=True)
    parent.start()
    parent.join(10)
    assert ["one"] == values


def test_a_clock_that_is_set_back_during_a_batch_makes_nobody_wait_in_vain() -> None:
    """What a batch brought is handed to its own caller, although it looks old by the clock as it is now."""
    world = ParameterWorld()
    cache = world.cache()

    def set_back(_: str) -> None:
        world.store.fail = lambda _: None
        world.clock.step(-900)

    world.store.fail = set_back
    assert "one" == cache.get_parameters([HOST])[HOST].value
    assert {"GetParameters": 1} == world.store.calls


def test_a_turn_that_a_signal_left_half_made_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler raises while a turn is made comes out alone; nothing more is said at its collection."""
    said = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    del [Turn.__new__(Turn)][0]
    assert [] == said


def test_a_doubt_keeps_nobody_waiting_who_asks_anew() -> None:
    """An old answer is doubted for a settle time; who invalidates meanwhile gets what is true by then."""
    world = World()
    cache = world.cache(table=False)
    cache.get(NAME)
    world.rotate("v2", "two", mark=False)
    world.clock.advance(300)
    assert "v2" == cache.get(NAME).version_id
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(5)
    cache.invalidate(NAME)
    assert "v2" == cache.get(NAME).version_id
    world.rotate("v3", "three", mark=False)
    cache.invalidate(NAME)
    assert "v3" == cache.get(NAME).version_id


def test_a_get_that_reports_during_a_restore_gives_what_is_read_after_it() -> None:
    """The report takes a snapshot and months: the version that was chosen before is not handed out after."""
    world = World()
    reports = FakeReports(world.clock)
    cache = SecretCache(
        peers=Peers(source=world.secrets, reports=reports, clock=world.clock, random=lambda: 0.0)
    )
    cache.get(NAME)

    def snapshot_and_restore() -> None:
        reports.fail = lambda: None
        world.rotate("v2", "two", mark=False)
        cache.forget()

    reports.fail = snapshot_and_restore
    world.clock.advance(5)
    assert ("v2", 1) == (cache.get(NAME).version_id, reports.calls["write"])


def test_a_get_whose_report_hangs_gives_what_is_read_after_it_has_waited() -> None:
    """A restore while it waits for a report that does not end in time: no version of before is handed out."""
    world, scheduler, got = World(), Scheduler(), list[str]()
    with cooperative(scheduler):
        reports = FakeReports(world.clock)
        peers = Peers(source=world.secrets, reports=reports, clock=HostClock(scheduler), random=lambda: 0.0)
        cache = SecretCache(peers=peers)

        def get_while_reports_hang() -> None:
            cache.get(NAME)
            reports.fail = lambda: scheduler.pause(30.0)
            scheduler.pause(5.0)
            got.append(cache.get(NAME).version_id)

        scheduler.spawn("gets", Machine("host"), get_while_reports_hang)
        scheduler.run(5.5)
        assert [] == got
        world.rotate("v2", "two", mark=False)
        scheduler.spawn("is restored", Machine("host"), cache.forget)
        scheduler.run(20)
    assert ["v2"] == got
    scheduler.close()


class HangingMarkers(FakeMarkers):
    """A marker table of which one answer comes so late that a later check ends first.

    `hangs`: which head, or which reading of markers, counted from 1; 0 for none.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        head: int = 0,
        markers: int = 0,
        hangs_s: float = 62.0,
        fails: bool = False,
    ) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.hangs_s = hangs_s
        self.fails = fails
        self.hangs = {"head": head, "markers": markers}
        self.asked_s: list[float] = []

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.asked_s.append(self.scheduler.now_s)
        self._answer_late("head", len(self.asked_s))
        return super().read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        read = super().read_markers(keys)
        self._answer_late("markers", self.calls["markers"])
        return read

    def _answer_late(self, asked: str, number: int) -> None:
        is_late = self.hangs[asked] == number
        self.scheduler.pause(self.hangs_s if is_late else 0.01)
        if is_late and self.fails:
            raise MarkerTableError("markers", "no answer")


@dataclass
class StuckSecrets:
    """A source that never answers what it is asked between two moments, and the rest at once (seconds).

    `fails_after_s`: what it is asked then fails after so long.
    """

    scheduler: Scheduler
    secrets: FakeSecretsManager
    from_s: float
    until_s: float
    fails_after_s: float | None = None
    asked_s: list[float] = field(default_factory=list)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.asked_s.append(self.scheduler.now_s)
        if self.from_s <= self.scheduler.now_s < self.until_s:
            self.scheduler.park(Waiting(), self.fails_after_s)
            raise TimeoutError
        self.scheduler.pause(0.01)
        return self.secrets.read(secret_id, stage=stage, version_id=version_id)


class Got(NamedTuple):
    """One get: when it ended, the version, and whether a service rested then."""

    at_s: float
    version_id: str
    rests: bool


def _invalidate(cache: SecretCache) -> None:
    cache.invalidate(NAME)


def stuck(
    from_s: float,
    until_s: float,
    ends_s: float,
    *,
    fails_after_s: float | None = None,
    strangers: bool = False,
) -> tuple[StuckSecrets, list[Got]]:
    """A secret moves while requests get stuck; what a reader got each half second, and its source.

    `strangers`: two others ask for secrets that nobody has, one after the other.
    """
    world, scheduler, got = World(), Scheduler(), list[Got]()
    source = StuckSecrets(scheduler, world.secrets, from_s, until_s, fails_after_s)
    with cooperative(scheduler):
        cache = SecretCache(peers=Peers(source=source, clock=HostClock(scheduler), random=lambda: 0.0))

        def get_on() -> None:
            while True:
                version_id = cache.get(NAME).version_id
                got.append(Got(scheduler.now_s, version_id, bool(cache.status().resting)))
                scheduler.pause(0.5)

        def get_strangers(name: str) -> None:
            for number in count():
                with suppress(UnavailableError, SecretNotFoundError):
                    cache.get(f"{name}{number}")
                scheduler.pause(1.0)

        scheduler.spawn("gets", Machine("host"), get_on)
        for name in ("one", "other") if strangers else ():
            scheduler.spawn("asks for strangers", Machine("host"), partial(get_strangers, name))
        scheduler.run(from_s)
        world.rotate("v2", "two", mark=False)
        scheduler.spawn("invalidates", Machine("host"), lambda: _invalidate(cache))
        scheduler.run(ends_s)
    scheduler.close()
    return source, got


def test_a_request_that_is_stuck_does_not_keep_the_next_one_from_being_made() -> None:
    """A service that hangs for 2 s, and never answers what it was asked then, is found back seconds later."""
    _, got = stuck(10.0, 12.0, 30.0)
    assert 15.0 > next(one.at_s for one in got if one.version_id == "v2")


def test_a_request_that_fails_late_does_not_make_the_service_rest_again() -> None:
    """It was made before the service came back, so that its end says nothing of what is there now."""
    _, got = stuck(10.0, 12.0, 60.0, fails_after_s=30.0)
    assert 15.0 > next(one.at_s for one in got if one.version_id == "v2")
    assert {False} == {one.rests for one in got if one.at_s > 15.0}


@pytest.mark.proof
def test_requests_that_are_stuck_are_few_and_never_the_last() -> None:
    """In an hour of silence at most sixteen hang in ten minutes, and they are at most a minute apart."""
    source, got = stuck(10.0, 3600.0, 3700.0)
    asked_s = [at_s for at_s in source.asked_s if at_s >= 10.0]
    assert 16 >= max(sum(at_s <= one < at_s + 600 for one in asked_s) for at_s in asked_s)
    assert 61.0 > max(after - before for before, after in pairwise(asked_s))
    assert 3662.0 > next(one.at_s for one in got if one.version_id == "v2")


def test_callers_without_a_copy_do_not_make_more_than_sixteen_hang() -> None:
    """Others ask for one new secret after the other: at most sixteen requests hang in ten minutes."""
    source, _ = stuck(10.0, 3600.0, 2000.0, strangers=True)
    asked_s = [at_s for at_s in source.asked_s if at_s >= 10.0]
    assert 16 >= max(sum(at_s <= one < at_s + 590 for one in asked_s) for at_s in asked_s)


def test_a_check_that_is_stuck_does_not_keep_the_next_one_from_being_made() -> None:
    """The table never answers one request: the next check is made an interval later, and finds what moved."""
    world, scheduler, got = World(), Scheduler(), list[tuple[float, str]]()
    with cooperative(scheduler):
        table = HangingMarkers(scheduler, head=2, hangs_s=NEVER_S)
        table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
        table.sweep()
        peers = Peers(source=world.secrets, markers=table, clock=HostClock(scheduler), random=lambda: 0.0)
        cache = SecretCache(peers=peers)

        def get_on() -> None:
            while True:
                got.append((scheduler.now_s, cache.get(NAME).version_id))
                scheduler.pause(0.5)

        scheduler.spawn("gets", Machine("host"), get_on)
        scheduler.run(11)
        world.rotate("v2", "two", mark=False)
        table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
        scheduler.run(40)
    assert 3 <= len(table.asked_s)
    assert 18.0 > next(at_s for at_s, version_id in got if version_id == "v2")
    scheduler.close()


def test_a_check_that_hung_causes_no_check_when_it_ends() -> None:
    """A check that ends after a later one does not pass for the last: the head is read once per interval."""
    world, scheduler = World(), Scheduler()
    with cooperative(scheduler):
        table = HangingMarkers(scheduler, head=2)
        table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
        peers = Peers(source=world.secrets, markers=table, clock=HostClock(scheduler), random=lambda: 0.0)
        cache = SecretCache(peers=peers)

        def get_each_second() -> None:
            for _ in range(90):
                cache.get(NAME)
                scheduler.pause(1.0)

        scheduler.spawn("gets", Machine("host"), get_each_second)
        scheduler.run(100)
    first, hung, *later = table.asked_s
    assert hung - first >= 5
    assert all(after - before >= 5 for before, after in pairwise(later))
    scheduler.close()


def test_a_table_that_rested_is_asked_again_although_calls_follow_each_other_at_once() -> None:
    """The second call opens the window before the check that the first one began has run: it runs anyway."""
    world, scheduler = World(), Scheduler()
    rests = dict[float, bool]()
    with cooperative(scheduler):
        table = HangingMarkers(scheduler, head=2, hangs_s=3.0)
        table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
        table.sweep()
        peers = Peers(source=world.secrets, markers=table, clock=HostClock(scheduler), random=lambda: 0.0)
        cache = SecretCache(peers=peers)

        def get_twice_at_once() -> None:
            while True:
                cache.get(NAME)
                cache.get(NAME)
                rests[scheduler.now_s] = bool(cache.status().resting)
                scheduler.pause(6.0)

        scheduler.spawn("gets", Machine("host"), get_twice_at_once)
        scheduler.run(60)
    _, hung, *later = table.asked_s
    assert 9 <= len(table.asked_s)
    assert all(after - before >= 5 for before, after in pairwise(table.asked_s))
    assert {True} == {is_resting for at_s, is_resting in rests.items() if hung < at_s <= later[0]}
    assert {False} == {is_resting for at_s, is_resting in rests.items() if at_s > later[0] or at_s < hung}
    scheduler.close()


def test_a_check_that_fails_late_is_no_trouble_with_the_table() -> None:
    """Later checks were answered meanwhile: the copy stays covered, and the next check comes in time."""
    world, scheduler, seen = World(), Scheduler(), list[tuple[float, str | None]]()
    with cooperative(scheduler):
        table = HangingMarkers(scheduler, head=2, hangs_s=20.0, fails=True)
        table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
        table.sweep()
        peers = Peers(source=world.secrets, markers=table, clock=HostClock(scheduler), random=lambda: 1.0)
        cache = SecretCache(peers=peers)

        def get_on() -> None:
            while True:
                cache.get(NAME)
                seen.append((scheduler.now_s, cache.status().table.trouble))
                scheduler.pause(0.5)

        scheduler.spawn("gets", Machine("host"), get_on)
        scheduler.run(60)
    assert {None} == {trouble for at_s, trouble in seen if at_s > 20.0}
    assert all(after - before < 8 for before, after in pairwise(table.asked_s))
    scheduler.close()


def test_a_check_that_hung_leaves_what_later_checks_have_read() -> None:
    """Markers that were read long ago and arrive last do not take the place of later ones."""
    world, scheduler = World(), Scheduler()
    seen = list[tuple[int, str, bool]]()
    with cooperative(scheduler):
        table = HangingMarkers(scheduler, markers=2)
        table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
        table.sweep()
        peers = Peers(source=world.secrets, markers=table, clock=HostClock(scheduler), random=lambda: 0.0)
        cache = SecretCache(peers=peers)

        def get_each_second() -> None:
            for _ in range(90):
                cache.get(NAME)
                [held] = cache.status().secrets
                seen.append((int(scheduler.now_s), held.version_id, held.covered))
                scheduler.pause(1.0)

        scheduler.spawn("gets", Machine("host"), get_each_second)
        scheduler.run(10)
        # The head moves, and the markers that are read because of that hang.
        table.set("other", "arn", {"AWSCURRENT": "x"})
        scheduler.run(20)
        world.rotate("v2", "two", mark=False)
        table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
        scheduler.run(100)
    assert "v2" == seen[-1][1]
    assert {True} == {is_covered for _, version_id, is_covered in seen if version_id == "v2"}
    scheduler.close()
