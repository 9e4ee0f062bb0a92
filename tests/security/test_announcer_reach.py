"""What a role that announces one secret may write: its marker, and its slot of the heads, not the lease.

The requests are those of the real writer on moto. `tests.policies.deciding` judges what IAM makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from keyturn.errors import MarkerTableError
from keyturn.markers.decisions import announcement
from keyturn.markers.recorder import Recorder
from keyturn.markers.schema import COPIES_MAX, count_name, entry_name, head_key
from keyturn.markers.table import MarkerTable
from keyturn.model.names import secret_key
from keyturn.model.slots import SLOTS, key_hash, slot_of
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement
from keyturn.testing import FakeSecretsManager
from tests.hosts import host_of
from tests.policies.deciding import Request, allows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME, TABLE = "prod/db", "markers"
PLACE = Place("us-east-1", "111122223333")
POLICIES = {
    "announcer": roles.announcer(PLACE, secrets=[NAME], marker_table=TABLE),
    "rotation": roles.rotation(PLACE, secrets=[NAME], marker_table=TABLE),
}
OWN = slot_of(key_hash(f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{NAME}"), SLOTS)
OTHER = (OWN + 1) % SLOTS


@dataclass
class Reach:
    """A table, the requests to it since it was swept, and the policy that is enforced, if any."""

    client: DynamoDBClient
    requests: list[Request] = field(default_factory=list)
    policy: Sequence[Statement] | None = None

    def note(self, params: dict[str, object], model: object, **_: object) -> None:
        """Note a request, and refuse it if the policy does."""
        operation = str(getattr(model, "name", "?"))
        if operation == "Scan":
            return
        request = Request.of(operation, params)
        self.requests.append(request)
        if self.policy is not None and not allows(self.policy, request):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)


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
        client.meta.events.register("provide-client-params.dynamodb.*", reach.note)
        yield reach


def announce(reach: Reach, times: int = 1) -> None:
    """Announce that many versions of the secret."""
    secrets, table = FakeSecretsManager(), MarkerTable(reach.client, TABLE, host_of())
    arn = secrets.create(NAME, "one")
    assert secret_key(arn, NAME).endswith(f"secret:{NAME}")
    recorder = Recorder(secrets, table, host_of(), settle_s=0)
    for number in range(times):
        secrets.put(NAME, "value", f"v{number + 2}")
        recorder.record(announcement(NAME, step="finishSecret"))


@pytest.mark.parametrize("role", POLICIES)
def test_the_policy_allows_what_an_announcement_does(reach: Reach, role: str) -> None:
    """The first one of a secret, and one of a secret that has a marker: every request of both."""
    announce(reach, times=2)
    assert {"GetItem", "PutItem", "UpdateItem"} == {one.action.partition(":")[2] for one in reach.requests}
    assert {"head", "head#1"} < {one.key for one in reach.requests}
    assert [] == [one for one in reach.requests if not allows(POLICIES[role], one)]


@pytest.mark.parametrize("role", POLICIES)
def test_the_policy_allows_nothing_that_speaks_for_others(role: str) -> None:
    """Of a head neither lease, epoch, pace, copies nor another's slot; no head is made or replaced."""
    policy, changes = POLICIES[role], ["swept_as_of_s", "epoch", "schema", "copies", "pace_s", "untracked"]
    changes += [make(OTHER) for make in (count_name, entry_name)]
    for key in ("head", "head#1", "head#31"):
        for name in changes:
            asked = frozenset({"pk", "counter", count_name(OWN), entry_name(OWN), name})
            assert not allows(policy, Request("dynamodb:UpdateItem", key, asked)), name
            assert not allows(policy, Request("dynamodb:UpdateItem", key, frozenset({"pk", name}))), name
        for action in ("PutItem", "DeleteItem"):
            assert not allows(policy, Request(f"dynamodb:{action}", key, frozenset({"pk"})))


@pytest.mark.parametrize("role", POLICIES)
def test_the_policy_allows_no_item_beyond_the_copies_that_there_can_be(role: str) -> None:
    """Or the role could fill the table, one item for each text after `head#`."""
    asked = frozenset({"pk", "counter", count_name(OWN), entry_name(OWN)})
    keys = [head_key(copy) for copy in range(COPIES_MAX)]
    assert [] == [
        key for key in keys if not allows(POLICIES[role], Request("dynamodb:UpdateItem", key, asked))
    ]
    for key in (head_key(COPIES_MAX), "head#", "head#01", "head#a", "head#1x", "header"):
        for action in ("PutItem", "UpdateItem"):
            assert not allows(POLICIES[role], Request(f"dynamodb:{action}", key, asked)), key


@pytest.mark.parametrize("role", POLICIES)
def test_the_policy_allows_no_marker_of_another_secret(role: str) -> None:
    """Not that of a secret whose name begins alike either."""
    for name in ("prod/db-replica", "prod/other", "prod/d"):
        key = f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}"
        for action in ("GetItem", "PutItem", "UpdateItem"):
            assert not allows(POLICIES[role], Request(f"dynamodb:{action}", key, frozenset({"pk"})))


@pytest.mark.parametrize("named", ["prod/*", "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/*"])
def test_a_group_of_secrets_may_write_every_slot_and_still_no_lease(named: str) -> None:
    """Nobody knows the slots of names that nobody knows."""
    policy = roles.announcer(PLACE, secrets=[named], marker_table=TABLE)
    slots = {make(slot) for slot in range(SLOTS) for make in (count_name, entry_name)}
    every = frozenset({"pk", "counter", *slots})
    assert allows(policy, Request("dynamodb:UpdateItem", "head#1", every))
    assert not allows(policy, Request("dynamodb:UpdateItem", "head", every | {"swept_as_of_s"}))


@pytest.mark.parametrize(
    ("action", "policy_of"),
    [
        ("BatchGetItem", lambda arn: roles.reader(PLACE, secrets=[arn], marker_table=TABLE)),
        ("PutItem", lambda arn: roles.announcer(PLACE, secrets=[arn], marker_table=TABLE)),
        ("PutItem", lambda arn: roles.rotation(PLACE, secrets=[arn], marker_table=TABLE)),
    ],
)
def test_a_role_has_the_marker_of_each_secret_that_its_policy_names(
    action: str, policy_of: Callable[[str], Sequence[Statement]]
) -> None:
    """An ARN that ends in `-*`, as many write the random suffix, is that of the secret itself as well.

    Without its marker the secret would be read again every 300 s, and its rotation would not be announced.
    """
    arn = f"arn:aws:secretsmanager:us-east-1:111122223333:secret:{NAME}"
    policy = policy_of(f"{arn}-*")
    for name, is_named in (("", True), ("-replica", True), ("2", False)):
        request = Request(f"dynamodb:{action}", arn + name, frozenset({"pk"}))
        assert allows(policy, request) is is_named, name


def test_the_lease_stays_as_it_is(reach: Reach) -> None:
    """However often somebody announces."""
    announce(reach, times=3)
    table = MarkerTable(reach.client, TABLE, host_of())
    heads = [table.read_head(copy=copy) for copy in (0, 1)]
    assert [(1000.0, 2)] * 2 == [(head.swept_as_of_s, head.copies) for head in heads if head is not None]


def test_without_a_head_the_marker_is_written_and_the_error_says_what_comes(reach: Reach) -> None:
    """A role that may not make the head leaves that, and the news, to the next sweep."""
    reach.client.delete_item(TableName=TABLE, Key={"pk": {"S": "head"}})
    reach.policy = POLICIES["announcer"]
    with pytest.raises(MarkerTableError, match="readers notice it after the listener's next sweep"):
        announce(reach)
    reach.policy = None
    table = MarkerTable(reach.client, TABLE, host_of())
    [written] = table.scan()
    assert written.untold
    table.renew(2000.0)
    table.tell([written])
    head = table.read_head(consistent=True)
    assert head is not None
    assert head.counter > 0
    assert not table.look(written.key).untold
