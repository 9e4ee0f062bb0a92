"""Interruptions of calls: a signal handler raises, or the process is forked, in the middle of one.

Python calls signal handlers in the main thread alone, and looks for signals where a function begins, after
the call of something written in C, and where a loop goes back. So an exception is raised at these moments of
keyturn's own code and nowhere else: a line on which no handler can strike, such as the first one of a
`finally`, is not tried. A handler also strikes while the main thread waits.

A fork strikes where the main thread has just taken a lock, which the child then finds taken.

The chances of a reader are its own, so that a world without interruptions stays as it was.
"""

from __future__ import annotations

import dis
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import currentframe
from pathlib import Path
from random import Random
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Final, Protocol, TypeAlias

import keyturn
import keyturn.cache
import keyturn.convergence
import keyturn.login
import keyturn.metrics.outbox
from tests.simulation.checkers.broken import require
from tests.simulation.hosts import Host
from tests.simulation.scheduler import Actor, Scheduler

SHARE = 1 / 5
"""So many readers are interrupted."""

CALLS_SHARE = 0.3
"""So many calls of their main threads are, unless a call ends before that."""

FORKS_SHARE = 0.1
"""So many interruptions are forks."""

WAITS_SHARE = 0.4
"""So many of the others strike after some time, so where the thread waits."""

MOMENTS = (3.0, 30.0, 150.0)
"""After how many moments, on average, the others strike: at the first ones of a call, or far into it."""

WAITED_S = (0.02, 0.5, 5.0)
"""After how many seconds, on average, a wait is interrupted."""

LOCKS = 4.0
"""After how many locks that a call has taken, on average, the process is forked."""

KEYTURN: Final = str(Path(keyturn.__file__).parent)
AS_IF_C: Final = str(Path(__file__).with_name("threads.py"))
"""What stands in for `threading`, which is written in C."""

CHECKED_AFTER: Final = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD"}
"""The instructions after which Python looks for signals."""


for package in (keyturn.cache, keyturn.convergence, keyturn.login):
    # What is loaded late would have moments of its own, in the first world of a process alone.
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)


class ControlCError(KeyboardInterrupt):
    """What Control-C raises, told apart from a real one."""


class AlarmError(Exception):
    """What a handler of SIGALRM raises that does not know better."""


class DeadlineError(BaseException):
    """What a handler raises that nobody is to catch, as time-outs of task queues do."""


INTERRUPTIONS: Final = (ControlCError, AlarmError, DeadlineError)

Interruption: TypeAlias = ControlCError | AlarmError | DeadlineError

KEEPING: Final = {"check", "_call_hook", "_text", "value_at"}
"""What keeps any `Exception`: `check`, and what calls a metrics hook or reads a driver's error."""

NOTED: Final = ("noted in a finaliser",)

Trace: TypeAlias = "Callable[[FrameType, str, object], Trace | None]"

Handlers: TypeAlias = dict[int, tuple[bool, int | None]]
"""By the offset of an instruction: whether Python looks for signals after it, and where an error goes on."""


class Entry(Protocol):
    """A row of a function's table of exceptions: from where to where errors go on at `target`."""

    start: int
    end: int
    target: int


@contextmanager
def in_finalisers() -> Iterator[None]:
    """Where an interruption strikes in a finaliser, Python only notes it, and the call goes on."""
    before = sys.unraisablehook

    def note(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, INTERRUPTIONS):
            unraisable.exc_value.args = NOTED
        else:
            before(unraisable)

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = before


@cache
def handlers(code: CodeType) -> Handlers:
    """Return this of each instruction of a function."""
    entries: list[Entry] = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined] # not in typeshed

    def target(offset: int) -> int | None:
        return next((one.target for one in entries if one.start <= offset < one.end), None)

    return {
        one.offset: (one.opname in CHECKED_AFTER, target(one.offset)) for one in dis.get_instructions(code)
    }


@cache
def begins_at(code: CodeType) -> int:
    """Return the offset up to which a function has only just begun."""
    return next((one.offset for one in dis.get_instructions(code) if one.opname == "RESUME"), 0)


def _may_be_kept(error: Interruption) -> bool:
    """Return True if it cannot be told apart from what other people's code raises, and is kept with that."""
    frames = walk_tb(error.__traceback__)
    return isinstance(error, AlarmError) and any(frame.f_code.co_name in KEEPING for frame, _ in frames)


def _looks_between(code: CodeType, last: int, now: int) -> bool:
    """Return True if Python looks for signals after the instruction at `last`, which `now` follows.

    What it finds there is raised at `now` instead, and only where that leads to the same place.
    """
    known = handlers(code)
    is_checked, handler = known[last]
    return is_checked and handler == known[now][1]


class Strike:
    """Traces one call, and raises an error at its n-th moment at which Python looks for signals."""

    def __init__(self, error: Interruption, moments: int) -> None:
        self._error = error
        self._left = moments
        self._last: tuple[FrameType, int] | None = None

    def begun(self, frame: FrameType, event: str, _: object) -> Trace | None:
        """Trace a function that begins, or goes on after a `yield`."""
        code = frame.f_code
        if code.co_filename == AS_IF_C:
            return None
        self._last = None
        if not code.co_filename.startswith(KEYTURN) or code.co_name == "<module>":
            return None
        # Since Python 3.13 this has to come first, for the instructions to be traced.
        frame.f_trace = self._traced
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if frame.f_lasti <= begins_at(code):
            self._look()
        return self._traced

    def _traced(self, frame: FrameType, event: str, _: object) -> Trace:
        if event == "opcode":
            last, now = self._last, frame.f_lasti
            self._last = frame, now
            if last is not None and last[0] is frame and _looks_between(frame.f_code, last[1], now):
                self._look()
        return self._traced

    def _look(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise self._error


@contextmanager
def traced_by(strike: Strike) -> Iterator[None]:
    """Let it trace what is called meanwhile."""
    before, frame = sys.gettrace(), currentframe()
    if frame is not None:
        # Since Python 3.12 no instruction is traced unless some frame has asked for it before this begins.
        frame.f_trace_opcodes = True
    sys.settrace(strike.begun)
    try:
        yield
    finally:
        sys.settrace(before)


@dataclass(slots=True, eq=False)
class Interruptions:
    """Interrupts calls of `main`, the main thread of a host's present process."""

    host: Host
    scheduler: Scheduler
    random: Random
    counted: Counter[str]
    main: Actor | None = None

    @classmethod
    def of(cls, host: Host, scheduler: Scheduler, seed: str, counted: Counter[str]) -> Interruptions | None:
        """Return what interrupts the calls of this host, or None for most hosts."""
        random = Random(f"{seed} interrupts {host.name}")
        return cls(host, scheduler, random, counted) if random.random() < SHARE else None

    def chooses(self, share: float) -> bool:
        """Return True for so many of the main thread's calls."""
        return self.scheduler.running is self.main and self.random.random() < share

    @contextmanager
    def armed(self, forks: Callable[[], None]) -> Iterator[None]:
        """Perhaps interrupt the call that is made meanwhile; `forks` puts a child in the process's place."""
        actor, random = self.scheduler.running, self.random
        if not self.chooses(CALLS_SHARE):
            yield
        elif random.random() < FORKS_SHARE:
            with self._forked(actor, forks):
                yield
        else:
            error = random.choice(INTERRUPTIONS)("struck by the simulation")
            strikes = self._waited if random.random() < WAITS_SHARE else self._traced
            with self._comes_out(error), strikes(actor, error):
                yield

    @contextmanager
    def _comes_out(self, error: Interruption) -> Iterator[None]:
        """What a handler has raised is what comes out, and nothing else."""
        outcome: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            outcome = raised
            raise
        finally:
            if error.__traceback__ is not None and error.args != NOTED:
                self.counted[f"calls interrupted by {type(error).__name__}"] += 1
                what = f"{self.host.name}: {outcome!r} came out in the place of {type(error).__name__}"
                require(outcome is error or _may_be_kept(error), "interruptions", what)
            del outcome

    @contextmanager
    def _traced(self, actor: Actor, error: Interruption) -> Iterator[None]:
        strike = Strike(error, 1 + int(self.random.expovariate(1 / self.random.choice(MOMENTS))))
        actor.is_traced = True
        try:
            with traced_by(strike):
                yield
        finally:
            actor.is_traced = False

    @contextmanager
    def _waited(self, actor: Actor, error: Interruption) -> Iterator[None]:
        is_under_way = True

        def ring() -> None:
            if is_under_way:
                self.scheduler.interrupt(actor, error)

        after_s = self.random.expovariate(1 / self.random.choice(WAITED_S))
        self.scheduler.spawn(f"alarm of {actor.name}", actor.machine, ring, after_s)
        try:
            yield
        finally:
            is_under_way = False

    @contextmanager
    def _forked(self, actor: Actor, forks: Callable[[], None]) -> Iterator[None]:
        left = 1 + int(self.random.expovariate(1 / LOCKS))

        def has_lock() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.counted["forks in the middle of a call"] += 1
                forks()
                self.scheduler.stop()

        actor.has_lock = has_lock
        try:
            yield
        finally:
            actor.has_lock = None
