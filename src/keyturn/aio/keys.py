"""`AsyncKeys`: what `AsyncSecretCache.keys` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from keyturn.aio.bells import ended
from keyturn.aio.reading import Reading
from keyturn.model.versions import SecretVersion
from keyturn.verifying.keys import checked_age, chosen
from keyturn.verifying.ring import Ring, Rings
from keyturn.verifying.search import Search
from keyturn.verifying.trial import Mismatch, Trial

_T = TypeVar("_T")


class AsyncKeys:
    """`keyturn.verifying.keys.Keys` for event loops: the same names, awaited. `check` itself is not async."""

    def __init__(self, rings: Rings, secret_id: str, reading: Reading, previous_for_s: float | None) -> None:
        self._rings = rings
        self._secret_id = secret_id
        self._reading = reading
        self._previous_for_s = checked_age(previous_for_s)

    def __repr__(self) -> str:
        return f"AsyncKeys({self._secret_id!r})"

    async def current(self) -> SecretVersion:
        """Return AWSCURRENT, the version to sign with. Mostly a hit. Raises a `SecretError`."""
        return await self._reading.current(self._secret_id)

    async def all(self) -> tuple[SecretVersion, ...]:
        """Return AWSCURRENT, AWSPENDING and AWSPREVIOUS in this order, each version once. See `Keys.all`."""
        current = await self.current()
        ring = self._rings.of(current)
        if ring.is_due(current):
            await self._look(ring, is_needed=not ring.is_at_hand())
            current = await self.current()
        return ring.versions(current, self._previous_for_s)

    async def by_id(self, version_id: str) -> SecretVersion:
        """Return the version with this id. Raises `KeyMismatchError` or a `SecretError`. See `Keys.by_id`."""
        return await self.verify(chosen(version_id), mismatch=LookupError)

    async def verify(self, check: Callable[[SecretVersion], _T], *, mismatch: Mismatch = Exception) -> _T:
        """Return what `check` returns for the first version that fits. See `Keys.verify`.

        `check` is called on the loop. Tasks wait for another look without a thread of their own.
        """
        trial = Trial(check, mismatch)
        search = Search(self._rings, trial, self._previous_for_s)
        while (ring := search.next_look(await self.current())) is not None:
            await self._look(ring, is_needed=search.is_look_needed)
        return trial.outcome(self._secret_id)

    async def _look(self, ring: Ring, *, is_needed: bool) -> None:
        """Wait for the look that is under way, or begins now: to its end only if it is needed."""
        look, patience_s = self._rings.begin_look(ring, self._secret_id, is_needed=is_needed)
        await ended(look, patience_s)
