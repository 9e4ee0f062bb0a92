"""For how long a read that failed is told to the next callers without another request."""

from __future__ import annotations

import gc
import threading
import weakref
from contextvars import ContextVar, copy_context

import pytest

from keyturn import (
    Limits,
    Peers,
    SecretCache,
    SecretError,
    SecretNotFoundError,
    SecretVersion,
    UnavailableError,
)
from keyturn.cache.failures import PAUSE_MAX_S, RecentFailures
from keyturn.model.instant import Instant
from keyturn.testing.fakes import FakeClock
from keyturn.testing.parts import parts_of

PASSING = UnavailableError("prod/db", "no answer")
LASTING = SecretNotFoundError("prod/db", "there is no such secret")


def at(seconds: float) -> Instant:
    """A moment by both clocks."""
    return Instant(1000.0 + seconds, 50.0 + seconds)


def remembered_s(failures: RecentFailures, since: Instant) -> float:
    """How long the next callers get the error, to a tenth of a second, and 30 s at most."""
    times = (tenths / 10 for tenths in range(300))
    return next(
        (
            passed_s
            for passed_s in times
            if failures.find("prod/db", Instant(since.wall_s + passed_s, since.monotonic_s + passed_s), None)
            is None
        ),
        30.0,
    )


@pytest.mark.parametrize(
    ("error", "first_s", "pauses_s"),
    [
        (PASSING, 1.0, [1.0, 2.0, 4.0, 8.0, PAUSE_MAX_S, PAUSE_MAX_S]),
        (LASTING, 1.0, [1.0, 1.0, 1.0]),
        # An application that asked for a longer pause gets it.
        (PASSING, 20.0, [20.0, 20.0]),
        (PASSING, 0.0, [0.0, 0.0]),
    ],
)
def test_a_failure_that_may_pass_is_remembered_ever_longer(
    error: SecretError, first_s: float, pauses_s: list[float]
) -> None:
    """The pause doubles up to 10 s. That of a secret that is not there stays, for somebody may create it."""
    failures = RecentFailures(10, first_s)
    for number, pause_s in enumerate(pauses_s):
        failures.add("prod/db", error, at(100 * number))
        assert pause_s == remembered_s(failures, at(100 * number))


def test_a_failure_that_goes_on_for_days_is_counted_on() -> None:
    """No power of two is too large."""
    failures = RecentFailures(10, 1.0)
    for number in range(1100):
        failures.add("prod/db", PASSING, at(10 * number))
    assert str(PASSING) == str(failures.find("prod/db", at(10 * 1099 + 9.9), None))


@pytest.mark.parametrize(
    ("error", "answered", "told"),
    [
        (PASSING, at(6), False),
        (PASSING, at(5), True),
        (PASSING, at(4), True),
        (LASTING, at(6), True),
    ],
)
def test_an_answer_ends_the_pause_after_no_answer(
    error: SecretError,
    answered: Instant,
    told: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """The service answers again, so it can be asked; that a secret is not there was an answer."""
    failures = RecentFailures(10, 5.0)
    failures.add("prod/db", error, at(5))
    found = failures.find("prod/db", at(6), answered)
    assert (str(error) if told else "None") == str(found)


class Request:
    """Something large that a caller has in its hands."""


REQUEST: ContextVar[Request] = ContextVar("request")


class Failing:
    """A source whose reads fail, with a cause or without one, or not in time."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.end = threading.Event()

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        match self.how:
            case "foreign":
                raise OSError
            case "raised from":
                raise UnavailableError(secret_id) from OSError()
            case "late":
                self.end.wait()
        raise SecretNotFoundError(secret_id)


def caller(cache: SecretCache, *, tells: bool) -> weakref.ref[Request]:
    """A caller whose reads fail; return whether what it had, perhaps in its context, is still alive."""
    request = Request()
    if tells:
        REQUEST.set(request)
    for _ in range(2):
        with pytest.raises(SecretError):
            cache.get("prod/db")
    return weakref.ref(request)


@pytest.mark.parametrize("how", ["foreign", "raised from", "not there", "late"])
def test_a_remembered_failure_keeps_nothing_of_its_caller(how: str) -> None:
    """The error that was raised has a traceback, whose frames hold all that the callers have."""
    source, is_late = Failing(how), how == "late"
    limits = Limits(cold_wait_s=0.01 if is_late else 20.0)
    cache = SecretCache(marker_table=False, limits=limits, peers=Peers(source=source, clock=FakeClock()))
    alive = copy_context().run(caller, cache, tells=not is_late)
    for thread in threading.enumerate():
        if thread.name == "keyturn-read" and not is_late:
            thread.join()
    gc.collect()
    assert alive() is None
    assert 1 == len(parts_of(cache).caches[0].copies.failures)
    source.end.set()


def test_the_oldest_failure_makes_room() -> None:
    """The age is that of the last failure, not of the first."""
    failures = RecentFailures(2, 1.0)
    for key in ("a", "b", "a", "c"):
        failures.add(key, LASTING, at(0))
    assert [True, False, True] == [failures.find(key, at(0), None) is not None for key in ("a", "b", "c")]
    assert 2 == len(failures)


def test_failures_are_forgotten_by_stage_by_secret_or_all() -> None:
    """Whatever was never remembered is no error."""
    failures = RecentFailures(10, 1.0)
    for key in ("a", ("a", "AWSPENDING"), "b", ("b", "AWSPENDING"), ("c", "a")):
        failures.add(key, LASTING, at(0))
    failures.drop("b", "never there")
    assert 4 == len(failures)
    assert failures.find("b", at(0), None) is None
    failures.drop_all_of("a")
    assert 2 == len(failures)
    assert failures.find(("b", "AWSPENDING"), at(0), None) is not None
    assert failures.find(("c", "a"), at(0), None) is not None
    failures.clear()
    assert 0 == len(failures)
