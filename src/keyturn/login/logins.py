"""Logging in with whichever version of a secret the server accepts.

Between setSecret and finishSecret a server takes only the new password, while AWSCURRENT is still
the old one. So a refusal is not the end: the candidates are tried in an order that avoids refusals,
each at most once, and only a refused credential moves on to the next. Which versions were refused is
remembered for some seconds, as ordering and so that callers do not lock an account.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Protocol, TypedDict

from keyturn.cache.freshness import Evidence
from keyturn.cache.limits import Limits
from keyturn.errors import LoginRefusedError, SecretError, SecretFormatError, SecretKindError
from keyturn.login.refusals import is_refused
from keyturn.metrics.hook import SILENT, Measures, Metric
from keyturn.model.instant import Instant
from keyturn.model.protocols import Clock
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion

REFUSED_S = 30.0
"""How long a refusal is remembered: in this time a version is tried at most twice per process."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
"""Between rounds, while a rotation seems to be under way; doubled each time, with jitter."""

Identity = tuple[str, str]

Accept = Callable[[SecretVersion, SecretVersion], bool]
"""Whether a candidate (second) may be tried in place of the current version (first)."""


def _field(version: SecretVersion, name: str) -> object:
    try:
        document = version.json()
    except (SecretFormatError, SecretKindError):
        return None
    return document.get(name) if isinstance(document, dict) else None


def same_host(current: SecretVersion, candidate: SecretVersion) -> bool:
    """Whether both name the same host (secrets without a `host` do)."""
    return _field(current, "host") == _field(candidate, "host")


def same_host_and_user(current: SecretVersion, candidate: SecretVersion) -> bool:
    """Whether both name the same host and the same `username`."""
    return same_host(current, candidate) and _field(current, "username") == _field(candidate, "username")


class LoginOptions(TypedDict, total=False):
    """What a login may try, and for how long.

    Args:
        is_refused: whether an error means "wrong credentials"; by default `keyturn.is_refused`, which
            knows the errors of common drivers.
        accept: whether a version (second) may be tried in place of the current one (first); by default
            `same_host`.
        previous: whether AWSPREVIOUS may be tried also where it is the older one; by default not.
        budget_s: seconds to wait at most for a rotation that seems to be under way; by default 10.
        remaining_s: seconds that the caller itself has left, which no pause exceeds; in a Lambda handler
            `lambda: context.get_remaining_time_in_millis() / 1000`.
    """

    is_refused: Callable[[Exception], bool]
    accept: Accept
    previous: bool
    budget_s: float
    remaining_s: Callable[[], float] | None


class Policy(NamedTuple):
    """`LoginOptions` with their defaults, and what counts as refused."""

    is_refused: Callable[[Exception], bool] = is_refused
    accept: Accept = same_host
    previous: bool = False
    budget_s: float = 10.0
    remaining_s: Callable[[], float] | None = None


class Versions(Protocol):
    """What a login needs of the cache."""

    def get(self, secret_id: str, stage: str) -> SecretVersion: ...

    def recheck(self, secret_id: str) -> SecretVersion:
        """AWSCURRENT after a forced check and re-read; both are limited in rate."""
        ...

    def join(self, secret_id: str, stage: str) -> SecretVersion:
        """What `get` gives after the reads of this stage that other threads have under way."""
        ...

    def evidence(self, secret_id: str) -> Evidence: ...


class _Refusal(NamedTuple):
    """When this version was refused, at which state of the marker, and whether it got its second try."""

    at: Instant
    mark: tuple[str, int] | None
    tried_again: bool = False


class _Success(NamedTuple):
    """The version that this process last logged in with, what was current then, since when it is refused."""

    version: SecretVersion
    current: Identity
    refused: Instant | None = None


class _Probe:
    """Lets one thread at a time try a version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for other threads; not for this one, whose other attempt could then never end.

        A thread has two where tasks of an event loop take turns in it.
        """
        if self._thread == threading.get_ident():
            yield
            return
        with self._lock:
            self._thread = threading.get_ident()
            try:
                yield
            finally:
                self._thread = None


class Attempt:
    """One try to log in with one version: `with attempt as version: …`.

    A refusal inside the block is kept and not raised; everything else is raised as it is. What came
    of it is remembered, and the next thread's turn begins, when the block ends: a caller may leave the
    loop right there, and keep its iterator.
    """

    def __init__(
        self,
        version: SecretVersion,
        current: SecretVersion,
        is_refused: Callable[[Exception], bool],
        logins: Logins,
        end_turn: Callable[[], None],
    ) -> None:
        self.version = version
        self.refusal: Exception | None = None
        self.has_succeeded = False
        self._current = current
        self._is_refused = is_refused
        self._logins = logins
        self._end_turn = end_turn

    def __enter__(self) -> SecretVersion:
        return self.version

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is None:
                self.has_succeeded = True
                self._logins.remember_success(self.version, self._current)
            elif isinstance(error, Exception) and self._is_refused(error):
                self.refusal = error
                self._logins.remember_refusal(self.version)
        finally:
            self._end_turn()
        return self.refusal is not None


class Logins:
    """The logins of one process through one cache. Threads may share it.

    A version that this process never logged in with, or that was refused lately, is tried by one
    thread at a time; the others wait for the outcome. So a wrong password causes at most as many
    attempts as callers were in flight with a password that had been right, and beyond those two per
    version and `REFUSED_S`.
    """

    def __init__(
        self,
        versions: Versions,
        *,
        limits: Limits,
        clock: Clock,
        sleep: Callable[[float], None],
        random: Callable[[], float],
        metrics: Measures = SILENT,
    ) -> None:
        self._versions = versions
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._metrics = metrics
        self._successes: dict[str, _Success] = {}
        self._refusals: dict[Identity, _Refusal] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """For a forked child, whose parent's threads are gone."""
        self._lock = threading.Lock()
        self._probes: dict[Identity, _Probe] = {}

    def forget(self) -> None:
        """Drop the versions and refusals remembered."""
        with self._lock:
            self._successes.clear()
            self._refusals.clear()
            self._probes.clear()

    def attempts(self, secret_id: str, policy: Policy) -> Iterator[Attempt]:
        """One attempt after the other until one succeeds.

        Raises `LoginRefusedError` after the last, or the `SecretError` of reading AWSCURRENT.
        """
        begun, refusals, pauses = self._now(), _Refusals(), _pauses_s(self._random)
        while True:
            current = self._versions.get(secret_id, AWSCURRENT)
            for version in self._in_order(secret_id, current, policy):
                with ExitStack() as turn:
                    turn.callback(self._metrics.deliver)
                    if not turn.enter_context(self._turn(version)):
                        refusals.add(version, "refused moments ago")
                        continue
                    attempt = Attempt(version, current, policy.is_refused, self, turn.close)
                    yield attempt
                    if attempt.has_succeeded:
                        return
                    if attempt.refusal is not None:
                        refusals.add(version, type(attempt.refusal).__name__, attempt.refusal)
            pause_s = next(pauses)
            is_moving = self._is_moving(secret_id, current) or self._may_have_crossed(refusals)
            if not (is_moving and self._may_wait(begun, pause_s, policy)):
                self._metrics.record(Metric.LOGINS_FAILED, 1, secret=current.name)
                self._metrics.deliver()
                raise LoginRefusedError(secret_id, str(refusals)) from refusals.last
            self._sleep(pause_s)

    def _in_order(self, secret_id: str, current: SecretVersion, policy: Policy) -> Iterator[SecretVersion]:
        """Every version worth trying, once; those that were refused lately come last."""
        offered: set[Identity] = set()
        postponed: list[SecretVersion] = []
        for version in self._candidates(secret_id, current, policy):
            if version.identity in offered or not policy.accept(current, version):
                continue
            offered.add(version.identity)
            if self._is_refused(version):
                postponed.append(version)
            else:
                yield version
        yield from postponed

    def _candidates(self, secret_id: str, current: SecretVersion, policy: Policy) -> Iterator[SecretVersion]:
        """In the order in which they are likely to be right; each is read only when it is reached.

        A pending version comes first when its setSecret was announced. Else the version last logged in
        with, while AWSCURRENT has not moved since: within the window that is the pending one, and after
        a cancelled rotation one that has no label at all. AWSPREVIOUS is newer than AWSCURRENT where the
        label was moved back, and the server perhaps not yet; an older one is tried by choice only.
        """
        if self._versions.evidence(secret_id).pending_is_set:
            yield from self._under(secret_id, AWSPENDING)
        success = self._successes.get(current.arn)
        if success is not None and success.current == current.identity:
            yield success.version
        yield current
        with suppress(SecretError):
            yield self._versions.recheck(secret_id)
        doubted = self._versions.evidence(secret_id).doubted
        if doubted is not None:
            yield doubted
        yield from self._under(secret_id, AWSPENDING)
        for previous in self._under(secret_id, AWSPREVIOUS):
            if policy.previous or _is_newer(previous, current):
                yield previous
        if success is not None:
            yield success.version

    def _under(self, secret_id: str, stage: str) -> Iterator[SecretVersion]:
        """The version under this stage, if it can be read."""
        with suppress(SecretError):
            yield self._versions.join(secret_id, stage)

    @contextmanager
    def _turn(self, version: SecretVersion) -> Iterator[bool]:
        """Whether this thread may try the version; alone, unless this process logged in with it."""
        if self._is_proven(version):
            yield True
            return
        with self._lock:
            probe = self._probes.setdefault(version.identity, _Probe())
        with probe.alone():
            if not self._is_proven(version):
                yield not self._is_refused(version) or self._take_second_try(version)
                return
        yield True

    # What is remembered

    def _is_proven(self, version: SecretVersion) -> bool:
        """Whether this process logged in with this version, and was not refused it lately."""
        success = self._successes.get(version.arn)
        return (
            success is not None
            and success.version.identity == version.identity
            and not self._is_refused(version)
        )

    def _is_refused(self, version: SecretVersion) -> bool:
        """Whether this version was refused lately, and the marker has not moved since."""
        refusal = self._refusals.get(version.identity)
        if refusal is None or refusal.at.age_s(self._now()) >= REFUSED_S:
            return False
        return not _has_moved(refusal.mark, self._versions.evidence(version.arn).mark)

    def _take_second_try(self, version: SecretVersion) -> bool:
        """The one try that a refused version gets after a settle time: it can have become right."""
        with self._lock:
            refusal = self._refusals.get(version.identity)
            if refusal is None or refusal.tried_again:
                return False
            if refusal.at.age_s(self._now()) < self._limits.settle_s:
                return False
            self._refusals[version.identity] = refusal._replace(tried_again=True)
            return True

    def remember_refusal(self, version: SecretVersion) -> None:
        """The server said no to this version just now."""
        self._metrics.record(Metric.REFUSALS, 1, secret=version.name)
        now, mark = self._now(), self._versions.evidence(version.arn).mark
        with self._lock:
            if len(self._refusals) >= self._limits.max_secrets:
                self._refusals.clear()
                self._probes.clear()
            before = self._refusals.get(version.identity)
            if before is None or _has_moved(before.mark, mark) or before.at.age_s(now) >= REFUSED_S:
                self._refusals[version.identity] = _Refusal(now, mark)
            success = self._successes.get(version.arn)
            if (
                success is not None
                and success.refused is None
                and success.version.identity == version.identity
            ):
                self._successes[version.arn] = success._replace(refused=now)

    def remember_success(self, version: SecretVersion, current: SecretVersion) -> None:
        """The server took this version just now, while that one was current."""
        if version.identity != current.identity:
            self._metrics.record(Metric.BRIDGES, 1, secret=version.name, stage=_label(version))
        success = self._successes.get(version.arn)
        if success is not None and success == _Success(version, current.identity):
            return
        with self._lock:
            if len(self._successes) >= self._limits.max_secrets:
                self._successes.clear()
            self._successes[version.arn] = _Success(version, current.identity)
            self._refusals.pop(version.identity, None)
            self._probes.pop(version.identity, None)

    # Waiting

    def _is_moving(self, secret_id: str, current: SecretVersion) -> bool:
        """Whether a rotation may explain the refusals, so that waiting can help.

        What was right until lately and is refused now was changed by somebody.
        """
        evidence = self._versions.evidence(secret_id)
        if evidence.moving or evidence.doubted is not None:
            return True
        success = self._successes.get(current.arn)
        if success is None:
            return False
        return success.refused is None or success.refused.age_s(self._now()) < REFUSED_S

    def _may_have_crossed(self, refusals: _Refusals) -> bool:
        """Whether the server may have gone from one version to another between our tries of them.

        Then the one refused first is right now: wait until each had its second try.
        """
        remembered = [self._refusals.get(identity) for identity in refusals.said]
        open_tries = [one for one in remembered if one is not None and not one.tried_again]
        return len(refusals.said) > 1 and bool(open_tries)

    def _may_wait(self, begun: Instant, pause_s: float, policy: Policy) -> bool:
        if begun.age_s(self._now()) + pause_s > policy.budget_s:
            return False
        return policy.remaining_s is None or pause_s < policy.remaining_s()

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())


class _Refusals:
    """What one caller was told: for the error's text, and its cause."""

    def __init__(self) -> None:
        self.last: Exception | None = None
        self.said: dict[Identity, str] = {}

    def add(self, version: SecretVersion, said: str, error: Exception | None = None) -> None:
        labels = ", ".join(sorted(version.stages)) or "no label"
        self.said.setdefault(version.identity, f"version {version.version_id} ({labels}): {said}")
        self.last = error or self.last

    def __str__(self) -> str:
        return "; ".join(self.said.values())


def _label(version: SecretVersion) -> str:
    """The label of AWS's own that the version was under when it was read; empty if under none."""
    return next((one for one in (AWSCURRENT, AWSPENDING, AWSPREVIOUS) if one in version.stages), "")


def _is_newer(version: SecretVersion, than: SecretVersion) -> bool:
    """Whether it was made later, by the dates that Secrets Manager gave (CreatedDate)."""
    made_s, other_s = version.created_s, than.created_s
    return made_s is not None and other_s is not None and made_s > other_s


def _has_moved(before: tuple[str, int] | None, now: tuple[str, int] | None) -> bool:
    """Whether the marker is another one; one that was only read later is not."""
    return before is not None and now is not None and before != now


def _pauses_s(random: Callable[[], float]) -> Iterator[float]:
    """Doubling pauses with jitter, capped."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * (0.5 + random() / 2)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
