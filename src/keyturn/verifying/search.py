"""The search for the version that fits a message: what is tried, and when a look is worth its wait."""

from __future__ import annotations

from typing import Generic, TypeVar

from keyturn.model.versions import SecretVersion
from keyturn.verifying.ring import LOOKS_AWAITED_MAX, Ring, Rings
from keyturn.verifying.trial import Trial

_T = TypeVar("_T")


class Search(Generic[_T]):
    """One search, begun when the message is there. Threads and tasks differ only in how they wait."""

    def __init__(self, rings: Rings, trial: Trial[_T], previous_for_s: float | None) -> None:
        self._rings = rings
        self._trial = trial
        self._previous_for_s = previous_for_s
        self._begun = rings.now()
        self._ring: Ring | None = None
        self._looks = 0

    def next_look(self, current: SecretVersion) -> Ring | None:
        """Try what is known. Return the ring that has to look before the next call, or None at the end."""
        ring = self._ring
        if ring is None:
            if self._trial.finds([current]):
                return None
            self._ring = ring = self._rings.of(current)
            if not ring.is_due(current) and self._finds(ring, current):
                return None
        elif self._finds(ring, current) or ring.has_looked_since(self._begun):
            return None
        self._looks += 1
        return ring if self._looks <= LOOKS_AWAITED_MAX else None

    def _finds(self, ring: Ring, current: SecretVersion) -> bool:
        return self._trial.finds(ring.versions(current, self._previous_for_s))
