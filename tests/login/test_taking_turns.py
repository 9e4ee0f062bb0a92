"""Who may try a version now, and what is remembered of it: decision by decision, in one thread."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keyturn.login.caller import CALLER, LoopCaller
from keyturn.login.memory import REFUSED_S, LastLogin, Verdict
from keyturn.login.policy import Policy, TimeLeft
from keyturn.login.turns import NOT_IN_TIME, REFUSED_LATELY, TURN_S, Queued, Turn, Turns
from keyturn.model.instant import Instant
from keyturn.model.versions import AWSCURRENT, AWSPENDING, SecretVersion

SETTLE_S = 6.0
DB = "db-1:5432"
ELSEWHERE = -1


def version(version_id: str, stage: str, arn: str = "arn") -> SecretVersion:
    """A version under this label."""
    return SecretVersion("db", arn, "db", version_id, frozenset({stage}), None, "a value")


V1, V2 = version("v1", AWSCURRENT), version("v2", AWSPENDING)
CURRENT = V1.identity


class Process:
    """The turns of one process, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.turns = Turns(secrets_max=8, settle_s=SETTLE_S, now=self.now)

    def now(self) -> Instant:
        return Instant(1000.0 + self.passed_s, 50.0 + self.passed_s)

    def take(
        self, one: SecretVersion = V2, *, refused_by_caller: bool = True, time: TimeLeft | None = None
    ) -> Turn | str:
        """Take a turn, and wait for nobody."""
        none_left = time or TimeLeft(Policy(budget_s=0.0), self.now)
        return self.turns.take(DB, one, refused_by_caller=refused_by_caller, time=none_left)

    def at_once(self, one: SecretVersion = V2, *, is_nested: bool = False) -> Turn | Queued | None:
        return self.turns.take_at_once(DB, one, is_nested=is_nested)

    def taken(self, one: SecretVersion = V2) -> Turn:
        """A turn that nobody else has."""
        turn = self.take(one)
        assert isinstance(turn, Turn)
        return turn

    def refused(self, one: SecretVersion = V2) -> None:
        """An attempt that is refused."""
        turn = self.taken(one)
        self.turns.begin(turn)
        self.turns.refused(turn, one)
        turn.end()

    def accepted(self, one: SecretVersion = V2) -> None:
        """An attempt that is accepted."""
        turn = self.taken(one)
        self.turns.begin(turn)
        self.turns.accepted(turn, one, CURRENT)
        turn.end()

    def said(self, one: SecretVersion = V2) -> Verdict:
        return self.turns.verdict(DB, one.identity)


@pytest.fixture
def process() -> Process:
    """A process that has not logged in yet."""
    return Process()


@contextmanager
def another_thread(*, is_gone: bool = False) -> Iterator[None]:
    """What is called in here works for a task of another thread's loop, which may have been cancelled."""
    caller = LoopCaller()
    caller.thread, caller.is_gone = ELSEWHERE, is_gone
    token = CALLER.set(caller)
    try:
        yield
    finally:
        CALLER.reset(token)


def taken_elsewhere(process: Process, one: SecretVersion = V2) -> Turn:
    """A turn of another thread."""
    with another_thread():
        return process.taken(one)


# The first who comes


def test_a_version_that_nobody_tries_may_be_tried(process: Process) -> None:
    """The turn says for what it is, since when, and where."""
    turn = process.taken()
    assert ((DB, V2.identity), process.now(), False) == (turn.key, turn.begun, turn.is_second_try)
    assert (threading.get_ident(), False, False) == (turn.thread, turn.has_begun, turn.is_over)
    assert ELSEWHERE == taken_elsewhere(process, V1).thread


def test_who_comes_later_gets_a_place_in_the_queue(process: Process) -> None:
    """For what is left of five seconds, whether a thread or a task asks."""
    first = taken_elsewhere(process)
    process.passed_s = 2.0
    place = process.at_once()
    assert isinstance(place, Queued)
    assert (TURN_S - 2.0, False, True) == (place.left_s, place.is_second_try, place.is_under_way())
    first.end()
    assert not place.is_under_way()
    assert isinstance(process.at_once(), Turn)


def test_other_versions_and_servers_have_turns_of_their_own(process: Process) -> None:
    """Nobody waits for them."""
    first = taken_elsewhere(process)
    assert isinstance(process.at_once(V1), Turn)
    assert isinstance(process.turns.take_at_once("db-2:5432", V2, is_nested=False), Turn)
    assert not first.is_over


def test_a_turn_that_was_dropped_is_over(process: Process) -> None:
    """The attempt owns it; a place in the queue does not keep it."""
    first = taken_elsewhere(process)
    place = process.at_once()
    assert isinstance(place, Queued)
    del first
    gc.collect()
    assert not place.is_under_way()
    assert place.await_end(0.0)
    assert isinstance(process.at_once(), Turn)


def test_the_end_of_an_old_turn_does_not_end_the_next_one(process: Process) -> None:
    """An attempt that is over may be collected much later."""
    first = taken_elsewhere(process)
    first.end()
    second = taken_elsewhere(process)
    del first
    gc.collect()
    assert isinstance(process.at_once(), Queued)
    assert not second.is_over


class Name(str):
    """A server's name, of which it can be seen whether anything still has it."""

    __slots__ = ("__weakref__",)


def test_a_turn_that_is_gone_leaves_nothing_behind(process: Process) -> None:
    """A process that meets ever new servers and versions does not grow by them."""
    server = Name("db-1:5432")
    seen = weakref.ref(server)
    turn = process.turns.take_at_once(server, V2, is_nested=False)
    assert isinstance(turn, Turn)
    del turn, server
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize(
    ("remaining_s", "is_gone", "may_try"),
    [(None, False, True), (0.5, False, True), (0.0, False, False), (None, True, False)],
)
def test_who_waited_in_vain_tries_beside_the_other(
    process: Process,
    remaining_s: float | None,
    is_gone: bool,  # noqa: FBT001 # a parameter of the test
    may_try: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Unless the caller has no time left of its own, or is gone. Such a turn holds up nobody."""
    first = taken_elsewhere(process)
    options = Policy(budget_s=0.0, remaining_s=None if remaining_s is None else lambda: remaining_s)
    with another_thread(is_gone=is_gone):
        got = process.take(time=TimeLeft(options, process.now))
    if not may_try:
        assert NOT_IN_TIME == got
        return
    assert isinstance(got, Turn)
    assert (first.key, process.now(), False) == (got.key, got.begun, got.is_second_try)
    first.end()
    assert isinstance(process.at_once(), Turn)


def test_who_waits_goes_on_when_the_turn_ends(process: Process) -> None:
    """And then gets a turn of its own."""
    first = taken_elsewhere(process)
    ending = threading.Timer(0.01, first.end)
    ending.start()
    got = process.take(time=TimeLeft(Policy(budget_s=20.0), process.now))
    ending.join()
    assert isinstance(got, Turn)
    assert first.is_over
    with another_thread():
        assert isinstance(process.at_once(), Queued)


# Nobody queues


def test_a_version_that_works_may_be_tried_by_all(process: Process) -> None:
    """A login that succeeded is proof enough."""
    process.accepted()
    first = taken_elsewhere(process)
    assert isinstance(process.at_once(), Turn)
    assert not first.is_over


def test_a_refusal_that_is_over_takes_no_proof_away(process: Process) -> None:
    """By time, or since the version has become AWSCURRENT."""
    process.accepted()
    process.refused()
    first = taken_elsewhere(process, version("v2", AWSCURRENT))
    assert isinstance(process.at_once(version("v2", AWSCURRENT)), Turn)
    process.passed_s = REFUSED_S
    second = taken_elsewhere(process)
    assert isinstance(process.at_once(), Turn)
    assert [False, False] == [first.is_over, second.is_over]


def test_while_a_server_does_not_answer_nobody_queues(process: Process) -> None:
    """For as long as a turn lasts, since one attempt after the other would last too long."""
    lost = process.taken()
    process.turns.begin(lost)
    process.turns.unanswered(lost)
    lost.end()
    assert Verdict(unanswered=process.now()) == process.said()
    process.passed_s = 4.9
    first = taken_elsewhere(process)
    assert isinstance(process.at_once(), Turn)
    process.passed_s = 5.0
    second = taken_elsewhere(process)
    assert isinstance(process.at_once(), Queued)
    assert [False, False] == [first.is_over, second.is_over]


@pytest.mark.parametrize(("is_nested", "kind"), [(True, Turn), (False, Queued)])
def test_a_login_inside_of_an_attempt_does_not_wait_for_it(
    process: Process,
    is_nested: bool,  # noqa: FBT001 # a parameter of the test
    kind: type[object],
) -> None:
    """It could not end. A task may wait for another task of its thread, since both go on."""
    first = process.taken()
    assert isinstance(process.at_once(is_nested=is_nested), kind)
    assert isinstance(process.take(time=TimeLeft(Policy(), process.now)), Turn)
    assert not first.is_over


def test_a_turn_that_is_never_used_is_handed_on(process: Process) -> None:
    """After five seconds, and then it is the next one for whom others wait."""
    first = taken_elsewhere(process)
    process.passed_s = 4.9
    assert isinstance(process.at_once(), Queued)
    process.passed_s = 5.0
    second = taken_elsewhere(process)
    place = process.at_once()
    assert isinstance(place, Queued)
    assert TURN_S == place.left_s
    second.end()
    assert not place.is_under_way()
    assert not first.is_over


def test_an_attempt_that_hangs_holds_nobody_for_longer_than_a_turn(process: Process) -> None:
    """Others try the version beside it from then on."""
    first = taken_elsewhere(process)
    process.turns.begin(first)
    process.passed_s = 4.9
    assert isinstance(process.at_once(), Queued)
    process.passed_s = 5.0
    beside = process.at_once()
    assert isinstance(beside, Turn)
    assert isinstance(process.at_once(), Turn)
    assert not beside.is_over


# A version that was refused


def test_a_refused_version_is_tried_once_more_after_the_settle_time(process: Process) -> None:
    """And then not before the refusal is forgotten, or the version has become AWSCURRENT."""
    process.refused()
    assert (REFUSED_LATELY, None) == (process.take(), process.at_once())
    assert process.turns.is_refused(DB, V2)
    process.passed_s = SETTLE_S
    # A task leaves a second try to a thread, which may wait.
    assert process.at_once() is None
    second = process.taken()
    assert second.is_second_try
    process.turns.begin(second)
    assert process.said().has_second_try_begun
    second.end()
    assert REFUSED_LATELY == process.take()
    for take in (process.take, process.at_once):
        assert isinstance(take(version("v2", AWSCURRENT)), Turn)
    assert not process.turns.is_refused(DB, version("v2", AWSCURRENT))
    process.passed_s = REFUSED_S
    assert not process.turns.is_refused(DB, V2)
    assert not process.taken().is_second_try


def test_a_version_that_had_been_accepted_is_tried_again_by_another_login(process: Process) -> None:
    """At once. The login that was refused waits."""
    process.accepted()
    process.refused()
    assert REFUSED_LATELY == process.take(refused_by_caller=True)
    assert process.at_once() is None
    again = process.take(refused_by_caller=False)
    assert isinstance(again, Turn)
    assert again.is_second_try


@pytest.mark.parametrize("where", ["another thread", "this thread"])
@pytest.mark.parametrize("passed_s", [0.0, TURN_S])
def test_nobody_tries_a_refused_version_beside_its_second_try(
    process: Process, where: str, passed_s: float
) -> None:
    """Nor one that hangs, nor one that is further up in the same thread: a server counts wrong passwords."""
    process.refused()
    process.passed_s = SETTLE_S
    second = taken_elsewhere(process) if where == "another thread" else process.taken()
    second.has_begun = True
    process.passed_s += passed_s
    assert NOT_IN_TIME == process.take()
    assert process.at_once() is None
    assert second.is_second_try


# What is remembered


def test_a_login_that_succeeds_is_the_last_one(process: Process) -> None:
    """With the version that was AWSCURRENT then. Each success has a number, the later the higher."""
    process.accepted(V2)
    process.accepted(V1)
    assert [Verdict(accepted=1), Verdict(accepted=2)] == [process.said(V2), process.said(V1)]
    assert LastLogin(V1, CURRENT) == process.turns.last(DB, "arn")
    assert process.turns.last("db-2:5432", "arn") is None


def test_a_success_wipes_out_what_was_said_before(process: Process) -> None:
    """A refusal, a second try, and an attempt without an answer."""
    turn = process.taken()
    process.turns.unanswered(turn)
    process.turns.refused(turn, V2)
    process.turns.accepted(turn, V2, CURRENT)
    assert Verdict(accepted=1) == process.said()


@pytest.mark.parametrize("one", [V1, V2])
def test_a_refusal_keeps_what_was_known(process: Process, one: SecretVersion) -> None:
    """That the version had been accepted, and whether it was AWSCURRENT by the word of Secrets Manager."""
    process.accepted(one)
    process.passed_s = 1.0
    process.refused(one)
    expected = Verdict(1, process.now(), was_current=one is V1)
    assert expected == process.said(one)
    last = process.turns.last(DB, "arn")
    assert last == LastLogin(one, CURRENT, refused=process.now())


def test_a_refusal_of_a_version_that_is_current_by_now_is_a_new_one(process: Process) -> None:
    """The first was of a password that the server had not taken yet."""
    process.refused()
    process.passed_s = 1.0
    process.refused(version("v2", AWSCURRENT))
    assert Verdict(refused=process.now(), was_current=True) == process.said()


def test_a_refusal_counts_for_nothing_beside_a_success(process: Process) -> None:
    """The server accepted the version since this attempt began, so the password is right."""
    slow = process.taken()
    process.turns.begin(slow)
    slow.end()
    process.accepted()
    process.turns.refused(slow, V2)
    assert Verdict(accepted=1) == process.said()
    assert process.turns.last(DB, "arn") == LastLogin(V2, CURRENT)


def test_a_second_refusal_takes_the_proof_away(process: Process) -> None:
    """Of a second try alone: an attempt beside it says nothing new. The first refusal keeps its moment."""
    process.accepted()
    beside = process.taken()
    process.turns.begin(beside)
    process.refused()
    process.passed_s = SETTLE_S
    first = process.said()
    process.turns.refused(beside, V2)
    assert first == process.said()
    process.refused()
    assert first._replace(accepted=0, has_second_try_begun=True) == process.said()
    last = process.turns.last(DB, "arn")
    assert last == LastLogin(V2, CURRENT, refused=Instant(1000.0, 50.0))


def test_the_refusal_of_another_version_leaves_the_last_login(process: Process) -> None:
    """It says nothing about the version that works."""
    process.accepted(V1)
    process.refused(V2)
    assert LastLogin(V1, CURRENT) == process.turns.last(DB, "arn")
    process.refused(version("v2", AWSCURRENT, "another arn"))
    assert process.turns.last(DB, "another arn") is None


def test_trouble_is_news_once(process: Process) -> None:
    """So that it is logged once."""
    assert [True, False] == [process.turns.is_news("arn", AWSCURRENT, "no answer") for _ in range(2)]
    assert process.turns.is_news("arn", AWSPENDING, "no answer")
    assert process.turns.is_news("another arn", AWSCURRENT, "no answer")


def test_forgetting_ends_the_turns_and_the_memory(process: Process) -> None:
    """After a restore nobody waits for attempts of before, and nothing is known of the server."""
    process.accepted(V1)
    first = taken_elsewhere(process)
    process.turns.forget()
    assert isinstance(process.at_once(), Turn)
    assert (Verdict(), None) == (process.said(V1), process.turns.last(DB, "arn"))
    assert not first.is_over


def test_a_forked_child_waits_for_no_thread_of_its_parent(process: Process) -> None:
    """It keeps the memory."""
    process.accepted(V1)
    first = taken_elsewhere(process)
    process.turns.after_fork()
    assert isinstance(process.at_once(), Turn)
    assert Verdict(accepted=1) == process.said(V1)
    assert not first.is_over


# Waiting


class Gate:
    """Counts how often it is opened."""

    def __init__(self) -> None:
        self.opened = 0

    def release(self) -> None:
        self.opened += 1


def test_the_end_of_a_turn_opens_every_gate_once(process: Process) -> None:
    """Those that joined before, and at once those that join after."""
    turn, gates = process.taken(), [Gate() for _ in range(3)]
    for gate in gates[:2]:
        turn.join(gate)
    assert [0, 0, 0] == [gate.opened for gate in gates]
    turn.end()
    turn.end()
    turn.join(gates[2])
    assert [1, 1, 1] == [gate.opened for gate in gates]


def test_a_turn_that_is_dropped_opens_its_gates(process: Process) -> None:
    """Whoever waits goes on at once, and not after the next look."""
    turn, gate = process.taken(), Gate()
    turn.join(gate)
    del turn
    gc.collect()
    assert 1 == gate.opened


def test_a_turn_that_was_never_whole_ends_without_a_word() -> None:
    """A signal handler may raise in the middle of its making."""
    Turn.__new__(Turn).__del__()


def test_a_place_in_the_queue_hands_its_gate_on(process: Process) -> None:
    """To the turn, and to nobody once that is gone."""
    first, gate = taken_elsewhere(process), Gate()
    place = process.at_once()
    assert isinstance(place, Queued)
    place.join(gate)
    assert 0 == gate.opened
    first.end()
    assert 1 == gate.opened
    del first
    gc.collect()
    place.join(gate)
    assert 2 == gate.opened


@pytest.mark.parametrize(
    ("left_s", "time_left_s", "is_gone"), [(0.0, 9.0, False), (9.0, 0.0, False), (9.0, 9.0, True)]
)
def test_a_wait_ends_with_the_turns_time_with_the_logins_or_with_its_caller(
    process: Process,
    left_s: float,
    time_left_s: float,
    is_gone: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """At once, if it is over before it begins. A turn that has ended is no wait at all."""
    turn = process.taken()
    place = Queued(turn, left_s, is_second_try=False)
    with another_thread(is_gone=is_gone):
        assert not place.await_end(time_left_s)
        turn.end()
        assert place.await_end(time_left_s)


def test_a_wait_is_as_long_as_its_time(process: Process) -> None:
    """A hundredth of a second, and not a whole slice."""
    turn = process.taken()
    for time_left_s, left_s in ((0.01, 9.0), (9.0, 0.01)):
        assert not Queued(turn, left_s, is_second_try=False).await_end(time_left_s)
    assert not turn.is_over


def test_a_wait_of_a_second_is_one(process: Process) -> None:
    """The turn ends while the wait goes on."""
    turn = process.taken()

    class Ending(LoopCaller):
        """A caller whose turn ends when somebody looks whether it is gone."""

        def __getattribute__(self, name: str) -> object:
            if name == "is_gone":
                turn.end()
            return super().__getattribute__(name)

    token = CALLER.set(Ending())
    try:
        assert Queued(turn, 1.0, is_second_try=False).await_end(9.0)
    finally:
        CALLER.reset(token)
