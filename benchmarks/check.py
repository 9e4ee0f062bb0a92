"""The cost of a check of the marker table: its request, its wait, and the effect on other reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.markers.calls import DynamoDBClient

import time
from array import array
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Final

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from benchmarks.aws import CREDENTIALS, NAME, TABLE, Answers, canned, endpoint, item_bytes
from benchmarks.results import Part, Parts, Row, Size, counted, percentile, ratio, row
from benchmarks.timing import Take, interleaved
from keyturn import Limits, Peers, SecretCache
from keyturn.testing.embedded import REGION
from keyturn.testing.fakes import FakeClock

INTERVAL_S: Final = 5.0
READ_UNIT_BYTES: Final = 4096
HELD: Final = (1, 10, 100, 1000)
POLL_INTERVAL_S: Final = 0.2
"""The poller's interval in seconds.

It is far below any sensible interval, so that there are many checks, and above the time of a check with a
refresh.
"""

LONG_INTERVAL_S: Final = 3600.0
ASLEEP: Final = "poller asleep"
BUSY: Final = "poller at work"
CHECKING: Final = "during a check"
REFRESHING: Final = "during a refresh"


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of timed checks, the seconds of timed gets beside the poller, and the number of turns."""

    checks: int
    background_s: float
    background_rounds: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(checks=300, background_s=2, background_rounds=5),
    "quick": Plan(checks=40, background_s=1.6, background_rounds=1),
}


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    background = gets_beside_the_poller(plan)
    p99 = {name: median(one.share_ns(0.99) for one in taken) for name, taken in background.items()}
    with endpoint() as url:
        inline = inline_ms(plan, url)
    requests = {held: wire(held) for held in HELD}
    part = Part(
        "A check",
        "All clients are boto3's. The requests and bytes, headers included, are those of a check that finds "
        "nothing new, by what the process holds. The wait is that of the `get` that checks, while a stub on "
        "127.0.0.1 answers at once. So it is the client's own time, and a network would add the same to all "
        "three. Beside the background thread each `get` is timed by itself, while the thread sleeps, and "
        f"while it checks every {POLL_INTERVAL_S:g} s with a rotation before every other check. The gets "
        "that fell into a check, or into the GetSecretValue after a move, are also shown alone.",
        (
            *(one for held, seen in requests.items() for one in wire_rows(held, seen)),
            *(row(name, "ms", taken) for name, taken in inline.items()),
            *(one for name, taken in background.items() for one in background_rows(name, taken)),
        ),
        (
            ratio(
                "requests per check", max(one.requests for one in requests.values()), "at most", 1, "requests"
            ),
            ratio(
                "read units per check", max(one.units for one in requests.values()), "at most", 0.5, "units"
            ),
            ratio("p99 of get, poller at work / asleep", p99[BUSY] / p99[ASLEEP], "at most", 3),
            ratio("p99 of get, during a check / asleep", p99[CHECKING] / p99[ASLEEP], "at most", 3),
            ratio("p99 of get, during a refresh / asleep", p99[REFRESHING] / p99[ASLEEP], "at most", 3),
        ),
        notes=(
            (
                "Read units are computed by DynamoDB's rule from the answer's size: half a unit for up to "
                "4 KB read eventually consistent. The network to AWS is not measured. "
                "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html"
            ),
        ),
    )
    return {"check": part}


# The request of a check is counted below.


@dataclass(slots=True)
class Wire:
    """The traffic of a check: requests, bytes each way, and read units."""

    requests: int = 0
    sent: int = 0
    received: int = 0
    units: float = 0.0


@dataclass(slots=True)
class Tapped:
    """A clock, and a cache that holds `held` secrets with a marker table. All its requests are counted."""

    held: int
    clock: FakeClock = field(default_factory=FakeClock)
    answers: Answers = field(default_factory=Answers)
    wire: Wire = field(default_factory=Wire)

    def cache(self, url: str | None = None) -> SecretCache:
        """Return the cache, warm and checked once."""
        clients = [_client(service, url) for service in ("secretsmanager", "dynamodb")]
        if url is None:
            for client in clients:
                canned(client, self.answers)
        for client in clients:
            client.meta.events.register_first("before-send", self._sent)  # type: ignore[attr-defined]
            client.meta.events.register("after-call", self._received)  # type: ignore[attr-defined]
        cache = SecretCache(
            cast("SecretsManagerClient", clients[0]),
            marker_table=TABLE,
            dynamodb_client=cast("DynamoDBClient", clients[1]),
            check_interval_s=INTERVAL_S,
            limits=Limits(max_secrets=self.held),
            peers=Peers(clock=self.clock, random=lambda: 0.0),
        )
        for number in range(self.held):
            cache.get(f"{NAME}-{number}")
        self.clock.advance(INTERVAL_S)
        cache.get(f"{NAME}-0")
        return cache

    def _sent(self, request: AWSPreparedRequest, **_event: object) -> None:
        body = request.body
        length = len(body) if isinstance(body, bytes) else 0
        self.wire.requests += 1
        self.wire.sent += length + sum(len(name) + len(value) + 4 for name, value in request.headers.items())

    def _received(self, http_response: object, parsed: dict[str, object], **_event: object) -> None:
        content, headers = getattr(http_response, "content", b""), getattr(http_response, "headers", {})
        self.wire.received += len(content) + sum(len(name) + len(text) + 4 for name, text in headers.items())
        item = parsed.get("Item")
        if isinstance(item, dict):
            self.wire.units += 0.5 * -(-item_bytes(item) // READ_UNIT_BYTES)


def wire(held: int) -> Wire:
    """Return the traffic of one check when nothing has changed."""
    tapped = Tapped(held)
    cache = tapped.cache()
    tapped.wire = Wire()
    tapped.clock.advance(INTERVAL_S)
    cache.get(f"{NAME}-0")
    return tapped.wire


def wire_rows(held: int, seen: Wire) -> tuple[Row, ...]:
    """Return the figures of one check."""
    note = f"{held} held"
    return (
        counted("requests of a check", "requests", seen.requests, note),
        counted("bytes sent", "bytes", seen.sent, note),
        counted("bytes received", "bytes", seen.received, note),
        counted("consumed capacity", "read units", seen.units, note),
    )


# The wait of a check is timed below.


def inline_ms(plan: Plan, url: str) -> dict[str, list[float]]:
    """Return the milliseconds of a get that checks, and of the calls that peers make to be fresh."""
    tapped = Tapped(1)
    cache, client = tapped.cache(url), _client("secretsmanager", url)

    def check() -> float:
        tapped.clock.advance(INTERVAL_S)
        return _ms(lambda: cache.get(f"{NAME}-0"))

    def ask(operation: str) -> float:
        call = getattr(client, operation)
        return _ms(lambda: call(SecretId=NAME))

    takes: dict[str, Take] = {
        "the get that checks (GetItem)": check,
        "a read again (GetSecretValue), as Powertools and boto3 do": partial(ask, "get_secret_value"),
        "DescribeSecret, as aws-secretsmanager-caching does": partial(ask, "describe_secret"),
    }
    for take in takes.values():
        take()
    return interleaved(takes, plan.checks)


def _ms(call: object) -> float:
    assert callable(call)
    started_s = time.perf_counter()
    call()
    return (time.perf_counter() - started_s) * 1000


# Gets beside the poller are timed below.


@dataclass(frozen=True, slots=True)
class Gets:
    """The times of many gets, each in nanoseconds, and the number of calls that the poller made."""

    times_ns: Sequence[int]
    calls: int

    def share_ns(self, share: float) -> float:
        return percentile(self.times_ns, share)


@dataclass(slots=True)
class Flights:
    """The times of a client's calls, from their arguments to their parsed answer, in nanoseconds."""

    begun_ns: list[int] = field(default_factory=list)
    ended_ns: list[int] = field(default_factory=list)

    def watch(self, client: object) -> None:
        """Record every call of this client."""
        events = client.meta.events  # type: ignore[attr-defined] # any boto3 client
        events.register("provide-client-params", lambda **_: self.begun_ns.append(time.perf_counter_ns()))
        events.register("after-call", lambda **_: self.ended_ns.append(time.perf_counter_ns()))

    def among(self, begun: Sequence[int], ended: Sequence[int]) -> list[int]:
        """Return the durations of the gets that overlap with a call."""
        found: list[int] = []
        for first_ns, last_ns in zip(self.begun_ns, self.ended_ns, strict=False):
            overlap = slice(bisect(ended, first_ns), bisect(begun, last_ns))
            found += [end - start for start, end in zip(begun[overlap], ended[overlap], strict=True)]
        return found


def gets_beside_the_poller(plan: Plan) -> dict[str, list[Gets]]:
    """Time gets in turn while the poller sleeps, and while it checks and refreshes."""
    taken: dict[str, list[Gets]] = {ASLEEP: [], BUSY: [], CHECKING: [], REFRESHING: []}
    with endpoint(moves_every=2) as url:
        for _ in range(plan.background_rounds):
            taken[ASLEEP].append(gets(url, LONG_INTERVAL_S, plan.background_s)[BUSY])
            for name, found in gets(url, POLL_INTERVAL_S, plan.background_s).items():
                taken[name].append(found)
    return taken


def gets(url: str, interval_s: float, seconds: float) -> dict[str, Gets]:
    """Time every get for some seconds: all gets, those during checks, and those during refreshes."""
    clients = {CHECKING: _client("dynamodb", url), REFRESHING: _client("secretsmanager", url)}
    cache = SecretCache(
        cast("SecretsManagerClient", clients[REFRESHING]),
        marker_table=TABLE,
        dynamodb_client=cast("DynamoDBClient", clients[CHECKING]),
        check_interval_s=interval_s,
        # Copies stay fresh for longer than the window of the longest interval, so that every get can be a
        # hit.
        background=True,
        limits=Limits(covered_ttl_s=6 * 3600, uncovered_ttl_s=6 * 3600),
    )
    with cache:
        cache.get(NAME)
        flights = {name: Flights() for name in clients}
        for name, client in clients.items():
            flights[name].watch(client)
        timed = timed_gets(cache, seconds)
    calls = sum(len(one.ended_ns) for one in flights.values())
    during = {name: Gets(one.among(*timed), len(one.ended_ns)) for name, one in flights.items()}
    return {BUSY: Gets([end - start for start, end in zip(*timed, strict=True)], calls), **during}


def timed_gets(cache: SecretCache, seconds: float) -> tuple[array[int], array[int]]:
    """Return when each of many gets began and ended, in nanoseconds."""
    begun, ended = array("q"), array("q")
    get, now = cache.get, time.perf_counter_ns
    late_ns = now() + int(seconds * 1e9)
    while (started_ns := now()) < late_ns:
        get(NAME)
        ended.append(now())
        begun.append(started_ns)
    return begun, ended


def background_rows(name: str, taken: list[Gets]) -> tuple[Row, ...]:
    """Return the figures of the gets beside the poller."""
    return (
        row(f"get, {name}: median", "ns", [one.share_ns(0.5) for one in taken]),
        row(f"get, {name}: p99", "ns", [one.share_ns(0.99) for one in taken]),
        row(f"get, {name}: p99.9", "ns", [one.share_ns(0.999) for one in taken]),
        row(f"get, {name}: worst", "ns", [one.share_ns(1.0) for one in taken]),
        row(f"gets timed, {name}", "gets", [len(one.times_ns) for one in taken]),
        row(f"calls of the poller, {name}", "calls", [one.calls for one in taken]),
    )


def _client(service: str, url: str | None) -> object:
    return boto3.client(  # type: ignore[call-overload] # the service is a variable
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard"}),
    )
