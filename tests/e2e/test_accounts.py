"""Secrets of two accounts and two Regions in one cache, each told of by the stack of its own place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
import pytest

from keyturn import Limits, Peers, SecretCache
from keyturn.demo.stage import deploy
from keyturn.testing.embedded import ClientArguments, EmbeddedAws
from tests.e2e.front import Front
from tests.servers.fixtures import use
from tools.build_listener import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

HOME, CENTRAL = "111122223333", "444455556666"
ROLE: Final = f"arn:aws:iam::{CENTRAL}:role/keyturn-reader"
PLACES: Final = ((HOME, "us-east-1"), (HOME, "eu-west-1"), (CENTRAL, "us-east-1"))
INTERVAL_S: Final = 1.0
BUSY_S: Final = 1.0
"""How much later than promised a busy machine may be."""

PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """One account and Region: its stack, and a secret of the name that every site has."""

    place: tuple[str, str]
    table: str
    arn: str
    arguments: ClientArguments

    def put(self, value: str) -> None:
        """Store a new version, and return when the marker names it."""
        secrets = boto3.client("secretsmanager", **self.arguments)
        markers = boto3.client("dynamodb", **self.arguments)
        version_id = secrets.put_secret_value(SecretId=self.arn, SecretString=value)["VersionId"]
        name, key = self.table.rpartition("/")[2], {"pk": {"S": self.arn[:-7]}}

        def is_marked() -> bool:
            return version_id in str(markers.get_item(TableName=name, Key=key, ConsistentRead=True))

        until(is_marked)


def until(is_so: Callable[[], bool]) -> float:
    """Wait until this is so, and return how many seconds that took."""
    begun_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun_s < PATIENCE_S
        time.sleep(0.01)
    return time.monotonic() - begun_s


@pytest.fixture(scope="module")
def accounts() -> Iterator[dict[str, EmbeddedAws]]:
    """Two emulators, an account each."""
    with (
        EmbeddedAws({"MINISTACK_ACCOUNT_ID": HOME}) as home,
        EmbeddedAws({"MINISTACK_ACCOUNT_ID": CENTRAL}) as central,
    ):
        yield {HOME: home, CENTRAL: central}


@pytest.fixture(scope="module")
def sites(accounts: dict[str, EmbeddedAws], listener_zip: Path) -> list[Site]:
    """The stack and a secret in each place, and in the other account a role that this one may assume."""
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"}}
    boto3.client("iam", **accounts[CENTRAL].client_arguments).create_role(
        RoleName="keyturn-reader",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    return [_site(accounts[account], (account, region), listener_zip) for account, region in PLACES]


def _site(aws: EmbeddedAws, place: tuple[str, str], listener_zip: Path) -> Site:
    account, region = place
    bucket = f"keyturn-{account}-{region}"
    _make_bucket(aws, bucket, region)
    with pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        patch.setenv("AWS_REGION", region)
        patch.setenv("AWS_DEFAULT_REGION", region)
        stack = deploy(listener_zip, ROOT / "infra" / "template.yaml", bucket=bucket)
        arn = boto3.client("secretsmanager").create_secret(Name="prod/db", SecretString="one")["ARN"]
        stack.sweep()
    table = f"arn:aws:dynamodb:{region}:{account}:table/{stack.marker_table}"
    assert f":{region}:{account}:" in arn
    return Site(place, table, arn, {**aws.client_arguments, "region_name": region})


def _make_bucket(aws: EmbeddedAws, bucket: str, region: str) -> None:
    """Make the bucket that the function's code comes from, in its Region as Lambda demands."""
    storage = boto3.client("s3", **(aws.client_arguments | {"region_name": region}))
    if region == "us-east-1":
        storage.create_bucket(Bucket=bucket)
    else:
        storage.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item] # a Region


@pytest.fixture
def front(accounts: dict[str, EmbeddedAws], monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """What this process takes for AWS, as a process of the home account."""
    front = Front(HOME, accounts)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in front.environment.items():
        monkeypatch.setenv(name, value)
    with front.open():
        yield front


@pytest.fixture
def cache(front: Front, sites: list[Site]) -> SecretCache:
    """A process that holds the secret of every place, all of them covered."""
    cache = SecretCache(
        marker_table=[site.table for site in sites],
        check_interval_s=INTERVAL_S,
        limits=Limits(settle_s=0.5),
        peers=Peers(roles=[ROLE]),
    )

    def are_covered() -> bool:
        for site in sites:
            cache.get(site.arn)
        return all(one.covered for one in cache.status().secrets)

    until(are_covered)
    assert len(cache.status().secrets) == len(sites)
    front.asked.clear()
    return cache


def test_each_rotation_is_noticed_within_one_interval(cache: SecretCache, sites: list[Site]) -> None:
    """From the moment at which its marker names the new version, wherever the secret is."""
    for number, site in enumerate(sites):
        site.put(f"two of {number}")
        took_s = until(lambda: cache.get_secret_string(site.arn) == f"two of {number}")  # noqa: B023 # used at once
        assert took_s < INTERVAL_S + BUSY_S


def test_a_table_and_interval_cost_one_read_of_half_a_unit(
    cache: SecretCache, sites: list[Site], front: Front
) -> None:
    """In quiet intervals with gets all the time each table is read once in each, its head alone."""
    front.asked.clear()
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < 5 * INTERVAL_S:
        for site in sites:
            cache.get(site.arn)
        time.sleep(0.01)
    reads = {place: [one for one in front.asked if one[:2] == place] for place in PLACES}
    passed_s = time.monotonic() - begun_s
    [number] = {len(asked) for asked in reads.values()}
    assert 2 <= number <= passed_s / INTERVAL_S + 1
    assert {("GetItem", '{"pk": {"S": "head"}}', False)} == {one[2:] for one in front.asked}


@pytest.mark.parametrize("fault", ["denied", "hung"])
def test_a_table_that_does_not_work_slows_nobody(
    fault: str, cache: SecretCache, sites: list[Site], front: Front
) -> None:
    """It covers nothing, the others' rotations are noticed as ever, and only one caller waited, for 1 s."""
    home, abroad, _ = sites
    getattr(front, fault).add(abroad.place)
    longest_s: list[float] = []

    def is_new(value: str) -> bool:
        begun_s = time.monotonic()
        served = cache.get_secret_string(home.arn)
        cache.get(abroad.arn)
        longest_s.append(time.monotonic() - begun_s)
        return served == value

    for number in range(3):
        home.put(f"{fault} {number}")
        assert until(lambda: is_new(f"{fault} {number}")) < INTERVAL_S + 2 * BUSY_S  # noqa: B023 # used at once
    assert 1 >= sum(1 for one in longest_s if one > 0.8)
    covered = {one.arn: one.covered for one in cache.status().secrets}
    assert covered[home.arn]
    assert not covered[abroad.arn] or fault == "hung"
    assert [abroad.table] == [one.name for one in cache.status().tables if one.trouble] or fault == "hung"
    getattr(front, fault).clear()
