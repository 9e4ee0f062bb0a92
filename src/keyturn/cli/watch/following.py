"""What `keyturn watch` sees: markers that change, from one poll of the head to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keyturn.errors import MarkerTableError
from keyturn.model.markers import Head, Marker


@dataclass(frozen=True, slots=True)
class Glance:
    """One poll: the head, all watched markers and those that changed, or why there is no answer."""

    head: Head | None
    markers: Mapping[str, Marker]
    changed: Sequence[Marker] = ()
    trouble: str | None = None


@dataclass(slots=True)
class Follower:
    """Polls the head, and reads the markers when it moved.

    `read_head` and `read_markers` raise `MarkerTableError`: the poll then says so, and the next one
    reads again. `sleep` waits so many seconds.
    """

    read_head: Callable[[], Head | None]
    read_markers: Callable[[], Mapping[str, Marker]]
    sleep: Callable[[float], None]
    interval_s: float
    _seen: tuple[str, int] | None = field(default=None, init=False)
    _markers: Mapping[str, Marker] = field(default_factory=dict, init=False)
    _head: Head | None = field(default=None, init=False)

    def glances(self) -> Iterator[Glance]:
        """One at once and then one every interval, without end.

        The first has changed nothing: it is where the watch begins.
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
    """The markers that are new or were written since, in the order of their writing.

    An item that was removed is none: only a hand does that, and readers notice by their TTL.
    """
    new = [marker for key, marker in after.items() if _state(before.get(key)) != _state(marker)]
    return sorted(new, key=lambda marker: marker.changed_at_s)


def _state(marker: Marker | None) -> tuple[str, int] | None:
    return (marker.epoch, marker.sequence) if marker is not None else None
