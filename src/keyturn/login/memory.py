"""What a process remembers of its logins: the last success, and what each server said of each version.

Pure bookkeeping. `Turns` guards it with a lock; nothing in here waits or calls anybody.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from keyturn.model.instant import Instant
from keyturn.model.versions import SecretVersion

REFUSED_S = 30.0
"""How long a refusal is remembered. A version is tried at most twice in this time after it was refused."""

SERVERS_MAX = 64
"""Servers remembered of one secret."""

VERSIONS_MAX = 16
"""Versions remembered of one secret on one server. AWS labels three, and a rotation brings one more."""

Identity: TypeAlias = tuple[str, str]
"""The ARN of a secret and the id of a version."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class OldestOut(Generic[_K, _V]):
    """A dictionary of bounded size. To make room, the entry that was written longest ago goes, alone."""

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[_K, _V] = OrderedDict()
        self._entries_max = entries_max

    def get(self, key: _K) -> _V | None:
        """Return the entry of this key, or None."""
        return self._entries.get(key)

    def put(self, key: _K, value: _V) -> None:
        """Write an entry. An exception between two of these lines loses nothing."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()


class LastLogin(NamedTuple):
    """The version that this process last logged in with on one server.

    `current` is the version that was AWSCURRENT then. `refused` says since when the server refuses `version`.
    """

    version: SecretVersion
    current: Identity
    refused: Instant | None = None


class Verdict(NamedTuple):
    """What one server last said of one version.

    Args:
        accepted: the number of the last accepted login among all of this process; 0 if there was none, or
            if the version was refused twice since.
        refused: the first refusal since that.
        was_current: whether the version was AWSCURRENT then, by the word of Secrets Manager.
        has_second_try_begun: whether the version was tried again after that refusal.
        unanswered: the last attempt that ended without an answer, a time-out say.
    """

    accepted: int = 0
    refused: Instant | None = None
    was_current: bool = False
    has_second_try_begun: bool = False
    unanswered: Instant | None = None

    def is_refused(self, now: Instant, *, is_current: bool) -> bool:
        """Return True if the version was refused lately, and has not become AWSCURRENT since.

        No marker has a say in this: a forged one must not make a process try a wrong password again.
        """
        if self.refused is None or self.refused.age_s(now) >= REFUSED_S:
            return False
        return self.was_current or not is_current

    def is_proven(self, now: Instant, *, is_current: bool) -> bool:
        """Return True if this process logged in with the version, and it was not refused lately."""
        return self.accepted > 0 and not self.is_refused(now, is_current=is_current)

    def allows_second_try(self, now: Instant, settle_s: float, *, refused_by_caller: bool) -> bool:
        """Return True if a version that is refused may be tried once more.

        A version that had been accepted may be tried again at once, since a single refusal does not
        mean that the password is wrong for all. The login that was refused, and a version that was
        never accepted, wait `settle_s`: by then it can have become right.
        """
        if self.refused is None or self.has_second_try_begun:
            return False
        is_settled = self.refused.age_s(now) >= settle_s
        return is_settled or (self.accepted > 0 and not refused_by_caller)


UNKNOWN = Verdict()
"""What is known of a version that was never tried."""


class Memory:
    """Last logins and verdicts per secret, server and version; bounded in each."""

    def __init__(self, secrets_max: int) -> None:
        self._last_logins: OldestOut[str, OldestOut[str, LastLogin]] = OldestOut(secrets_max)
        self._verdicts: OldestOut[str, OldestOut[str, OldestOut[Identity, Verdict]]] = OldestOut(secrets_max)
        self._troubles: OldestOut[tuple[str, str], str] = OldestOut(secrets_max)

    def last(self, server: str, arn: str) -> LastLogin | None:
        """Return the last login with this secret on this server."""
        servers = self._last_logins.get(arn)
        return servers.get(server) if servers is not None else None

    def keep_last(self, server: str, login: LastLogin) -> None:
        """Remember the last login with a secret on this server."""
        arn, _ = login.version.identity
        servers = self._last_logins.get(arn) or OldestOut[str, LastLogin](SERVERS_MAX)
        servers.put(server, login)
        self._last_logins.put(arn, servers)

    def verdict(self, server: str, identity: Identity) -> Verdict:
        """Return what this server last said of this version."""
        servers = self._verdicts.get(identity[0])
        versions = servers.get(server) if servers is not None else None
        return (versions.get(identity) if versions is not None else None) or UNKNOWN

    def keep_verdict(self, server: str, identity: Identity, verdict: Verdict) -> None:
        """Remember what this server said of this version."""
        arn, _ = identity
        servers = self._verdicts.get(arn) or OldestOut[str, OldestOut[Identity, Verdict]](SERVERS_MAX)
        versions = servers.get(server) or OldestOut[Identity, Verdict](VERSIONS_MAX)
        versions.put(identity, verdict)
        servers.put(server, versions)
        self._verdicts.put(arn, servers)

    def keep_trouble(self, arn: str, stage: str, trouble: str) -> bool:
        """Remember why a stage cannot be read, empty if it can; return True if that has changed."""
        has_changed = (self._troubles.get((arn, stage)) or "") != trouble
        if has_changed:
            self._troubles.put((arn, stage), trouble)
        return has_changed

    def clear(self) -> None:
        """Forget everything."""
        self._last_logins.clear()
        self._verdicts.clear()
        self._troubles.clear()
