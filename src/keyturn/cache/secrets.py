"""Secrets behind `SecretCache`: what callers ask for that is no hit, what logins ask for, and key rings."""

from __future__ import annotations

from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.freshness import Evidence
from keyturn.errors import ConfigurationError
from keyturn.model.names import checked_secret_id
from keyturn.model.versions import SecretVersion


class Secrets:
    """The cache of secrets, for whose sake the table is checked when that is due."""

    def __init__(self, cache: Cache, checker: Checker, min_refresh_interval_s: float) -> None:
        self.cache = cache
        self.checker = checker
        self._min_refresh_interval_s = min_refresh_interval_s

    def get(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        """Return the version: all that is not a hit. Raises a `SecretError`.

        `within_s`: for a login, how long it may wait.
        """
        secret_id = checked_read(secret_id, stage)
        checker = self.checker
        waiting = checker.waiting()
        if within_s is not None:
            waiting = waiting.within(within_s)
        checker.check_if_due(waiting, self._key(secret_id))
        return checker.telling(lambda patience: self.cache.get(secret_id, stage, patience), waiting)

    def recheck(self, secret_id: str, within_s: float | None = None) -> SecretVersion:
        """Return AWSCURRENT after a forced check and a forced read, for a caller whose copy was refused.

        Both at most once per `min_refresh_interval_s`; one thread does them, the others go on with
        the markers that are known and wait for the read, at most `within_s`.
        """
        waiting = self.checker.waiting_for_a_login(within_s)
        self.checker.check_if_older(self._min_refresh_interval_s, waiting, self._key(secret_id))
        return self.checker.telling(lambda patience: self.cache.reread(secret_id, patience), waiting)

    def join(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        """Return what `get` gives after the reads of this that other threads have under way."""
        waiting = self.checker.waiting_for_a_login(within_s)
        return self.checker.telling(lambda patience: self.cache.join(secret_id, stage, patience), waiting)

    def evidence(self, secret_id: str) -> Evidence:
        """Return what is known of a rotation of this secret that may be under way; no I/O."""
        return self.cache.evidence(secret_id)

    def _key(self, secret_id: str) -> str | None:
        """Return the marker key of this secret; None if nothing of it is held."""
        secret = self.cache.holdings.secret(secret_id)
        return secret.key if secret is not None else None


def checked_read(secret_id: object, stage: object) -> str:
    """Return the id if both can be asked for; else raise `InvalidSecretIdError` or `ConfigurationError`."""
    if not isinstance(stage, str) or not stage:
        raise ConfigurationError(f"stage is {stage!r}; give a staging label, such as 'AWSCURRENT'")
    return checked_secret_id(secret_id)
