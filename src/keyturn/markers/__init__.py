"""The marker table: its schema, which is a public contract, and how markers are read, decided and written.

`schema` says what an item looks like, `table` reads and writes items, `decisions` says what a marker
becomes, `recorder` carries out one hint and `sweeper` a whole sweep. This folder imports `errors`,
`model` and `aws`; the listener is built from it.
"""

from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of, item_of, marker_of
from keyturn.markers.table import DynamoDBClient, MarkerTable

__all__ = ["HEAD_KEY", "SCHEMA", "DynamoDBClient", "MarkerTable", "head_of", "item_of", "marker_of"]
