"""Logins for tasks. What needs no wait is done on the loop: so a version that is proven needs no thread.

A version that is not proven is tried by one task or thread at a time, and tasks queue for it on their loop.
What has to be read, or waited for, is done by a thread: for one task of a secret and server at a time. The
others wait for its outcome, since that is mostly theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from operator import is_
from types import CellType, FunctionType, MethodType, TracebackType
from typing import NamedTuple, Self

from keyturn.aio.bells import new_bell
from keyturn.aio.errands import Errands
from keyturn.aio.reading import Reading
from keyturn.cache.at_once import at_once
from keyturn.cache.flights import Waiter
from keyturn.errors import LoginRefusedError, SecretError
from keyturn.login.caller import CALLER, LoopCaller
from keyturn.login.logins import FIRST_PAUSE_S, Attempt
from keyturn.login.policy import Policy
from keyturn.login.turns import SLICE_S, TURN_S, Queued
from keyturn.metrics.hook import Metric
from keyturn.model.versions import AWSPENDING, SecretVersion

Rival = tuple[str, str]
"""A server and the id of a secret: what one task at a time takes slow steps for."""


class Block:
    """The block of one attempt. A task that was made in it may outlive it, and is in it no more then."""

    def __init__(self, rival: Rival) -> None:
        self.rival = rival
        self.is_over = False


BLOCKS: ContextVar[tuple[Block, ...]] = ContextVar("keyturn_blocks", default=())
"""The blocks of attempts in which this task is, or was made."""


class AsyncAttempt:
    """One try to log in with one version: `async with attempt as version: …`.

    All is as for the attempts of `SecretCache.login_attempts`.
    """

    def __init__(self, attempt: Attempt, owner: AsyncAttempts, deliver: Callable[[], None]) -> None:
        self._attempt = attempt
        self._owner = owner
        self._deliver = deliver
        self._around: tuple[Block, ...] = ()
        self._block = Block(owner.rival)

    @property
    def version(self) -> SecretVersion:
        """The version to log in with."""
        return self._attempt.version

    @property
    def current(self) -> SecretVersion:
        """The version that was AWSCURRENT at this look."""
        return self._attempt.current

    @property
    def refusal(self) -> Exception | None:
        """The error by which the server refused the version, or None."""
        return self._attempt.refusal

    @property
    def has_succeeded(self) -> bool:
        """Whether the block ended without an error."""
        return self._attempt.has_succeeded

    async def __aenter__(self) -> SecretVersion:
        self._around = tuple(block for block in BLOCKS.get() if not block.is_over)
        BLOCKS.set((*self._around, self._block))
        return self._attempt.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return self._attempt.__exit__(kind, error, trace)
        finally:
            self._block.is_over = True
            BLOCKS.set(self._around)
            self._owner.has_tried(self)
            self._deliver()


class AsyncAttempts:
    """The attempts of one login: an asynchronous iterator that ends with the first success.

    A task may be cancelled anywhere in it, and may drop it at any time: no turn stays, and a thread that
    works for it makes no further attempt.
    """

    _lead: Lead | None = None
    _steps: _Steps | None = None

    def __init__(self, reading: Reading, leads: Leads, secret_id: str, policy: Policy) -> None:
        self._reading = reading
        self._leads = leads
        self._secret_id = secret_id
        self.rival = policy.server, secret_id
        self._login = reading.parts.logins().of_a_task(secret_id, policy)
        self._judge = policy.is_refused, policy.accept, policy.previous
        self._name = ""
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncAttempt:
        """Return the next attempt. Raises as `SecretCache.login_attempts`."""
        if self._is_over:
            raise StopAsyncIteration
        try:
            attempt = await self._next()
        except BaseException as error:
            if self._lead is not None and isinstance(error, LoginRefusedError):
                self._lead.failure = Failure(self._judge, error, is_final=not self._login.has_run_out)
            self.close()
            raise
        if attempt is None:
            self.close()
            raise StopAsyncIteration
        if self._lead is not None:
            self._lead.attempt = object()
        return AsyncAttempt(attempt, self, self._reading.deliver)

    def close(self) -> None:
        """End the login. While a thread takes a step for it, that thread ends it."""
        self._is_over = True
        if self._steps is not None:
            self._steps.close()
        self._end_lead()

    __del__ = close

    def has_tried(self, attempt: AsyncAttempt) -> None:
        """Note that an attempt has ended. Unless it was refused, the login is over."""
        if attempt.refusal is None:
            self.close()
        elif self._lead is not None:
            self._lead.attempt = None

    async def _next(self) -> Attempt | None:
        failure, time = None, self._login.time
        while self._steps is None:
            attempt = await self._at_once()
            if attempt is not None:
                return attempt
            lead, is_mine = self._leads.take(self.rival)
            if is_mine:
                self._lead = lead
            if not is_mine and not self._is_nested() and await lead.has_ended(time.seconds()):
                failure = lead.failure_by(self._judge) or failure
            else:
                self._steps = _Steps(self._login.attempts(), self._reading.errands)
            if failure is not None and (failure.is_final or time.pause_s(FIRST_PAUSE_S) < FIRST_PAUSE_S):
                # A look of its own would show the same.
                raise self._failed_as(failure.error)
        return await self._steps.next()

    def _failed_as(self, error: LoginRefusedError) -> LoginRefusedError:
        """Return an own error for the outcome of another task's login with the same secret and server."""
        self._reading.parts.measures.record(
            Metric.LOGINS_FAILED, 1, secret=self._name, error=type(error).__name__
        )
        self._reading.deliver()
        own = LoginRefusedError(self._secret_id, error.detail, advice=error.advice)
        own.__cause__ = error.__cause__
        return own

    async def _at_once(self) -> Attempt | None:
        """Return an attempt with a version that is at hand, after a wait for its turn; None for no such."""
        while True:
            current = await self._reading.current(self._secret_id, self._login.time.callers_s())
            self._name = current.name
            offered = self._login.at_once(current, self._pending(), is_nested=self._is_nested())
            if not isinstance(offered, Queued):
                return offered
            if not await _is_my_turn(offered, self._login.time.seconds()):
                return None

    def _is_nested(self) -> bool:
        """Return True inside of an attempt with this secret, which must not wait for what is in it."""
        return any(block.rival == self.rival and not block.is_over for block in BLOCKS.get())

    def _pending(self) -> SecretVersion | None:
        with suppress(SecretError):
            return at_once(self._reading.parts.caches.secrets, self._secret_id, AWSPENDING)
        return None

    def _end_lead(self) -> None:
        lead, self._lead = self._lead, None
        if lead is not None:
            self._leads.end(self.rival, lead)


async def _is_my_turn(queued: Queued, left_s: float) -> bool:
    """Wait for the turn of another task or thread. Return False if it is late before that."""
    bell = new_bell()
    queued.join(bell)
    await bell.wait(max(0.0, min(queued.left_s, left_s)))
    return not queued.is_under_way()


class Failure(NamedTuple):
    """How a lead failed: by which judgement of versions and errors, and whether time would help."""

    judge: tuple[object, ...]
    error: LoginRefusedError
    is_final: bool


class Lead:
    """One task takes the slow steps of its login, and others with the same secret and server wait for it.

    Attributes:
        is_over: whether that login has ended.
        attempt: something else for each attempt, while one is under way.
        failure: how that login failed, if all versions were refused.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.attempt: object | None = None
        self.failure: Failure | None = None
        self._waiters: dict[Waiter, None] = {}

    def join(self, waiter: Waiter) -> None:
        """Release this waiter at the end."""
        self._waiters[waiter] = None
        if self.is_over:
            waiter.release()

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        self._waiters.pop(waiter, None)

    def failure_by(self, judge: tuple[object, ...]) -> Failure | None:
        """Return how that login failed, if it judged versions and errors in this way."""
        failure = self.failure
        return failure if failure is not None and all(map(are_alike, failure.judge, judge)) else None

    def end(self) -> None:
        """Let the others go on."""
        self.is_over = True
        for waiter in tuple(self._waiters):
            waiter.release()

    async def has_ended(self, left_s: float) -> bool:
        """Wait for the end, at most so long. Return False if it is late, or if one attempt takes `TURN_S`."""
        attempt, tried_s = self.attempt, 0.0
        while not self.is_over:
            if left_s <= 0 or tried_s >= TURN_S:
                return False
            bell = new_bell()
            try:
                self.join(bell)
                await bell.wait(min(left_s, SLICE_S))
            finally:
                self.leave(bell)
            # Counted down, and not read off the clock, which may be a fake one that stands still.
            left_s -= SLICE_S
            tried_s = tried_s + SLICE_S if attempt is not None and attempt is self.attempt else 0.0
            attempt = self.attempt
        return True


def are_alike(one: object, other: object) -> bool:
    """Return True if these two judge alike: one function, or one that is made anew at each call.

    A lambda, an inner function and a `partial` are other objects each time, of the same code and values.
    """
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        is_same_code = one.__code__ is other.__code__ and one.__globals__ is other.__globals__
        return is_same_code and _are_same(_values(one), _values(other))
    if isinstance(one, partial) and isinstance(other, partial):
        values, others = ((*each.args, *each.keywords, *each.keywords.values()) for each in (one, other))
        return are_alike(one.func, other.func) and _are_same(values, others)
    return one is other or (isinstance(one, MethodType) and one == other)


def _values(function: FunctionType) -> tuple[object, ...]:
    """Return what a function refers to beside its code and its module."""
    by_name = function.__kwdefaults__ or {}
    return (
        *map(_content, function.__closure__ or ()),
        *(function.__defaults__ or ()),
        *by_name.values(),
    )


def _content(cell: CellType) -> object:
    try:
        content: object = cell.cell_contents
    except ValueError:
        # It is empty, as after `del`.
        return cell
    return content


def _are_same(values: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return len(values) == len(others) and all(map(is_, values, others))


class Leads:
    """The leads of one cache: each change is one operation on a dictionary, so it needs no lock."""

    def __init__(self) -> None:
        self._leads: dict[Rival, Lead] = {}

    def take(self, rival: Rival) -> tuple[Lead, bool]:
        """Return the lead, and True if the caller has it now."""
        mine = Lead()
        lead = self._leads.setdefault(rival, mine)
        return lead, lead is mine

    def end(self, rival: Rival, lead: Lead) -> None:
        """End a lead."""
        if self._leads.get(rival) is lead:
            self._leads.pop(rival, None)
        lead.end()

    def after_fork(self) -> None:
        """Forget the parent's tasks."""
        self._leads = {}


class _Steps:
    """Takes the slow steps of one login for a task: each in a thread, and none after the task has left."""

    def __init__(self, attempts: Generator[Attempt, None, None], errands: Errands) -> None:
        self._attempts = attempts
        self._errands = errands
        self._caller = LoopCaller()
        self._context = copy_context()
        self._context.run(CALLER.set, self._caller)

    async def next(self) -> Attempt | None:
        """Return the next attempt, or None where there is none."""
        return await self._errands.run(object(), lambda: self._context.run(self._step))

    def close(self) -> None:
        """End the login and its turn; while a step is under way, its thread does that when it is done."""
        self._caller.is_gone = True
        # A generator that runs in another thread says so by a ValueError.
        with suppress(ValueError):
            self._attempts.close()

    def _step(self) -> Attempt | None:
        attempt = next(self._attempts, None)
        if self._caller.is_gone:
            # The task left during the step, so it could not close the attempts itself.
            self.close()
        return attempt
