"""The keys of a secret under one interface, for threads and for loops."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from keyturn import SecretCache, SecretVersion
from keyturn.aio.keys import AsyncKeys
from keyturn.verifying.trial import Mismatch
from tests.aio.loops import run

_T = TypeVar("_T")


class AnyKeys(Protocol):
    """What `Keys` and `AsyncKeys` have in common, once awaited."""

    def current(self) -> SecretVersion: ...

    def all(self) -> tuple[SecretVersion, ...]: ...

    def by_id(self, version_id: str) -> SecretVersion: ...

    def verify(self, check: Callable[[SecretVersion], _T], *, mismatch: Mismatch = Exception) -> _T: ...


class OnALoop:
    """Keys for tasks, each call awaited on a loop of its own."""

    def __init__(self, keys: AsyncKeys, loop: str) -> None:
        self._keys = keys
        self._loop = loop

    def current(self) -> SecretVersion:
        return run(self._loop, self._keys.current)

    def all(self) -> tuple[SecretVersion, ...]:
        return run(self._loop, self._keys.all)

    def by_id(self, version_id: str) -> SecretVersion:
        return run(self._loop, lambda: self._keys.by_id(version_id))

    def verify(self, check: Callable[[SecretVersion], _T], *, mismatch: Mismatch = Exception) -> _T:
        return run(self._loop, lambda: self._keys.verify(check, mismatch=mismatch))


@dataclass
class Verifier:
    """A cache, and the keys of its secret."""

    cache: SecretCache
    keys: AnyKeys

    def takes(self, message: Message) -> bool:
        """Whether the message is taken for good."""
        try:
            return self.keys.verify(message.is_signed_by)
        except LookupError:
            return False


@dataclass(frozen=True)
class Message:
    """A text with the signature by a key."""

    text: str
    signature: str

    @classmethod
    def signed(cls, text: str, key: str) -> Message:
        return cls(text, _signature(text, key))

    def is_signed_by(self, version: SecretVersion) -> bool:
        """A check as users write it: it returns whether the signature is that of this version."""
        return hmac.compare_digest(self.signature, _signature(self.text, version.text()))


def _signature(text: str, key: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
