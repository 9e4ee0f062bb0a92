"""`python -m benchmarks.hanging`: how long a `get` takes at most while something hangs, on real sockets.

Prints a Markdown table. botocore's own clients, as keyturn makes them, meet a server that never answers,
addresses that drop SYNs, a TLS handshake that stalls, and a name server that takes its time to fail.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple, cast
from unittest.mock import patch

from botocore.config import Config
from botocore.session import get_session

from benchmarks.results import machine, versions
from keyturn import KeyturnError, Limits, SecretCache
from keyturn.aws.clients import SECRETS_ATTEMPTS, SECRETS_TIMEOUTS_S, TABLE_ATTEMPTS, TABLE_TIMEOUTS_S
from keyturn.aws.secretsmanager import SecretsManagerClient

NAME: Final = "prod/db"
HOST: Final = "hanging.test"
SECRETS: Final = 10
"""How many secrets are due."""

RESOLVER_S: Final = 10.0
"""How long the name server takes to fail."""

BACKLOG_PROBES: Final = 16
"""Connections that fill the backlog of a socket that nobody accepts from: Linux then drops SYNs."""

Answer = Mapping[str, object]


class Endpoint(NamedTuple):
    """Where a client is sent, and what to do meanwhile."""

    url: str
    addresses: tuple[str, ...] = ()
    resolver_s: float = 0.0


@contextmanager
def silent(scheme: str) -> Iterator[Endpoint]:
    """A server that accepts and never answers: neither the request, nor the handshake of TLS."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        yield Endpoint(f"{scheme}://127.0.0.1:{server.getsockname()[1]}")


@contextmanager
def dropping() -> Iterator[Endpoint]:
    """A name with three addresses that answer no SYN."""
    addresses = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    with ExitStack() as stack:
        port = 0
        for address in addresses:
            server = stack.enter_context(socket.socket())
            server.bind((address, port))
            port = server.getsockname()[1]
            server.listen(0)
            for _ in range(BACKLOG_PROBES):
                client = stack.enter_context(socket.socket())
                client.settimeout(0)
                client.connect_ex((address, port))
        yield Endpoint(f"http://{HOST}:{port}", addresses)


@contextmanager
def unresolved() -> Iterator[Endpoint]:
    """A name whose server takes ten seconds to fail."""
    yield Endpoint(f"http://{HOST}:80", resolver_s=RESOLVER_S)


@contextmanager
def resolved(endpoint: Endpoint) -> Iterator[None]:
    """Let this process resolve the name as that endpoint says."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: object, **others: object) -> list[tuple[object, ...]]:
        if host != HOST:
            return cast("list[tuple[object, ...]]", real(host, port, *rest, **others))  # type: ignore[arg-type] # handed on
        if not endpoint.addresses:
            time.sleep(endpoint.resolver_s)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in endpoint.addresses
        ]

    with patch("socket.getaddrinfo", getaddrinfo):
        yield


class Switch:
    """A client of Secrets Manager and DynamoDB that answers by itself until it is sent elsewhere."""

    def __init__(self) -> None:
        self.secrets: object = None
        self.table: object = None
        self._version = 1

    def get_secret_value(self, **request: str) -> Answer:
        if self.secrets is not None:
            return cast("SecretsManagerClient", self.secrets).get_secret_value(**request)
        name = request["SecretId"].split(":")[-1].removesuffix("-AbCdEf")
        return {
            "ARN": f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": "v1",
            "VersionStages": ["AWSCURRENT"],
            "SecretString": "x",
        }

    def get_item(self, **request: object) -> Answer:
        return cast("Answer", self.table.get_item(**request)) if self.table is not None else {}  # type: ignore[attr-defined] # botocore's

    def batch_get_item(self, **request: object) -> Answer:
        return cast("Answer", self.table.batch_get_item(**request)) if self.table is not None else {}  # type: ignore[attr-defined] # botocore's


def client(service: str, endpoint: Endpoint) -> object:
    """Make a client as keyturn makes its own, for this endpoint."""
    is_table = service == "dynamodb"
    connect_s, read_s = TABLE_TIMEOUTS_S if is_table else SECRETS_TIMEOUTS_S
    attempts = TABLE_ATTEMPTS if is_table else SECRETS_ATTEMPTS
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return get_session().create_client(
        service,
        region_name="eu-west-1",
        endpoint_url=endpoint.url,
        aws_access_key_id="key",
        aws_secret_access_key="none",  # noqa: S106 # nobody's
        config=config,
    )


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest `get` in seconds: warm inline, warm with a background thread, and cold."""

    inline_s: float
    background_s: float
    cold_s: float | None


def took_s(call: Callable[[], object]) -> float:
    """Return how long a call takes, whether it returns or raises an error of keyturn's."""
    begun_s = time.monotonic()
    with suppress(KeyturnError):
        call()
    return time.monotonic() - begun_s


def warm_s(endpoint: Endpoint, service: str, seconds: float, *, background: bool) -> float:
    """Return the longest of all gets in so many seconds, of ten secrets that are all due at once."""
    switch = Switch()
    limits = Limits(check_interval_s=1, uncovered_ttl_s=1.5, covered_ttl_s=60)
    with SecretCache(
        switch,
        marker_table="markers" if service == "dynamodb" else False,
        convergence_table=False,
        dynamodb_client=switch,  # type: ignore[arg-type] # a reader needs no more
        background=background,
        limits=limits,
    ) as cache:
        names = [f"{NAME}{number}" for number in range(SECRETS)]
        for name in names:
            cache.get(name)
        if service == "dynamodb":
            switch.table = client(service, endpoint)
        else:
            switch.secrets = client(service, endpoint)
        longest_s, ends_s = 0.0, time.monotonic() + seconds
        while time.monotonic() < ends_s:
            for name in names:
                longest_s = max(longest_s, took_s(lambda name=name: cache.get(name)))  # type: ignore[misc] # mypy #12557
            time.sleep(0.01)
        cache.close(0.1)
    return longest_s


def cold_s(endpoint: Endpoint, wait_s: float) -> float:
    """Return how long the first `get` takes, of a secret that nobody holds."""
    switch = Switch()
    switch.secrets = client("secretsmanager", endpoint)
    cache = SecretCache(
        switch, marker_table=False, convergence_table=False, limits=Limits(cold_wait_s=wait_s)
    )
    return took_s(lambda: cache.get(NAME))


HANGS: Final[Mapping[str, tuple[str, Callable[[], object]]]] = {
    "Secrets Manager accepts and never answers": ("secretsmanager", lambda: silent("http")),
    "three addresses that drop SYNs": ("secretsmanager", dropping),
    "a TLS handshake that stalls": ("secretsmanager", lambda: silent("https")),
    f"a name server that takes {RESOLVER_S:g} s to fail": ("secretsmanager", unresolved),
    "the marker table accepts and never answers": ("dynamodb", lambda: silent("http")),
}
"""What hangs, of which service, and how."""


def measured(what: str, seconds: float, wait_s: float) -> Longest:
    """Let that hang, and return the longest gets."""
    service, hang = HANGS[what]
    with cast("ExitStack", hang()) as found, ThreadPoolExecutor(3) as pool:
        endpoint = cast("Endpoint", found)
        with resolved(endpoint):
            inline = pool.submit(warm_s, endpoint, service, seconds, background=False)
            ahead = pool.submit(warm_s, endpoint, service, seconds, background=True)
            cold = pool.submit(cold_s, endpoint, wait_s) if service == "secretsmanager" else None
            return Longest(inline.result(), ahead.result(), cold.result() if cold is not None else None)


def table(rows: Mapping[str, Longest], seconds: float, wait_s: float) -> Iterator[str]:
    """Yield the lines of the Markdown table, and what it was measured on."""
    yield "| what hangs | warm, inline | warm, `background=True` | cold |"
    yield "|---|---|---|---|"
    for what, longest in rows.items():
        cold = f"{longest.cold_s:.2f} s" if longest.cold_s is not None else "-"
        yield f"| {what} | {longest.inline_s:.2f} s | {longest.background_s:.3f} s | {cold} |"
    on = machine()
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield ""
    yield (
        f"The longest `get` of {SECRETS} secrets in {seconds:g} s, with `cold_wait_s={wait_s:g}`. Printed on "
        f"{date.today().isoformat()} ({on.system}, {on.processor}, {on.processors} processors, "  # noqa: DTZ011
        f"Python {on.python}; {packages})."
    )


def main() -> None:
    """Measure each, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hanging", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long each warm cache is read")
    parser.add_argument("--cold-wait", type=float, default=10.0, help="cold_wait_s of the cold cache")
    asked = parser.parse_args()
    rows = {what: measured(what, asked.seconds, asked.cold_wait) for what in HANGS}
    print("\n".join(table(rows, asked.seconds, asked.cold_wait)), flush=True)


if __name__ == "__main__":
    main()
