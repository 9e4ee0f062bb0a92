"""Signals that raise at any moment, and forks at any moment: no login leaves a turn or a lock behind."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from types import FrameType

import pytest

from keyturn.cache.freshness import Evidence
from keyturn.cache.limits import Limits
from keyturn.errors import LoginRefusedError
from keyturn.login.logins import Logins
from keyturn.login.policy import Policy
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import SystemClock

PATIENCE_S = 20

INTERRUPTIONS = 500

MANY_INTERRUPTIONS = 4000

LOGINS_PER_SERVER = 12
"""Few: a version that a server took, or refused, needs no turn any more."""

WAIT_MAX_S = 0.1
"""The longest wait of a login for another thread's turn."""


class InterruptedLoginError(BaseException):
    """What the signal handler raises."""


class RefusedError(Exception):
    """The server's 'wrong password'."""


def version(number: int, stage: str) -> SecretVersion:
    """One of the two versions of the secret."""
    return SecretVersion("app", "arn", "app", f"v{number}", frozenset({stage}), string=str(number))


@dataclass
class Versions:
    """A cache without a lock: what is interrupted here are logins."""

    current: SecretVersion = field(default_factory=lambda: version(1, "AWSCURRENT"))
    pending: SecretVersion = field(default_factory=lambda: version(2, "AWSPENDING"))

    def get(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        return self.current

    def recheck(self, secret_id: str, within_s: float | None = None) -> SecretVersion:
        return self.current

    def join(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        return self.pending

    def evidence(self, secret_id: str) -> Evidence:
        return Evidence()


def made_logins() -> Logins:
    """The logins of a process, with the real clock."""

    def no_time(seconds: float) -> None:
        raise TimeoutError("a pause between two looks")

    limits = Limits(settle_s=0.0)
    return Logins(Versions(), limits=limits, clock=SystemClock(), sleep=no_time, random=lambda: 0.0)


def log_in(
    logins: Logins, server: str, accepts: str = "2", *, times_out: bool = False, wait_s: float = WAIT_MAX_S
) -> str:
    """Log in to this server; for another thread's turn there is so much time."""
    policy = Policy(lambda error: isinstance(error, RefusedError), remaining_s=lambda: wait_s, server=server)
    for attempt in logins.attempts("app", policy):
        with attempt as candidate:
            if times_out:
                raise TimeoutError
            if candidate.text() != accepts:
                raise RefusedError
            return candidate.version_id
    raise AssertionError("no attempt succeeded")


class Alarm:
    """A signal handler that raises, at most once each time that it is armed."""

    def __init__(self) -> None:
        self.is_armed = False
        self.raised = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_armed:
            self.is_armed = False
            self.raised += 1
            raise InterruptedLoginError


@contextmanager
def alarmed() -> Iterator[Alarm]:
    """SIGALRM raises; one that strikes in a finaliser is only noted, as Python does with it."""
    alarm, hook = Alarm(), sys.unraisablehook
    before = signal.signal(signal.SIGALRM, alarm)
    sys.unraisablehook = lambda _: None
    try:
        yield alarm
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook


class Servers:
    """Ever new servers, each for some logins of all threads together."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._reached = 0

    def next(self) -> str:
        self._reached = next(self._numbers) // LOGINS_PER_SERVER
        return f"server-{self._reached}"

    def all(self) -> list[str]:
        return [f"server-{number}" for number in range(self._reached + 1)]


@contextmanager
def load(logins: Logins, servers: Servers, threads: int) -> Iterator[Counter[str]]:
    """Other threads log in to the same servers all the time; how their logins ended."""
    stop, ended = threading.Event(), Counter[str]()

    def work(seed: int) -> None:
        random = Random(seed)
        while not stop.is_set():
            ended[_tried(logins, servers.next(), random)] += 1

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work, number) for number in range(threads)]
        try:
            yield ended
        finally:
            stop.set()
        for each in working:
            each.result(PATIENCE_S)


def _tried(logins: Logins, server: str, random: Random) -> str:
    try:
        return log_in(logins, server, random.choice("123"), times_out=random.random() < 0.2)
    except (LoginRefusedError, TimeoutError) as error:
        return type(error).__name__


def held_up(logins: Logins, servers: Servers, wait_s: float) -> list[str]:
    """Log in to every server in a new thread; those where a login had to wait for a turn that nobody has."""

    def look() -> Iterator[str]:
        for server in servers.all():
            begun_s = time.monotonic()
            # Where versions were refused a moment ago the login says so at once.
            with suppress(LoginRefusedError, TimeoutError):
                log_in(logins, server, wait_s=wait_s)
            if time.monotonic() - begun_s >= wait_s:
                yield server

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(list, look()).result(PATIENCE_S)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs SIGALRM")
@pytest.mark.parametrize("times", [INTERRUPTIONS, pytest.param(MANY_INTERRUPTIONS, marks=pytest.mark.proof)])
def test_interruptions_at_any_moment_leave_nothing_locked(times: int) -> None:
    """So many exceptions out of a signal handler, with other threads at work: no turn and no lock stays."""
    logins, servers, random, outcomes = made_logins(), Servers(), Random(1), Counter[str]()
    with alarmed() as alarm, load(logins, servers, 2):
        while alarm.raised < times:
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + 3e-4 * random.random())
                alarm.is_armed = True
                for _ in range(50):
                    outcomes[_tried(logins, servers.next(), random)] += 1
                alarm.is_armed = False
            except InterruptedLoginError:
                outcomes["interrupted"] += 1
    assert outcomes["interrupted"] > times / 2
    assert {"v1", "v2", "LoginRefusedError", "TimeoutError"} <= outcomes.keys()
    assert [] == held_up(logins, servers, wait_s=1.0)


@pytest.mark.proof
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_in_the_middle_of_logins_log_in() -> None:
    """40 forks while four threads take turns: a child waits for no thread that it has not got."""
    logins, servers = made_logins(), Servers()
    with load(logins, servers, 4) as ended:
        children: list[int] = []
        while len(children) < 40:
            servers.next()
            child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE_S)
                logins.after_fork()
                # A busy machine keeps no child waiting for as long as a turn lasts.
                os._exit(len(held_up(logins, servers, wait_s=4.0)))
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert [0] * 40 == codes
    assert ended["v2"] > 0
