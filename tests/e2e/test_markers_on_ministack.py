"""The marker table of the embedded AWS, as readers and writers use it."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from keyturn.markers.table import MarkerTable
from tests.hosts import host_of
from tests.markers.marker_contract import MarkersContract

pytestmark = pytest.mark.e2e


class TestMarkersOnMinistack(MarkersContract):
    """The contract, over HTTP."""

    @pytest.fixture
    def table(self, session: boto3.Session) -> Iterator[MarkerTable]:
        client = session.client("dynamodb")
        client.create_table(
            TableName="markers",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield MarkerTable(client, "markers", host_of())
        client.close()
