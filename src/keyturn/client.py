"""`SecretCache`, the cache that users make; its `get` is the hit path."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar, Unpack, cast

from keyturn.assembly import late_reports, late_table, measures, parameter_store, secrets_manager
from keyturn.aws.clients import dynamodb, region_of
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker, Secrets
from keyturn.cache.limits import DEFAULTS, Limits
from keyturn.cache.table_view import TableWatch
from keyturn.errors import ConfigurationError
from keyturn.metrics.hook import Measures, Metrics
from keyturn.model.names import parameter_key_of, secret_key
from keyturn.model.protocols import CachedSource, Clock, MarkerReader, Reports, SecretSource
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.host import SystemClock, environment_label, new_environment, system_random, system_sleep
from keyturn.runtime.invocation import invocation
from keyturn.runtime.logs import about
from keyturn.runtime.process import Once, watch_process

if TYPE_CHECKING:
    # Loaded when they are first used: a cold start has no use for them.
    from keyturn.cache.background import Poller
    from keyturn.cache.parameters import Parameters, ParameterShelf
    from keyturn.cache.status import CacheStatus
    from keyturn.convergence.reporter import Reporter
    from keyturn.login.logins import Attempt, LoginOptions, Logins
    from keyturn.model.parameter import Parameter

log = logging.getLogger("keyturn")

_T = TypeVar("_T")
_P = ParamSpec("_P")


class SecretCache:
    """A versioned cache of Secrets Manager secrets that drops a copy as soon as a rotation is known.

    Args:
        client: a boto3 or botocore client for Secrets Manager; without one, a client is made from
            the environment at the first read. Only `GetSecretValue` is called.
        marker_table: name or ARN of the marker table. Without one nothing tells of rotations, and
            every copy is read again after `uncovered_ttl_s`.
        dynamodb_client: the client for the tables; made at the first check if not given, in the
            Region of `client`.
        convergence_table: name or ARN of the convergence table, to which this process reports which
            versions it holds, so that `keyturn status` can count. Without one it tells nobody.
        report_ttl_s: for how long a report counts; it is made again when half of that is over.
        report_label: what kind of environment this is, 128 characters; by default the name of the
            Lambda function.
        check_interval_s: at most one read of the table per interval. A rotation is noticed within
            one interval of its marker.
        covered_ttl_s: after this a copy is read again although its marker agrees.
        uncovered_ttl_s: the same where no marker speaks for the copy.
        lease_s: how long after the sweep's last word markers are trusted to be complete.
        max_stale_s: for how long a known version is served while Secrets Manager does not answer.
        max_denied_s: the same while it denies access or cannot decrypt.
        settle_s: for how long an answer of Secrets Manager may show the past.
        min_refresh_interval_s: at most one refresh per stage and interval that `invalidate` caused.
        max_secrets: secrets held at most; beyond, the one read longest ago is forgotten.
        background: start one thread that checks and refreshes ahead, so that no caller waits for
            it. For servers; in Lambda a thread is frozen between invocations.
        ssm_client: a boto3 or botocore client for Parameter Store, made at the first read if not given.
        source, markers, reports: read and report through these instead of through clients. A source
            with a cache of its own says so by `ttl_s`, which `bound_s` in `status()` includes.
        parameter_source: the same for parameters: makes the source that decrypts them, or does not.
        metrics: is told of checks, reads, invalidations and logins, never of hits; see `keyturn.metrics`.
        clock, sleep, random: where time, waiting (seconds) and jitter come from.

    Threads may share it; a forked child and a SnapStart restore start with nothing considered fresh.
    Raises `ConfigurationError` for arguments that cannot work.
    """

    def __init__(
        self,
        client: object = None,
        *,
        marker_table: str | None = None,
        dynamodb_client: object = None,
        convergence_table: str | None = None,
        report_ttl_s: float = DEFAULTS.report_ttl_s,
        report_label: str | None = None,
        check_interval_s: float = DEFAULTS.check_interval_s,
        covered_ttl_s: float = DEFAULTS.covered_ttl_s,
        uncovered_ttl_s: float = DEFAULTS.uncovered_ttl_s,
        lease_s: float = DEFAULTS.lease_s,
        max_stale_s: float = DEFAULTS.max_stale_s,
        max_denied_s: float = DEFAULTS.max_denied_s,
        settle_s: float = DEFAULTS.settle_s,
        min_refresh_interval_s: float = DEFAULTS.min_refresh_interval_s,
        max_secrets: int = DEFAULTS.max_secrets,
        background: bool = False,
        ssm_client: object = None,
        source: SecretSource | None = None,
        parameter_source: Callable[[bool], SecretSource] | None = None,
        markers: MarkerReader | None = None,
        metrics: Metrics | None = None,
        reports: Reports | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        clock, sleep, random = clock or SystemClock(), sleep or system_sleep, random or system_random
        self._metrics = told = measures(metrics)
        limits = Limits(
            check_interval_s=check_interval_s,
            covered_ttl_s=covered_ttl_s,
            uncovered_ttl_s=uncovered_ttl_s,
            lease_s=lease_s,
            max_stale_s=max_stale_s,
            max_denied_s=max_denied_s,
            settle_s=settle_s,
            min_refresh_interval_s=min_refresh_interval_s,
            max_secrets=max_secrets,
            report_ttl_s=report_ttl_s,
        ).spread_by(random)
        table_client = dynamodb(dynamodb_client, region_of(client))
        markers = _given(markers, late_table, table_client, marker_table=marker_table)
        reports = _given(reports, late_reports, table_client, convergence_table=convergence_table)
        parameter_source = parameter_source or parameter_store(ssm_client, region_of(client))
        table = TableWatch(markers, limits, random) if markers is not None else None
        window_s = limits.check_interval_s * (2 if background else 1)
        cache_of = partial(_cache, table, limits, clock=clock, random=random, window_s=window_s, metrics=told)
        self._cache = cache_of(secrets_manager(client) if source is None else source, secret_key)
        ciphertexts, clear = (cache_of(parameter_source(one), parameter_key_of) for one in (False, True))
        self._caches = (self._cache, ciphertexts, clear)
        reporter = _reporter(self._caches, reports, report_label, limits=limits, clock=clock, random=random)
        checker_of = partial(Checker, limits=limits, clock=clock, window_s=window_s, metrics=told)
        self._checker = checker_of(self._caches, table, reporter=reporter)
        self._secrets = Secrets(self._cache, self._checker, limits.min_refresh_interval_s)
        self._parameter_shelves = cast("tuple[ParameterShelf, ...]", (ciphertexts.shelf, clear.shelf))
        self._shelf, self._now = self._cache.shelf, clock.wall
        self._make_parameters = partial(_parameters, ciphertexts, clear, self._secrets, limits)
        self._parameters = Once(self._make_parameters)
        self._make_logins = partial(
            _logins, self._secrets, limits=limits, clock=clock, sleep=sleep, random=random, metrics=told
        )
        self._logins: Logins | None = None
        self._logins_lock = threading.Lock()
        self._poller = _poller(self._checker, limits) if background else None
        watch_process(self)

    def get(self, secret_id: str, stage: str = AWSCURRENT) -> SecretVersion:
        """The version under `stage`. Raises a `SecretError` when there is none to serve."""
        window = self._shelf.window
        version = window.versions.get(secret_id if stage == AWSCURRENT else (secret_id, stage))
        if version is not None and window.opens_at <= self._now() < window.closes_at:
            return version
        return self._miss(secret_id, stage)

    def peek(self, secret_id: str, stage: str = AWSCURRENT) -> SecretVersion | None:
        """What `get` would return without asking anybody, or None: for callers that must not wait."""
        window = self._shelf.window
        version = window.versions.get(secret_id if stage == AWSCURRENT else (secret_id, stage))
        is_fresh = version is not None and window.opens_at <= self._now() < window.closes_at
        return version if is_fresh else None

    def get_secret_string(self, secret_id: str, stage: str = AWSCURRENT) -> str:
        """The text of `get`; `SecretKindError` for a binary secret."""
        return self.get(secret_id, stage).text()

    def get_secret_binary(self, secret_id: str, stage: str = AWSCURRENT) -> bytes:
        """The bytes of `get`; `SecretKindError` for a text secret."""
        return self.get(secret_id, stage).blob()

    def get_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter:
        """The latest version of a parameter of Parameter Store, or the one of this number or label.

        `name` is a name or an ARN; it may end in `:version` or `:label` instead. Under
        `/aws/reference/secretsmanager/<name>[:stage]` stands a secret. `decrypt`: the value of a
        SecureString in clear, else its ciphertext. The same freshness as of a secret, by the same
        check; `invalidate` and `status` hold for both. Raises a `ParameterError` when there is none
        to serve, `ConfigurationError` for a version and a label. Threads may share it.
        """
        window = self._parameter_shelves[decrypt].window
        key = name if version is None and label is None else (name, label or str(version))
        parameter = window.versions.get(key)
        if parameter is not None and window.opens_at <= self._now() < window.closes_at:
            return parameter
        return self._parameter_miss(name, version, label, decrypt=decrypt)

    def peek_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter | None:
        """What `get_parameter` would return without asking anybody, or None."""
        window = self._parameter_shelves[decrypt].window
        key = name if version is None and label is None else (name, label or str(version))
        parameter = window.versions.get(key)
        is_fresh = parameter is not None and window.opens_at <= self._now() < window.closes_at
        return parameter if is_fresh else None

    def get_parameters(self, names: Iterable[str], *, decrypt: bool = True) -> dict[str, Parameter]:
        """The parameters by the names that were asked for; those not held are read ten at a time.

        Needs `ssm:GetParameters` on each. Raises `ParameterNotFoundError` with all that are not
        there, else the `ParameterError` of the first that cannot be served.
        """
        self._start_poller()
        try:
            return self._parameters()[decrypt].get_many(names)
        finally:
            self._metrics.deliver()

    def get_parameters_by_path(
        self, path: str, *, recursive: bool = False, decrypt: bool = True
    ) -> dict[str, Parameter]:
        """The parameters under `path` by their full names; with `recursive` those further down too.

        Needs `ssm:GetParametersByPath` on the path. Which parameters there are is asked anew after
        `uncovered_ttl_s`; each value is as fresh as by `get_parameter`. Raises a `ParameterError`.
        """
        self._start_poller()
        try:
            return self._parameters()[decrypt].get_by_path(path, recursive=recursive)
        finally:
            self._metrics.deliver()

    def login(
        self,
        secret_id: str,
        connect: Callable[[SecretVersion], _T],
        *,
        is_refused: Callable[[Exception], bool],
        **options: Unpack[LoginOptions],
    ) -> _T:
        """What `connect` returns for the first version of the secret that the server accepts.

        `connect` logs in with one version and returns the connection, or raises. All else is as for
        `login_attempts`, whose loop this is.
        """
        for attempt in self.login_attempts(secret_id, is_refused=is_refused, **options):
            with attempt as version:
                return connect(version)
        raise AssertionError("login attempts end with a success or an error")

    def login_attempts(
        self,
        secret_id: str,
        *,
        is_refused: Callable[[Exception], bool],
        **options: Unpack[LoginOptions],
    ) -> Iterator[Attempt]:
        """Attempts for code that cannot pass a callable; the loop ends with the first success.

            for attempt in cache.login_attempts("prod/db", is_refused=is_refused):
                with attempt as version:
                    db = connect_somehow(version.json())

        Tried are, each at most once: AWSCURRENT as cached; AWSCURRENT after a forced check; AWSPENDING;
        AWSPREVIOUS if it is the newer one, or `previous`; the version that this process last logged in
        with. A pending version comes first when its setSecret was announced, and the last one logged in
        with while AWSCURRENT has not moved since. If all are refused and a rotation seems to be under
        way, this waits and looks again.

        Args:
            secret_id: name or ARN.
            is_refused: whether what was raised means "wrong credentials" (see `keyturn.refusals`).
                Only that moves on to the next version; anything else, a time-out above all, is raised.
            options: see `LoginOptions`.

        A version that was refused is remembered for 30 s and tried once more in that time at most,
        whatever the number of callers. Raises `LoginRefusedError` with the versions tried and the
        last refusal as its cause, or the `SecretError` of reading AWSCURRENT. Threads may share it.
        """
        from keyturn.login.logins import Policy

        self._start_poller()
        policy = Policy(is_refused, **options)
        return self._made_logins().attempts(secret_id, policy)

    def logs_in(
        self,
        secret_id: str,
        *,
        is_refused: Callable[[Exception], bool],
        **options: Unpack[LoginOptions],
    ) -> Callable[[Callable[Concatenate[SecretVersion, _P], _T]], Callable[_P, _T]]:
        """Decorates a function that connects: it is called with the version, then its caller's arguments.

        The arguments are those of `login_attempts`.
        """

        def decorated(connect: Callable[Concatenate[SecretVersion, _P], _T]) -> Callable[_P, _T]:
            @functools.wraps(connect)
            def logged_in(*args: _P.args, **kwargs: _P.kwargs) -> _T:
                return self.login(
                    secret_id,
                    lambda version: connect(version, *args, **kwargs),
                    is_refused=is_refused,
                    **options,
                )

            return logged_in

        return decorated

    def check(self) -> None:
        """Check the marker table if the check interval has passed, so that the next `get` need not.

        Never raises: trouble with the table is in `status()`, anything else in the log. Threads may call it.
        """
        try:
            self._checker.check_if_due()
            self._checker.report()
        except Exception as error:
            extra = about("check_failed", error=error)
            log.exception("the check failed; the next one is due in the next interval", extra=extra)
        self._metrics.deliver()

    def checks_first(self, handler: Callable[_P, _T]) -> Callable[_P, _T]:
        """Decorates a Lambda handler: `check` is called before it, whose errors never reach it.

        Logins inside the handler wait no longer than the invocation has left, by its `context`.
        """

        @functools.wraps(handler)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            self.check()
            with invocation(*args, *kwargs.values()):
                return handler(*args, **kwargs)

        return checked

    def invalidate(self, secret_id: str) -> bool:
        """Make the next read of this secret, or parameter, ask the service; whether it was held.

        The known version stays at hand for the case that the service does not answer.
        """
        held = [one.invalidate(secret_id) for one in self._caches]
        self._metrics.deliver()
        return any(held)

    def status(self) -> CacheStatus:
        """What is held, how old it is and can get, and how the marker table is; no I/O, no value."""
        return self._checker.status()

    def close(self) -> None:
        """End the background thread, if there is one. The cache stays usable and checks inline.

        With a convergence table it is told that this environment is over.
        """
        if self._poller is not None:
            self._poller.stop()
        self._checker.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def after_fork(self) -> None:
        """In a forked child: new locks, no thread, nothing fresh. Called by itself."""
        self._checker.reset_locks()
        self._parameters = Once(self._make_parameters)
        self._logins_lock = threading.Lock()
        if self._logins is not None:
            self._logins.reset_locks()
        if self._poller is not None:
            self._poller.after_fork()

    def forget(self) -> None:
        """Drop everything held, as before the first `get`. Called around a SnapStart snapshot."""
        self._checker.forget()
        self._parameters = Once(self._make_parameters)
        if self._logins is not None:
            self._logins.forget()

    def _made_logins(self) -> Logins:
        with self._logins_lock:
            if self._logins is None:
                self._logins = self._make_logins()
            return self._logins

    def _miss(self, secret_id: str, stage: str) -> SecretVersion:
        self._start_poller()
        try:
            return self._secrets.get(secret_id, stage)
        finally:
            self._metrics.deliver()

    def _parameter_miss(
        self, name: str, version: int | None, label: str | None, *, decrypt: bool
    ) -> Parameter:
        self._start_poller()
        try:
            return self._parameters()[decrypt].get(name, version, label)
        finally:
            self._metrics.deliver()

    def _start_poller(self) -> None:
        """Start the background thread, if there is to be one, at the first use and after a fork."""
        if self._poller is not None:
            self._poller.start()


def _cache(
    table: TableWatch | None,
    limits: Limits,
    source: SecretSource,
    key_of: Callable[[str, str], str],
    *,
    clock: Clock,
    random: Callable[[], float],
    window_s: float,
    metrics: Measures,
) -> Cache:
    own = replace(limits, source_ttl_s=source.ttl_s) if isinstance(source, CachedSource) else limits
    return Cache(
        source,
        table,
        limits=own,
        clock=clock,
        random=random,
        window_s=window_s,
        key_of=key_of,
        metrics=metrics,
    )


def _parameters(
    ciphertexts: Cache, clear: Cache, secrets: Secrets, limits: Limits
) -> tuple[Parameters, Parameters]:
    from keyturn.cache.parameters import Parameters

    checker = secrets.checker
    return Parameters(ciphertexts, None, checker, limits), Parameters(clear, secrets, checker, limits)


def _logins(
    secrets: Secrets,
    *,
    limits: Limits,
    clock: Clock,
    sleep: Callable[[float], None],
    random: Callable[[], float],
    metrics: Measures,
) -> Logins:
    from keyturn.login.logins import Logins

    return Logins(secrets, limits=limits, clock=clock, sleep=sleep, random=random, metrics=metrics)


def _given(
    peer: _T | None,
    make: Callable[[str, Callable[[], object]], _T],
    client: Callable[[], object],
    **named: str | None,
) -> _T | None:
    """The peer, or what is made for the one table that is named. `ConfigurationError` for an empty name."""
    ((argument, table),) = named.items()
    if table is not None and not table:
        raise ConfigurationError(f"{argument} is empty; give the table's name or ARN, or None")
    return make(table, client) if peer is None and table is not None else peer


def _reporter(
    caches: Sequence[Cache],
    reports: Reports | None,
    label: str | None,
    *,
    limits: Limits,
    clock: Clock,
    random: Callable[[], float],
) -> Reporter | None:
    if reports is None:
        return None
    from keyturn.convergence.reporter import Reporter

    return Reporter(
        caches,
        reports,
        label=environment_label(label),
        new_id=new_environment,
        limits=limits,
        clock=clock,
        random=random,
    )


def _poller(checker: Checker, limits: Limits) -> Poller:
    from keyturn.cache.background import Poller

    return Poller(checker, limits.check_interval_s)
