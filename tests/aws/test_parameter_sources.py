"""The contract of `ParameterSource`, kept by the fake and by a boto3 client; and what the fake adds."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn import Peers, SecretCache
from keyturn.errors import InvalidParameterNameError, ParameterUnavailableError
from keyturn.model.protocols import Listing, ParameterSource
from keyturn.testing.fakes import FakeClock, FakeParameterStore
from tests.aws.parameter_contract import (
    CANARY,
    FakeRig,
    ParameterSourceContract,
    Scene,
    client_scene,
)


class TestFake(ParameterSourceContract):
    """The fake that the tests of parameters rest on."""

    @pytest.fixture
    def scene(self) -> Scene:
        store = FakeParameterStore()
        return Scene(store.source, store, FakeRig(store))


class TestParameterStore(ParameterSourceContract):
    """A boto3 client on moto."""

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        with mock_aws():
            # moto calls a label that no version has "ParameterNotFound", and lists no ARN.
            client = boto3.client("ssm", region_name="eu-west-1")
            yield client_scene(client, knows_labels=False, lists_arns=False)


@pytest.fixture
def store() -> FakeParameterStore:
    """An empty store."""
    return FakeParameterStore(FakeClock(wall_s=1000.0))


def test_every_call_is_counted(store: FakeParameterStore) -> None:
    """By AWS's name, whichever source asks; each page of a path is a call, and so is a failed one."""
    for index in range(20):
        store.put(f"/prod/{index}", "one")
    clear, ciphertexts = store.source(decrypt=True), store.source(decrypt=False)
    clear.read("/prod/1", stage="AWSCURRENT")
    ciphertexts.read("/prod/1", stage="AWSCURRENT")
    clear.read_many(["/prod/1", "/prod/2"])
    assert 20 == len(list(clear.read_path("/prod", recursive=False)))
    list(store.list())
    store.fail = ParameterUnavailableError
    with pytest.raises(ParameterUnavailableError):
        clear.read("/prod/1", stage="AWSCURRENT")
    assert {
        "GetParameter": 3,
        "GetParameters": 1,
        "GetParametersByPath": 2,
        "DescribeParameters": 1,
    } == store.calls


def test_it_fails_for_what_it_is_told(store: FakeParameterStore) -> None:
    """One name can fail while another is read; a failing name fails its batch, its path and the list."""
    store.put("/prod/host", "one")
    store.put("/prod/user", "app")
    source = store.source()

    def denied(what: str) -> Exception | None:
        return ParameterUnavailableError(what) if what in ("/prod/host", "/prod", "*") else None

    store.fail = denied
    assert "app" == source.read("/prod/user", stage="AWSCURRENT").value
    for failing in (
        lambda: source.read("/prod/host", stage="AWSCURRENT"),
        lambda: source.read_many(["/prod/user", "/prod/host"]),
        lambda: list(source.read_path("/prod", recursive=True)),
        lambda: list(store.list()),
    ):
        with pytest.raises(ParameterUnavailableError):
            failing()


def test_it_refuses_what_parameter_store_refuses(store: FakeParameterStore) -> None:
    """Wrong names at once, more names than GetParameters takes, a path without a slash."""
    source = store.source()
    for name in ("/prod//host", "/prod/host/", "prod/host", "/prod/höst"):
        with pytest.raises(InvalidParameterNameError):
            store.put(name, "one")
        with pytest.raises(InvalidParameterNameError):
            source.read(name, stage="AWSCURRENT")
    with pytest.raises(InvalidParameterNameError, match="11 names"):
        source.read_many([f"/prod/{index}" for index in range(11)])
    with pytest.raises(InvalidParameterNameError, match="slash"):
        list(source.read_path("prod", recursive=True))


def test_a_date_by_its_clock(store: FakeParameterStore) -> None:
    """Each version has the time at which it was put."""
    store.put("/prod/host", "one")
    store.clock.advance(5)
    store.put("/prod/host", "two")
    source = store.source()
    assert [1000.0, 1005.0] == [source.read("/prod/host", stage=stage).created_s for stage in ("1", "2")]


def test_behind_a_cache(store: FakeParameterStore) -> None:
    """`SecretCache` takes it as it is: decrypted and not are two entries, each read once."""
    store.put("/prod/password", CANARY, type="SecureString")
    cache = SecretCache(peers=Peers(parameter_source=store.source, clock=store.clock, random=lambda: 0.0))
    for _ in range(2):
        assert CANARY == cache.get_parameter("/prod/password").value
        assert CANARY != cache.get_parameter("/prod/password", decrypt=False).value
    assert {"GetParameter": 2} == store.calls


def test_it_keeps_the_protocols(store: FakeParameterStore) -> None:
    """To the type checker too; and neither it nor what it holds shows a value."""
    store.put("/prod/password", CANARY, type="SecureString")
    source: ParameterSource = store.source()
    listing: Listing = store
    assert CANARY not in repr(source) + repr(list(listing.list())) + repr(vars(store))
