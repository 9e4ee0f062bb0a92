"""How long a `get` takes at most while something hangs, on real sockets: `python -m benchmarks.hanging`.

Prints Markdown tables. botocore's own clients, as keyturn makes them, meet a server that never answers,
addresses that drop SYNs, a TLS handshake that stalls, and a name server that takes its time to fail. A Lambda
function is invoked through an outage, and gets are timed with and without one.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final, NamedTuple, cast
from unittest.mock import patch

from botocore.config import Config
from botocore.session import get_session

from benchmarks.outages import (
    FUNCTIONS,
    Quantiles,
    function_table,
    quantile_table,
    survived,
    timed,
)
from benchmarks.results import machine, versions
from keyturn import KeyturnError, Limits, SecretCache
from keyturn.aws.clients import SECRETS_ATTEMPTS, SECRETS_TIMEOUTS_S, TABLE_ATTEMPTS, TABLE_TIMEOUTS_S
from keyturn.aws.parameterstore import ParameterStoreClient
from keyturn.aws.secretsmanager import SecretsManagerClient

NAME: Final = "prod/db"
HOST: Final = "hanging.test"
SECRETS: Final = 10
"""How many secrets are due."""

RESOLVER_S: Final = 10.0
"""How long the name server takes to fail."""

BACKLOG_PROBES: Final = 16
"""Connections that fill the backlog of a socket that nobody accepts from: Linux then drops SYNs."""

PATH: Final = "/app"
PARAMETERS_ARN: Final = "arn:aws:ssm:eu-west-1:111122223333:parameter"

NAMES_BY_SERVICE: Final[Mapping[str, list[str]]] = {
    "secretsmanager": [f"{NAME}{number}" for number in range(SECRETS)],
    "dynamodb": [f"{NAME}{number}" for number in range(SECRETS)],
    "ssm": [f"{PATH}/{number}" for number in range(SECRETS)],
}
"""What is read while that service hangs."""

DUE_S: Final = 5.0
"""After so long a copy is due in a busy server: several windows of the hit path, as by default."""

WITHOUT, DURING = "no outage", "Secrets Manager accepts and never answers"

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
    """Let this process resolve the name as that endpoint says. Only one such block at a time may need it."""
    if HOST not in endpoint.url:
        yield
        return
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
    """A client of all three services that answers by itself until it is sent elsewhere."""

    def __init__(self) -> None:
        self.secrets: object = None
        self.table: object = None
        self.parameters: object = None

    def turn(self, service: str, endpoint: Endpoint) -> None:
        """Send the requests to this service there from now on."""
        sent = client(service, endpoint)
        if service == "dynamodb":
            self.table = sent
        elif service == "ssm":
            self.parameters = sent
        else:
            self.secrets = sent

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

    def get_parameter(self, **request: object) -> Answer:
        if self.parameters is not None:
            return cast("ParameterStoreClient", self.parameters).get_parameter(**request)
        return {"Parameter": _parameter(str(request["Name"]))}

    def get_parameters(self, **request: object) -> Answer:
        if self.parameters is not None:
            return cast("ParameterStoreClient", self.parameters).get_parameters(**request)
        return {"Parameters": [_parameter(name) for name in cast("list[str]", request["Names"])]}

    def get_parameters_by_path(self, **request: object) -> Answer:
        if self.parameters is not None:
            return cast("ParameterStoreClient", self.parameters).get_parameters_by_path(**request)
        return {"Parameters": [_parameter(name) for name in NAMES_BY_SERVICE["ssm"]]}


def _parameter(name: str) -> Answer:
    name = name.removeprefix(PARAMETERS_ARN)
    return {"Name": name, "ARN": PARAMETERS_ARN + name, "Type": "String", "Value": "x", "Version": 1}


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


def cache_of(
    switch: Switch, service: str, *, background: bool, wait_s: float = 10.0, due_s: float = 3.0
) -> SecretCache:
    """Return a cache whose copies are due after so long; it checks the table if that is the service.

    Twice that time is longer than the background thread needs to tell that the service hangs: callers wait
    for the names under a path that are twice as old as the TTL, and a TTL is minutes outside of this module.
    """
    return SecretCache(
        switch,
        marker_table="markers" if service == "dynamodb" else False,
        convergence_table=False,
        dynamodb_client=switch,  # type: ignore[arg-type] # a reader needs no more
        ssm_client=switch,
        background=background,
        limits=Limits(check_interval_s=1, uncovered_ttl_s=due_s, covered_ttl_s=60, cold_wait_s=wait_s),
    )


class Hang(NamedTuple):
    """What hangs: which service, how, and what is read of it; `is_path`: the parameters under a path."""

    service: str
    begin: Callable[[], AbstractContextManager[Endpoint]]
    is_path: bool = False

    def reads(self, cache: SecretCache) -> list[Callable[[], object]]:
        """Return what a caller does in turn."""
        names = NAMES_BY_SERVICE[self.service]
        if self.is_path:
            return [lambda: cache.get_parameters_by_path(PATH)]
        if self.service == "ssm":
            return [partial(cache.get_parameter, name) for name in names]
        return [partial(cache.get, name) for name in names]


HANGS: Final[Mapping[str, Hang]] = {
    "Secrets Manager accepts and never answers": Hang("secretsmanager", lambda: silent("http")),
    "three addresses that drop SYNs": Hang("secretsmanager", dropping),
    "a TLS handshake that stalls": Hang("secretsmanager", lambda: silent("https")),
    f"a name server that takes {RESOLVER_S:g} s to fail": Hang("secretsmanager", unresolved),
    "the marker table accepts and never answers": Hang("dynamodb", lambda: silent("http")),
    "Parameter Store accepts and never answers": Hang("ssm", lambda: silent("http")),
    "the same, `get_parameters_by_path`": Hang("ssm", lambda: silent("http"), is_path=True),
}
"""What hangs, and what is read meanwhile."""


def warm_s(endpoint: Endpoint, hang: Hang, seconds: float, *, background: bool) -> float:
    """Return the longest of all reads in so many seconds, of ten copies that are all due at once."""
    switch = Switch()
    with cache_of(switch, hang.service, background=background) as cache:
        reads = hang.reads(cache)
        for read in reads:
            read()
        switch.turn(hang.service, endpoint)
        longest_s, ends_s = 0.0, time.monotonic() + seconds
        while time.monotonic() < ends_s:
            longest_s = max(longest_s, *map(took_s, reads))
            time.sleep(0.01)
        cache.close(0.1)
    return longest_s


def cold_s(endpoint: Endpoint, hang: Hang, wait_s: float) -> float:
    """Return how long the first read takes, of what nobody holds."""
    switch = Switch()
    switch.turn(hang.service, endpoint)
    return took_s(hang.reads(cache_of(switch, hang.service, background=False, wait_s=wait_s))[0])


def measured(what: str, seconds: float, wait_s: float) -> Longest:
    """Let that hang, and return the longest reads."""
    hang = HANGS[what]
    with hang.begin() as endpoint, ThreadPoolExecutor(3) as pool, resolved(endpoint):
        inline = pool.submit(warm_s, endpoint, hang, seconds, background=False)
        ahead = pool.submit(warm_s, endpoint, hang, seconds, background=True)
        cold = pool.submit(cold_s, endpoint, hang, wait_s) if hang.service != "dynamodb" else None
        return Longest(inline.result(), ahead.result(), cold.result() if cold is not None else None)


def each_measured(seconds: float, wait_s: float) -> dict[str, Longest]:
    """Let everything hang that can: one after the other of each service, all services at once."""

    def of_service(service: str) -> dict[str, Longest]:
        names = (what for what, one in HANGS.items() if one.service == service)
        return {what: measured(what, seconds, wait_s) for what in names}

    with ThreadPoolExecutor(len(NAMES_BY_SERVICE)) as pool:
        found = ChainMap(*pool.map(of_service, NAMES_BY_SERVICE))
    return {what: found[what] for what in HANGS}


def quantiles(seconds: float, rounds: int) -> dict[str, Quantiles]:
    """Time gets with `background=True`, without and during an outage, in turn."""
    took: dict[str, list[int]] = {WITHOUT: [], DURING: []}
    names = NAMES_BY_SERVICE["secretsmanager"]
    with silent("http") as endpoint, ExitStack() as stack:
        caches = {}
        for what in took:
            switch = Switch()
            made = cache_of(switch, "secretsmanager", background=True, due_s=DUE_S)
            caches[what] = stack.enter_context(made)
            for name in names:
                caches[what].get(name)
            if what == DURING:
                switch.turn("secretsmanager", endpoint)
        # All copies are past their time by then, and the service rests.
        time.sleep(DUE_S + 3.0)
        for _ in range(rounds):
            for what, cache in caches.items():
                took[what] += timed(cache.get, names, seconds / rounds)
        for cache in caches.values():
            cache.close(0.1)
    return {what: Quantiles.of(one) for what, one in took.items()}


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
        f"The longest read of {SECRETS} copies in {seconds:g} s, with `cold_wait_s={wait_s:g}`. Printed on "
        f"{date.today().isoformat()} ({on.system}, {on.processor}, {on.processors} processors, "  # noqa: DTZ011
        f"Python {on.python}; {packages})."
    )


def main() -> None:
    """Measure each, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hanging", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long each warm cache is read")
    parser.add_argument("--cold-wait", type=float, default=10.0, help="cold_wait_s of the cold cache")
    parser.add_argument("--outage", type=float, default=20.0, help="how long the Lambda function's outage is")
    asked = parser.parse_args()
    with ThreadPoolExecutor(len(FUNCTIONS)) as pool:
        begun = {
            what: pool.submit(survived, asked.outage, is_warm=is_warm, cold_wait_s=wait_s)
            for what, (is_warm, wait_s) in FUNCTIONS.items()
        }
        functions = {what: one.result() for what, one in begun.items()}
    during = quantiles(asked.seconds, rounds=6)
    rows = each_measured(asked.seconds, asked.cold_wait)
    tables = (
        table(rows, asked.seconds, asked.cold_wait),
        function_table(functions),
        quantile_table(during),
    )
    print("\n\n".join("\n".join(one) for one in tables), flush=True)


if __name__ == "__main__":
    main()
