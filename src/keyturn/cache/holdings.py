"""What is held: secrets by their full ARN, the ids that name them, and what the hit path may serve.

Knows no clock, no lock and no I/O: the cache calls it under its own lock. Only `window` is read
without one, by the hit path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from keyturn.cache.held import HeldSecret, HeldStage, with_id, without_id
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT, SecretVersion

HitKey = str | tuple[str, str]
"""The secret id for AWSCURRENT, `(secret id, stage)` for any other stage: a string hashes once."""


Version = TypeVar("Version", bound=SecretVersion)


def hit_key(secret_id: str, stage: str) -> HitKey:
    """How the hit path looks a version up."""
    return secret_id if stage == AWSCURRENT else (secret_id, stage)


def id_of(key: HitKey) -> str:
    """Return the secret id of a hit key."""
    return key if isinstance(key, str) else key[0]


def as_asked(version: SecretVersion, secret_id: str) -> SecretVersion:
    """The version under the id that this caller used."""
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


class Holdings:
    """At most `max_secrets` secrets; beyond, the one put there longest ago makes room.

    `key_of`: the marker key of an ARN and a name.
    """

    def __init__(self, max_secrets: int, key_of: Callable[[str, str], str] = secret_key) -> None:
        self._max_secrets = max_secrets
        self._key_of = key_of
        self._secrets: dict[str, HeldSecret] = {}
        self._arns: dict[str, str] = {}
        self.window: Window[SecretVersion] = Window({}, 0.0, 0.0)
        self.moves = 0
        """Grows whenever what is held under AWSCURRENT becomes another version, or none."""

    def secret(self, secret_id: str) -> HeldSecret | None:
        """The secret that this id names, as far as answers have shown."""
        return self._secrets.get(self._arns.get(secret_id, ""))

    def find(self, secret_id: str, stage: str) -> tuple[HeldSecret, HeldStage] | None:
        """What is held of this stage of the secret that this id names."""
        secret = self.secret(secret_id)
        holding = secret.holdings.get(stage) if secret is not None else None
        return (secret, holding) if secret is not None and holding is not None else None

    def held(self) -> Iterator[tuple[HeldSecret, HeldStage]]:
        """Every stage of every secret."""
        return ((one, holding) for one in self._secrets.values() for holding in one.holdings.values())

    def keys(self) -> dict[str, str]:
        """The marker keys of everything held, with the ARN of each."""
        return {one.key: one.arn for one in self._secrets.values()}

    def current(self) -> dict[str, str]:
        """The version ids held under AWSCURRENT, by marker key."""
        return {one.key: held.version.version_id for one, held in self.held() if held.stage == AWSCURRENT}

    def has(self, secret: HeldSecret) -> bool:
        """Whether this very record is still held."""
        return self._secrets.get(secret.arn) is secret

    def claim(self, version: SecretVersion, asked_by: str) -> HeldSecret:
        """The secret of an answer, made if need be, with the ids that the answer proves to be its own.

        A bare name is proved only by having been used: it means another secret in another account.
        """
        secret = self._secrets.pop(version.arn, None)
        if secret is None:
            key = self._key_of(version.arn, version.name)
            secret = HeldSecret(version.arn, version.name, key)
        secret.use_name(asked_by)
        for alias in (secret.arn, secret.key, asked_by):
            before = self.secret(alias)
            if before is not None and before is not secret:
                self.drop_hits(before)
                before.aliases = without_id(before.aliases, alias)
                before.names = without_id(before.names, alias)
            self._arns[alias] = secret.arn
            secret.aliases = with_id(secret.aliases, alias)
        self._secrets[secret.arn] = secret
        while len(self._secrets) > self._max_secrets:
            self.forget(next(iter(self._secrets.values())))
        return secret

    def put(self, secret: HeldSecret, holding: HeldStage) -> None:
        """Hold this from now on; the hit path does not serve it yet."""
        self.drop_hits(secret, holding.stage)
        before = secret.holdings.get(holding.stage)
        secret.holdings[holding.stage] = holding
        if holding.stage == AWSCURRENT:
            self.moves += before is None or before.version.version_id != holding.version.version_id

    def drop(self, secret: HeldSecret, holding: HeldStage) -> None:
        """Hold this no more, unless it was replaced meanwhile."""
        if secret.holdings.get(holding.stage) is holding:
            self.drop_hits(secret, holding.stage)
            del secret.holdings[holding.stage]
            self.moves += holding.stage == AWSCURRENT

    def forget(self, secret: HeldSecret) -> None:
        """Hold nothing of this secret, and none of its ids; one that was forgotten already is left alone."""
        if not self.has(secret):
            return
        self.drop_hits(secret)
        del self._secrets[secret.arn]
        self.moves += 1
        for alias in secret.aliases:
            del self._arns[alias]

    def clear(self) -> None:
        """Hold nothing at all."""
        self._secrets.clear()
        self._arns.clear()
        self.moves += 1
        self.window = Window({}, 0.0, 0.0)

    # The hit path's part

    def open(self, opens_at: float, closes_at: float) -> None:
        """Let the hit path serve what is in the window between these two readings of the wall clock."""
        self.window = Window(self.window.versions, opens_at, closes_at)

    def add_hit(self, version: SecretVersion, stage: str) -> None:
        """Let the hit path serve this version until the window ends."""
        self.window.versions[hit_key(version.secret_id, stage)] = version

    def drop_hits(self, secret: HeldSecret, *stages: str) -> None:
        """Let the hit path serve these stages (all of them by default) under none of the secret's ids."""
        for stage in stages or tuple(secret.holdings):
            for alias in secret.aliases:
                self.window.versions.pop(hit_key(alias, stage), None)
