"""Which thread may try which version now. A version that is not proven is tried by one thread at a time.

A turn is no lock: nothing is held while a caller's code runs, a wait for another thread's turn has a
deadline, and a turn ends with its attempt, however that ends.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TypeAlias

from keyturn.cache.flights import Waiter
from keyturn.login.caller import caller_is_gone, caller_thread
from keyturn.login.memory import Identity, LastLogin, Memory, Verdict
from keyturn.login.policy import TimeLeft
from keyturn.model.instant import Instant
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.locks import new_lock

TURN_S = 5.0
"""How long others wait for a turn at most.

For as long after an attempt that had no answer nobody needs a turn: the server is in trouble.
"""

SLICE_S = 0.25
"""How often a waiting thread looks whether its caller is gone, and whether a turn vanished without a word."""

REFUSED_LATELY = "refused moments ago"
NOT_IN_TIME = "not tried, since another thread's attempt with it had not ended in time"

Key: TypeAlias = tuple[str, Identity]
"""A server and a version."""


class Turn:
    """The right to try one version on one server, once.

    The attempt owns its turn, and everybody else refers to it weakly: when the attempt is collected, the
    turn ends. It needs no lock, so that the garbage collector may end it anywhere.

    `thread` is the identifier of the attempt's thread. `has_begun` says that the attempt has begun, and
    `accepted_before` is the number of the last login that was accepted until then, in the whole process.
    """

    def __init__(self, key: Key, begun: Instant, *, is_second_try: bool) -> None:
        self.key = key
        self.begun = begun
        self.thread = caller_thread()
        self.is_second_try = is_second_try
        self.has_begun = False
        self.accepted_before = 0
        self.is_over = False
        self._queue: list[Waiter] = []

    def end(self) -> None:
        """Let the threads go on that wait for this turn. Ending twice is the same as once."""
        self.is_over = True
        while self._queue:
            try:
                gate = self._queue.pop()
            except IndexError:
                return
            gate.release()

    def __del__(self) -> None:
        # An exception out of a signal handler may have come before the turn was whole.
        if hasattr(self, "_queue"):
            self.end()

    def join(self, gate: Waiter) -> None:
        """Release this gate when the turn ends; if it is a lock, the caller has acquired it."""
        self._queue.append(gate)
        if self.is_over:
            # Another thread may have emptied the queue just before.
            self.end()


class Turns:
    """The turns of one process, and its memory. Threads may share it.

    `secrets_max` bounds the memory. `settle_s` is how long a refused version waits for its second try.
    """

    def __init__(self, *, secrets_max: int, settle_s: float, now: Callable[[], Instant]) -> None:
        self._memory = Memory(secrets_max)
        self._settle_s = settle_s
        self._now = now
        self._accepted = 0
        self.after_fork()

    def after_fork(self) -> None:
        """Make the lock anew and end all turns: for a forked child, whose parent's threads are gone."""
        self._lock = new_lock()
        self._turns: dict[Key, weakref.ref[Turn]] = {}

    def forget(self) -> None:
        """Drop all that is remembered, and end all turns."""
        with self._lock:
            self._memory.clear()
            self._turns = {}

    # Taking a turn

    def take(
        self, server: str, version: SecretVersion, *, refused_by_caller: bool, time: TimeLeft
    ) -> Turn | str:
        """Return a turn with this version, or the reason why the caller may not try it.

        Waits while another thread tries the version, at most `TURN_S` and as long as `time` allows. Then
        the caller tries the version beside the other thread, unless it was refused lately. The caller
        owns the turn: it has to drop or end it.
        """
        key, is_current = (server, version.identity), _is_current(version)
        while True:
            with self._lock:
                decided = self._decide(key, is_current=is_current, refused_by_caller=refused_by_caller)
                if not isinstance(decided, Queued):
                    return decided
            if not decided.await_end(time.seconds()):
                # Without the caller's own time an attempt cannot end well.
                if decided.is_second_try or time.callers_s() <= 0 or caller_is_gone():
                    return NOT_IN_TIME
                return Turn(key, self._now(), is_second_try=False)

    def take_at_once(self, server: str, version: SecretVersion, *, is_nested: bool) -> Turn | Queued | None:
        """Return a turn with this version, a place in the queue for it, or None if it was refused lately.

        For a task of an event loop: it waits for nothing. A login inside of another task's attempt
        (`is_nested`) gets no place in a queue: that attempt may not end before it. The caller owns the turn,
        as that of `take`.
        """
        with self._lock:
            key, is_current = (server, version.identity), _is_current(version)
            decided = self._decide(key, is_current=is_current, refused_by_caller=True, is_task=not is_nested)
        return None if isinstance(decided, str) or decided.is_second_try else decided

    def _decide(
        self, key: Key, *, is_current: bool, refused_by_caller: bool, is_task: bool = False
    ) -> Turn | str | Queued:
        """Return a turn, the reason for none, or a place in the queue behind another thread's turn.

        A task (`is_task`) may wait for another task of its thread, since its wait holds up nobody.
        """
        now, verdict = self._now(), self._memory.verdict(*key)
        is_refused = verdict.is_refused(now, is_current=is_current)
        if is_refused and not verdict.allows_second_try(
            now, self._settle_s, refused_by_caller=refused_by_caller
        ):
            return REFUSED_LATELY
        turn = Turn(key, now, is_second_try=is_refused)
        if not is_refused and (verdict.is_proven(now, is_current=is_current) or _is_open(verdict, now)):
            return turn
        other = self._other(key)
        left_s = TURN_S - other.begun.age_s(now) if other is not None else 0.0
        if other is None or (left_s <= 0 and not other.has_begun):
            self._turns[key] = weakref.ref(turn, self._forget_turn(key))
            return turn
        if left_s <= 0 or (other.thread == threading.get_ident() and not is_task):
            # The other attempt hangs, or is further up in this very thread and cannot end before this one.
            return NOT_IN_TIME if is_refused else turn
        return Queued(other, left_s, is_second_try=is_refused)

    def _other(self, key: Key) -> Turn | None:
        """Return the turn that is under way with this version."""
        reference = self._turns.get(key)
        turn = reference() if reference is not None else None
        return None if turn is None or turn.is_over else turn

    def _forget_turn(self, key: Key) -> Callable[[weakref.ref[Turn]], None]:
        """Return what takes the turn out of the dictionary once it is collected."""
        turns = self._turns

        def forget(reference: weakref.ref[Turn]) -> None:
            if turns.get(key) is reference:
                turns.pop(key, None)

        return forget

    # What becomes of a turn

    def begin(self, turn: Turn) -> None:
        """Note that the caller tries the version now."""
        with self._lock:
            turn.accepted_before = self._accepted
            turn.has_begun = True
            if turn.is_second_try:
                self._change(turn, self._memory.verdict(*turn.key)._replace(has_second_try_begun=True))

    def accepted(self, turn: Turn, version: SecretVersion, current: Identity) -> None:
        """Remember that the server has just accepted the version, while `current` was AWSCURRENT."""
        with self._lock:
            self._accepted += 1
            self._change(turn, Verdict(self._accepted))
            self._memory.keep_last(turn.key[0], LastLogin(version, current))

    def refused(self, turn: Turn, version: SecretVersion) -> None:
        """Remember that the server has just refused the version.

        The refusal counts for nothing if the server accepted the version since this attempt began: then
        it is about something else than the password.
        """
        with self._lock:
            now, verdict = self._now(), self._memory.verdict(*turn.key)
            if verdict.accepted > turn.accepted_before:
                return
            is_current = _is_current(version)
            if not verdict.is_refused(now, is_current=is_current):
                self._change(turn, Verdict(verdict.accepted, now, is_current))
            elif turn.is_second_try:
                self._change(turn, verdict._replace(accepted=0))
            server, identity = turn.key
            last = self._memory.last(server, identity[0])
            if last is not None and last.refused is None and last.version.identity == identity:
                self._memory.keep_last(server, last._replace(refused=now))

    def unanswered(self, turn: Turn) -> None:
        """Remember that the attempt has just ended without an answer of the server."""
        with self._lock:
            self._change(turn, self._memory.verdict(*turn.key)._replace(unanswered=self._now()))

    def _change(self, turn: Turn, verdict: Verdict) -> None:
        self._memory.keep_verdict(*turn.key, verdict)

    # What is remembered

    def last(self, server: str, arn: str) -> LastLogin | None:
        """Return the last login with this secret on this server."""
        with self._lock:
            return self._memory.last(server, arn)

    def verdict(self, server: str, identity: Identity) -> Verdict:
        """Return what this server last said of this version."""
        with self._lock:
            return self._memory.verdict(server, identity)

    def is_refused(self, server: str, version: SecretVersion) -> bool:
        """Return True if this server refused this version lately."""
        verdict = self.verdict(server, version.identity)
        return verdict.is_refused(self._now(), is_current=_is_current(version))

    def is_news(self, arn: str, stage: str, trouble: str) -> bool:
        """Keep what kind of trouble there is to read this stage, empty for none; return True if it is new."""
        with self._lock:
            return self._memory.keep_trouble(arn, stage, trouble)


class Queued:
    """A place in the queue behind a turn. It does not keep the turn alive."""

    def __init__(self, turn: Turn, left_s: float, *, is_second_try: bool) -> None:
        self.is_second_try = is_second_try
        self.left_s = left_s
        self._turn = weakref.ref(turn)
        self._gate = threading.Lock()
        self._gate.acquire()
        turn.join(self._gate)

    def await_end(self, time_left_s: float) -> bool:
        """Wait until the turn is over. Return False if it is late before that, or the caller is gone.

        `time_left_s`: for how many seconds the login may wait. The turn itself has a deadline, too.
        """
        left_s = min(self.left_s, time_left_s)
        while self.is_under_way():
            if left_s <= 0 or caller_is_gone():
                return False
            self._gate.acquire(timeout=min(left_s, SLICE_S))
            # Counted down, and not read off the clock, which may be a fake one that stands still.
            left_s -= SLICE_S
        return True

    def join(self, gate: Waiter) -> None:
        """Release this gate when the turn ends; at once if it has ended."""
        turn = self._turn()
        if turn is None:
            gate.release()
        else:
            turn.join(gate)

    def is_under_way(self) -> bool:
        """Return True while that turn has not ended."""
        turn = self._turn()
        return turn is not None and not turn.is_over


def _is_current(version: SecretVersion) -> bool:
    """Return True if Secrets Manager itself said that the version is AWSCURRENT."""
    return AWSCURRENT in version.stages


def _is_open(verdict: Verdict, now: Instant) -> bool:
    """Return True if the last attempt had no answer: then the server is in trouble, and nobody queues."""
    return verdict.unanswered is not None and verdict.unanswered.age_s(now) < TURN_S
