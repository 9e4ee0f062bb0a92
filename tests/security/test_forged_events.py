"""Whoever can send events to the listener: looks, bounded in number, and one line of log for each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from rotation_listener.listener import Listener, Settings
from tests.hosts import host_of
from tests.world import NAME, World

if TYPE_CHECKING:
    from keyturn.model.protocols import SweptTable

SETTLE_S = 6.0
LOOKS_MAX = 5
FLOOD = 200

Handler = Callable[[object, object], dict[str, object]]


def listener(world: World) -> Listener:
    """A listener over the world whose waiting moves the world's clock."""
    # No event of this file asks for a sweep.
    table = cast("SweptTable", world.table)
    return Listener(Settings("markers", settle_s=SETTLE_S), world.secrets, table, host_of(world.clock))


def native(arn: str, version_id: str, name: str = NAME) -> dict[str, object]:
    """A native event that says that AWSCURRENT moved to this version."""
    detail = {"name": name, "labelUpdated": "AWSCURRENT", "versionId": version_id}
    return {"id": "e", "detail-type": "Secret Label Updated", "resources": [arn], "detail": detail}


def test_a_flood_of_true_events_is_one_look_each_and_no_write(world: World) -> None:
    """200 events of a move that is known: 200 DescribeSecret, nothing written, no reader disturbed."""
    cache = world.covered()
    head = world.table.head
    one = listener(world)
    one.handle(native(world.arn, "v1"), lambda: False)
    world.secrets.calls.clear()
    world.table.calls.clear()
    for _ in range(FLOOD):
        one.handle(native(world.arn, "v1"), lambda: False)
    assert FLOOD == world.secrets.calls["DescribeSecret"]
    assert 0 == world.table.calls["write"]
    assert head == world.table.head
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    assert 0 == world.reads


def test_events_of_versions_that_nobody_made_cost_five_looks_each(world: World) -> None:
    """An invented version is waited for during one settle time, then left to the sweep: nothing written."""
    world.mark()
    one = listener(world)
    world.secrets.calls.clear()
    world.table.calls.clear()
    begun_s = world.clock.wall_s
    for number in range(FLOOD):
        assert "deferred" == one.handle(native(world.arn, f"forged-{number}"), lambda: False)["outcome"]
    assert LOOKS_MAX * FLOOD == world.secrets.calls["DescribeSecret"]
    assert SETTLE_S * FLOOD >= world.clock.wall_s - begun_s
    assert 0 == world.table.calls["write"]
    assert "v1" == world.table.items[world.key].stages["AWSCURRENT"]


def test_events_of_secrets_that_do_not_exist_make_no_items(world: World) -> None:
    """The table grows with secrets, not with events; each costs a look by ARN and one by name."""
    one = listener(world)
    world.secrets.calls.clear()
    for number in range(FLOOD):
        arn = world.arn.replace(NAME, f"nobody/{number}")
        one.handle(native(arn, "v1", f"nobody/{number}"), lambda: False)
    assert {} == world.table.items
    assert 2 * FLOOD == world.secrets.calls["DescribeSecret"]


def test_a_forged_rollback_says_only_what_secrets_manager_says(world: World) -> None:
    """An event that names the version that AWSCURRENT left: the marker stays at what DescribeSecret shows."""
    one = listener(world)
    one.handle(native(world.arn, "v1"), lambda: False)
    world.rotate("v2", "two", mark=False)
    one.handle(native(world.arn, "v2"), lambda: False)
    one.handle(native(world.arn, "v1"), lambda: False)
    assert "v2" == world.table.items[world.key].stages["AWSCURRENT"]


@pytest.fixture(scope="module")
def handler() -> Iterator[Handler]:
    """The entry point in an empty account on moto."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYTURN_MARKER_TABLE", "markers")
        patch.setenv("KEYTURN_SETTLE_S", "0")
        patch.delitem(sys.modules, "rotation_listener.handler", raising=False)
        boto3.client("dynamodb").create_table(
            TableName="markers",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield cast("Handler", import_module("rotation_listener.handler").handler)


nasty = st.text(st.sampled_from('a\n\r"{}\\\x1b\u2028\u0085%s'), max_size=30)


@given(fields=st.lists(nasty, min_size=6, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_field_of_an_event_forges_a_log_line(
    handler: Handler, capsys: pytest.CaptureFixture[str], fields: list[str]
) -> None:
    """Whatever an event's fields hold, its handling is one line of ASCII, and that line one JSON object."""
    event_id, kind, when, name, label, version_id = fields
    for detail_type in (kind, "Secret Label Updated"):
        event = {
            "id": event_id,
            "detail-type": detail_type,
            "time": when,
            "resources": [f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-AbCdEf", name],
            "detail": {"name": name, "labelUpdated": label, "versionId": version_id},
        }
        capsys.readouterr()
        handler(event, None)
        out = capsys.readouterr().out
        assert 1 == out.count("\n")
        assert out.isascii()
        line = json.loads(out)
        assert (event_id, "INFO") == (line["event_id"], line["level"])
