"""Which connections may stay, and for how long: decisions alone, without any I/O.

A connection that has not shown the token yet is worth less than one that has. If all places are taken, the
connection that has shown nothing for longest makes room, so whoever opens connections and sends nothing, or
half a request, pushes out his own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Protocol

RESERVE_MIN: Final = 32
RESERVE_MAX: Final = 1024
"""The numbers of places beyond the limit, at least and at most.

Callers beyond the limit are told so there, and health checks get in. The more there are, the more connections
without a request can be open before they make each other leave.
"""

EXPIRED_MAX: Final = 50
"""The number of connections that are closed at one look at the clock.

Who opens a new one for each could otherwise keep the event loop for longer than a caller should wait.
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a connection may take.

    Attributes:
        head_s: until a whole request is there, counted from the first byte, or from the connection.
        idle_s: between two requests, after one with the token. uvicorn closes an idle connection before that,
            but not one that has sent a part of the next request.
        unread_s: until the caller has read what was sent.
        answer_s: until the answer is there. The reads behind it end before that by themselves.
    """

    head_s: float = 10
    idle_s: float = 65
    unread_s: float = 10
    answer_s: float = 300


class Guest(Protocol):
    """A connection."""

    def leave(self) -> None:
        """Close it at once, whatever it still has to send."""


class Gate:
    """Knows the connections that are open. For the thread of one event loop.

    Args:
        places: the number of connections that may be open at the same time.
        patience: how long they may take.
        monotonic: returns the time in seconds.
    """

    def __init__(self, places: int, patience: Patience, monotonic: Callable[[], float]) -> None:
        self.places = places
        self._patience = patience
        self._monotonic = monotonic
        # Guest -> when it must leave, in the order in which guests make room.
        self._unproven: dict[Guest, float] = {}
        self._idle: dict[Guest, float] = {}
        self._busy: dict[Guest, float] = {}
        self._unread: dict[Guest, float] = {}
        self.closed: Counter[str] = Counter()
        """Why guests had to leave, and how many; who tells it takes it away."""

    def __len__(self) -> int:
        return len(self._unproven) + len(self._idle) + len(self._busy)

    def enter(self, guest: Guest) -> None:
        """Let a new connection in. Another one, or this one, has to leave if all places are taken."""
        if len(self) >= self.places:
            other = next(chain(self._unproven, self._idle), None)
            if other is None:
                self._close(guest, "every place was taken by a request with the token")
                return
            self._close(other, "others came, and these had no request")
        self._unproven[guest] = self._monotonic() + self._patience.head_s

    def heard(self, guest: Guest) -> None:
        """A part of a request has come: the rest of it has to follow in time."""
        if guest in self._idle:
            # Further parts do not move the end.
            self._idle[guest] = min(self._idle[guest], self._monotonic() + self._patience.head_s)

    def begin(self, guest: Guest, *, has_token: bool) -> None:
        """A whole request has come."""
        if has_token and self._forgotten(guest):
            self._busy[guest] = self._monotonic() + self._patience.answer_s

    def end(self, guest: Guest, *, has_token: bool) -> None:
        """A request was answered."""
        if self._forgotten(guest):
            if has_token:
                self._idle[guest] = self._monotonic() + self._patience.idle_s
            else:
                self._unproven[guest] = self._monotonic() + self._patience.head_s

    def unread(self, guest: Guest) -> None:
        """The caller has to read what was sent, in time."""
        if any(guest in queue for queue in (self._unproven, self._idle, self._busy)):
            self._unread[guest] = self._monotonic() + self._patience.unread_s

    def read(self, guest: Guest) -> None:
        """The caller has read most of what was sent."""
        self._unread.pop(guest, None)

    def left(self, guest: Guest) -> None:
        """The connection is closed, or will be at once."""
        self._forgotten(guest)
        self._unread.pop(guest, None)

    def expire(self) -> None:
        """Make those leave whose time is over, or some of them if they are many."""
        for guest, why in list(islice(self._overdue(), EXPIRED_MAX)):
            self._close(guest, why)

    def _close(self, guest: Guest, why: str) -> None:
        self.left(guest)
        self.closed[why] += 1
        guest.leave()

    def _forgotten(self, guest: Guest) -> bool:
        """Take the guest out of its queue. Return False if it was in none, since it has left."""
        return any(queue.pop(guest, None) is not None for queue in (self._unproven, self._idle, self._busy))

    def _overdue(self) -> Iterator[tuple[Guest, str]]:
        now_s = self._monotonic()
        for queue, why in (
            (self._unread, "their answers were not read"),
            (self._unproven, "they sent no whole request in time"),
            (self._idle, "they sent no whole request after the last one"),
            (self._busy, "their answers took too long"),
        ):
            for guest, end_s in queue.items():
                if end_s <= now_s:
                    yield guest, why
