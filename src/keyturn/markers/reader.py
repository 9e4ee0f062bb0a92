"""How a cache reads the marker table: the head at each check, and markers after the head has moved."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from keyturn.aws.answers import mapping, mappings
from keyturn.aws.dynamodb import Item, text_or_none
from keyturn.errors import MarkerTableError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.schema import head_key, head_of, marker_of
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.slots import SLOTS

BATCH_MAX: Final = 100
"""One BatchGetItem takes at most so many keys."""

_ATTEMPTS_MAX: Final = 3


class TableReader:
    """A `MarkerReader` of one table. Holds no state: as thread-safe as the client of `calls`."""

    def __init__(self, calls: MarkerCalls, slots: int = SLOTS) -> None:
        self._calls = calls
        self._slots = slots

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        """Read the head, or a copy of it, by one GetItem; see `MarkerReader.read_head`."""
        item, answered_at_s = self._calls.get(head_key(copy), consistent=consistent)
        return head_of(item, answered_at_s, self._slots)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """Read the markers of `keys`, strongly consistent, by one BatchGetItem for each 100 of them.

        If the role may not read the whole of a batch, each of its items is read by itself, once.
        """
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            return self._read_singly(wanted)
        chunks = [wanted[at : at + BATCH_MAX] for at in range(0, len(wanted), BATCH_MAX)]
        return _merged([self._read_batch(chunk) for chunk in chunks])

    def _read_singly(self, keys: Sequence[str]) -> MarkersRead:
        found, absent, denied = dict[str, Marker](), set[str](), set[str]()
        for key in keys:
            try:
                marker = marker_of(self._calls.get(key, consistent=True).item)
            except MarkerTableError as error:
                if not error.denied:
                    raise
                denied.add(key)
                continue
            if marker is None:
                absent.add(key)
            else:
                found[key] = marker
        return MarkersRead(found, frozenset(absent), frozenset(denied))

    def _read_batch(self, keys: Sequence[str]) -> MarkersRead:
        """Read at most 100 markers. Keys that DynamoDB leaves unprocessed are read up to twice more."""
        request: object = {
            self._calls.table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}
        }
        items: list[Item] = []
        for attempt in range(_ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            try:
                answer = self._calls.send(self._calls.client.batch_get_item, RequestItems=request)
            except MarkerTableError as error:
                if error.denied:
                    return self._read_singly(keys)
                raise
            items += [item for page in mapping(answer.get("Responses")).values() for item in mappings(page)]
            request = answer.get("UnprocessedKeys")
            if not request:
                break
        unread = frozenset(_unprocessed(mapping(request))) & frozenset(keys)
        markers = [marker for item in items if (marker := marker_of(item)) is not None]
        found = {marker.key: marker for marker in markers}
        return MarkersRead(found, absent=frozenset(keys) - found.keys() - unread, unread=unread)


def _unprocessed(request: Mapping[str, object]) -> Iterator[str]:
    """Yield the keys in an answer's `UnprocessedKeys`, which may name the table by its name or its ARN."""
    for part in request.values():
        for key in mappings(mapping(part).get("Keys")):
            text = text_or_none(key.get("pk"))
            if text is not None:
                yield text


def _merged(parts: Sequence[MarkersRead]) -> MarkersRead:
    return MarkersRead(
        found={key: marker for part in parts for key, marker in part.found.items()},
        absent=frozenset().union(*(part.absent for part in parts)),
        denied=frozenset().union(*(part.denied for part in parts)),
        unread=frozenset().union(*(part.unread for part in parts)),
    )
