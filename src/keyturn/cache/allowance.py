"""How many reads markers can cause: a share for each secret, and a ceiling for the process.

Whoever can write a marker can make every reader of that secret ask Secrets Manager. A read that a marker
caused and that changed nothing is spent from its secret's share and from the process's ceiling. What is spent
comes back with time, and at once when the reads bring a change after all: a real rotation costs nothing.
While nothing is left, the marker is not followed, and its secret is read as often as one without a marker.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from keyturn.cache.freshness import disputed
from keyturn.cache.held import HeldStage
from keyturn.model.bounded import make_room
from keyturn.model.markers import Marker
from keyturn.runtime.locks import new_lock

SECRET_READS_MAX: Final = 24.0
"""Reads in vain that one secret's markers can cause at once: three markers, each followed to its end."""

SECRET_READS_PER_S: Final = 0.1
"""How many of them come back a second. A marker forged anew at each check would cause 12 times as many."""

PROCESS_READS_MAX: Final = 1000.0
"""Reads in vain that all markers can cause at once.

AWS's own limits let 25 secrets a second rotate. If each answer is 5 s late, 125 of them are asked about six
times before the first of these reads is given back.
"""

PROCESS_READS_PER_S: Final = 1.0
"""How many of them come back a second: as many as for ten secrets, so that one marker cannot use them up."""

OVERDRAFT: Final = 10.0
"""How far reads that were under way already can go below nothing."""


class Spent(NamedTuple):
    """Reads that are spent, as of a moment by the monotonic clock; `in_vain` since the last change."""

    reads: float = 0.0
    at_s: float = 0.0
    in_vain: float = 0.0

    def outstanding(self, now_s: float, per_s: float) -> float:
        """Return how many of the reads have not come back yet."""
        return max(0.0, self.reads - per_s * max(0.0, now_s - self.at_s))


class Judged(NamedTuple):
    """How many of some reads were in vain, and whether their marker is now held off because of them."""

    in_vain: int = 0
    is_held_off: bool = False


class Allowance:
    """The reads in vain of one process. Threads may share it; `now_s` is by the monotonic clock."""

    def __init__(self, secrets_max: int) -> None:
        self._secrets_max = secrets_max
        self.in_vain = 0
        """All reads that markers caused and that changed nothing."""
        self._process = Spent()
        self._secrets: dict[str, Spent] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Make the lock anew: a thread of the parent may have held it."""
        self._lock = new_lock()

    def allows(self, key: str, now_s: float) -> bool:
        """Return True if the marker of this key may be followed."""
        if self.left(now_s) < 1:
            return False
        spent = self._secrets.get(key)
        return spent is None or SECRET_READS_MAX - spent.outstanding(now_s, SECRET_READS_PER_S) >= 1

    def left(self, now_s: float) -> float:
        """Return how many reads in vain all markers together can cause at this moment."""
        return max(0.0, PROCESS_READS_MAX - self._process.outstanding(now_s, PROCESS_READS_PER_S))

    def held_off(self, now_s: float) -> tuple[str, ...]:
        """Return the keys whose markers are not followed now, because of what they themselves have caused."""
        spent = tuple(self._secrets.items())
        used_up = SECRET_READS_MAX - 1
        return tuple(key for key, one in spent if one.outstanding(now_s, SECRET_READS_PER_S) > used_up)

    def judge(
        self,
        key: str,
        marker: Marker | None,
        before: HeldStage,
        after: HeldStage,
        *,
        reads: int,
        now_s: float,
    ) -> Judged:
        """Judge so many reads by what they made of a copy.

        `before` is the copy that they began from, and `marker` the marker of this key if it was followed.
        """
        if after.version.identity != before.version.identity:
            self.give_back(key, now_s)
            return Judged()
        if not disputed(marker, before):
            return Judged()
        return Judged(reads, is_held_off=self.spend(key, reads, now_s))

    def spend(self, key: str, reads: int, now_s: float) -> bool:
        """Note that the marker of this key has caused reads in vain. Return True if it is now held off."""
        with self._lock:
            self._spend(key, reads, now_s)
            return not self.allows(key, now_s)

    def _spend(self, key: str, reads: int, now_s: float) -> None:
        self.in_vain += reads
        before = self._secrets.pop(key, Spent())
        left = before.outstanding(now_s, SECRET_READS_PER_S)
        # Bounded: else a secret that logins read again and again would not be followed for long after.
        spent = min(SECRET_READS_MAX + OVERDRAFT, left + reads)
        in_vain = (before.in_vain if left else 0.0) + spent - left
        self._secrets[key] = Spent(spent, now_s, min(SECRET_READS_MAX, in_vain))
        total = self._process.outstanding(now_s, PROCESS_READS_PER_S) + spent - left
        self._process = Spent(min(PROCESS_READS_MAX + OVERDRAFT, total), now_s)
        # Of the one that was written longest ago most has come back.
        make_room(self._secrets, self._secrets_max)

    def give_back(self, key: str, now_s: float) -> None:
        """Note that the marker of this key has brought a change: the reads before it were not in vain."""
        with self._lock:
            before = self._secrets.pop(key, None)
            if before is None:
                return
            left = before.outstanding(now_s, SECRET_READS_PER_S) - before.in_vain
            if left > 0:
                self._secrets[key] = Spent(left, now_s)
            # All of it, although some has come back: many shares grow faster than that of the process.
            total = self._process.outstanding(now_s, PROCESS_READS_PER_S) - before.in_vain
            self._process = Spent(max(0.0, total), now_s)
