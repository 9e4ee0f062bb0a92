"""Reads that never hold up the event loop: a hit is answered at once, all else waits in a thread."""

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
        versions: answers by version id: its source takes the id in the place of a label.
        threads: reads at most that wait for AWS at the same time; further ones queue.
    """

    def __init__(self, cache: SecretCache, versions: SecretCache, *, threads: int) -> None:
        self._cache = cache
        self._versions = versions
        self._limiter = CapacityLimiter(threads)

    async def secret(self, secret_id: str, asked: VersionQuery) -> SecretVersion:
        """The version under the stage (AWSCURRENT), or that of the version id, or the one that is both.

        `refresh_now` asks Secrets Manager first, as often as `SecretCache.invalidate` lets it. Raises
        `SecretError`.
        """
        version_id, stage, refresh = asked.version_id, asked.version_stage, asked.refresh_now
        if version_id is None:
            return await self._read(self._cache, secret_id, stage or AWSCURRENT, refresh=refresh)
        if stage is None:
            return await self._read(self._versions, secret_id, version_id, refresh=refresh)
        labelled = await self._read(self._cache, secret_id, stage, refresh=refresh)
        if labelled.version_id != version_id:
            # The caller may know of a rotation before us.
            labelled = await self._read(self._cache, secret_id, stage, refresh=True)
        if labelled.version_id != version_id:
            raise StageNotFoundError(secret_id, f"{stage} is not on version {version_id}")
        return labelled

    async def parameter(self, asked: ParameterQuery) -> Parameter:
        """The parameter. Raises `SecretError`, and `ConfigurationError` for one selected in two ways."""
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
