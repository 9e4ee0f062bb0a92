"""The marker table: its schema, which is a public contract, and how markers are read, decided and written.

`schema` says what an item looks like. `reader`, `writer` and `lease` make the calls for a cache, for a writer
and for the sweep, and `MarkerTable` is all three in one object. `decisions` says what becomes of a marker.
`reconciler` brings one marker into agreement with Secrets Manager, `recorder` does that for a hint, and
`sweeper` for the whole table. This folder imports `errors`, `runtime`, `model` and `aws`; the listener is
built from it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of, item_of, marker_of
    from keyturn.markers.table import MarkerTable

# A name is loaded when it is first used: a cache needs the reader, and neither the writer nor the lease.
_HOME_OF = {
    "DynamoDBClient": "calls",
    "HEAD_KEY": "schema",
    "MarkerTable": "table",
    "SCHEMA": "schema",
    "head_of": "schema",
    "item_of": "schema",
    "marker_of": "schema",
}

__all__ = ["HEAD_KEY", "SCHEMA", "DynamoDBClient", "MarkerTable", "head_of", "item_of", "marker_of"]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'keyturn.markers' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"keyturn.markers.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
