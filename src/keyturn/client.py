"""`SecretCache`, the cache that users make; its `get` is the hit path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, Protocol, Self, TypeVar, Unpack, cast

from keyturn.assembly import AWS_ITSELF, Clients, Peers, assemble, reporting_of
from keyturn.cache.limits import DEFAULTS, Limits, Reporting, require_duration
from keyturn.errors import ConfigurationError
from keyturn.metrics.hook import Metrics
from keyturn.model.plain import connected, handled, handling
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.invocation import invocation
from keyturn.runtime.logs import about, log
from keyturn.runtime.process import watch_process

if TYPE_CHECKING:
    # Loaded when they are first used: a cold start has no use for them.
    from keyturn.aws.parameterstore import ParameterStoreClient
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.cache.holdings import Window
    from keyturn.cache.status import CacheStatus
    from keyturn.login.logins import Attempt
    from keyturn.login.policy import LoginOptions
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.model.parameter import Parameter
    from keyturn.verifying.keys import Keys

_T = TypeVar("_T")
_P = ParamSpec("_P")


def several(names: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return the names. Raises `ConfigurationError` for a single one, whose letters would count as names."""
    if isinstance(names, str):
        raise ConfigurationError(f"{argument} is a str; give a sequence of names")
    return tuple(names)


class HasWindow(Protocol):
    """What the hit path reads of the parameters held."""

    @property
    def window(self) -> Window[Parameter]: ...


class SecretCache:
    """A versioned cache of secrets and parameters that drops a copy as soon as a rotation is known.

    Args:
        client: a boto3 or botocore client for Secrets Manager. Without one, a client is made from the
            environment at the first read. Only `GetSecretValue` is called.
        marker_table: name or ARN of the marker table; by default (None) what the environment variables
            `KEYTURN_MARKER_TABLE` and `KEYTURN_MARKER_TABLES` name; False for no table. Without a table
            nothing tells of rotations, and every copy is read again after `Limits.uncovered_ttl_s`. For
            secrets of several accounts or Regions: a sequence of tables, each the ARN of the table of
            that account and Region; the first may be a name, for what no other table covers. A table may
            also be `ssm:` and the name or ARN of a parameter that names it, read at the first check.
        convergence_table: name or ARN of the convergence table, or a `Reporting` that says more; by
            default (None) the table that `KEYTURN_CONVERGENCE_TABLE` names; False for no table. This
            process reports there which versions it holds, so that `keyturn status` can count.
        dynamodb_client: the client for both tables; made at the first check if not given, in the
            Region of `client`.
        ssm_client: a boto3 or botocore client for Parameter Store, made at the first read if not given;
            also for the parameters that name tables.
        check_interval_s: seconds between two reads of the marker table, 5 by default: the same as
            `Limits.check_interval_s`, for which it is a shorthand.
        background: start one thread that checks and refreshes ahead, so that no caller waits for
            it. By default (None) on Lambda Managed Instances only. For servers; in other functions of
            Lambda a thread is frozen between invocations.
        metrics: receives measurements of checks, reads, invalidations and logins, never of hits; see
            `keyturn.metrics`.
        limits: all durations and sizes; see `Limits`.
        peers: other sources than AWS, and the clock, chance and sleep of tests; see `Peers`.

    Threads may share it. A forked child and a SnapStart restore start with nothing considered fresh.
    Raises `ConfigurationError` for arguments that cannot work.
    """

    def __init__(
        self,
        client: SecretsManagerClient | None = None,
        *,
        marker_table: str | Sequence[str] | Literal[False] | None = None,
        convergence_table: str | Reporting | Literal[False] | None = None,
        dynamodb_client: DynamoDBClient | None = None,
        ssm_client: ParameterStoreClient | None = None,
        check_interval_s: float | None = None,
        background: bool | None = None,
        metrics: Metrics | None = None,
        limits: Limits = DEFAULTS,
        peers: Peers = AWS_ITSELF,
    ) -> None:
        if check_interval_s is not None:
            limits = replace(limits, check_interval_s=check_interval_s)
        parts = assemble(
            Clients(client, dynamodb_client, ssm_client),
            marker_table=marker_table,
            reporting=reporting_of(convergence_table),
            limits=limits,
            background=background,
            metrics=metrics,
            peers=peers,
        )
        secrets, ciphertexts, clear = parts.caches
        self._holdings, self._now = secrets.holdings, parts.clock.wall
        self._parameter_holdings = cast("tuple[HasWindow, ...]", (ciphertexts.holdings, clear.holdings))
        self._parts = parts
        watch_process(self)

    def get(self, secret_id: str, *, stage: str = AWSCURRENT) -> SecretVersion:
        """Return the version under `stage`. Raises a `SecretError` when there is none to serve."""
        window, now = self._holdings.window, self._now
        version = window.versions.get(secret_id if stage == AWSCURRENT else (secret_id, stage))
        if version is not None and window.opens_at <= now() < window.closes_at:
            return version
        return self._miss(secret_id, stage)

    def peek(self, secret_id: str, *, stage: str = AWSCURRENT) -> SecretVersion | None:
        """Return what `get` would return without a request, or None: for callers that must not wait."""
        return self._holdings.window.hit(secret_id, stage, self._now())

    def get_secret_string(self, secret_id: str, *, stage: str = AWSCURRENT) -> str:
        """Return the text of `get`. Raises `SecretKindError` for a binary secret."""
        return self.get(secret_id, stage=stage).text()

    def get_secret_binary(self, secret_id: str, *, stage: str = AWSCURRENT) -> bytes:
        """Return the bytes of `get`. Raises `SecretKindError` for a text secret."""
        return self.get(secret_id, stage=stage).blob()

    def get_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter:
        """Return the latest version of a parameter of Parameter Store, or that of a number or label.

        A parameter is as fresh as a secret, by the same check; `invalidate` and `status` hold for both.
        Threads may share it. Raises a `ParameterError` when there is none to serve, and
        `ConfigurationError` for both a version and a label.

        Args:
            name: a name or an ARN; it may end in `:version` or `:label`. A name under
                `/aws/reference/secretsmanager/<name>[:stage]` means a secret.
            version: the number of a version.
            label: the label of a version.
            decrypt: True for the value of a SecureString in clear, False for its ciphertext.
        """
        window, now = self._parameter_holdings[decrypt].window, self._now
        # Nothing is held under the empty selection of a caller who gives both.
        selected = label if version is None else str(version) if label is None else ""
        parameter = window.versions.get(name if selected is None else (name, selected))
        if parameter is not None and window.opens_at <= now() < window.closes_at:
            return parameter
        return self._parameter_miss(name, version, label, decrypt=decrypt)

    def peek_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter | None:
        """Return what `get_parameter` would return without a request, or None."""
        return self._parts.parameters()[decrypt].peek(name, version, label)

    def get_parameters(self, names: Iterable[str], *, decrypt: bool = True) -> dict[str, Parameter]:
        """Return the parameters by the names asked for; those not held are read ten at a time.

        Needs `ssm:GetParameters` on each. Raises `ParameterNotFoundError` with all that are not
        there, else the `ParameterError` of the first that cannot be served.
        """
        self._parts.start_poller()
        try:
            return self._parts.parameters()[decrypt].get_many(several(names, "names"))
        finally:
            self._parts.measures.deliver()

    def get_parameters_by_path(
        self, path: str, *, recursive: bool = False, decrypt: bool = True
    ) -> dict[str, Parameter]:
        """Return the parameters under `path` by their full names; with `recursive` those further down too.

        Needs `ssm:GetParametersByPath` on the path. The names under a path are read again after
        `Limits.uncovered_ttl_s`; with `background=True` the caller leaves with names up to twice as old. Each
        value is as fresh as by `get_parameter`. Raises a `ParameterError`.
        """
        self._parts.start_poller()
        try:
            return self._parts.parameters()[decrypt].get_by_path(path, recursive=recursive)
        finally:
            self._parts.measures.deliver()

    def preload(self, secret_ids: Iterable[str] = (), *, parameters: Iterable[str] = ()) -> None:
        """Read these before the first request needs them, several at a time: at a server's start, say.

        Raises the `SecretError` of the first that cannot be served, after all of them were tried.

        Args:
            secret_ids: names or ARNs of secrets.
            parameters: names of parameters, read ten a request.
        """
        from keyturn.cache.preloading import each

        secrets, names = several(secret_ids, "secret_ids"), several(parameters, "parameters")
        reads: list[Callable[[], object]] = [functools.partial(self.get, one) for one in secrets]
        each([*reads, functools.partial(self.get_parameters, names)])

    def keys(self, secret_id: str, *, previous_for_s: float | None = None) -> Keys:
        """Return the keys of a secret, to verify webhooks, tokens or sessions with. Reads nothing yet.

        `login` is not for this: whoever sends forged messages would have each key count as refused.

        Args:
            secret_id: name or ARN.
            previous_for_s: for how many seconds AWSPREVIOUS still counts after AWSCURRENT has moved; by
                default (None) as long as it has the label, and with 0 not at all. The time begins when this
                process saw the move; in a process that did not, at the CreatedDate of AWSCURRENT.
        """
        from keyturn.verifying.keys import Keys

        return Keys(self._parts.keys(), secret_id, self.get, previous_for_s)

    def login(
        self,
        secret_id: str,
        connect: Callable[[SecretVersion], _T],
        **options: Unpack[LoginOptions],
    ) -> _T:
        """Return what `connect` returns for the first version of the secret that the server accepts.

        `connect` logs in with one version and returns the connection, or raises; it is not async. All else
        is as for `login_attempts`, whose loop this is.
        """
        for attempt in self.login_attempts(secret_id, **options):
            with attempt as version:
                return connected(connect(version))
        raise AssertionError("login attempts end with a success or an error")

    def login_attempts(self, secret_id: str, **options: Unpack[LoginOptions]) -> Iterator[Attempt]:
        """Yield attempts, for code that cannot pass a callable; the loop ends with the first success.

            for attempt in cache.login_attempts("prod/db"):
                with attempt as version:
                    db = connect_somehow(version.json())

        Tries each of the following versions at most once, in this order: AWSCURRENT as cached;
        AWSCURRENT after a forced check; AWSPENDING; AWSPREVIOUS if it is newer than AWSCURRENT, or if
        `previous` is True; the version that this process last logged in with. A pending version comes
        first when its setSecret was announced; the version last logged in with comes first while
        AWSCURRENT has not moved since. If the server refuses all of them and a rotation seems to be
        under way, this waits and looks again.

        A refused version is remembered for 30 s and tried once more in that time at most, whatever the
        number of callers. Threads may share it. Raises `LoginRefusedError` with the versions tried and
        the last refusal as its cause, the `SecretError` of reading AWSCURRENT, or `ConfigurationError` for a
        `budget_s` that is no number of seconds.

        Args:
            secret_id: name or ARN.
            options: see `LoginOptions`. Only an error for which `is_refused` is True moves on to the
                next version; every other error, a time-out above all, is raised.
        """
        from keyturn.login.policy import policy_of

        policy = policy_of(**options)
        self._parts.start_poller()
        return self._parts.logins().attempts(secret_id, policy)

    def logs_in(
        self, secret_id: str, **options: Unpack[LoginOptions]
    ) -> Callable[[Callable[Concatenate[SecretVersion, _P], _T]], Callable[_P, _T]]:
        """Decorate a function that connects: it is called with the version, then its caller's arguments.

        The arguments are those of `login_attempts`.
        """

        def decorated(connect: Callable[Concatenate[SecretVersion, _P], _T]) -> Callable[_P, _T]:
            @functools.wraps(connect)
            def logged_in(*args: _P.args, **kwargs: _P.kwargs) -> _T:
                return self.login(secret_id, lambda version: connect(version, *args, **kwargs), **options)

            return logged_in

        return decorated

    def check(self) -> None:
        """Check the marker table if the check interval has passed, so that the next `get` need not.

        Never raises: trouble with the table is in `status()`, anything else in the log. Threads may call it.
        """
        try:
            self._parts.checker.check_if_due()
            self._parts.checker.report()
        except Exception as error:
            extra = about("check_failed", error=error)
            log.exception("the check failed; the next one is due in the next interval", extra=extra)
        self._parts.measures.deliver()

    def checks_first(self, handler: Callable[_P, _T]) -> Callable[_P, _T]:
        """Decorate a Lambda handler: `check` is called before it, whose errors never reach it.

        Logins inside the handler wait no longer than the invocation has left, by its `context`. That
        holds in its own thread, and elsewhere in a copy of its `contextvars` context. Raises
        `ConfigurationError` for an async handler and for a generator.
        """

        @functools.wraps(handling(handler))
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            self.check()
            with invocation(*args, *kwargs.values()):
                return handled(handler(*args, **kwargs))

        return checked

    def invalidate(self, secret_id: str) -> bool:
        """Make the next read of this secret, or parameter, ask the service. Return True if it was held.

        The known version stays at hand for the case that the service does not answer.
        """
        is_held = self._parts.invalidate(secret_id)
        self._parts.measures.deliver()
        return is_held

    def status(self) -> CacheStatus:
        """Return what is held, how old it is and can get, and how the tables are; no I/O, no value."""
        return self._parts.checker.status()

    def close(self, timeout_s: float = 5.0) -> None:
        """End the background thread, if there is one, waiting at most `timeout_s` seconds for it.

        The cache stays usable and checks inline. The convergence table, if there is one, is told that this
        environment is over. Raises `ConfigurationError` for a `timeout_s` that is no number of seconds.
        """
        require_duration("timeout_s", timeout_s)
        try:
            if self._parts.poller is not None:
                self._parts.poller.stop(timeout_s)
        finally:
            self._parts.checker.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def after_fork(self) -> None:
        """Start anew in a forked child: new locks, no thread, nothing fresh. Called by itself."""
        self._parts.after_fork()

    def forget(self) -> None:
        """Drop everything held, as before the first `get`. Called by itself around a SnapStart snapshot."""
        self._parts.forget()

    def _miss(self, secret_id: str, stage: str) -> SecretVersion:
        self._parts.start_poller()
        try:
            return self._parts.secrets.get(secret_id, stage)
        finally:
            self._parts.measures.deliver()

    def _parameter_miss(
        self, name: str, version: int | None, label: str | None, *, decrypt: bool
    ) -> Parameter:
        parameters = self._parts.parameters()[decrypt]
        parameter = parameters.peek(name, version, label)
        if parameter is not None:
            return parameter
        self._parts.start_poller()
        try:
            return parameters.get(name, version, label)
        finally:
            self._parts.measures.deliver()
