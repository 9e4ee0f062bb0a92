"""Everything held: secrets by their full ARN, the ids that name them, and what the hit path may serve.

No clock, no lock and no I/O: `Copies` calls it under its lock, and only the hit path reads `window` without
one. Each change is a few single assignments in such an order that an exception between two of them (out of
a signal handler) or a fork leaves at worst a secret that is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from keyturn.cache.held import HeldSecret, HeldStage, with_id, without_id
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from keyturn.runtime.logs import about, log

HitKey = str | tuple[str, str]
"""The secret id for AWSCURRENT, `(secret id, stage)` for any other stage: a string hashes once."""


AWS_STAGES: Final = (AWSCURRENT, AWSPENDING, AWSPREVIOUS)

STAGES_MAX: Final = 100
"""How many stages of one secret are held at most: as many as a marker has (schema, `stages`)."""

Version = TypeVar("Version", bound=SecretVersion)


def hit_key(secret_id: str, stage: str) -> HitKey:
    """Return the key by which the hit path looks a version up."""
    return secret_id if stage == AWSCURRENT else (secret_id, stage)


def id_of(key: HitKey) -> str:
    """Return the secret id of a hit key."""
    return key if isinstance(key, str) else key[0]


def as_asked(version: SecretVersion, secret_id: str) -> SecretVersion:
    """Return the version under the id that this caller used."""
    return version if version.secret_id == secret_id else replace(version, secret_id=secret_id)


@dataclass(slots=True, eq=False, repr=False)
class Window(Generic[Version]):
    """What the hit path may serve, and between which two readings of the wall clock (seconds)."""

    versions: dict[HitKey, Version]
    opens_at: float
    closes_at: float

    def hit(self, secret_id: str, stage: str, now_s: float) -> Version | None:
        """Return the version to serve now (`now_s` by the wall clock), or None.

        `SecretCache.get` has these lines inline.
        """
        version = self.versions.get(secret_id if stage == AWSCURRENT else (secret_id, stage))
        return version if version is not None and self.opens_at <= now_s < self.closes_at else None

    def add(self, version: Version, stage: str) -> None:
        """Let the hit path serve this version until the window ends."""
        self.versions[hit_key(version.secret_id, stage)] = version


def warn_of_evictions(holdings: Holdings) -> None:
    """Log once that more secrets are used than fit. To be called while no lock is held."""
    if holdings.is_crowded:
        holdings.is_crowded = False
        log.warning(
            "more secrets are used than fit: %d were forgotten to make room; raise max_secrets (%d)",
            holdings.evictions,
            holdings.max_secrets,
            extra=about("evicting"),
        )


class Holdings:
    """At most `max_secrets` secrets. Beyond that, secrets make room by second chance.

    The oldest record goes, unless a caller has asked for it since it was last passed over: then it moves to
    the end. Each window of the hit path begins empty, so that a secret in use is asked for off the hit path
    once in a window. `key_of` gives the marker key of an ARN and a name.
    """

    def __init__(self, max_secrets: int, key_of: Callable[[str, str], str]) -> None:
        self.max_secrets = max_secrets
        self._key_of = key_of
        self._secrets: dict[str, HeldSecret] = {}
        self._arns: dict[str, str] = {}
        self.window: Window[SecretVersion] = Window({}, 0.0, 0.0)
        self.moves = 0
        """Grows whenever what is held under AWSCURRENT becomes another version, or none."""
        self.evictions = 0
        """How many secrets were forgotten to make room."""
        self.is_crowded = False
        """True once as many were forgotten as fit, until `warn_of_evictions` has said so."""

    def secret(self, secret_id: str) -> HeldSecret | None:
        """Return the secret that this id names, as far as answers have shown."""
        return self._secrets.get(self._arns.get(secret_id, ""))

    def find(self, secret_id: str, stage: str) -> tuple[HeldSecret, HeldStage] | None:
        """Return what is held of this stage of the secret that this id names."""
        secret = self.secret(secret_id)
        held = secret.stages.get(stage) if secret is not None else None
        return (secret, held) if secret is not None and held is not None else None

    def held(self) -> Iterator[tuple[HeldSecret, HeldStage]]:
        """Yield every stage of every secret."""
        return ((one, held) for one in tuple(self._secrets.values()) for held in tuple(one.stages.values()))

    def keys(self) -> dict[str, str]:
        """Return the marker keys of everything held, with the ARN of each."""
        return {one.key: one.arn for one in tuple(self._secrets.values())}

    def each_key(self) -> Iterator[str]:
        """Yield the marker key of everything held now. Needs no lock: what is held is copied in one step."""
        return (one.key for one in tuple(self._secrets.values()))

    @property
    def is_empty(self) -> bool:
        """True if nothing is held."""
        return not self._secrets

    def current(self) -> dict[str, str]:
        """Return the version ids held under AWSCURRENT, by marker key."""
        return {one.key: held.version.version_id for one, held in self.held() if held.stage == AWSCURRENT}

    def has(self, secret: HeldSecret) -> bool:
        """Return True if this very record is still held."""
        return self._secrets.get(secret.arn) is secret

    def claim(self, version: SecretVersion, asked_by: str, *, asked_s: float = 0.0) -> HeldSecret:
        """Return the secret of an answer, made if need be, with the ids that the answer proves to be its own.

        A bare name is proved only by having been used: it means another secret in another account. `asked_s`
        is when a caller last asked for it, if that is known.
        """
        secret = self._secrets.get(version.arn)
        if secret is None:
            key = self._key_of(version.arn, version.name)
            secret = HeldSecret(version.arn, version.name, key)
            self._secrets[secret.arn] = secret
        secret.asked_s = max(secret.asked_s, asked_s)
        secret.use_name(asked_by)
        for alias in (secret.arn, secret.key, asked_by):
            before = self.secret(alias)
            # The record knows the id first: an id without an owner would never be dropped.
            secret.aliases = with_id(secret.aliases, alias)
            self._arns[alias] = secret.arn
            if before is not None and before is not secret:
                self.drop_hits(before)
                before.aliases = without_id(before.aliases, alias)
                before.names = without_id(before.names, alias)
        self._make_room(secret)
        return secret

    @property
    def is_full(self) -> bool:
        """True if the next secret makes another one go."""
        return len(self._secrets) >= self.max_secrets

    def _make_room(self, kept: HeldSecret) -> None:
        """Forget secrets until `max_secrets` are left, but never `kept`."""
        chances = len(self._secrets)
        while len(self._secrets) > self.max_secrets:
            oldest = next(iter(self._secrets.values()))
            if oldest is kept or (oldest.is_used and chances > 0):
                chances -= 1
                oldest.is_used = False
                # Its next use is seen, since that is no hit.
                self.drop_hits(oldest)
                self._secrets[oldest.arn] = self._secrets.pop(oldest.arn)
                continue
            self.evictions += 1
            self.is_crowded = self.is_crowded or self.evictions == self.max_secrets
            self.forget(oldest)

    def put(self, secret: HeldSecret, held: HeldStage) -> None:
        """Hold this from now on; the hit path does not serve it yet."""
        self.drop_hits(secret, held.stage)
        before = secret.stages.get(held.stage)
        secret.stages[held.stage] = held
        if held.stage == AWSCURRENT:
            self.moves += before is None or before.version.version_id != held.version.version_id
        if before is None and len(secret.stages) > STAGES_MAX:
            self._drop_oldest_stage(secret)

    def _drop_oldest_stage(self, secret: HeldSecret) -> None:
        """Forget the stage held longest, other than AWS's own: `keyturn serve` holds versions as stages."""
        oldest = next((one for stage, one in tuple(secret.stages.items()) if stage not in AWS_STAGES), None)
        if oldest is not None:
            self.drop(secret, oldest)

    def drop(self, secret: HeldSecret, held: HeldStage) -> None:
        """Hold this no more, unless it was replaced meanwhile."""
        if secret.stages.get(held.stage) is held:
            self.drop_hits(secret, held.stage)
            secret.stages.pop(held.stage, None)
            self.moves += held.stage == AWSCURRENT

    def forget(self, secret: HeldSecret) -> None:
        """Hold nothing of this secret, and none of its ids. A secret forgotten already is left alone."""
        if not self.has(secret):
            return
        self.drop_hits(secret)
        self._secrets.pop(secret.arn, None)
        self.moves += 1
        for alias in secret.aliases:
            if self._arns.get(alias) == secret.arn:
                self._arns.pop(alias, None)

    def clear(self) -> None:
        """Hold nothing at all."""
        self._secrets, self._arns = {}, {}
        self.moves += 1
        self.window = Window({}, 0.0, 0.0)

    # The hit path's part

    def open(self, opens_at: float, closes_at: float) -> None:
        """Open an empty window between these two readings of the wall clock."""
        self.window = Window({}, opens_at, closes_at)

    def drop_hits(self, secret: HeldSecret, *stages: str) -> None:
        """Let the hit path serve these stages (all of them by default) under none of the secret's ids."""
        versions = self.window.versions
        for stage in stages or tuple(secret.stages):
            for alias in secret.aliases:
                versions.pop(hit_key(alias, stage), None)
