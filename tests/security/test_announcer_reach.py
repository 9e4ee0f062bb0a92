"""What a role that announces one secret writes: its marker, and its slot of the head, not the lease.

So its policy can name the attributes of the head (`dynamodb:Attributes`), and who holds that role can neither
renew the lease nor change how many copies there are: it cannot speak for other secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.markers.decisions import announcement
from keyturn.markers.recorder import Recorder
from keyturn.markers.table import MarkerTable
from keyturn.model.names import secret_key
from keyturn.model.slots import SLOTS, key_hash, slot_of
from keyturn.testing import FakeSecretsManager
from tests.hosts import host_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME, TABLE = "prod/db", "markers"


@dataclass
class Reach:
    """A table, and what is written: item -> attributes that a request names."""

    client: DynamoDBClient
    written: dict[str, set[str]] = field(default_factory=dict)

    def note(self, params: dict[str, object], **_: object) -> None:
        """Note the attributes of one write."""
        key = params.get("Key") or params["Item"]
        assert isinstance(key, dict)
        names = params.get("ExpressionAttributeNames") or {}
        assert isinstance(names, dict)
        words = set(re.findall(r"[#:]?\b\w+", " ".join(str(params.get(part, "")) for part in EXPRESSIONS)))
        found = {names.get(word, word) for word in words} - KEYWORDS
        item = params.get("Item")
        found |= set(item) if isinstance(item, dict) else {"pk"}
        self.written.setdefault(key["pk"]["S"], set()).update(
            name for name in found if not name.startswith(":")
        )


EXPRESSIONS = ("UpdateExpression", "ConditionExpression")
KEYWORDS = {"SET", "ADD", "REMOVE", "AND", "OR", "attribute_exists", "attribute_not_exists"}


@pytest.fixture
def reach() -> Iterator[Reach]:
    """A table that was swept, with two copies of the head."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        MarkerTable(client, TABLE, host_of(), copies=2).renew(1000.0)
        reach = Reach(client)
        for operation in ("PutItem", "UpdateItem", "TransactWriteItems"):
            client.meta.events.register(f"provide-client-params.dynamodb.{operation}", reach.note)
        yield reach


def test_an_announcement_writes_its_marker_and_its_slot(reach: Reach) -> None:
    """Of the head and its copies: the counter, and the count and the entry of the marker's slot."""
    secrets = FakeSecretsManager()
    key = secret_key(secrets.create(NAME, "one"), NAME)
    recorder = Recorder(secrets, MarkerTable(reach.client, TABLE, host_of()), host_of(), settle_s=0)
    recorder.record(announcement(NAME, version_id="v1", step="finishSecret"))
    slot = slot_of(key_hash(key), SLOTS)
    of_head = {"pk", "counter", f"n{slot}", f"e{slot}"}
    assert {"head": of_head, "head#1": of_head} == {
        item: names for item, names in reach.written.items() if item != key
    }
    assert reach.written.keys() == {key, "head", "head#1"}


def test_the_lease_stays_as_it_is(reach: Reach) -> None:
    """However often somebody announces."""
    secrets, table = FakeSecretsManager(), MarkerTable(reach.client, TABLE, host_of())
    secrets.create(NAME, "one")
    recorder = Recorder(secrets, table, host_of(), settle_s=0)
    for number in range(3):
        secrets.put(NAME, "value", f"v{number + 2}")
        recorder.record(announcement(NAME))
    heads = [table.read_head(copy=copy) for copy in (0, 1)]
    assert [(1000.0, 2)] * 2 == [(head.swept_as_of_s, head.copies) for head in heads if head is not None]
