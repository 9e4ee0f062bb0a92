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

from keyturn import Limits, Peers, SecretCache
from keyturn.markers.decisions import Hint, hinted_key
from keyturn.model.names import Arn
from keyturn.testing.fakes import FakeParameterStore
from rotation_listener.listener import Listener, Settings
from tests.hosts import host_of
from tests.world import NAME, World

if TYPE_CHECKING:
    from keyturn.model.protocols import SweptTable

SETTLE_S = 6.0
LOOKS_MAX = 5
FLOOD = 200
SHARE = 24

Handler = Callable[[object, object], dict[str, object]]


def listener(world: World, *prefixes: str) -> Listener:
    """A listener over the world whose waiting moves the world's clock. It watches these prefixes, or all."""
    # No event of this file asks for a sweep.
    table = cast("SweptTable", world.table)
    chosen = Settings("markers", name_prefixes=prefixes, settle_s=SETTLE_S)
    return Listener(chosen, world.secrets, table, host_of(world.clock))


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


PARAMETERS = "arn:aws:ssm:us-east-1:111122223333:parameter"


def changed(name: str, number: int, arn: str = "") -> dict[str, object]:
    """An event that says that this parameter has changed."""
    return {
        "id": f"event-{number}",
        "detail-type": "Parameter Store Change",
        "resources": [arn or PARAMETERS + name],
        "detail": {"name": name, "operation": "Update"},
    }


def test_events_of_parameters_make_markers_and_a_bounded_number_of_reads(world: World) -> None:
    """Nothing tells which version they mean: each name has one item, and a process reads within its share."""
    store, one = FakeParameterStore(world.clock), listener(world)
    store.put("/prod/host", "one")
    peers = Peers(
        source=world.secrets,
        parameter_source=store.source,
        markers=world.table,
        clock=world.clock,
        random=lambda: 0.0,
    )
    cache = SecretCache(peers=peers, limits=Limits(refresh_wait_s=20))
    world.mark()
    cache.get_parameter("/prod/host")
    store.calls.clear()
    for number in range(FLOOD):
        one.handle(changed("/prod/host", number), lambda: False)
        one.handle(changed(f"/nobody/{number % 5}", number), lambda: False)
        world.clock.advance(5)
        assert "one" == cache.get_parameter("/prod/host").text()
    assert 6 == len([key for key in world.table.items if ":ssm:" in key])
    assert FLOOD / 10 < sum(store.calls.values()) <= SHARE + FLOOD * 5 / 10 + FLOOD * 5 / 300


@pytest.mark.parametrize(
    "name",
    ["/é", "/" + "é" * 900, "/a b", "/a:b", "/a//b", "/a/", "/", "/a" * 16, "a/b\\", "/" + "a" * 2010, "%"],
)
def test_events_of_names_that_no_parameter_can_have_are_ignored(world: World, name: str) -> None:
    """They make no item, and are not delivered again and again because DynamoDB rejects such a key."""
    assert "ignored" == listener(world).handle(changed(name, 1), lambda: False)["outcome"]
    assert {} == world.table.items


def test_an_event_of_a_parameter_of_another_partition_is_ignored(world: World) -> None:
    """As one of another account or Region is."""
    own = Arn.parse("arn:aws:lambda:us-east-1:111122223333:function:listener")
    event = changed("/a", 1, PARAMETERS.replace(":aws:", ":aws-cn:") + "/a")
    assert "ignored" == listener(world).handle(event, lambda: False, own)["outcome"]
    assert "written" == listener(world).handle(changed("/a", 1), lambda: False, own)["outcome"]


def test_an_arn_that_fits_into_no_key_is_not_looked_up(world: World) -> None:
    """DynamoDB rejects a key of more than 2048 bytes: such an event would be delivered again and again."""
    arn = world.arn.replace(NAME, "é" * 1500)
    assert hinted_key(Hint(arn)) is None
    assert hinted_key(Hint(world.arn)) == world.key
    assert "unchanged" == listener(world).handle(native(arn, "v1", "é"), lambda: False)["outcome"]


def test_an_event_that_gives_a_secret_another_name_moves_no_marker(world: World) -> None:
    """The marker of a watched secret keeps its labels, whatever name an event gives that secret."""
    cache = world.covered()
    world.secrets.calls.clear()
    before, one = dict(world.table.items), listener(world, "prod/")
    for arn in (world.arn, world.key):
        assert "ignored" == one.handle(native(arn, "v1", "dev/other"), lambda: False)["outcome"]
    assert before == world.table.items
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    assert 0 == world.reads


def test_an_event_that_gives_a_secret_a_watched_name_is_ignored(world: World) -> None:
    """Its ARN counts. The role may not describe such a secret, and each error comes three times."""
    one = listener(world, "dev/")
    for arn in (world.arn, world.key):
        assert "ignored" == one.handle(native(arn, "v1", "dev/other"), lambda: False)["outcome"]
    assert 0 == world.secrets.calls["DescribeSecret"]


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
