"""What a server said of a version, and what a login may try by that: decision by decision."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from math import inf

import pytest

from keyturn.errors import ConfigurationError
from keyturn.login.memory import REFUSED_S, UNKNOWN, VERSIONS_MAX, LastLogin, Memory, OldestOut, Verdict
from keyturn.login.policy import LEAST_PAUSE_S, Policy, TimeLeft, policy_of, same_host, same_host_and_user
from keyturn.model.instant import Instant
from keyturn.model.versions import SecretVersion
from keyturn.runtime.invocation import invocation

SETTLE_S = 6.0


def at(seconds: float) -> Instant:
    """A moment by both clocks."""
    return Instant(1000.0 + seconds, 50.0 + seconds)


def version(value: str | bytes = "a value", *, arn: str = "arn", version_id: str = "v1") -> SecretVersion:
    """A version with this value."""
    text, blob = (None, value) if isinstance(value, bytes) else (value, None)
    return SecretVersion("db", arn, "db", version_id, frozenset(), None, text, blob)


@pytest.mark.parametrize(
    ("verdict", "is_current", "refused"),
    [
        (UNKNOWN, False, False),
        (Verdict(accepted=1), False, False),
        (Verdict(refused=at(0)), False, True),
        (Verdict(refused=at(0.5 - REFUSED_S)), False, True),
        (Verdict(refused=at(-REFUSED_S)), False, False),
        # It has become AWSCURRENT since.
        (Verdict(refused=at(0)), True, False),
        (Verdict(refused=at(0), was_current=True), True, True),
        (Verdict(refused=at(0), was_current=True), False, True),
    ],
)
def test_a_refusal_counts_for_a_while(
    verdict: Verdict,
    is_current: bool,  # noqa: FBT001 # a parameter of the test
    refused: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Unless the version becomes AWSCURRENT: a rotation says so after the server has taken it."""
    assert refused is verdict.is_refused(at(0), is_current=is_current)
    assert not verdict._replace(accepted=0).is_proven(at(0), is_current=is_current)
    assert refused is not verdict._replace(accepted=1).is_proven(at(0), is_current=is_current)


@pytest.mark.parametrize(
    ("verdict", "by_caller", "allowed"),
    [
        (UNKNOWN, False, False),
        (Verdict(refused=at(0)), False, False),
        (Verdict(refused=at(0.1 - SETTLE_S)), False, False),
        (Verdict(refused=at(-SETTLE_S)), False, True),
        (Verdict(refused=at(-SETTLE_S)), True, True),
        (Verdict(refused=at(-SETTLE_S), has_second_try_begun=True), False, False),
        (Verdict(refused=at(0), accepted=1), False, True),
        (Verdict(refused=at(0), accepted=1), True, False),
        (Verdict(refused=at(0), accepted=1, has_second_try_begun=True), False, False),
    ],
)
def test_a_refused_version_has_one_second_try(
    verdict: Verdict,
    by_caller: bool,  # noqa: FBT001 # a parameter of the test
    allowed: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Once it can have become right; at once by another login, if the server had accepted it before."""
    assert allowed is verdict.allows_second_try(at(0), SETTLE_S, refused_by_caller=by_caller)


def test_the_oldest_entry_makes_room_alone() -> None:
    """Writing an entry makes it the youngest; reading one does not."""
    entries: OldestOut[str, int] = OldestOut(2)
    for number, key in enumerate(("a", "b", "a", "c")):
        entries.put(key, number)
        entries.get("b")
    assert [2, None, 3] == [entries.get(key) for key in ("a", "b", "c")]
    entries.clear()
    assert entries.get("a") is None


def test_logins_and_verdicts_are_remembered_by_server_and_secret() -> None:
    """What one server said is not held against another one."""
    memory = Memory(8)
    first, second = (LastLogin(version(arn=arn), (arn, "v1")) for arn in ("arn", "another arn"))
    one, two = Verdict(accepted=1), Verdict(accepted=2)
    memory.keep_last("db-1", first)
    memory.keep_last("db-2", first._replace(refused=at(1)))
    memory.keep_last("db-1", second)
    memory.keep_verdict("db-1", ("arn", "v1"), one)
    memory.keep_verdict("db-2", ("arn", "v1"), two)
    memory.keep_verdict("db-1", ("arn", "v2"), two)
    memory.keep_verdict("db-1", ("another arn", "v1"), two)
    assert [first, first._replace(refused=at(1)), None] == [
        memory.last(server, "arn") for server in ("db-1", "db-2", "db-3")
    ]
    assert [second, None, None] == [
        memory.last("db-1", "another arn"),
        memory.last("db-2", "another arn"),
        memory.last("db-1", "no arn"),
    ]
    assert [one, two, two, two] == [
        memory.verdict("db-1", ("arn", "v1")),
        memory.verdict("db-2", ("arn", "v1")),
        memory.verdict("db-1", ("arn", "v2")),
        memory.verdict("db-1", ("another arn", "v1")),
    ]
    unknown = [("db-3", ("arn", "v1")), ("db-1", ("arn", "v3")), ("db-1", ("no arn", "v1"))]
    assert [UNKNOWN] * 3 == [memory.verdict(server, identity) for server, identity in unknown]


def test_the_memory_of_a_secret_is_bounded() -> None:
    """One version more than is remembered takes the place of the first, on that server alone."""
    memory, known = Memory(1), Verdict(accepted=1)
    memory.keep_verdict("db-2", ("arn", "v0"), known)
    for number in range(VERSIONS_MAX + 1):
        memory.keep_verdict("db-1", ("arn", f"v{number}"), known)
    assert [UNKNOWN, known] == [memory.verdict("db-1", ("arn", f"v{number}")) for number in (0, 1)]
    assert known == memory.verdict("db-2", ("arn", "v0"))
    memory.keep_last("db-1", LastLogin(version(arn="arn"), ("arn", "v1")))
    memory.keep_last("db-1", LastLogin(version(arn="another arn"), ("another arn", "v1")))
    assert memory.last("db-1", "arn") is None
    memory.keep_verdict("db-1", ("another arn", "v1"), known)
    assert UNKNOWN == memory.verdict("db-2", ("arn", "v0"))


def test_trouble_is_news_once() -> None:
    """By secret and stage. No trouble is news only after some."""
    memory = Memory(8)
    said = [
        ("a", "s", ""),
        ("a", "s", "x"),
        ("a", "s", "x"),
        ("a", "t", "x"),
        ("b", "s", "x"),
        ("a", "s", ""),
    ]
    assert [False, True, False, True, True, True] == [memory.keep_trouble(*one) for one in said]
    memory.clear()
    assert memory.keep_trouble("a", "t", "x")


def test_everything_is_forgotten_together() -> None:
    """The next login begins without a past."""
    memory = Memory(8)
    memory.keep_last("db-1", LastLogin(version(), ("arn", "v1")))
    memory.keep_verdict("db-1", ("arn", "v1"), Verdict(accepted=1))
    memory.clear()
    assert memory.last("db-1", "arn") is None
    assert UNKNOWN == memory.verdict("db-1", ("arn", "v1"))


# What may be tried


@pytest.mark.parametrize(
    ("one", "other", "host", "user"),
    [
        ('{"host": "a", "username": "u"}', '{"host": "a", "username": "u"}', True, True),
        ('{"host": "a", "username": "u"}', '{"host": "a", "username": "w"}', True, False),
        ('{"host": "a", "username": "u"}', '{"host": "b", "username": "u"}', False, False),
        ('{"host": "a"}', '{"username": "u"}', False, False),
        ("no JSON", "other text", True, True),
        ("no JSON", '{"password": "p"}', True, True),
        ("[1]", '"text"', True, True),
        (b"binary", '{"host": "a"}', False, False),
        (b"binary", b"other", True, True),
    ],
)
def test_a_candidate_is_for_the_same_host(
    one: str | bytes,
    other: str | bytes,
    host: bool,  # noqa: FBT001 # a parameter of the test
    user: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A password of one server is not sent to another one; a value that names no host belongs to none."""
    assert host is same_host(version(one), version(other)) is same_host(version(other), version(one))
    assert user is same_host_and_user(version(one), version(other))


class Passing:
    """The present moment of a login that began at 0 s."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self) -> Instant:
        return at(self.passed_s)


@pytest.mark.parametrize(
    ("remaining_s", "passed_s", "left_s", "callers_s"),
    [
        (None, 3.0, 7.0, inf),
        (None, 12.0, -2.0, inf),
        (lambda: 20.0, 3.0, 7.0, 20.0),
        (lambda: 2.0, 3.0, 2.0, 2.0),
        (lambda: -1.0, 3.0, -1.0, -1.0),
    ],
)
def test_a_login_waits_within_its_budget_and_its_callers_time(
    remaining_s: Callable[[], float] | None, passed_s: float, left_s: float, callers_s: float
) -> None:
    """The shorter of the two counts."""
    now = Passing()
    time = TimeLeft(Policy(remaining_s=remaining_s), now)
    now.passed_s = passed_s
    assert (left_s, callers_s, passed_s) == (time.seconds(), time.callers_s(), time.waited_s())


@pytest.mark.parametrize(
    ("passed_s", "wanted_s", "pause_s"),
    [
        (3.0, 6.9, 6.9),
        (3.0, 6.95, 6.95),
        (3.0, 6.96, 7.0),
        (3.0, 7.0, 7.0),
        (3.0, 70.0, 7.0),
        (9.9, 1.0, 0.1),
        (9.96, 0.01, 0.0),
        (10.0, 1.0, 0.0),
        (11.0, 1.0, 0.0),
    ],
)
def test_the_last_pause_ends_with_the_budget(passed_s: float, wanted_s: float, pause_s: float) -> None:
    """No part of the budget is left unused, but for one that is too short for another look."""
    now = Passing()
    time = TimeLeft(Policy(), now)
    now.passed_s = passed_s
    assert pytest.approx(pause_s) == time.pause_s(wanted_s)


def test_the_shortest_budget_has_one_pause() -> None:
    """One that is just long enough for another look."""
    assert LEAST_PAUSE_S == TimeLeft(Policy(budget_s=LEAST_PAUSE_S), Passing()).pause_s(1.0)


@pytest.mark.parametrize(("wanted_s", "pause_s"), [(1.9, 1.9), (2.0, 0.0), (2.1, 0.0)])
def test_a_pause_ends_before_the_callers_time(wanted_s: float, pause_s: float) -> None:
    """The attempt after it needs time as well."""
    assert pause_s == TimeLeft(Policy(remaining_s=lambda: 2.0), Passing()).pause_s(wanted_s)


class Context:
    """What a Lambda handler is given."""

    def get_remaining_time_in_millis(self) -> int:
        return 2500


def test_the_time_of_an_invocation_counts_unless_the_caller_gives_its_own() -> None:
    """A handler need not hand its time on."""
    with invocation({}, Context()):
        assert 2.5 == TimeLeft(Policy(), Passing()).seconds()
        assert 4.0 == TimeLeft(Policy(remaining_s=lambda: 4.0), Passing()).seconds()
    assert 10.0 == TimeLeft(Policy(), Passing()).seconds()


def test_an_invocation_that_is_over_leaves_no_deadline() -> None:
    """A task that was made in it, such as a pool's worker, lives on in the next invocations."""
    with invocation({}, Context()):
        of_the_task = copy_context()
        assert 2.5 == of_the_task.run(lambda: TimeLeft(Policy(), Passing()).seconds())
    assert 10.0 == of_the_task.run(lambda: TimeLeft(Policy(), Passing()).seconds())


def test_the_time_of_a_login_can_be_told() -> None:
    """Errors and logs say how long the login might have waited."""
    assert "budget_s=10, remaining_s: not given" == str(TimeLeft(Policy(), Passing()))
    limited = TimeLeft(Policy(budget_s=2.5, remaining_s=lambda: 3.14159), Passing())
    assert "budget_s=2.5, remaining_s: 3.1 s" == str(limited)


def test_an_async_clock_is_refused_where_the_options_are_given() -> None:
    """Before any version is read; without a clock nothing is refused."""

    async def left_s() -> float:
        raise AssertionError("nobody runs this")

    with pytest.raises(ConfigurationError, match=r"^remaining_s is async or a generator"):
        policy_of(remaining_s=left_s)  # type: ignore[arg-type] # on purpose
    assert Policy() == policy_of()
