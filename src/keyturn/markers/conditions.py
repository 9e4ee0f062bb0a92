"""The condition of a write: an item must still be in the state in which the writer read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keyturn.aws.dynamodb import Item
from keyturn.markers.schema import is_untold, marker_of
from keyturn.model.protocols import Seen


class Mark(NamedTuple):
    """The state of an item when it was read: whether it existed, and the attributes that a write compares.

    An attribute that the item did not have is None in `state`.
    """

    exists: bool
    state: Mapping[str, object]

    @classmethod
    def of(cls, item: Item | None, *names: str) -> Mark:
        """Return the mark that compares these attributes of an item. None means that there is no item."""
        return cls(item is not None, {name: (item or {}).get(name) for name in names})

    def condition(self) -> dict[str, object]:
        """Return the arguments of a write that fails if the item has changed since."""
        if not self.exists:
            return {"ConditionExpression": "attribute_not_exists(pk)"}
        tests = ["attribute_exists(pk)"]
        tests += [f"#{n} = :{n}" if seen else f"attribute_not_exists(#{n})" for n, seen in self.state.items()]
        values = {f":{name}": seen for name, seen in self.state.items() if seen}
        return {
            "ConditionExpression": " AND ".join(tests),
            "ExpressionAttributeNames": {f"#{name}": name for name in self.state},
            **({"ExpressionAttributeValues": values} if values else {}),
        }


def seen_in(item: Item | None, key: str) -> Seen:
    """Return the marker in an item as a writer saw it under `key`; None means that there is no item."""
    marker = marker_of(item)
    untold = item is not None and marker is not None and is_untold(item)
    return Seen(key, marker, Mark.of(item, "epoch", "sequence"), untold)
