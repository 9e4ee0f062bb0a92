"""Which of the head's copies this process reads: it draws one, and another one if that does not answer."""

from __future__ import annotations

from collections.abc import Callable

from keyturn.errors import MarkerTableError
from keyturn.model.markers import Head
from keyturn.model.protocols import MarkerReader


class HeadChoice:
    """Reads the head, or the copy of it that was drawn.

    Copies are independent of each other: each is told of every write, and has a lease of its own. The head
    says how many there are. So each check is one read, but for the first, and those after which there are
    more or fewer copies.
    """

    def __init__(self, markers: MarkerReader, random: Callable[[], float]) -> None:
        self._markers = markers
        self._random = random
        self._reads = 0
        self._copy, self._among = 0, 1

    def forget(self) -> None:
        """Draw anew at the next read: the clones of a snapshot must not all read the same copy."""
        self._reads += 1
        self._copy, self._among = 0, 1

    def read(self, seen: Head | None) -> Head | None:
        """Read the head that follows what was `seen`; None if there is none. Raises `MarkerTableError`."""
        self._reads += 1
        number = self._reads
        head = self._read(number)
        if number != self._reads or head is None or seen is None:
            return head
        if head.epoch != seen.epoch or head.counter >= seen.counter:
            return head
        # An old replica, or a table restored to an earlier state: only a consistent read can tell.
        return self._markers.read_head(consistent=True, copy=self._copy)

    def _read(self, number: int) -> Head | None:
        """Read the copy that was drawn, or another one.

        After a read that hung, so that a later one has begun, nothing more is read.
        """
        first = copy = self._copy
        try:
            head = self._markers.read_head(copy=copy)
        except MarkerTableError:
            if self._among == 1 or number != self._reads:
                raise
            copy = self._copy = self._drawn_but(copy)
            head = self._markers.read_head(copy=copy)
        if number != self._reads or (head is not None and copy < head.copies == self._among):
            return head
        if copy:
            head = self._markers.read_head()
        if copy != first:
            # Three reads are enough for one check; the next one draws.
            self._copy, self._among = 0, 1
            return head
        return self._draw(head, but=copy)

    def _draw(self, head: Head | None, but: int) -> Head | None:
        """Draw a copy and read it; `head` is the head itself, which is returned if that copy cannot be.

        Not the copy `but`, which was found unfit, unless that is the head itself.
        """
        self._copy, self._among = 0, 1
        if head is None or head.copies == 1:
            return head
        copy = int(self._random() * head.copies)
        if copy in (0, but):
            self._among = head.copies
            return head
        try:
            drawn = self._markers.read_head(copy=copy)
        except MarkerTableError:
            # Perhaps this role may not read copies.
            self._among = head.copies
            return head
        if drawn is None or drawn.copies <= copy:
            return head
        self._copy, self._among = copy, drawn.copies
        return drawn

    def _drawn_but(self, copy: int) -> int:
        """Draw any other copy."""
        return (copy + 1 + int(self._random() * (self._among - 1))) % self._among
