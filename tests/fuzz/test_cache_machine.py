"""Anything in any order, against a model that knows every value that ever was: the cache stays right."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from keyturn import Limits, Peers, SecretCache, SecretError, UnavailableError
from keyturn.errors import AccessDeniedError, MarkerTableError
from keyturn.model.markers import Head, Marker
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described, SecretVersion
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager

NAMES = ["a", "a-AbCdEf", "b/c", "absent"]
STAGES = [AWSCURRENT, AWSPENDING, AWSPREVIOUS, "blue"]
MAX_SECRETS = 2
WINDOW_S, SETTLE_S = 5.0, 6.0

names, stages = st.sampled_from(NAMES[:3]), st.sampled_from(STAGES)
spans = st.sampled_from([0.2, 1, 5, 6, 7, 60, 299, 301, 3700, 22000])
# Mostly what programs ask for most: the current version, by name.
asks = st.tuples(
    st.sampled_from(["a", "a-AbCdEf", "b/c", "a", "b/c", "absent"]),
    st.sampled_from([AWSCURRENT, AWSCURRENT, AWSCURRENT, *STAGES]),
    st.sampled_from(["name", "name", "key", "arn"]),
)
forged_ids = st.sampled_from(["v1", "v2", "v3", "nobody's", "x" * 64])


class RefusedError(Exception):
    """The server's 'wrong password'."""


class CacheMachine(RuleBasedStateMachine):
    """Secrets that rotate, roll back, vanish and fail, a table that lies, and one cache over both."""

    @initialize(sweep=st.booleans())
    def begin(self, *, sweep: bool) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecretsManager(self.clock)
        self.table = FakeMarkers(self.clock)
        self.made: dict[str, set[str]] = {name: set() for name in NAMES}
        self.arns: dict[str, set[str]] = {name: set() for name in NAMES}
        self.versions = 0
        self.cache = SecretCache(
            limits=Limits(max_secrets=MAX_SECRETS),
            peers=Peers(
                source=self.secrets,
                markers=self.table,
                clock=self.clock,
                sleep=self.clock.advance,
                random=lambda: 0.5,
            ),
        )
        for name in NAMES[:3]:
            self._create(name)
        if sweep:
            self.table.sweep()

    def _value(self, name: str) -> tuple[str, str]:
        """A value that says whose it is, and its version id."""
        self.versions += 1
        self.made[name].add(f"v{self.versions}")
        return f"{name}|v{self.versions}", f"v{self.versions}"

    def _create(self, name: str) -> None:
        self.arns[name].add(self.secrets.create(name, *self._value(name)))

    def _truth(self, name: str) -> Described:
        """The secret as it is, also while reads fail."""
        return next(one for one in self.secrets.list() if one.name == name)

    # The world moves

    @rule(name=names, stage=stages, marked=st.booleans())
    def put(self, *, name: str, stage: str, marked: bool) -> None:
        self.clock.advance(1)
        self.secrets.put(name, *self._value(name), stage)
        if marked:
            self.mark(name)

    @rule(name=names)
    def roll_back(self, name: str) -> None:
        previous = self._truth(name).stages.get(AWSPREVIOUS)
        if previous is not None:
            self.secrets.move(name, AWSCURRENT, previous)

    @rule(name=names)
    def drop_pending(self, name: str) -> None:
        self.secrets.move(name, AWSPENDING, None)

    @rule(name=names, deleted=st.booleans())
    def delete_or_restore(self, *, name: str, deleted: bool) -> None:
        (self.secrets.delete if deleted else self.secrets.restore)(name)

    @rule(name=names)
    def recreate(self, name: str) -> None:
        self.clock.advance(1)
        self._create(name)

    @rule(error=st.sampled_from([None, UnavailableError, AccessDeniedError]))
    def fail_reads(self, error: type[SecretError] | None) -> None:
        self.secrets.fail = lambda secret_id: None if error is None else error(secret_id, "made to fail")

    @rule(failing=st.booleans())
    def fail_table(self, *, failing: bool) -> None:
        self.table.fail = lambda: MarkerTableError("fake", "made to fail") if failing else None

    # The table tells of it, or lies

    @rule(name=names)
    def mark(self, name: str) -> None:
        failure, self.table.fail = self.table.fail, lambda: None
        described = self._truth(name)
        key = secret_key(described.arn, name)
        self.table.set(key, described.arn, described.stages, deleted=described.deleted)
        self.table.fail = failure

    @rule()
    def sweep(self) -> None:
        self.table.sweep()

    @rule(
        name=names,
        of=names,
        version_ids=st.dictionaries(stages, forged_ids),
        deleted=st.booleans(),
        number=st.integers(1, 2**53),
    )
    def forge(self, *, name: str, of: str, version_ids: dict[str, str], deleted: bool, number: int) -> None:
        """Put any marker under a key, with any secret's ARN, and any head beside it."""
        key = secret_key(max(self.arns[name]), name)
        marker = Marker(key, max(self.arns[of]), version_ids, deleted=deleted, epoch="f", sequence=number)
        self.table.items[key] = marker
        self.table.head = Head("f", number, self.clock.wall_s)

    @rule()
    def lose_the_table(self) -> None:
        self.table.items.clear()
        self.table.head = None

    # Time passes

    @rule(seconds=spans)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=spans)
    def freeze(self, seconds: float) -> None:
        self.clock.freeze(seconds)

    @rule(seconds=st.floats(-100, 100))
    def step(self, seconds: float) -> None:
        self.clock.step(seconds)

    # The process uses the cache

    @rule(asks=st.lists(asks, min_size=3, max_size=12), pause_s=st.sampled_from([0, 0.3, 5.0]))
    def use(self, *, asks: list[tuple[str, str, str]], pause_s: float) -> None:
        for name, stage, by in asks:
            self._get(name, stage, by)
            self.clock.advance(pause_s)

    def _get(self, name: str, stage: str, by: str) -> None:
        arn = max(self.arns[name], default=name)
        secret_id = {"name": name, "key": secret_key(arn, name), "arn": arn}[by]
        before = self.secrets.calls["GetSecretValue"]
        said = ""
        try:
            self._check(self.cache.get(secret_id, stage=stage), name, secret_id)
        except SecretError as error:
            said = str(error)
        assert "|v" not in said
        assert self.secrets.calls["GetSecretValue"] - before <= 2

    def _check(self, version: SecretVersion, name: str, secret_id: str) -> None:
        """A version is one that this very secret once had, whole, under the id that was asked."""
        assert version.text() == f"{name}|{version.version_id}"
        assert version.version_id in self.made[name]
        assert version.arn in self.arns[name]
        assert secret_id == version.secret_id
        assert name == version.name

    @rule(name=names)
    def invalidate(self, name: str) -> None:
        self.cache.invalidate(name)

    @rule(name=names, accepted=st.booleans())
    def login(self, *, name: str, accepted: bool) -> None:
        attempts: list[str] = []

        def connect(version: SecretVersion) -> None:
            attempts.append(version.version_id)
            self._check(version, name, version.secret_id)
            if not accepted:
                raise RefusedError

        try:
            self.cache.login(
                name, connect, is_refused=lambda error: isinstance(error, RefusedError), budget_s=0
            )
        except SecretError as error:
            attempts.append(str(error))
        assert not [said for said in attempts if "|v" in said]
        assert len(attempts) == len(set(attempts)) <= 7

    @rule()
    def forget(self) -> None:
        self.cache.forget()

    @invariant()
    def is_bounded_and_tells_no_value(self) -> None:
        if not hasattr(self, "cache"):
            return
        status = self.cache.status()
        assert len({one.arn for one in status.secrets}) <= MAX_SECRETS
        assert len(status.secrets) <= MAX_SECRETS * len(STAGES)
        assert "|v" not in repr(status)
        assert all(math.isfinite(one.bound_s) for one in status.secrets)

    def teardown(self) -> None:
        """Faults off, and time: the current values of all that is not deleted are served."""
        if not hasattr(self, "cache"):
            return
        self.secrets.fail, self.table.fail = (lambda _: None), (lambda: None)
        for _ in range(2):
            self.clock.advance(4000)
            for name in NAMES[:3]:
                self._converges(name)

    def _converges(self, name: str) -> None:
        self.secrets.restore(name)
        for _ in range(4):
            self.cache.get(name)
            self.clock.advance(WINDOW_S + SETTLE_S)
        assert self._truth(name).stages[AWSCURRENT] == self.cache.get(name).version_id


@pytest.mark.parametrize("examples", [30, pytest.param(150, marks=pytest.mark.proof)])
def test_anything_in_any_order(examples: int) -> None:
    """Whatever happens in whatever order: no invariant of the machine breaks, and the cache converges."""
    run_state_machine_as_test(CacheMachine, settings=settings(max_examples=examples, stateful_step_count=50))
