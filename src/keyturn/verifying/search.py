"""The search for the version that fits a message: what is tried, and when a look is worth its wait."""

from __future__ import annotations

from typing import Generic, TypeVar

from keyturn.model.versions import SecretVersion
from keyturn.verifying.ring import LOOKS_AWAITED_MAX, Ring, Rings
from keyturn.verifying.trial import Trial

_T = TypeVar("_T")


class Search(Generic[_T]):
    """One search, begun when the message is there. Threads and tasks differ only in how they wait.

    Attributes:
        is_look_needed: whether the message waits for the end of the look; else versions that are known, and
            were to be looked up again, are tried after a moment.
    """

    def __init__(self, rings: Rings, trial: Trial[_T], previous_for_s: float | None) -> None:
        self._rings = rings
        self._trial = trial
        self._previous_for_s = previous_for_s
        self._begun = rings.now()
        self._ring: Ring | None = None
        self._looks = 0
        self.is_look_needed = False

    def next_look(self, current: SecretVersion) -> Ring | None:
        """Try what is known. Return the ring that has to look before the next call, or None at the end."""
        ring = self._ring
        if ring is None:
            if self._trial.finds([current]):
                return None
            self._ring = ring = self._rings.of(current)
            if ring.is_due(current):
                if ring.is_at_hand():
                    return ring
            elif self._finds(ring, current):
                return None
        elif self._finds(ring, current) or ring.has_looked_since(self._begun):
            return None
        self._looks += 1
        self.is_look_needed = True
        return ring if self._looks <= LOOKS_AWAITED_MAX else None

    def _finds(self, ring: Ring, current: SecretVersion) -> bool:
        return self._trial.finds(ring.versions(current, self._previous_for_s))
