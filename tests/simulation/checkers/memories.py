"""What each process must, and may, remember of its logins: the last success, and what was refused lately."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyturn.login.memory import REFUSED_S
from keyturn.model.instant import Instant
from keyturn.model.versions import AWSCURRENT, SecretVersion
from tests.simulation.reader import Login
from tests.simulation.scheduler import NEVER_S

Identity = tuple[str, str]

Key = tuple[str, str, Identity]
"""A process, a server, a version."""


@dataclass(slots=True)
class Refused:
    """When one process was first refused one version, as AWSCURRENT or not, and how often it tried again.

    By the process's own clock, and by the labels that Secrets Manager told it. `had_succeeded`: whether the
    process must know that it had logged in with it; `may_have_succeeded`: whether it may know that, by a
    login before one that was interrupted. `logins`: those that were refused it. `is_unsure`: a login with
    this version was interrupted before, so that the process may count from an earlier refusal than this one.
    No marker makes it try again.
    """

    at: Instant
    was_current: bool
    had_succeeded: bool
    may_have_succeeded: bool
    logins: list[Login] = field(default_factory=list)
    is_unsure: bool = False
    again: int = 0

    @property
    def tries_left(self) -> int:
        """How often it may still be tried: once, and once more if an earlier count may end meanwhile."""
        return (2 if self.is_unsure else 1) - self.again

    def may_be_tried_by(self, login: Login) -> bool:
        """Whether its second try may come at once: it had been right, and was not refused to this login."""
        return self.is_unsure or (self.may_have_succeeded and self._is_new_to(login))

    def has_to_be_tried_by(self, login: Login) -> bool:
        """Whether its second try comes at once: its process knows that it had been right."""
        return self.is_unsure or (self.had_succeeded and self._is_new_to(login))

    def _is_new_to(self, login: Login) -> bool:
        return all(one is not login for one in self.logins)


@dataclass(slots=True)
class Success:
    """The version that a process last logged in with, and since when that is refused."""

    version: SecretVersion
    since_s: float
    refused_s: float | None = None


@dataclass(slots=True)
class Memories:
    """The memories of all processes, by what was told to each (true seconds).

    `accepted_as`: the number of the last login with a version that was taken; `perhaps_accepted`: the
    versions that were taken before a login with them was interrupted. `perhaps`: the versions that a
    process may remember as last logged in with on a server, after logins that were interrupted. `unsure`:
    when it was last refused, or tried by a login that was interrupted, since such an interruption.
    """

    successes: dict[tuple[str, str, str], Success] = field(default_factory=dict)
    refusals: dict[Key, Refused] = field(default_factory=dict)
    accepted_as: dict[Key, int] = field(default_factory=dict)
    perhaps_accepted: set[Key] = field(default_factory=set)
    perhaps: dict[tuple[str, str], set[Identity]] = field(default_factory=dict)
    interrupted_s: dict[str, float] = field(default_factory=dict)
    unsure: dict[Key, Instant] = field(default_factory=dict)

    def forgotten(self, host: str) -> None:
        """A process remembers nothing."""
        self.successes = {key: one for key, one in self.successes.items() if key[0] != host}
        self.refusals = {key: one for key, one in self.refusals.items() if key[0] != host}
        self.accepted_as = {key: one for key, one in self.accepted_as.items() if key[0] != host}
        self.unsure = {key: one for key, one in self.unsure.items() if key[0] != host}
        self.perhaps_accepted = {key for key in self.perhaps_accepted if key[0] != host}
        self.perhaps = {key: one for key, one in self.perhaps.items() if key[0] != host}

    def accepted(self, login: Login, version: SecretVersion, number: int, now_s: float) -> None:
        """The server took this version, as the login of this number."""
        key = _key(login, version.identity)
        self.accepted_as[key] = number
        self.successes[login.reader.host.name, login.server, version.arn] = Success(version, now_s)
        self.refusals.pop(key, None)
        self.unsure.pop(key, None)

    def refused(self, login: Login, version: SecretVersion, tried_after: int, now_s: float) -> None:
        """The server did not take it. It counts for nothing if it took it from others after `tried_after`."""
        key = _key(login, version.identity)
        accepted_as = self.accepted_as.get(key, 0)
        if accepted_as > tried_after:
            return
        success = self.success(login, version.arn)
        was_right = success is not None and success.version.identity == version.identity
        if success is not None and was_right and success.refused_s is None:
            success.refused_s = now_s
        is_current = AWSCURRENT in version.stages
        known = self.remembered(login, version.identity, is_current=is_current)
        is_unsure = self._still_unsure(login, key)
        if known is None:
            may_have = accepted_as > 0 or key in self.perhaps_accepted
            known = Refused(now_of(login), is_current, accepted_as > 0, may_have, is_unsure=is_unsure)
            self.refusals[key] = known
        elif known.again:
            self.accepted_as.pop(key, None)
            self.perhaps_accepted.discard(key)
        known.logins.append(login)

    def interrupted(self, login: Login, now_s: float) -> None:
        """What this login has done to the memory of its process is not known."""
        host = login.reader.host.name
        self.interrupted_s[host] = now_s
        for identity in login.tried:
            key = _key(login, identity)
            self.refusals.pop(key, None)
            if self.accepted_as.pop(key, None):
                self.perhaps_accepted.add(key)
            self.unsure[key] = now_of(login)
            success = self.successes.pop((host, login.server, identity[0]), None)
            known = {identity} if success is None else {identity, success.version.identity}
            self.perhaps.setdefault((host, login.server), set()).update(known)

    def is_unsure(self, login: Login) -> bool:
        """Return True if a login was interrupted lately: it may have spent the second try of a version."""
        return login.begun_s - self.interrupted_s.get(login.reader.host.name, -NEVER_S) < REFUSED_S

    def _still_unsure(self, login: Login, key: Key) -> bool:
        """Whether its process may count from an earlier refusal, so that this one begins no count."""
        before, now = self.unsure.get(key), now_of(login)
        if before is None or before.age_s(now) >= REFUSED_S:
            return False
        self.unsure[key] = now
        return True

    def success(self, login: Login, arn: str) -> Success | None:
        """Return the last login with this secret on the login's server."""
        return self.successes.get((login.reader.host.name, login.server, arn))

    def last(self, login: Login) -> set[Identity]:
        """Return the versions of all secrets that its process may have logged in with last on its server."""
        place = login.reader.host.name, login.server
        known = {one.version.identity for key, one in self.successes.items() if key[:2] == place}
        return known | self.perhaps.get(place, set())

    def remembered(self, login: Login, identity: Identity, *, is_current: bool) -> Refused | None:
        """What the process may not have forgotten: refused within `REFUSED_S`, and not AWSCURRENT since."""
        known = self.refusals.get(_key(login, identity))
        if known is None or known.at.age_s(now_of(login)) >= REFUSED_S:
            return None
        return None if is_current and not known.was_current else known


def now_of(login: Login) -> Instant:
    """Return this moment by the clocks of the login's host."""
    clock = login.reader.host.clock
    return Instant(clock.wall(), clock.monotonic())


def _key(login: Login, identity: Identity) -> Key:
    return login.reader.host.name, login.server, identity
