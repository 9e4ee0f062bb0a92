"""Where the simulation's interruptions strike: as signal handlers do, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from textwrap import dedent

import pytest

from tests.simulation.interruptions import KEYTURN, AlarmError, Strike, traced_by
from tests.simulation.scheduler import Machine, Scheduler
from tests.simulation.threads import RLock

TRIED = """
    def act(log, lock):
        log.append("begun")
        try:
            log.append("in it")
            for number in (1, 2):
                log.append(number)
        finally:
            log.append("left")
        with lock:
            log.append("locked")
        return helped(log)

    def helped(log):
        log.append("helped")
        return log
"""


def written(text: str) -> Callable[[list[object], object], list[object]]:
    """Return the function `act` as if it were one of keyturn's."""
    names: dict[str, Callable[[list[object], object], list[object]]] = {}
    exec(compile(dedent(text), f"{KEYTURN}/made_up.py", "exec"), names)  # noqa: S102 - the text above
    return names["act"]


def struck_at_each_moment() -> Iterator[tuple[list[object], threading.RLock]]:
    """Yield what the function has done when an error was raised at its first moment, its second, and on."""
    act = written(TRIED)
    for moment in count(1):
        log, lock = list[object](), threading.RLock()
        with suppress(AlarmError):
            with traced_by(Strike(AlarmError(), moment)):
                act(log, lock)
            return
        yield log, lock


def test_each_moment_at_which_python_looks_for_signals_is_tried() -> None:
    """An error is raised where a function begins, after each call of something in C, where a loop goes on."""
    done = [log[-1:] for log, _ in struck_at_each_moment()]
    assert [[]] == done[:1]
    for one in ("begun", "left", "locked", "helped"):
        assert [one] in done
    assert len(done) >= 9


def test_no_moment_is_one_at_which_no_handler_can_strike() -> None:
    """What was tried is left by its `finally`, and no lock that a `with` has taken stays taken."""
    for log, lock in struck_at_each_moment():
        assert ("in it" in log) == ("left" in log)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lock.acquire, timeout=5).result()


def test_a_wait_ends_by_what_interrupts_it_and_the_next_one_lasts() -> None:
    """An alarm is raised where a thread waits; what would have ended that wait ends no later one."""
    scheduler, machine, seen = Scheduler(), Machine("host"), list[tuple[float, str]]()

    def wait() -> None:
        with pytest.raises(AlarmError):
            scheduler.pause(10)
        seen.append((scheduler.now_s, "interrupted"))
        scheduler.pause(20)
        seen.append((scheduler.now_s, "over"))

    waits = scheduler.spawn("waits", machine, wait)
    scheduler.spawn("rings", machine, lambda: scheduler.interrupt(waits, AlarmError()), 4)
    scheduler.run(100)
    assert [(4, "interrupted"), (24, "over")] == seen


def test_a_thread_that_a_fork_stops_runs_no_more_and_its_lock_stays_taken() -> None:
    """The child finds a lock as the parent's thread has left it: taken."""
    scheduler, machine, seen = Scheduler(), Machine("host"), list[str]()
    lock = RLock(scheduler)

    def forks() -> None:
        machine.generation += 1
        scheduler.stop()

    def call() -> None:
        with lock:
            seen.append("never")

    scheduler.spawn("call", machine, call).has_lock = forks
    scheduler.run(10)
    scheduler.spawn("child", machine, lambda: seen.append(f"has the lock: {lock.acquire(timeout=1)}"))
    scheduler.run(20)
    assert ["has the lock: False"] == seen
