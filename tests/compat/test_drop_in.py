"""`keyturn.compat` in the place of aws-secretsmanager-caching: its calls and answers, without its age.

Upstream's own tests run on it too, by `make compat`.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ClassVar

import aws_secretsmanager_caching as upstream
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from botocore.session import get_session

from keyturn import ConfigurationError, Peers, UnavailableError
from keyturn.compat import (
    InjectKeywordedSecretString,
    InjectSecretString,
    SecretCache,
    SecretCacheConfig,
)
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"


class Client:
    """A Secrets Manager client of the two operations that upstream calls; the world's secrets are in it."""

    def __init__(self, world: World) -> None:
        self._secrets = world.secrets
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[str], Exception | None] = lambda _: None

    def describe_secret(self, *, SecretId: str) -> Mapping[str, object]:
        self._called("DescribeSecret")
        described = self._secrets.describe(SecretId)
        stages: dict[str, list[str]] = {}
        for label, version_id in described.stages.items():
            stages.setdefault(version_id, []).append(label)
        deleted = {"DeletedDate": datetime.now(UTC)} if described.deleted else {}
        return {"ARN": described.arn, "Name": described.name, "VersionIdsToStages": stages, **deleted}

    def get_secret_value(self, *, SecretId: str, VersionId: str) -> Mapping[str, object]:
        self._called("GetSecretValue")
        described = self._secrets.describe(SecretId)
        if described.deleted:
            raise failure("InvalidRequestException", "GetSecretValue", "it was marked for deletion")
        stage = next(label for label, version_id in described.stages.items() if version_id == VersionId)
        version = self._secrets.read(SecretId, stage=stage)
        kind = "SecretString" if version.binary is None else "SecretBinary"
        return {
            "ARN": version.arn,
            "Name": version.name,
            "VersionId": VersionId,
            "VersionStages": sorted(version.stages),
            "CreatedDate": datetime.fromtimestamp(version.created_s or 0, UTC),
            kind: version.string or version.binary,
        }

    def _called(self, operation: str) -> None:
        self.calls[operation] += 1
        error = self.fail(operation)
        if error is not None:
            raise error


def failure(code: str, operation: str, message: str = "no") -> ClientError:
    """What a botocore client raises."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.fixture
def client(world: World) -> Client:
    """The client of the world's secrets."""
    return Client(world)


def cache_of(world: World, client: Client, *, table: bool = False, **options: object) -> SecretCache:
    """A cache with these options of `SecretCacheConfig`, on the world's clock."""
    config = SecretCacheConfig(**options)  # type: ignore[no-untyped-call] # it has no types
    peers = Peers(markers=world.table if table else None, clock=world.clock)
    return SecretCache(config, client, peers=peers)


def test_the_calls_are_upstreams(world: World, client: Client) -> None:
    """Cold: DescribeSecret and GetSecretValue; a hit: none; the interval over: what has changed only."""
    cache = cache_of(world, client, secret_refresh_interval=60)
    assert ["one"] * 100 == [cache.get_secret_string(NAME) for _ in range(100)]
    assert {"DescribeSecret": 1, "GetSecretValue": 1} == client.calls
    world.clock.advance(61)
    assert "one" == cache.get_secret_string(NAME)
    assert {"DescribeSecret": 2, "GetSecretValue": 1} == client.calls
    world.rotate("v2", "two")
    world.clock.advance(61)
    assert "two" == cache.get_secret_string(NAME)
    assert {"DescribeSecret": 3, "GetSecretValue": 2} == client.calls


def test_with_a_marker_table_a_rotation_is_noticed(world: World, client: Client) -> None:
    """One argument more, and a rotation is served one check interval after its marker, not an hour."""
    world.mark()
    cache = cache_of(world, client, table=True)
    assert "one" == cache.get_secret_string(NAME)
    world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    world.rotate("v2", "two")
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    assert cache.keyturn.status().secrets[0].covered


def test_a_covered_secret_keeps_the_interval_that_was_asked_for(world: World, client: Client) -> None:
    """While the marker speaks for it, a secret is described once per refresh interval."""
    world.mark()
    cache = cache_of(world, client, table=True, secret_refresh_interval=1800)
    cache.get_secret_string(NAME)
    for _ in range(359):
        world.clock.advance(5)
        world.table.sweep()
        cache.get_secret_string(NAME)
    assert 1 == client.calls["DescribeSecret"]
    world.clock.advance(5)
    cache.get_secret_string(NAME)
    assert 2 == client.calls["DescribeSecret"]


def test_the_environment_names_the_table(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KEYTURN_MARKER_TABLE is enough; without it, and without the argument, no table is used."""
    assert not SecretCache(client=client).keyturn.status().table.used
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "keyturn-markers")
    assert SecretCache(client=client).keyturn.status().table.used


def test_it_is_upstreams_class_and_works_with_its_decorators(world: World, client: Client) -> None:
    """Code that asks `isinstance`, and both decorators, take it; each call gets the value of the moment."""
    world.secrets.put(NAME, json.dumps({"user": "app", "password": "one"}), "v2")
    cache = cache_of(world, client, secret_refresh_interval=60)
    assert isinstance(cache, upstream.SecretCache)

    @InjectKeywordedSecretString(NAME, cache, u="user", p="password")
    def keyworded(u: str, p: str) -> tuple[str, str]:
        return u, p

    @InjectSecretString(NAME, cache)
    def whole(secret: str) -> str:
        return secret

    assert ("app", "one") == keyworded()
    world.secrets.put(NAME, json.dumps({"user": "app", "password": "two"}), "v3")
    world.clock.advance(61)
    assert ("app", "two") == keyworded()
    assert "two" == json.loads(whole())["password"]


def test_what_is_not_there_is_none(world: World, client: Client) -> None:
    """A stage without a version, text of a binary secret and the reverse are None, as with upstream."""
    world.secrets.create("prod/key", b"\x00\x01")
    cache = cache_of(world, client)
    assert cache.get_secret_string(NAME, "AWSPENDING") is None
    assert cache.get_secret_binary(NAME) is None
    assert cache.get_secret_string("prod/key") is None
    assert b"\x00\x01" == cache.get_secret_binary("prod/key")


def test_a_stage_that_appears_is_found_within_a_second(world: World, client: Client) -> None:
    """None is not remembered until the interval ends: a rotation that begins can be followed."""
    cache = cache_of(world, client)
    assert cache.get_secret_string(NAME, "AWSPENDING") is None
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    world.clock.advance(1)
    assert "two" == cache.get_secret_string(NAME, "AWSPENDING")


def test_the_default_stage_is_the_configured_one(world: World, client: Client) -> None:
    """`default_version_stage` is what is read where no stage is given."""
    world.rotate("v2", "two")
    cache = cache_of(world, client, default_version_stage="AWSPREVIOUS")
    assert "one" == cache.get_secret_string(NAME)
    assert "two" == cache.get_secret_string(NAME, "AWSCURRENT")


def test_errors_are_the_clients_and_each_is_new(world: World, client: Client) -> None:
    """Every failed get raises a ClientError with AWS's code; none is raised twice, so none grows."""
    client.fail = lambda operation: failure("AccessDeniedException", operation)
    cache = cache_of(world, client)
    seen = []
    for _ in range(50):
        with pytest.raises(ClientError) as caught:
            cache.get_secret_string(NAME)
        assert "AccessDeniedException" == caught.value.response["Error"]["Code"]
        seen.append(caught.value)
    assert 50 == len({id(error) for error in seen})
    assert {len(traceback.extract_tb(seen[1].__traceback__))} == {
        len(traceback.extract_tb(error.__traceback__)) for error in seen[1:]
    }
    assert {"DescribeSecret": 1} == client.calls


def test_a_known_value_is_served_while_aws_does_not_answer(world: World, client: Client) -> None:
    """An outage costs nobody the value, also when only GetSecretValue fails; it ends after six hours."""
    cache = cache_of(world, client, secret_refresh_interval=60)
    assert "one" == cache.get_secret_string(NAME)
    world.rotate("v2", "two")
    client.fail = lambda name: failure("InternalServiceError", name) if name == "GetSecretValue" else None
    world.clock.advance(61)
    assert "one" == cache.get_secret_string(NAME)
    world.clock.advance(6 * 3600)
    with pytest.raises(ClientError, match="InternalServiceError"):
        cache.get_secret_string(NAME)


def test_a_deleted_secret_is_not_served(world: World, client: Client) -> None:
    """Once the interval is over the error is AWS's, although DescribeSecret goes on answering."""
    cache = cache_of(world, client, secret_refresh_interval=60)
    cache.get_secret_string(NAME)
    world.secrets.delete(NAME)
    world.clock.advance(61)
    with pytest.raises(ClientError, match="InvalidRequestException"):
        cache.get_secret_string(NAME)


def test_an_error_is_the_one_that_happened(world: World, client: Client) -> None:
    """An answer that quotes a value is no error of the client's to hand on, and neither is an older one."""
    cache = cache_of(world, client)
    client.fail = lambda operation: failure("AccessDeniedException", operation)
    with pytest.raises(ClientError, match="AccessDenied"):
        cache.get_secret_string(NAME)
    client.fail = lambda _: ResponseParserError(f"Unable to parse {CANARY}")
    world.clock.advance(61)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="ResponseParserError") as caught:
            cache.get_secret_string(NAME)
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    client.fail = lambda _: None
    world.clock.advance(61)
    assert "one" == cache.get_secret_string(NAME)


def test_an_error_is_of_the_clients_own_class(world: World, client: Client) -> None:
    """`except client.exceptions.ResourceNotFoundException`, as the caller's code has it, matches."""
    real = get_session().create_client("secretsmanager", region_name="eu-west-1")
    kind: type[ClientError] = getattr(real.exceptions, "ResourceNotFoundException")  # noqa: B009 # botocore-stubs say None
    client.fail = lambda name: kind({"Error": {"Code": "ResourceNotFoundException"}}, name)
    cache = cache_of(world, client)
    for _ in range(2):
        with pytest.raises(kind) as caught:
            cache.get_secret_string("nothing")
        assert "DescribeSecret" == caught.value.operation_name
        assert {"Code": "ResourceNotFoundException"} == caught.value.response["Error"]


def test_an_error_of_each_stage_is_the_clients(world: World, client: Client) -> None:
    """An outage as it is: a time-out, then refused connections. Until the next try each stage has its own."""
    cache = cache_of(world, client)
    errors = [ReadTimeoutError(endpoint_url="https://a"), EndpointConnectionError(endpoint_url="https://a")]
    stages = [None, "AWSPREVIOUS"]
    for stage, error in zip(stages, errors, strict=True):
        client.fail = {"DescribeSecret": error}.get
        with pytest.raises(type(error)):
            cache.get_secret_string(NAME, stage)
    calls = client.calls.total()
    for stage, error in zip(stages * 2, errors * 2, strict=True):
        with pytest.raises(type(error)):
            cache.get_secret_string(NAME, stage)
    assert calls == client.calls.total()


def test_an_error_of_a_stage_outlives_the_success_of_another(world: World) -> None:
    """The value of one version is denied, and the secret's other one is read after that."""
    client = Denying(world)
    cache = cache_of(world, client)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.denied = "v2"
    with pytest.raises(ClientError, match="AccessDenied"):
        cache.get_secret_string(NAME, "AWSPENDING")
    assert "one" == cache.get_secret_string(NAME)
    with pytest.raises(ClientError, match="AccessDenied"):
        cache.get_secret_string(NAME, "AWSPENDING")


def test_the_failures_that_are_kept_are_bounded(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's messages may have the id of the request in them. The last failures stay, by each secret."""
    monkeypatch.setattr("keyturn.compat.source.FAILURES_MAX", 3)
    cache = cache_of(world, client)
    for number in range(9):
        error = failure("InternalServiceError", "DescribeSecret", f"request {number}")
        client.fail = {"DescribeSecret": error}.get
        for secret_id in ("prod/one", f"prod/{number}", "prod/one"):
            with pytest.raises(ClientError, match=f"request {number}"):
                cache.get_secret_string(secret_id)
        world.clock.advance(61)
    kept: dict[object, Exception] = vars(vars(cache)["_source"])["_failures"]
    assert 3 == len(kept)


def test_a_forced_refresh_reads_at_once(world: World, client: Client) -> None:
    """`refresh_secret_now` brings the new value without upstream's sleep, and says whether it could."""
    cache = cache_of(world, client)
    assert "one" == cache.get_secret_string(NAME)
    world.rotate("v2", "two")
    begun_s = time.monotonic()
    assert cache.refresh_secret_now(NAME)
    assert time.monotonic() - begun_s < 2
    calls = client.calls.total()
    assert "two" == cache.get_secret_string(NAME)
    assert calls == client.calls.total()
    client.fail = lambda operation: failure("InternalServiceError", operation)
    world.clock.advance(1)
    assert not cache.refresh_secret_now(NAME)
    assert not cache.refresh_secret_now("prod/unknown")
    assert "two" == cache.get_secret_string(NAME)


class Denying(Client):
    """Denies the value of the version `denied`."""

    denied = ""

    def get_secret_value(self, *, SecretId: str, VersionId: str) -> Mapping[str, object]:
        if VersionId == self.denied:
            raise failure("AccessDeniedException", "GetSecretValue")
        return super().get_secret_value(SecretId=SecretId, VersionId=VersionId)


def test_a_forced_refresh_is_that_of_the_default_stage(world: World) -> None:
    """A pending version beside it that cannot be read does not make it fail."""
    client = Denying(world)
    cache = cache_of(world, client)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    assert ["one", "two"] == [cache.get_secret_string(NAME, one) for one in (None, "AWSPENDING")]
    world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    client.denied = "v3"
    world.clock.advance(3601)
    cache.get_secret_string(NAME, "AWSPENDING")
    assert cache.refresh_secret_now(NAME)


def test_name_and_arn_are_one_secret(world: World, client: Client) -> None:
    """A refresh under the name is one under the ARN."""
    cache = cache_of(world, client)
    assert {"one"} == {cache.get_secret_string(NAME), cache.get_secret_string(world.arn)}
    world.rotate("v2", "two")
    assert cache.refresh_secret_now(NAME)
    assert "two" == cache.get_secret_string(world.arn)


class Vault:
    """A hook that keeps values where nobody sees them, and counts."""

    calls: ClassVar[Counter[str]] = Counter()
    kept: ClassVar[dict[int, Mapping[str, object]]] = {}

    def put(self, obj: Mapping[str, object]) -> object:
        self.calls["put"] += 1
        self.kept[len(self.kept)] = obj
        return len(self.kept) - 1

    def get(self, cached_obj: int) -> Mapping[str, object]:
        self.calls["get"] += 1
        return self.kept[cached_obj]


def test_with_a_hook_no_plaintext_is_held(world: World, client: Client) -> None:
    """The hook's `put` gets each answer, its `get` makes the value of every read; the cache has none."""
    world.secrets.put(NAME, CANARY, "v2")
    cache = cache_of(world, client, secret_cache_hook=Vault())
    assert [CANARY] * 3 == [cache.get_secret_string(NAME) for _ in range(3)]
    assert cache.get_secret_binary(NAME) is None
    assert {"put": 1, "get": 4} == Vault.calls
    version = cache.keyturn.get(NAME)
    assert (None, None) == (version.string, version.binary)
    assert CANARY not in repr(version)


@pytest.mark.parametrize("interval_s", [0, 0.5, 3600.0])
def test_any_interval_works(world: World, client: Client, interval_s: float) -> None:
    """0, fractions and floats, which upstream refuses after the call, are intervals."""
    cache = cache_of(world, client, secret_refresh_interval=interval_s)
    assert ["one", "one"] == [cache.get_secret_string(NAME) for _ in range(2)]


@pytest.mark.parametrize(
    "options", [{"secret_refresh_interval": "3600"}, {"secret_refresh_interval": -1}, {"max_cache_size": 0}]
)
def test_what_cannot_work_is_refused_at_once(
    world: World, client: Client, options: dict[str, object]
) -> None:
    """A wrong configuration is a `ConfigurationError` of the constructor that names it, before any call."""
    config = SecretCacheConfig(**options)  # type: ignore[no-untyped-call] # it has no types
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        SecretCache(config, client)
    assert not client.calls


@pytest.mark.proof
def test_more_secrets_than_fit_are_no_error(world: World, client: Client) -> None:
    """Threads that read more secrets than the cache holds get them all, where upstream raises at times."""
    names = [f"prod/{number}" for number in range(10)]
    for name in names:
        world.secrets.create(name, name)
    cache = cache_of(world, client, max_cache_size=3)
    start = threading.Barrier(8)

    def read(_: int) -> set[bool]:
        start.wait()
        return {name == cache.get_secret_string(name) for _ in range(50) for name in names}

    with ThreadPoolExecutor(8) as pool:
        assert {True} == set().union(*pool.map(read, range(8)))


def test_a_marker_is_followed_by_a_read_of_its_version(world: World, client: Client) -> None:
    """A moved marker costs one GetSecretValue of the version that it names, and no DescribeSecret."""
    world.mark()
    cache = cache_of(world, client, table=True)
    cache.get_secret_string(NAME)
    world.clock.advance(5)
    cache.get_secret_string(NAME)
    client.calls.clear()
    world.rotate("v2", "two")
    world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    assert {"GetSecretValue": 1} == client.calls


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("is_name_first", [True, False])
def test_an_error_is_the_clients_by_each_id(
    world: World, client: Client, order: tuple[int, int], *, is_name_first: bool
) -> None:
    """Whichever id the call that failed was made with, and whichever was asked for first."""
    ids = (NAME, world.arn) if is_name_first else (world.arn, NAME)
    cache = cache_of(world, client)
    for place in order:
        cache.get_secret_string(ids[place])
    client.fail = lambda name: failure("ResourceNotFoundException", name)
    cache.keyturn.invalidate(NAME)
    world.clock.advance(1)
    for one in (*ids, *ids):
        with pytest.raises(ClientError):
            cache.get_secret_string(one)
    client.fail = lambda _: None
    world.clock.advance(61)
    assert {"one"} == {cache.get_secret_string(one) for one in ids}
