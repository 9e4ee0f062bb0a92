"""The cost of a hit, alone and from eight threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
from aws_secretsmanager_caching import SecretCache as UpstreamCache
from cachetools import TTLCache, cached
from pydantic import SecretStr

from benchmarks.aws import NAME, VALUE, parameter_store, secrets_manager
from benchmarks.results import Part, Parts, Row, Size, ratio, row
from benchmarks.timing import Take, interleaved, nanoseconds, paired
from keyturn import SecretCache
from keyturn.compat.cache import SecretCache as CompatCache
from keyturn.model.versions import AWSCURRENT
from keyturn.settings.live import FromSecret, LiveSettings

FLOOR: Final = "floor: one dict look-up, one clock reading"
PLAIN: Final = "a plain dict cache: get's arguments, one expiry per entry"
BY_POSITION: Final = "the same, with `stage` by position too"
GET: Final = "keyturn get"
STRING: Final = "keyturn get_secret_string"
PARAMETER: Final = "keyturn get_parameter"
COMPAT: Final = "keyturn.compat get_secret_string"
LIVE: Final = "keyturn.live, reading a field"
UPSTREAM: Final = "aws-secretsmanager-caching"
POWERTOOLS: Final = "Powertools parameters"
POWERTOOLS_SSM: Final = "Powertools parameters, of Parameter Store"
CACHETOOLS: Final = "cachetools TTLCache and a lock"
BOTO3: Final = "boto3, no cache (no network)"

THREADS: Final = 8
TTL_S: Final = 3600
OF_STORE: Final = f"/{NAME}"
"""The parameter's name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of samples. `hits` is per thread and sample of the threaded measurement."""

    rounds: int
    thread_rounds: int
    hits: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(rounds=250, thread_rounds=20, hits=40_000),
    "quick": Plan(rounds=30, thread_rounds=2, hits=10_000),
}


class LiveLogin(LiveSettings):
    """Settings of an application, with one field of the secret."""

    password: Annotated[SecretStr, FromSecret(NAME, key="password")]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and the time at which it ends."""

    value: object
    ends_at: float


class PlainCache:
    """The least that a cache with the arguments of `SecretCache.get` does: it looks for a value and its end.

    It has no lock, forgets nothing, and takes no notice of a rotation or of a clock that is set back.
    """

    def __init__(self) -> None:
        self._entries: dict[str | tuple[str, str], Entry] = {NAME: Entry(VALUE, time.time() + TTL_S)}
        self._now = time.time

    def get(self, secret_id: str, *, stage: str = AWSCURRENT) -> object:
        """Return the value under `stage`; None without one."""
        entry, now = self._entries.get(secret_id if stage == AWSCURRENT else (secret_id, stage)), self._now
        return entry.value if entry is not None and now() < entry.ends_at else None


class PlainByPosition(PlainCache):
    """The same with `stage` as an argument of either kind: CPython calls such a method faster."""

    def get(self, secret_id: str, stage: str = AWSCURRENT) -> object:
        """Return the value under `stage`; None without one."""
        entry, now = self._entries.get(secret_id if stage == AWSCURRENT else (secret_id, stage)), self._now
        return entry.value if entry is not None and now() < entry.ends_at else None


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to read a warm secret: the statement, and the `subject` in it."""

    statement: str
    subject: object
    read: Callable[[str], object]


def subjects() -> dict[str, Subject]:
    """Return all subjects, warmed up with the same full answer, each used as its documentation shows."""
    keyturn = SecretCache(secrets_manager(), ssm_client=parameter_store())
    upstream = UpstreamCache(client=secrets_manager())  # type: ignore[no-untyped-call] # it has no types
    powertools = SecretsProvider(boto3_client=secrets_manager())
    powertools_ssm = SSMProvider(boto3_client=parameter_store())
    compat = CompatCache(client=secrets_manager())
    live = LiveLogin.live(SecretCache(secrets_manager()))
    client = secrets_manager()

    def fetch(secret_id: str) -> str:
        return client.get_secret_value(SecretId=secret_id)["SecretString"]

    ttl_cached = cached(TTLCache(1024, 300), lock=threading.Lock())(fetch)
    plain, by_position = PlainCache(), PlainByPosition()
    entries, now = {NAME: VALUE}, time.time

    def floor(secret_id: str) -> tuple[str | None, float]:
        return entries.get(secret_id), now()

    found = {
        FLOOR: Subject("subject(name)", floor, floor),
        PLAIN: Subject("subject.get(name)", plain, plain.get),
        BY_POSITION: Subject("subject.get(name)", by_position, by_position.get),
        GET: Subject("subject.get(name)", keyturn, keyturn.get),
        STRING: Subject("subject.get_secret_string(name)", keyturn, keyturn.get_secret_string),
        PARAMETER: Subject(
            f"subject.get_parameter({OF_STORE!r})", keyturn, lambda _: keyturn.get_parameter(OF_STORE)
        ),
        COMPAT: Subject("subject.get_secret_string(name)", compat, compat.get_secret_string),
        LIVE: Subject("subject.password", live, lambda _: live.password),
        CACHETOOLS: Subject("subject(name)", ttl_cached, ttl_cached),
        POWERTOOLS: Subject(
            "subject.get(name, max_age=300)", powertools, partial(powertools.get, max_age=300)
        ),
        POWERTOOLS_SSM: Subject(
            f"subject.get({OF_STORE!r}, max_age=300, decrypt=True)",
            powertools_ssm,
            lambda _: powertools_ssm.get(OF_STORE, max_age=300, decrypt=True),
        ),
        UPSTREAM: Subject("subject.get_secret_string(name)", upstream, upstream.get_secret_string),
        BOTO3: Subject("subject(name)", fetch, fetch),
    }
    for subject in found.values():
        subject.read(NAME)
    return found


def measure(size: Size) -> Parts:
    """Return both parts."""
    plan = PLANS[size]
    found = subjects()
    return {"hit": hits(plan, found), "threads": threads(plan, found)}


def hits(plan: Plan, found: dict[str, Subject]) -> Part:
    """Return the nanoseconds per hit of one thread."""
    takes = {name: nanoseconds(one.statement, subject=one.subject, name=NAME) for name, one in found.items()}
    samples = interleaved(takes, plan.rounds)
    rows = [row(name, "ns", taken) for name, taken in samples.items()]
    return Part(
        "A hit",
        f"{plan.rounds} samples of 3 ms are taken of each, in turn. A boto3 client has filled every cache "
        "with the same full answer, with ResponseMetadata and headers. Each cache is called as its "
        "documentation shows, with a TTL that does not end. Powertools is its SecretsProvider; cachetools is "
        "`cached(TTLCache, lock=Lock())`.",
        tuple(rows),
        (
            ratio(
                "get / floor",
                paired(samples[GET], samples[FLOOR]),
                "at most",
                1.3,
                because="the floor compares nothing; a plain dict cache with get's arguments is "
                f"{paired(samples[PLAIN], samples[FLOOR]):.2f} times the floor (the notes below)",
            ),
            ratio("get / a plain dict cache", paired(samples[GET], samples[PLAIN]), "at most", 1.2),
            ratio(
                "aws-secretsmanager-caching / get", paired(samples[UPSTREAM], samples[GET]), "at least", 100
            ),
            ratio(
                "aws-secretsmanager-caching / keyturn.compat",
                paired(samples[UPSTREAM], samples[COMPAT]),
                "at least",
                100,
            ),
            ratio("Powertools / get", paired(samples[POWERTOOLS], samples[GET]), "at least", 5),
            ratio("get_parameter / floor", paired(samples[PARAMETER], samples[FLOOR]), "at most", 1.8),
            ratio(
                "Powertools / get_parameter",
                paired(samples[POWERTOOLS_SSM], samples[PARAMETER]),
                "at least",
                5,
            ),
        ),
        notes=(
            (
                "Without a cache each read is also an HTTPS call, which takes milliseconds. They are not in "
                "this figure."
            ),
            why_above_the_floor(samples),
        ),
    )


def why_above_the_floor(samples: Mapping[str, Sequence[float]]) -> str:
    """Return the note that says what `get` does above the floor, and what each part costs."""
    plain, by_position, get = (paired(samples[one], samples[FLOOR]) for one in (PLAIN, BY_POSITION, GET))
    return (
        "The floor takes one argument and compares nothing. A plain dict cache does what get's arguments "
        f"need, and no more: {plain:.2f} times the floor. {plain - by_position:.2f} of it is for `stage`, "
        "which is passed by name only: CPython 3.11 to 3.13 call such a method by a general, slower way. "
        f"The other {get - plain:.2f} of get's {get:.2f} are for the window: all copies leave it at once "
        "when a check finds a rotation, and its beginning is compared too, since a clock may be set back."
    )


def threads(plan: Plan, found: dict[str, Subject]) -> Part:
    """Return the throughput of eight threads together, as a share of that of one thread alone."""
    found = {name: one for name, one in found.items() if name not in (BOTO3, PLAIN, BY_POSITION)}
    takes: dict[str, Take] = {}
    for name, one in found.items():
        # Slow subjects need fewer calls for a sample of the same length.
        hits = max(
            500,
            min(
                plan.hits,
                round(plan.hits * 200 / nanoseconds("subject(name)", subject=one.read, name=NAME)()),
            ),
        )
        takes[name] = partial(kept, one.read, hits)
    samples = interleaved(takes, plan.thread_rounds)
    rows: list[Row] = [row(name, "x of one thread", taken) for name, taken in samples.items()]
    return Part(
        f"Hits from {THREADS} threads at once",
        f"{plan.thread_rounds} samples are taken of each, in turn. The figure is the hits per second of "
        f"{THREADS} threads together, divided by those of one thread in the same sample.",
        tuple(rows),
        (ratio("get keeps / floor keeps", paired(samples[GET], samples[FLOOR]), "at least", 0.9),),
    )


def kept(read: Callable[[str], object], hits: int) -> float:
    """Return the throughput of all threads together divided by that of one."""
    alone_s = _seconds(read, hits * THREADS, 1)
    return alone_s / _seconds(read, hits, THREADS)


def _seconds(read: Callable[[str], object], hits: int, number: int) -> float:
    barrier = threading.Barrier(number + 1)

    def work() -> None:
        barrier.wait()
        for _ in range(hits):
            read(NAME)
        barrier.wait()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started_s = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - started_s
    for worker in workers:
        worker.join()
    return seconds
