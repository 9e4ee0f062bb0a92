"""Reads that never block the event loop: a hit is answered at once, any other read waits in a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

from keyturn.client import SecretCache
from keyturn.errors import ParameterUnavailableError, StageNotFoundError, UnavailableError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.serve.allowing import AllowList
from keyturn.serve.queries import ParameterQuery, VersionQuery

_Result = TypeVar("_Result")

QUEUE_S: Final = 60.0
"""Seconds after which a read that still waits for a thread is given up."""

_QUEUE: Final = "no thread was free for the read in time"


class Reader:
    """Reads for one event loop.

    Args:
        cache: answers by staging label.
        versions: answers by version id. Its source takes the id in the place of a label.
        threads: the number of reads that may wait for AWS at the same time. Further reads queue.
        allowed: what may be asked for.
        queue_s: seconds after which a read in the queue is given up.
    """

    def __init__(
        self,
        cache: SecretCache,
        versions: SecretCache,
        *,
        threads: int,
        allowed: AllowList | None = None,
        queue_s: float = QUEUE_S,
    ) -> None:
        self._cache = cache
        self._versions = versions
        self._limiter = CapacityLimiter(threads)
        self._allowed = allowed or AllowList()
        self._queue_s = queue_s

    async def secret(self, secret_id: str, asked: VersionQuery) -> SecretVersion:
        """Return the version with this id, or under this stage (AWSCURRENT), or with both.

        With `refresh_now` it asks Secrets Manager first, as often as `SecretCache.invalidate` allows. Raises
        `SecretError`.
        """
        self._allowed.check_secret(secret_id)
        version = await self._secret(secret_id, asked)
        self._allowed.check_version(version)
        return version

    async def _secret(self, secret_id: str, asked: VersionQuery) -> SecretVersion:
        version_id, stage, refresh = asked.version_id, asked.version_stage, asked.refresh_now
        if version_id is None:
            return await self._read(self._cache, secret_id, stage or AWSCURRENT, refresh=refresh)
        if stage is None:
            return await self._read(self._versions, secret_id, version_id, refresh=refresh)
        labelled = await self._read(self._cache, secret_id, stage, refresh=refresh)
        if labelled.version_id != version_id:
            # The caller may have learned of a rotation before this cache.
            labelled = await self._read(self._cache, secret_id, stage, refresh=True)
        if labelled.version_id != version_id:
            raise StageNotFoundError(secret_id, f"{stage} is not on version {version_id}")
        return labelled

    async def parameter(self, asked: ParameterQuery) -> Parameter:
        """Return the parameter. Raises `SecretError`, or `ConfigurationError` if two selectors name it."""
        self._allowed.check_parameter_name(asked.name)
        parameter = await self._parameter(asked)
        self._allowed.check_parameter(parameter)
        return parameter

    async def _parameter(self, asked: ParameterQuery) -> Parameter:
        name, version, label, decrypt = asked.name, asked.version, asked.label, asked.with_decryption
        hit = self._cache.peek_parameter(name, version=version, label=label, decrypt=decrypt)
        if hit is not None:
            return hit
        read = partial(self._cache.get_parameter, name, version=version, label=label, decrypt=decrypt)
        try:
            return await self._in_thread(read)
        except TimeoutError:
            raise ParameterUnavailableError(name, _QUEUE) from None

    async def _read(self, cache: SecretCache, secret_id: str, stage: str, *, refresh: bool) -> SecretVersion:
        if not refresh:
            hit = cache.peek(secret_id, stage=stage)
            if hit is not None:
                return hit
        read = partial(_refreshed if refresh else _got, cache, secret_id, stage)
        try:
            return await self._in_thread(read)
        except TimeoutError:
            raise UnavailableError(secret_id, _QUEUE) from None

    async def _in_thread(self, read: Callable[[], _Result]) -> _Result:
        # A read that has begun is not given up: it ends by the cache's own limits of time.
        with fail_after(self._queue_s):
            return await to_thread.run_sync(read, limiter=self._limiter)


def _got(cache: SecretCache, secret_id: str, stage: str) -> SecretVersion:
    return cache.get(secret_id, stage=stage)


def _refreshed(cache: SecretCache, secret_id: str, stage: str) -> SecretVersion:
    cache.invalidate(secret_id)
    return cache.get(secret_id, stage=stage)
