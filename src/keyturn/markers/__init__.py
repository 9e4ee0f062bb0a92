"""The marker table: its schema, which is a public contract, and how markers are read, decided and written.

`schema` says what an item looks like. `reader`, `writer` and `lease` make the calls for a cache, for a writer
and for the sweep, and `MarkerTable` is all three in one object. `decisions` says what becomes of a marker.
`reconciler` brings one marker into agreement with Secrets Manager, `recorder` does that for a hint, and
`sweeper` for the whole table. This folder imports `errors`, `runtime`, `model` and `aws`; the listener is
built from it.
"""

from keyturn.markers.calls import DynamoDBClient
from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of, item_of, marker_of
from keyturn.markers.table import MarkerTable

__all__ = ["HEAD_KEY", "SCHEMA", "DynamoDBClient", "MarkerTable", "head_of", "item_of", "marker_of"]
