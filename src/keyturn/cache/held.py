"""One secret as this process holds it: its copies, and what is doubtful about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from keyturn.errors import SecretError
from keyturn.model.instant import Instant
from keyturn.model.markers import LEFT_MAX, Marker
from keyturn.model.versions import AWSPENDING, SecretVersion


class Doubt(NamedTuple):
    """An answer said that the label is back on a version that it had left. The answer may be an old one."""

    version: SecretVersion
    since: Instant

    def is_about(self, version: SecretVersion) -> bool:
        """Return True if this answer repeats the doubtful one."""
        return self.version.identity == version.identity


class Dispute(NamedTuple):
    """This marker disagrees with what Secrets Manager says; `asked` counts how often it was asked."""

    marker: Marker
    asked: int
    settled: bool


class Trouble(NamedTuple):
    """Why the last refreshes failed. `denied_since`: the first denial that no success followed.

    `advice` is that of the last error; None for what its class says.
    """

    error: type[SecretError]
    detail: str
    failures: int
    denied_since: Instant | None
    advice: str | None = None

    def about(self, secret_id: str) -> SecretError:
        """Return the last error anew, for the id by which the caller named the secret."""
        return self.error(secret_id, self.detail, advice=self.advice)


class HeldStage(NamedTuple):
    """One stage of one secret as this process holds it; replaced as a whole, never changed.

    `confirmed`: when the read was begun that last said "this version is on this stage".
    `generation`: the secret's generation at that moment; an invalidation moves the secret's own.
    `left`: versions this label was seen to leave, oldest first.
    `pause_s`, from `paused`: no refresh before that. `came`: when that read's answer came, if it came late.
    """

    stage: str
    version: SecretVersion
    confirmed: Instant
    generation: int = 0
    left: tuple[str, ...] = ()
    doubt: Doubt | None = None
    dispute: Dispute | None = None
    trouble: Trouble | None = None
    paused: Instant | None = None
    pause_s: float = 0.0
    came: Instant | None = None

    def goes_back(self, version: SecretVersion) -> bool:
        """Return True if the label would go back: to a version that it left, or to an older version."""
        if self.stage == AWSPENDING:
            return False
        mine, other = self.version.created_s, version.created_s
        was_left = version.arn == self.version.arn and version.version_id in self.left
        return was_left or (mine is not None and other is not None and other < mine)

    def moved_to(self, version: SecretVersion, begun: Instant, generation: int) -> HeldStage:
        """Return the copy after the label moved to another version, or the name to another secret."""
        if version.arn != self.version.arn:
            return HeldStage(self.stage, version, begun, generation)
        left = (*(old for old in self.left if old != version.version_id), self.version.version_id)
        return HeldStage(self.stage, version, begun, generation, left[-LEFT_MAX:])

    def confirmed_by(self, version: SecretVersion, begun: Instant, generation: int) -> HeldStage:
        """Return the copy after Secrets Manager said that the label is where it was."""
        return self._replace(
            version=version,
            confirmed=max(self.confirmed, begun, key=lambda instant: instant.monotonic_s),
            generation=generation,
            doubt=None,
            trouble=None,
            paused=None,
            came=None,
        )

    def paused_for(self, pause_s: float, now: Instant) -> HeldStage:
        return self._replace(paused=now, pause_s=pause_s)

    @property
    def is_denied(self) -> bool:
        """Return True if a refresh was denied and none has succeeded since. No marker makes up for that."""
        return self.trouble is not None and self.trouble.denied_since is not None

    def pauses(self, now: Instant) -> bool:
        """Return True if the next refresh has to wait."""
        return self.paused is not None and self.paused.age_s(now) < self.pause_s


@dataclass(slots=True, eq=False, repr=False)
class HeldSecret:
    """One secret, by its full ARN, and the stages of it that this process holds.

    `aliases` are the ids that answers showed to be its own; `names` are those of them that callers used,
    other than the full ARN. `generation` moves with each invalidation; `forced` says when an invalidation
    last caused a read, by stage. `asked_s` is when a caller last asked for it, off the hit path, by the
    monotonic clock; `is_used` says that a caller did so since the record last escaped eviction.
    """

    arn: str
    name: str
    key: str
    aliases: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    stages: dict[str, HeldStage] = field(default_factory=dict)
    generation: int = 0
    forced: dict[str, Instant] = field(default_factory=dict)
    asked_s: float = 0.0
    is_used: bool = False

    def use_name(self, secret_id: str) -> None:
        """Record `secret_id` as a name under which callers ask for this secret."""
        if secret_id != self.arn:
            self.names = with_id(self.names, secret_id)

    def use(self, secret_id: str, now: Instant) -> None:
        """Record that a caller asks for this secret by this id, off the hit path."""
        self.asked_s, self.is_used = now.monotonic_s, True
        # A fork or a signal may have come between the two lines that name an owner for an id.
        self.aliases = with_id(self.aliases, secret_id)

    def is_in_use(self, now: Instant, within_s: float) -> bool:
        """Return True if a caller has asked for it within so many seconds."""
        return now.monotonic_s - self.asked_s <= within_s

    def asks_by(self) -> str:
        """Return the id to read by: a name finds a secret that was re-created, its old ARN does not."""
        return min(self.names, default=self.arn)


def with_id(ids: tuple[str, ...], one: str) -> tuple[str, ...]:
    """Return the ids with this one. A few ids in a tuple take a fifth of the memory of a set."""
    return ids if one in ids else (*ids, one)


def without_id(ids: tuple[str, ...], one: str) -> tuple[str, ...]:
    """Return the ids without this one."""
    return tuple(kept for kept in ids if kept != one)
