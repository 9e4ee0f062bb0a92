"""What a process reports and when: after each change, and before its last report ends."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from keyturn import ConvergenceTableError, Peers, SecretCache
from keyturn.cache.limits import Limits
from keyturn.convergence.reporter import Reporter
from keyturn.errors import SecretNotFoundError, UnavailableError
from keyturn.model.markers import Report
from keyturn.model.protocols import Reports
from keyturn.testing.fakes import FakeClock, FakeReports
from keyturn.testing.parts import parts_of
from tests.convergence.scene import Scene
from tests.world import NAME, AtWork

PATIENCE_S = 20
"""Only a deadlock makes a test wait this long."""


class StruckError(Exception):
    """Comes out of a call, as from a signal handler."""


class InterruptedClock(FakeClock):
    """Once, while somebody reads it, something else happens."""

    interrupt: Callable[[], object] | None = None

    def wall(self) -> float:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        return super().wall()


# When


def test_a_cold_start_reports_nothing(scene: Scene) -> None:
    """The first read of a process pays for no report, nor do others within the first check interval."""
    cache = scene.process()
    cache.get(NAME)
    scene.world.clock.advance(4)
    cache.get(NAME, stage="AWSCURRENT")
    assert 0 == scene.writes


def test_the_first_check_with_something_held_is_the_first_report(scene: Scene) -> None:
    """Version, moments, label: all that there is to know, under a random id."""
    scene.warm()
    now_s = scene.world.clock.wall_s
    expected = Report(scene.report.environment, {scene.world.key: "v1"}, now_s, now_s + 900, "orders")
    assert expected == scene.report
    assert 24 == len(scene.report.environment)


def test_a_new_version_is_reported_by_the_get_that_read_it(scene: Scene) -> None:
    """One check interval after the rotation's marker at the latest, by one write."""
    cache = scene.warm()
    scene.pass_time(cache, 10)
    scene.world.rotate("v2", "two")
    scene.world.clock.advance(4)
    assert "two" == cache.get_secret_string(NAME)
    assert ({scene.world.key: "v2"}, 2) == (scene.report.held, scene.writes)


def test_a_quiet_process_writes_once_per_half_life(scene: Scene) -> None:
    """An hour of 900 s reports, each made again after half of that: 8 writes, however many gets."""
    cache = scene.warm()
    writes = scene.writes
    scene.pass_time(cache, 3600)
    assert writes + 8 == scene.writes


def test_a_report_never_ends_under_a_process_that_is_in_use(scene: Scene) -> None:
    """At every check its last report still counts, for a third of its life at least."""
    cache = scene.warm(report_ttl_s=60)
    for _ in range(100):
        scene.pass_time(cache, 5)
        assert scene.report.expires_at_s - scene.world.clock.wall_s >= 20


def test_a_hundred_first_reads_are_one_report(scene: Scene) -> None:
    """What comes within a check interval of a report is in the next one, at the next check."""
    cache = scene.warm()
    for number in range(100):
        scene.world.secrets.create(f"many/{number}", "x")
        cache.get(f"many/{number}")
    assert 1 == scene.writes
    scene.pass_time(cache, 5)
    assert (2, 101) == (scene.writes, len(scene.report.held))


def test_a_frozen_environment_reports_as_soon_as_it_thaws(scene: Scene) -> None:
    """Its report has ended; the first `get` after the freeze brings it back with the version of now."""
    cache = scene.warm()
    scene.world.rotate("v2", "two")
    scene.world.clock.freeze(3600)
    assert scene.report.expires_at_s < scene.world.clock.wall_s
    scene.world.table.sweep()
    cache.get(NAME)
    assert {scene.world.key: "v2"} == scene.report.held
    assert scene.world.clock.wall_s < scene.report.expires_at_s


def test_other_stages_are_no_reason_to_report(scene: Scene) -> None:
    """AWSPENDING and AWSPREVIOUS are not what a fleet is said to be on."""
    cache = scene.warm()
    scene.pass_time(cache, 10)
    scene.world.secrets.put(NAME, "next", "v9", "AWSPENDING")
    cache.get(NAME, stage="AWSPENDING")
    assert (1, {scene.world.key: "v1"}) == (scene.writes, scene.report.held)


def test_a_secret_that_is_gone_is_in_the_next_report_no_more(scene: Scene) -> None:
    """What a process has forgotten it does not say that it holds."""
    cache = scene.warm()
    scene.pass_time(cache, 10)
    scene.world.secrets.purge(NAME)
    cache.invalidate(NAME)
    scene.world.clock.advance(5)
    with pytest.raises(SecretNotFoundError):
        cache.get(NAME)
    assert {} == scene.report.held


@pytest.mark.parametrize("ask", ["check", "recheck", "parameters", "parameters by path"])
def test_every_way_to_ask_reports(scene: Scene, ask: str) -> None:
    """Whatever a process does that reads the table, it is a reason to report."""
    cache = scene.warm()
    scene.store.put("/prod/host", "one")
    scene.world.clock.advance(450)
    ways: dict[str, Callable[[], object]] = {
        "check": cache.check,
        "recheck": lambda: cache.login(NAME, lambda version: version.text(), is_refused=lambda _: False),
        "parameters": lambda: cache.get_parameters(["/prod/host"]),
        "parameters by path": lambda: cache.get_parameters_by_path("/prod"),
    }
    ways[ask]()
    assert 2 == scene.writes


def test_without_a_marker_table_it_reports_as_well(scene: Scene) -> None:
    """The TTL's reads change versions too; the first report waits for the end of the first interval."""
    cache = SecretCache(
        peers=Peers(
            source=scene.world.secrets, reports=scene.reports, clock=scene.world.clock, random=lambda: 0.0
        )
    )
    cache.get(NAME)
    scene.pass_time(cache, 5)
    scene.world.rotate("v2", "two", mark=False)
    scene.pass_time(cache, 300)
    assert {scene.world.key: "v2"} == scene.report.held


# What


def test_parameters_are_reported_with_the_number_of_their_version(scene: Scene) -> None:
    """Under the ARN that their marker has; of a clear and an encrypted copy the earlier one counts."""
    scene.store.put("/prod/key", "one", type="SecureString")
    cache = scene.process()
    cache.get_parameter("/prod/key", decrypt=False)
    scene.store.put("/prod/key", "two", type="SecureString")
    cache.get_parameter("/prod/key")
    scene.world.clock.advance(5)
    cache.get_parameter("/prod/key")
    assert {scene.store.arn("/prod/key"): "1"} == scene.report.held


@pytest.mark.proof
def test_what_does_not_fit_an_item_is_counted(scene: Scene) -> None:
    """1,000 names of the longest kind make more than DynamoDB's 400 KB: the same first ones are kept."""
    cache = scene.process()
    for number in range(1000):
        name = f"{number:04d}" + "n" * 508
        scene.world.secrets.create(name, "x", "v" * 36)
        cache.get(name)
    scene.world.clock.advance(5)
    cache.get(NAME)
    size = sum(len(key) + len(version_id) for key, version_id in scene.report.held.items())
    assert 350_000 < size < 380_000
    assert 1001 == len(scene.report.held) + scene.report.left_out
    assert ["0000", "0001"] == [key.rpartition(":")[2][:4] for key in scene.report.held][:2]


def test_no_value_is_in_a_report_or_its_errors(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The canary is in the secret, and nowhere else."""
    canary = "c4n4ry-Pa55w0rd"
    scene.world.secrets.put(NAME, canary, "v2")
    scene.reports.fail = lambda: RuntimeError("the table broke")
    cache = scene.warm()
    scene.reports.fail = lambda: None
    scene.pass_time(cache, 60)
    assert canary == cache.get_secret_string(NAME)
    assert {scene.world.key: "v2"} == scene.report.held
    assert "the table broke" in caplog.text
    assert canary not in f"{scene.report} {cache.status()} {caplog.text}"


# Who


def test_every_process_has_an_id_of_its_own(scene: Scene) -> None:
    """Three processes are three environments, and each says which it is."""
    caches = [scene.warm() for _ in range(3)]
    ids = {cache.status().reports.environment for cache in caches}
    assert ids == scene.reports.items.keys()
    assert 3 == len(ids)


def test_a_restored_snapshot_is_another_environment(scene: Scene) -> None:
    """Its clones must not share the id of the process that was in the snapshot."""
    cache = scene.warm()
    cache.forget()
    cache.get(NAME)
    scene.world.clock.advance(5)
    cache.get(NAME)
    assert 2 == len(scene.reports.items)


def test_a_report_under_way_at_a_snapshot_leaves_no_id_behind(scene: Scene) -> None:
    """It ends after the restore; the next report is another environment's all the same."""
    cache = scene.process()
    cache.get(NAME)
    scene.reports.fail = cache.forget  # it fails not, it forgets
    scene.world.clock.advance(5)
    cache.get(NAME)
    scene.reports.fail = lambda: None
    scene.world.clock.advance(5)
    cache.get(NAME)
    scene.world.clock.advance(5)
    cache.get(NAME)
    assert 2 == len(scene.reports.items)


def test_a_forked_child_is_another_environment(scene: Scene) -> None:
    """It reports for itself, also if the parent was reporting in that moment; the parent keeps its id."""
    cache = scene.warm(refresh_wait_s=20)  # as long as a busy machine needs for the child
    parent = scene.report.environment
    scene.world.clock.advance(450)
    codes: list[int] = []

    def fork() -> None:
        scene.reports.fail = lambda: None
        child = os.fork()
        if child == 0:
            scene.world.clock.advance(5)
            cache.get(NAME)
            os._exit(len(scene.reports.items) == 2 and cache.status().reports.environment != parent)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    scene.reports.fail = fork  # it fails not, it forks
    cache.get(NAME)
    assert ([1], parent) == (codes, scene.report.environment)


def test_a_process_that_ends_in_order_is_counted_no_more(scene: Scene) -> None:
    """`close` takes it out at once; if it is used again after all, it is another environment."""
    cache = scene.warm()
    cache.close()
    assert ({}, scene.world.clock.wall_s) == (scene.report.held, scene.report.expires_at_s)
    scene.pass_time(cache, 10)
    assert 2 == len(scene.reports.items)


def test_a_report_that_seemed_to_fail_is_taken_back_too(scene: Scene) -> None:
    """A time-out may come after the write: the process that ends says so all the same."""
    scene.reports.fail = denied
    cache = scene.warm()
    scene.reports.fail = lambda: None
    cache.close()
    assert {} == scene.report.held


def test_a_process_that_never_reported_says_no_farewell(scene: Scene) -> None:
    """Closing a cache that was not used, or does not report, makes no call."""
    scene.process().close()
    scene.world.cache().close()
    assert 0 == scene.writes


# Threads


def test_one_thread_reports_and_the_others_go_on(scene: Scene) -> None:
    """While a report is under way nobody waits for it, and nobody makes a second one."""
    cache = scene.warm()
    entered, gate = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert gate.wait(PATIENCE_S)

    scene.reports.fail = slow  # it fails not, it takes long
    scene.world.clock.advance(450)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(cache.get, NAME)
        assert entered.wait(PATIENCE_S)
        scene.world.clock.advance(5)
        others = [pool.submit(cache.get, NAME) for _ in range(8)]
        assert ["v1"] * 8 == [other.result(PATIENCE_S).version_id for other in others]
        gate.set()
        first.result(PATIENCE_S)
    assert 2 == scene.writes


def alone(reports: Reports, clock: FakeClock) -> Reporter:
    """A reporter of an environment that holds nothing, whose first report is due."""
    return Reporter(
        (), reports, label="", ttl_s=900, new_id=lambda: "e", limits=Limits(), clock=clock, random=lambda: 0.0
    )


def in_another_thread(action: Callable[[], bool]) -> bool:
    """Return what this returns in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result(PATIENCE_S)


def test_an_exception_after_any_call_leaves_the_next_report_to_others() -> None:
    """A signal handler may raise there: the turn to report is given back whatever call was the last."""
    calls = 0
    while True:
        reporter, left = alone(FakeReports(), FakeClock()), calls

        def strike(_frame: FrameType, event: str, _of: object) -> None:
            nonlocal left
            if event == "c_return":
                left -= 1
                if left < 0:
                    sys.setprofile(None)
                    raise StruckError

        sys.setprofile(strike)
        try:
            reporter.report_if_due()
        except StruckError:
            pass
        else:
            break
        finally:
            sys.setprofile(None)
        reporter.leave()
        assert in_another_thread(reporter.report_if_due)
        calls += 1
    assert calls > 3


def test_a_signal_handler_that_closes_does_not_wait_for_the_report_that_it_interrupts() -> None:
    """The thread has the turn to report itself, so nobody would ever give it back."""
    reports = FakeReports()
    reporter = alone(reports, FakeClock())

    def close() -> None:
        reports.fail = lambda: None
        reporter.leave()

    reports.fail = close  # it fails not, it is interrupted
    assert in_another_thread(reporter.report_if_due)


def test_a_thread_that_comes_when_another_has_reported_does_not_report_again() -> None:
    """It finds the report due, and is overtaken before it can begin."""
    clock, reports = InterruptedClock(), FakeReports()
    reporter = alone(reports, clock)
    clock.interrupt = reporter.report_if_due
    assert not reporter.report_if_due()
    assert {"write": 1} == reports.calls


def test_with_a_background_thread_callers_leave_it_to_that(scene: Scene) -> None:
    """The poller reports what it has refreshed; a caller's read of a new secret waits for its next turn."""
    cache = scene.process(background=True)
    checker = parts_of(cache).checker  # what the poller calls, without its clock
    checker.caches[0].background = AtWork()
    scene.world.secrets.create("prod/other", "x")
    cache.get(NAME)
    checker.check_ahead()
    assert 1 == scene.writes
    scene.world.clock.advance(5)
    checker.check_ahead()
    scene.world.rotate("v2", "two")
    cache.get("prod/other")
    assert 1 == scene.writes
    scene.world.clock.advance(4)
    checker.check_ahead()
    assert (2, "v2") == (scene.writes, scene.report.held[scene.world.key])
    cache.close()


# Trouble


def denied() -> ConvergenceTableError:
    """What the adapter raises for a role without the right."""
    return ConvergenceTableError("fleet", "allow dynamodb:PutItem on the table's ARN", denied=True)


def test_trouble_is_logged_once_shown_and_never_raised(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A role that may not report reads its secrets as ever, and `status` says which right is missing."""
    scene.reports.fail = denied
    cache = scene.warm()
    scene.pass_time(cache, 600)
    status = cache.status().reports
    assert status.used
    assert status.reported_age_s is None
    assert "dynamodb:PutItem" in str(status.trouble)
    assert 1 == sum("dynamodb:PutItem" in record.getMessage() for record in caplog.records)
    scene.reports.fail = lambda: None
    with caplog.at_level(logging.INFO, "keyturn"):
        scene.pass_time(cache, 60)
    assert ["the convergence table takes this process's reports again"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.INFO
    ]
    status = cache.status().reports
    assert (None, scene.report.environment) == (status.trouble, status.environment)
    assert status.reported_age_s is not None


def test_a_table_that_fails_is_asked_ever_less_often(scene: Scene) -> None:
    """At most once per check interval, then less: some 60 s apart, with jitter."""
    scene.reports.fail = denied
    scene.world.random = 1.0
    cache = SecretCache(
        peers=Peers(
            source=scene.world.secrets,
            markers=scene.world.table,
            reports=scene.reports,
            clock=scene.world.clock,
            random=lambda: 0.999,
        )
    )
    cache.get(NAME)
    scene.pass_time(cache, 600)
    assert 10 < scene.writes < 16


def test_what_moved_during_trouble_is_reported_after_it(scene: Scene) -> None:
    """The first report that gets through says what is held then."""
    cache = scene.warm()
    scene.reports.fail = denied
    scene.world.rotate("v2", "two")
    scene.pass_time(cache, 60)
    assert {scene.world.key: "v1"} == scene.report.held
    scene.reports.fail = lambda: None
    scene.pass_time(cache, 60)
    assert {scene.world.key: "v2"} == scene.report.held


def test_an_unforeseen_fault_reaches_the_log_and_not_the_caller(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a `Reports` of one's own raises."""
    scene.reports.fail = lambda: ZeroDivisionError("own code")
    with caplog.at_level(logging.ERROR, "keyturn"):
        cache = scene.warm()
    assert "unexpected ZeroDivisionError" == cache.status().reports.trouble
    assert "own code" in caplog.text


def test_an_outage_of_secrets_manager_is_no_change(scene: Scene) -> None:
    """A refresh that fails leaves the version that is held, and so the report."""
    cache = scene.warm()
    scene.world.secrets.fail = UnavailableError
    cache.invalidate(NAME)
    scene.pass_time(cache, 60)
    assert (1, {scene.world.key: "v1"}) == (scene.writes, scene.report.held)


def test_without_the_table_nothing_is_reported_or_shown(scene: Scene) -> None:
    """Off by default."""
    cache = scene.world.covered()
    assert not cache.status().reports.used
    assert 0 == scene.writes
