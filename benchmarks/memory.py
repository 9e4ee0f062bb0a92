"""The memory that a cache needs per secret, beyond the secret's own text."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from benchmarks.aws import NAME, TABLE, VALUE, Answers, headers
from benchmarks.results import Part, Parts, Size, counted, ratio
from keyturn import Limits, Peers, SecretCache
from keyturn.testing.embedded import REGION
from keyturn.testing.fakes import FakeClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEYTURN: Final = "keyturn"
KEYTURN_TABLE: Final = "keyturn with markers"
UPSTREAM: Final = "aws-secretsmanager-caching"
POWERTOOLS: Final = "Powertools parameters"
CACHETOOLS: Final = "cachetools TTLCache of texts"

INTERVAL_S: Final = 5.0
DATES: Final = ("CreatedDate", "LastAccessedDate", "LastChangedDate", "LastRotatedDate")


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of secrets held."""

    secrets: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(secrets=5_000),
    "quick": Plan(secrets=1_000),
}


class Client:
    """A client whose answers are new objects each time, as botocore's are."""

    def __init__(self) -> None:
        self._answers = Answers()

    def get_secret_value(self, **request: object) -> Mapping[str, object]:
        return self._answer("GetSecretValue", request)

    def describe_secret(self, **request: object) -> Mapping[str, object]:
        return self._answer("DescribeSecret", request)

    def get_item(self, **request: object) -> Mapping[str, object]:
        return self._answer("GetItem", request)

    def batch_get_item(self, **request: object) -> Mapping[str, object]:
        return self._answer("BatchGetItem", request)

    def _answer(self, operation: str, request: Mapping[str, object]) -> Mapping[str, object]:
        body = json.dumps(self._answers.answer(operation, request)).encode()
        answer: dict[str, object] = json.loads(body)
        for name in DATES:
            if name in answer:
                answer[name] = datetime.fromtimestamp(float(str(answer[name])), UTC)
        lower = {name.lower(): text for name, text in headers(body).items()}
        request_id = lower["x-amzn-requestid"]
        meta = {"RequestId": request_id, "HTTPStatusCode": 200, "HTTPHeaders": lower, "RetryAttempts": 0}
        return answer | {"ResponseMetadata": meta}


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    kib = {name: in_a_process(name, plan.secrets) / 1024 for name in HOLDERS}
    part = Part(
        "Memory per held secret",
        f"Each cache reads {plan.secrets:,} secrets of {len(VALUE)} characters in a fresh process. Each "
        "secret has its own name and ids. The figure is what tracemalloc counts afterwards, without the "
        "secrets' own texts, divided by the number of secrets. Each answer is a new object with "
        "ResponseMetadata and headers, as botocore's answers are.",
        tuple(counted(name, "KiB", taken) for name, taken in kib.items()),
        (
            ratio("keyturn per secret", kib[KEYTURN], "at most", 2, "KiB"),
            ratio("keyturn with markers per secret", kib[KEYTURN_TABLE], "at most", 2, "KiB"),
        ),
        notes=(
            (
                "cachetools and Powertools keep only the text. keyturn also keeps the ids and times "
                "by which it distinguishes versions and which status() shows. The memory "
                "that malloc adds to Python's requests is not counted for any of them."
            ),
        ),
    )
    return {"memory": part}


def in_a_process(name: str, secrets: int) -> float:
    """Return the bytes per secret beyond its text, of one cache in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", name, str(secrets)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(answer.stdout)


def bytes_per_secret(name: str, secrets: int) -> float:
    """Return the bytes per secret beyond its text, measured in this process."""
    names = [f"{NAME}-{number}" for number in range(secrets)]
    # Objects that are made once, for the first secret, are not part of a secret's cost.
    read = HOLDERS[name](secrets + 1)
    read([f"{NAME}-first"])
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    read(names)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / secrets - sys.getsizeof(VALUE)


Read = Callable[[list[str]], object]


def keyturn(secrets: int) -> Read:
    """Make a cache of keyturn without a marker table."""
    cache = SecretCache(Client(), limits=Limits(max_secrets=secrets))
    return lambda names: [cache.get(name).version_id for name in names][:0]


def keyturn_with_markers(secrets: int) -> Read:
    """Make a cache of keyturn that has read a marker for every secret."""
    clock, client = FakeClock(), Client()
    cache = SecretCache(
        client,
        marker_table=TABLE,
        dynamodb_client=cast("DynamoDBClient", client),
        limits=Limits(max_secrets=secrets, refresh_wait_s=60),
        peers=Peers(clock=clock),
    )

    def read(names: list[str]) -> None:
        for name in names:
            cache.get(name)
        clock.advance(INTERVAL_S)
        cache.get(names[0])
        markers = cache.status().secrets
        assert all(one.covered for one in markers), markers[0].why

    return read


def upstream(secrets: int) -> Read:
    """Make a cache of aws-secretsmanager-caching."""
    from aws_secretsmanager_caching import SecretCache as Upstream
    from aws_secretsmanager_caching import SecretCacheConfig

    config = SecretCacheConfig(max_cache_size=secrets)  # type: ignore[no-untyped-call] # it has no types
    cache = Upstream(config, Client())  # type: ignore[no-untyped-call] # it has no types
    get: Callable[[str], object] = cache.get_secret_string
    return lambda names: [get(name) for name in names][:0]


def powertools(_secrets: int) -> Read:
    """Make a provider of Powertools parameters."""
    import boto3
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    # The constructor accepts only a client of boto3; reads accept any client.
    provider = SecretsProvider(boto3_client=boto3.client("secretsmanager", region_name=REGION))
    provider.client = cast("SecretsManagerClient", Client())
    return lambda names: [provider.get(name, max_age=3600) for name in names][:0]


def cachetools(secrets: int) -> Read:
    """Make a cache of cachetools that holds texts."""
    from cachetools import TTLCache, cached

    client = Client()

    @cached(TTLCache(secrets, 3600), lock=threading.Lock())
    def fetch(name: str) -> object:
        return client.get_secret_value(SecretId=name)["SecretString"]

    return lambda names: [fetch(name) for name in names][:0]


HOLDERS: Final[Mapping[str, Callable[[int], Read]]] = {
    KEYTURN: keyturn,
    KEYTURN_TABLE: keyturn_with_markers,
    UPSTREAM: upstream,
    POWERTOOLS: powertools,
    CACHETOOLS: cachetools,
}


if __name__ == "__main__":
    print(bytes_per_secret(sys.argv[1], int(sys.argv[2])))
