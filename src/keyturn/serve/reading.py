"""Reads that never block the event loop: a hit is answered at once, any other read waits in a thread."""

from __future__ import annotations

from functools import partial

from anyio import CapacityLimiter, to_thread

from keyturn.client import SecretCache
from keyturn.errors import StageNotFoundError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.serve.queries import ParameterQuery, VersionQuery


class Reader:
    """Reads for one event loop.

    Args:
        cache: answers by staging label.
        versions: answers by version id. Its source takes the id in the place of a label.
        threads: the number of reads that may wait for AWS at the same time. Further reads queue.
    """

    def __init__(self, cache: SecretCache, versions: SecretCache, *, threads: int) -> None:
        self._cache = cache
        self._versions = versions
        self._limiter = CapacityLimiter(threads)

    async def secret(self, secret_id: str, asked: VersionQuery) -> SecretVersion:
        """Return the version with this id, or under this stage (AWSCURRENT), or with both.

        With `refresh_now` it asks Secrets Manager first, as often as `SecretCache.invalidate` allows. Raises
        `SecretError`.
        """
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
        name, version, label, decrypt = asked.name, asked.version, asked.label, asked.with_decryption
        hit = self._cache.peek_parameter(name, version=version, label=label, decrypt=decrypt)
        if hit is not None:
            return hit
        read = partial(self._cache.get_parameter, name, version=version, label=label, decrypt=decrypt)
        return await to_thread.run_sync(read, limiter=self._limiter)

    async def _read(self, cache: SecretCache, secret_id: str, stage: str, *, refresh: bool) -> SecretVersion:
        if refresh:
            return await to_thread.run_sync(_refreshed, cache, secret_id, stage, limiter=self._limiter)
        hit = cache.peek(secret_id, stage=stage)
        if hit is not None:
            return hit
        return await to_thread.run_sync(partial(cache.get, secret_id, stage=stage), limiter=self._limiter)


def _refreshed(cache: SecretCache, secret_id: str, stage: str) -> SecretVersion:
    cache.invalidate(secret_id)
    return cache.get(secret_id, stage=stage)
