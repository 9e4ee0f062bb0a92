"""Upstream's `SecretCache`, with rotations noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import aws_secretsmanager_caching as upstream
from aws_secretsmanager_caching import SecretCacheConfig

from keyturn import client as rotating
from keyturn.assembly import AWS_ITSELF, Peers
from keyturn.cache.limits import DEFAULTS, Limits, require_duration
from keyturn.cache.status import HeldStatus
from keyturn.compat.source import DescribedSource, DescribedVersion, DescribingClient, Hook
from keyturn.errors import ConfigurationError, SecretError, StageNotFoundError
from keyturn.markers.calls import DynamoDBClient
from keyturn.metrics.hook import Metrics
from keyturn.runtime.host import known_marker_tables


class SecretCache(upstream.SecretCache):
    """Upstream's `SecretCache` that notices rotations. Its `keyturn` is the `keyturn.SecretCache` behind it.

    Four values of `config` are used: `secret_refresh_interval` (seconds, the longest time between two
    DescribeSecret of a secret; here it may have decimals), `max_cache_size`, `default_version_stage` and
    `secret_cache_hook`. Failures are retried as keyturn does: after 1 s, doubling up to 60 s, with jitter.

    Args:
        config: a `SecretCacheConfig`.
        client: a botocore or boto3 client, or any object with `describe_secret` and `get_secret_value`.
        marker_table: name or ARN of the marker table. Default: `KEYTURN_MARKER_TABLE`, else no table.
            With a table a rotation is noticed within 5 s of its marker. The refresh interval then
            applies while the marker covers a secret; otherwise at most 300 s.
        dynamodb_client: the client for the table. Default: a client made at the first check.
        metrics, peers: as for `keyturn.SecretCache`. The sources in `peers` are not used.

    As with upstream, missing stages and values of the other kind are None, and errors are the client's.
    Unlike upstream, a known value is served for at most 6 hours while Secrets Manager does not answer, for
    300 s while it denies access, and not at all once the secret is deleted. With a hook only the hook keeps
    the plaintext, so the versions of `keyturn` have no value.
    """

    def __init__(
        self,
        config: SecretCacheConfig | None = None,
        client: object = None,
        *,
        marker_table: str | Sequence[str] | None = None,
        dynamodb_client: DynamoDBClient | None = None,
        metrics: Metrics | None = None,
        peers: Peers = AWS_ITSELF,
    ) -> None:
        config = SecretCacheConfig() if config is None else config  # type: ignore[no-untyped-call] # no types
        super().__init__(config, client)  # type: ignore[no-untyped-call] # no types
        options: Mapping[str, object] = vars(self._config)
        self._interval_s = _interval_s(options["secret_refresh_interval"])
        self._stage = str(options["default_version_stage"])
        self._hook = cast("Hook | None", options["secret_cache_hook"])
        self._source = DescribedSource(cast("DescribingClient", self._client), self._hook)
        has_table = bool(marker_table or known_marker_tables()) or peers.markers is not None
        short_s = min(self._interval_s, DEFAULTS.uncovered_ttl_s) if has_table else self._interval_s
        self.keyturn = rotating.SecretCache(
            dynamodb_client=dynamodb_client,
            marker_table=marker_table or None,
            metrics=metrics,
            limits=_limits(self._interval_s, short_s, cast("int", options["max_cache_size"])),
            peers=replace(peers, source=self._source),
        )

    def get_secret_string(self, secret_id: str, version_stage: str | None = None) -> str | None:
        """Return the text under the stage; None without such a version, or if it is binary."""
        version = self._version(secret_id, version_stage)
        if version is None:
            return None
        if self._hook is None:
            return version.string
        return cast("str | None", self._hook.get(version.stored).get("SecretString"))

    def get_secret_binary(self, secret_id: str, version_stage: str | None = None) -> bytes | None:
        """Return the bytes under the stage; None without such a version, or if it is text."""
        version = self._version(secret_id, version_stage)
        if version is None:
            return None
        if self._hook is None:
            return version.binary
        return cast("bytes | None", self._hook.get(version.stored).get("SecretBinary"))

    def refresh_secret_now(self, secret_id: str) -> bool:
        """Read the secret and its value again. Return True if that succeeded.

        Reads at most once a second, and does not sleep.
        """
        self.keyturn.invalidate(secret_id)
        try:
            self._version(secret_id, self._stage)
        except Exception:  # noqa: BLE001 # as upstream: any error means False
            return False
        return not any(one.last_error for one in self._held(secret_id) if one.stage == self._stage)

    def _version(self, secret_id: str, stage: str | None) -> DescribedVersion | None:
        """Return the version. Apart from the `try` this is the hit path: `keyturn.SecretCache.get`."""
        try:
            return cast("DescribedVersion", self.keyturn.get(secret_id, stage=stage or self._stage))
        except StageNotFoundError:
            return None
        except SecretError as error:
            failure = self._source.failure(_ids(error), error.detail)
            if failure is None:
                raise
            raise failure from error

    def _held(self, secret_id: str) -> list[HeldStatus]:
        return [one for one in self.keyturn.status().secrets if secret_id in one.secret_ids]


def _ids(error: BaseException | None) -> Iterator[str]:
    """Yield the caller's id, and then that of the caller for whom the call that failed was made."""
    while isinstance(error, SecretError):
        yield error.secret_id
        error = error.__cause__


def _interval_s(value: object) -> float:
    require_duration("secret_refresh_interval", value)
    return cast("float", value)


def _limits(covered_s: float, uncovered_s: float, secrets_max: int) -> Limits:
    """Return the limits of a config. Raises `ConfigurationError`, which names its own option."""
    try:
        return Limits(covered_ttl_s=covered_s, uncovered_ttl_s=uncovered_s, max_secrets=secrets_max)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("max_secrets", "max_cache_size")) from None
