"""`AsyncSecretCache`: the names of `SecretCache`, awaited."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, Self, TypeAlias, TypeVar, Unpack, cast

from keyturn.aio.keys import AsyncKeys
from keyturn.aio.logins import AsyncAttempts, Leads
from keyturn.aio.reading import Reading
from keyturn.assembly import AWS_ITSELF, Peers
from keyturn.cache.limits import DEFAULTS, Limits, Reporting
from keyturn.cache.status import CacheStatus
from keyturn.client import HasWindow, SecretCache, several
from keyturn.errors import ConfigurationError
from keyturn.login.policy import LoginOptions, policy_of
from keyturn.metrics.hook import Metrics
from keyturn.model.parameter import Parameter
from keyturn.model.plain import handling, yet_to_be_connected, yet_to_be_handled
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.invocation import invocation
from keyturn.runtime.logs import about, log
from keyturn.runtime.process import watch_process

if TYPE_CHECKING:
    # Loaded when they are first used.
    from keyturn.aws.parameterstore import ParameterStoreClient
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.markers.calls import DynamoDBClient

_T = TypeVar("_T")
_P = ParamSpec("_P")

Awaited: TypeAlias = Coroutine[object, object, _T]


class AsyncSecretCache:
    """`SecretCache` for event loops: the same names, awaited, over the same core.

        cache = AsyncSecretCache(marker_table="keyturn-markers")
        password = (await cache.get("prod/db")).fields()["password"]

    The arguments are those of `SecretCache`, or one `SecretCache` and nothing else: then both have the same
    copies, one check of the table and one background thread, and each may be used beside the other.

    A hit is a look-up on the loop, without a lock or a thread. All other work that may wait is done by
    daemon threads, one for all tasks that want the same; no task holds up its loop, and none waits longer
    than a thread would by the same `Limits`. A task may be cancelled at any await: it leaves no lock, turn or
    waiting thread behind. Runs on asyncio, and on trio where a task of trio calls it. Loops and threads may
    share it. Raises `ConfigurationError` for arguments that cannot work.

    Attributes:
        sync: the `SecretCache` with the same core, for threads.
    """

    def __init__(
        self,
        client: SecretsManagerClient | SecretCache | None = None,
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
        tables = marker_table, convergence_table
        others = (*tables, dynamodb_client, ssm_client, check_interval_s, metrics)
        if not isinstance(client, SecretCache):
            client = SecretCache(
                client,
                marker_table=marker_table,
                convergence_table=convergence_table,
                dynamodb_client=dynamodb_client,
                ssm_client=ssm_client,
                check_interval_s=check_interval_s,
                background=background,
                metrics=metrics,
                limits=limits,
                peers=peers,
            )
        elif any(one is not None for one in others) or (background, limits, peers) != _DEFAULTS:
            raise ConfigurationError(
                "AsyncSecretCache(cache) takes no other argument; give the others to that SecretCache"
            )
        self.sync = client
        # The two clients are one cache: they share its parts.
        self._parts = parts = client._parts  # noqa: SLF001
        secrets, ciphertexts, clear = parts.caches
        self._holdings, self._now = secrets.holdings, parts.clock.wall
        self._parameter_holdings = cast("tuple[HasWindow, ...]", (ciphertexts.holdings, clear.holdings))
        self._reading = Reading(parts)
        self._leads = Leads()
        watch_process(self)

    async def get(self, secret_id: str, *, stage: str = AWSCURRENT) -> SecretVersion:
        """Return the version under `stage`. Raises a `SecretError` when there is none to serve."""
        window, now = self._holdings.window, self._now
        version = window.versions.get(secret_id if stage == AWSCURRENT else (secret_id, stage))
        if version is not None and window.opens_at <= now() < window.closes_at:
            return version
        return await self._reading.secret(secret_id, stage)

    def peek(self, secret_id: str, *, stage: str = AWSCURRENT) -> SecretVersion | None:
        """Return what `get` would return without a request, or None. Not awaited: it never waits."""
        return self._holdings.window.hit(secret_id, stage, self._now())

    async def get_secret_string(self, secret_id: str, *, stage: str = AWSCURRENT) -> str:
        """Return the text of `get`. Raises `SecretKindError` for a binary secret."""
        return (await self.get(secret_id, stage=stage)).text()

    async def get_secret_binary(self, secret_id: str, *, stage: str = AWSCURRENT) -> bytes:
        """Return the bytes of `get`. Raises `SecretKindError` for a text secret."""
        return (await self.get(secret_id, stage=stage)).blob()

    async def get_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter:
        """Return the latest version of a parameter of Parameter Store, or that of a number or label.

        Arguments and errors are those of `SecretCache.get_parameter`.
        """
        window, now = self._parameter_holdings[decrypt].window, self._now
        # Nothing is held under the empty selection of a caller who gives both.
        selected = label if version is None else str(version) if label is None else ""
        parameter = window.versions.get(name if selected is None else (name, selected))
        if parameter is not None and window.opens_at <= now() < window.closes_at:
            return parameter
        return await self._reading.parameter(name, version, label, decrypt=decrypt)

    def peek_parameter(
        self, name: str, *, version: int | None = None, label: str | None = None, decrypt: bool = True
    ) -> Parameter | None:
        """Return what `get_parameter` would return without a request, or None. Not awaited."""
        return self._parts.parameters()[decrypt].peek(name, version, label)

    async def get_parameters(self, names: Iterable[str], *, decrypt: bool = True) -> dict[str, Parameter]:
        """Return the parameters by the names asked for. See `SecretCache.get_parameters`."""
        return await self._reading.parameters(several(names, "names"), decrypt=decrypt)

    async def get_parameters_by_path(
        self, path: str, *, recursive: bool = False, decrypt: bool = True
    ) -> dict[str, Parameter]:
        """Return the parameters under `path` by full name. See `SecretCache.get_parameters_by_path`."""
        return await self._reading.parameters_by_path(path, recursive=recursive, decrypt=decrypt)

    async def preload(self, secret_ids: Iterable[str] = (), *, parameters: Iterable[str] = ()) -> None:
        """Read these before the first request needs them: in the lifespan of an application, say.

        See `SecretCache.preload`.
        """
        secrets, names = several(secret_ids, "secret_ids"), several(parameters, "parameters")
        await self._reading.away(
            ("preload", secrets, names), lambda: self.sync.preload(secrets, parameters=names)
        )

    def keys(self, secret_id: str, *, previous_for_s: float | None = None) -> AsyncKeys:
        """Return the keys of a secret, to verify messages with. Reads nothing yet. See `SecretCache.keys`."""
        return AsyncKeys(self._parts.keys(), secret_id, self._reading, previous_for_s)

    async def login(
        self,
        secret_id: str,
        connect: Callable[[SecretVersion], Awaitable[_T]],
        **options: Unpack[LoginOptions],
    ) -> _T:
        """Return what `connect` returns when awaited, for the first version that the server accepts.

        `connect` runs in the task that awaits this, with its context variables. All else is as for
        `login_attempts`, whose loop this is.
        """
        async for attempt in self.login_attempts(secret_id, **options):
            async with attempt as version:
                return await yet_to_be_connected(connect(version))
        raise AssertionError("login attempts end with a success or an error")

    def login_attempts(self, secret_id: str, **options: Unpack[LoginOptions]) -> AsyncAttempts:
        """Return attempts, for code that cannot pass a callable; the loop ends with the first success.

            async for attempt in cache.login_attempts("prod/db"):
                async with attempt as version:
                    db = await connect_somehow(version.json())

        The versions that are tried, their order, the options and the errors are those of
        `SecretCache.login_attempts`, and what is remembered is shared with it. A login with a version that
        this process has logged in with needs no thread. Where a version has to be read, or waited for, one
        task of a secret and server has a thread, and the others wait for its outcome.
        """
        return AsyncAttempts(self._reading, self._leads, secret_id, policy_of(**options))

    def logs_in(
        self, secret_id: str, **options: Unpack[LoginOptions]
    ) -> Callable[[Callable[Concatenate[SecretVersion, _P], Awaitable[_T]]], Callable[_P, Awaited[_T]]]:
        """Decorate an async function that connects: it gets the version, then its caller's arguments.

        The arguments are those of `login_attempts`.
        """

        def decorated(
            connect: Callable[Concatenate[SecretVersion, _P], Awaitable[_T]],
        ) -> Callable[_P, Awaited[_T]]:
            @functools.wraps(connect)
            async def logged_in(*args: _P.args, **kwargs: _P.kwargs) -> _T:
                return await self.login(
                    secret_id, lambda version: connect(version, *args, **kwargs), **options
                )

            return logged_in

        return decorated

    async def check(self) -> None:
        """Check the marker table if the check interval has passed, so that the next `get` need not.

        Never raises: trouble with the table is in `status()`, anything else in the log.
        """
        try:
            await self._reading.check()
        except Exception as error:
            extra = about("check_failed", error=error)
            log.exception("the check failed; the next one is due in the next interval", extra=extra)

    def checks_first(self, handler: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaited[_T]]:
        """Decorate an async handler: `check` is awaited before it, whose errors never reach it.

        Logins inside the handler wait no longer than a Lambda invocation has left, by its `context`. Raises
        `ConfigurationError` for a generator, and in the call for a handler whose result cannot be awaited.
        """

        @functools.wraps(handling(handler, is_awaited=True))
        async def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            await self.check()
            with invocation(*args, *kwargs.values()):
                return await yet_to_be_handled(handler(*args, **kwargs))

        return checked

    async def invalidate(self, secret_id: str) -> bool:
        """Make the next read of this secret, or parameter, ask the service. Return True if it was held.

        The known version stays at hand for the case that the service does not answer.
        """
        is_held = self._parts.invalidate(secret_id)
        self._reading.deliver()
        return is_held

    async def status(self) -> CacheStatus:
        """Return what is held, how old it is and can get, and how the tables are; no I/O, no value."""
        return self._parts.checker.status()

    async def aclose(self, timeout_s: float = 5.0) -> None:
        """End the background thread, if there is one, waiting at most `timeout_s` seconds for it.

        The cache stays usable, `sync` too, and checks inline. The convergence table, if there is one, is told
        that this environment is over.
        """
        await self._reading.errands.run("close", lambda: self.sync.close(timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def after_fork(self) -> None:
        """Start anew in a forked child: no task and no thread of the parent's. Called by itself."""
        self._reading.errands.after_fork()
        self._leads.after_fork()

    def forget(self) -> None:
        """Drop everything held, as before the first `get`. Called by itself around a SnapStart snapshot."""
        self.sync.forget()


_DEFAULTS = None, DEFAULTS, AWS_ITSELF
