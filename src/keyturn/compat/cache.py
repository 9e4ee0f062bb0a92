"""Upstream's `SecretCache` that notices rotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import aws_secretsmanager_caching as upstream
from aws_secretsmanager_caching import SecretCacheConfig

from keyturn import client as rotating
from keyturn.assembly import late_table
from keyturn.aws.clients import dynamodb, region_of
from keyturn.cache.limits import DEFAULTS
from keyturn.cache.status import HeldStatus
from keyturn.compat.source import DescribedSource, DescribedVersion, DescribingClient, Hook
from keyturn.errors import ConfigurationError, SecretError, StageNotFoundError
from keyturn.metrics.hook import Metrics
from keyturn.model.protocols import Clock, MarkerReader
from keyturn.runtime.host import known_marker_table


class SecretCache(upstream.SecretCache):
    """Upstream's `SecretCache` that notices rotations; a `keyturn.SecretCache` is behind it, as `keyturn`.

    Of `config` are used `secret_refresh_interval` (seconds, the longest time between two DescribeSecret
    of a secret; here it may have decimals), `max_cache_size`, `default_version_stage` and
    `secret_cache_hook`. Failures are retried as keyturn does: after 1 s, doubling up to 60 s, with jitter.

    Args:
        config: a `SecretCacheConfig`.
        client: a botocore or boto3 client, or any object with `describe_secret` and `get_secret_value`.
        marker_table: name or ARN of the marker table, else `KEYTURN_MARKER_TABLE`, else none is used.
            With one a rotation is noticed within 5 s of its marker; the refresh interval is in force
            while the marker covers a secret, and otherwise at most 300 s.
        dynamodb_client: the client for the table; made at the first check if not given.
        markers, metrics, clock, sleep, random: as for `keyturn.SecretCache`.

    Missing stages and values of the other kind are None, and errors are those of the client, as with
    upstream. Unlike there, a known value is served for 6 hours at most while Secrets Manager does not
    answer, for 300 s while it denies access, and not at all once the secret is deleted. With a hook the
    plaintext is in nobody's memory but the hook's, so `keyturn` has versions without a value.
    """

    def __init__(
        self,
        config: SecretCacheConfig | None = None,
        client: object = None,
        *,
        marker_table: str | None = None,
        dynamodb_client: object = None,
        markers: MarkerReader | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        config = SecretCacheConfig() if config is None else config  # type: ignore[no-untyped-call] # no types
        super().__init__(config, client)  # type: ignore[no-untyped-call] # no types
        options: Mapping[str, object] = vars(self._config)
        self._interval_s = _interval_s(options["secret_refresh_interval"])
        self._stage = str(options["default_version_stage"])
        self._hook = cast("Hook | None", options["secret_cache_hook"])
        self._source = DescribedSource(cast("DescribingClient", self._client), self._hook)
        table = known_marker_table(marker_table)
        if markers is None and table is not None:
            markers = late_table(table, dynamodb(dynamodb_client, region_of(self._client)))
        short_s = self._interval_s if markers is None else min(self._interval_s, DEFAULTS.uncovered_ttl_s)
        self.keyturn = rotating.SecretCache(
            source=self._source,
            markers=markers,
            covered_ttl_s=self._interval_s,
            uncovered_ttl_s=short_s,
            max_secrets=cast("int", options["max_cache_size"]),
            metrics=metrics,
            clock=clock,
            sleep=sleep,
            random=random,
        )

    def get_secret_string(self, secret_id: str, version_stage: str | None = None) -> str | None:
        """The text under the stage; None without such a version, or if it is binary."""
        version = self._version(secret_id, version_stage)
        if version is None:
            return None
        if self._hook is None:
            return version.string
        return cast("str | None", self._hook.get(version.stored).get("SecretString"))

    def get_secret_binary(self, secret_id: str, version_stage: str | None = None) -> bytes | None:
        """The bytes under the stage; None without such a version, or if it is text."""
        version = self._version(secret_id, version_stage)
        if version is None:
            return None
        if self._hook is None:
            return version.binary
        return cast("bytes | None", self._hook.get(version.stored).get("SecretBinary"))

    def refresh_secret_now(self, secret_id: str) -> bool:
        """Read the secret again, value and all; whether that succeeded. At most once a second; no sleep."""
        self.keyturn.invalidate(secret_id)
        try:
            self._version(secret_id, self._stage)
        except Exception:  # noqa: BLE001 # as upstream: whatever it was, the answer is no
            return False
        return not any(one.last_error for one in self._held(secret_id))

    def _version(self, secret_id: str, stage: str | None) -> DescribedVersion | None:
        """The hit path but for the `try`: `keyturn.SecretCache.get`."""
        try:
            return cast("DescribedVersion", self.keyturn.get(secret_id, stage or self._stage))
        except StageNotFoundError:
            return None
        except SecretError as error:
            failure = self._source.failure(secret_id)
            if failure is None:
                raise
            raise failure from error

    def _held(self, secret_id: str) -> list[HeldStatus]:
        return [one for one in self.keyturn.status().secrets if secret_id in one.secret_ids]


def _interval_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"secret_refresh_interval is a {type(value).__name__}, not seconds")
    return value
