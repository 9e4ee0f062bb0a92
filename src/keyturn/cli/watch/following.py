"""The markers that `keyturn watch` sees change, from one poll of the head to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keyturn.errors import MarkerTableError
from keyturn.model.markers import Head, Marker


@dataclass(frozen=True, slots=True)
class Glance:
    """The result of one poll: the head, all watched markers and those that changed, or the trouble."""

    head: Head | None
    markers: Mapping[str, Marker]
    changed: Sequence[Marker] = ()
    trouble: str | None = None


@dataclass(slots=True)
class Follower:
    """Polls the head, and reads the markers when the head has moved.

    If `read_head` or `read_markers` raises `MarkerTableError`, the glance holds its text as `trouble`, and
    the next poll reads again. `sleep` waits that number of seconds.
    """

    read_head: Callable[[], Head | None]
    read_markers: Callable[[], Mapping[str, Marker]]
    sleep: Callable[[float], None]
    interval_s: float
    _seen: tuple[str, int] | None = field(default=None, init=False)
    _markers: Mapping[str, Marker] = field(default_factory=dict, init=False)
    _head: Head | None = field(default=None, init=False)

    def glances(self) -> Iterator[Glance]:
        """Yield a glance at once and then one after each interval, without end.

        The first glance has no changes: the watch begins there.
        """
        begun = False
        while True:
            glance = self._poll(begun=begun)
            begun = begun or glance.trouble is None
            yield glance
            self.sleep(self.interval_s)

    def _poll(self, *, begun: bool) -> Glance:
        try:
            head = self.read_head()
            state = (head.epoch, head.counter) if head is not None else None
            markers = self._markers if begun and state == self._seen else self.read_markers()
        except MarkerTableError as error:
            return Glance(self._head, self._markers, trouble=str(error))
        changes = changed(self._markers, markers) if begun else []
        self._seen, self._markers, self._head = state, markers, head
        return Glance(head, markers, changes)


def changed(before: Mapping[str, Marker], after: Mapping[str, Marker]) -> list[Marker]:
    """Return the markers that are new or were written since, in the order of their writing.

    A removed item is no change: only an operator removes items, and readers notice that by their TTL.
    """
    new = [marker for key, marker in after.items() if _state(before.get(key)) != _state(marker)]
    return sorted(new, key=lambda marker: marker.changed_at_s)


def _state(marker: Marker | None) -> tuple[str, int] | None:
    return (marker.epoch, marker.sequence) if marker is not None else None
