"""The highest rate of rotations that AWS allows, with a trail and announcements, in virtual time.

The production recorder, once for each announcement and each event, on a table whose items take one write at
a time and 1,000 write units a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, TypeVar, cast

from botocore.exceptions import ClientError

from benchmarks.aws import LIST_PAGE, SCAN_PAGE
from benchmarks.results import Part, Parts, Row, Size, counted, percentile, ratio
from keyturn.errors import KeyturnError, MarkerConflictError
from keyturn.markers.decisions import Hint, announcement
from keyturn.markers.recorder import Recorder
from keyturn.markers.schema import head_key
from keyturn.markers.sweeper import Sweeper
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker
from keyturn.model.protocols import Seen
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described
from keyturn.runtime.host import Host
from keyturn.runtime.parallel import SIDE_BY_SIDE
from keyturn.testing.fakes import ARN_PREFIX, FakeMarkers, FakeSecretsManager
from tests.simulation.peers.dynamodb import Table
from tests.simulation.scheduler import Machine, Scheduler, Waiting

RATE: Final = 25.0
"""Rotations a second: PutSecretValue and UpdateSecretVersionStage share 50 calls a second."""

SECONDS: Final[Mapping[Size, float]] = {"full": 60.0, "quick": 20.0}
COPIES: Final = (1, 16)
CALL_S, DESCRIBE_S, HOLD_S = 0.004, 0.015, 0.002
"""A call's way to DynamoDB and back, DescribeSecret, and how long a write keeps its item."""

STEP_S: Final = 0.6
UNITS_PER_S: Final = 1_000.0
HEAD_UNITS: Final = 4
TRAIL_S: Final = (2.0, 40.0)
AWAY_S, CPU_S = 0.03, 0.008
"""A call of the listener: its way to AWS and back, and its CPU at 256 MB, a seventh of a core."""

Request = Mapping[str, object]
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(slots=True)
class Client:
    """A DynamoDB client in virtual time. `busy_s` says until when each item is being written."""

    scheduler: Scheduler
    table: Table
    random: Random
    busy_s: dict[str, float] = field(default_factory=dict)
    units: dict[str, tuple[float, float]] = field(default_factory=dict)
    written_s: dict[str, float] = field(default_factory=dict)
    throttled: int = 0

    def get_item(self, **request: object) -> dict[str, object]:
        self._travel()
        item = self.table.item(_key(request["Key"]))
        return {
            **({"Item": dict(item)} if item else {}),
            "ResponseMetadata": {"HTTPHeaders": {"date": self.table.date()}},
        }

    def put_item(self, **request: object) -> dict[str, object]:
        return self._write(request, _key(request["Item"]), 1)

    def update_item(self, **request: object) -> dict[str, object]:
        key = _key(request["Key"])
        answer = self._write(request, key, HEAD_UNITS if key.startswith("head") else 1)
        return answer | ({"Attributes": self.table.item(key)} if "ReturnValues" in request else {})

    def transact_write_items(self, **_request: object) -> dict[str, object]:
        raise AssertionError("no event needs a transaction")

    batch_get_item = scan = transact_write_items

    def _write(self, request: Request, key: str, units: int) -> dict[str, object]:
        self._travel()
        self._spend(key, units)
        begin_s = max(self.scheduler.now_s, self.busy_s.get(key, 0.0))
        self.busy_s[key] = begin_s + HOLD_S
        self.scheduler.pause(begin_s + HOLD_S - self.scheduler.now_s)
        self.table.check(request)
        self.table.apply(request)
        self.written_s[key] = self.scheduler.now_s
        return {}

    def _spend(self, key: str, units: int) -> None:
        left, at_s = self.units.get(key, (UNITS_PER_S, 0.0))
        left = min(UNITS_PER_S, left + (self.scheduler.now_s - at_s) * UNITS_PER_S)
        is_enough = left >= units
        self.units[key] = (left - units * is_enough, self.scheduler.now_s)
        if not is_enough:
            self.throttled += 1
            error = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}
            raise ClientError(error, "Update")  # type: ignore[arg-type] # the shape that botocore gives it

    def _travel(self) -> None:
        self.scheduler.pause(CALL_S * (0.5 + self.random.random()))


@dataclass(slots=True)
class Storm:
    """What was measured at so many copies of the head."""

    copies: int
    lags_s: list[float] = field(default_factory=list)
    announces_s: list[float] = field(default_factory=list)
    conflicts: int = 0
    errors: int = 0
    untold: int = 0
    throttled: int = 0


def measure(size: Size) -> Parts:
    """Return the only part."""
    storms = [storm(copies, SECONDS[size]) for copies in COPIES]
    part = Part(
        f"{RATE:g} rotations a second",
        "The recorder of the listener runs in virtual time. Each rotation announces its four steps, and "
        "causes one event of Secrets Manager and three of CloudTrail. The lag is the time from the move of "
        "AWSCURRENT until every copy of the head tells of it. `announce` is how long one call of "
        "keyturn.announce takes; what it raises is counted.",
        tuple(made for one in storms for made in rows(one)),
        (
            ratio("lag, p99", max(p99(one.lags_s) for one in storms), "at most", 1, "s"),
            ratio("lag, longest", max(max(one.lags_s) for one in storms), "at most", 3, "s"),
            ratio("announce, p99", max(p99(one.announces_s) for one in storms), "at most", 0.3, "s"),
            ratio("conflicts raised", sum(one.conflicts for one in storms), "at most", 0, "errors"),
            ratio("other errors raised", sum(one.errors for one in storms), "at most", 0, "errors"),
            ratio("markers untold at the end", sum(one.untold for one in storms), "at most", 0, "markers"),
            ratio("a sweep that corrects 10,000", sweep_s(), "at most", 120, "s"),
        ),
        notes=(
            (
                "The sweep: 10,000 secrets that moved without an event. Each call takes "
                f"{AWAY_S * 1000:g} ms to AWS and {CPU_S * 1000:g} ms of the share of a core that 256 MB get."
            ),
        ),
    )
    return {"storm": part}


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile."""
    return percentile(seconds, 0.99)


def rows(one: Storm) -> tuple[Row, ...]:
    """Return the figures at one number of copies."""
    note = "1 head" if one.copies == 1 else f"{one.copies} copies"
    return (
        counted("lag, p99", "s", p99(one.lags_s), note),
        counted("lag, longest", "s", max(one.lags_s), note),
        counted("announce, p99", "s", p99(one.announces_s), note),
        counted("throttled writes", "calls", one.throttled, note),
    )


def storm(copies: int, seconds: float) -> Storm:
    """Run rotations for so many seconds of virtual time, and let what they caused end."""
    scheduler, random, result = Scheduler(), Random(copies), Storm(copies)
    world = _World(scheduler, random, result)
    scheduler.spawn("begin", world.machine, world.begin)
    scheduler.run(5.0)
    for number in range(int(seconds * RATE)):
        scheduler.spawn("rotation", world.machine, partial(world.rotate, number), number / RATE)
    scheduler.run(5.0 + seconds + TRAIL_S[1] + 20.0)
    scheduler.close()
    result.untold = sum("untold" in item for item in world.table.items().values())
    result.throttled = world.client.throttled
    return result


class _World:
    """Secrets, the table, and who writes it."""

    def __init__(self, scheduler: Scheduler, random: Random, result: Storm) -> None:
        self.scheduler, self.random, self.result = scheduler, random, result
        self.machine = Machine("all")
        self.secrets = FakeSecretsManager()
        self.table = Table(scheduler, random, lambda _key, _item: None)
        self.client = Client(scheduler, self.table, random)
        host = Host(
            wall=lambda: 1_790_000_000.0 + scheduler.now_s,
            sleep=scheduler.pause,
            random=random.random,
            new_epoch=lambda: f"{random.getrandbits(64):016x}",
        )
        self.markers = MarkerTable(self.client, "markers", host, copies=result.copies)
        self.recorder = Recorder(self, self.markers, host, settle_s=6.0)

    def begin(self) -> None:
        """Make the copies of the head."""
        self.markers.renew(1.0)

    def describe(self, secret_id: str) -> Described:
        """As Secrets Manager, after a while."""
        self.scheduler.pause(DESCRIBE_S * (0.5 + self.random.random()))
        return self.secrets.describe(secret_id)

    def list(self) -> Iterator[Described]:
        raise AssertionError("no sweep runs")

    def rotate(self, number: int) -> None:
        """Rotate one secret, step by step, with an announcement of each and an event of each call."""
        name, new = f"db/{number}", f"{number:032x}"
        arn = self.secrets.create(name, "one", f"{number + 10**9:032x}")
        self._record(Hint(arn, name))
        self.scheduler.pause(1.0)
        self.secrets.put(name, "two", new, AWSPENDING)
        self._trail(Hint(arn, name, new, AWSPENDING, reason="RotationStarted"))
        for step in ("createSecret", "setSecret", "testSecret"):
            self._announce(arn, new, step)
            self.scheduler.pause(STEP_S)
        self.secrets.move(name, AWSPENDING, None)
        self.secrets.move(name, AWSCURRENT, new)
        moved_s = self.scheduler.now_s
        hint = Hint(arn, name, new, AWSCURRENT, reason="Secret Label Updated")
        self._later(0.3 * self.random.random(), lambda: self._record(hint))
        self._trail(hint)
        self._trail(Hint(arn, name, reason="RotationSucceeded"))
        self._announce(arn, new, "finishSecret")
        told_s = [self.client.written_s[head_key(copy)] for copy in range(self.result.copies)]
        self.result.lags_s.append(max(0.0, min(self.scheduler.now_s, max(told_s)) - moved_s))

    def _announce(self, arn: str, version_id: str, step: str) -> None:
        began_s = self.scheduler.now_s
        self._record(announcement(arn, version_id=version_id, step=step))
        self.result.announces_s.append(self.scheduler.now_s - began_s)

    def _record(self, hint: Hint) -> None:
        try:
            self.recorder.record(hint)
        except MarkerConflictError:
            self.result.conflicts += 1
        except KeyturnError:
            self.result.errors += 1

    def _trail(self, hint: Hint) -> None:
        self._later(self.random.uniform(*TRAIL_S), lambda: self._record(hint))

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        self.scheduler.spawn("event", self.machine, work, seconds)


# A sweep after lost events.


def sweep_s(secrets: int = 10_000, cpu_s: float = CPU_S) -> float:
    """Return how long a sweep takes that corrects so many markers, in virtual time at 256 MB.

    `cpu_s`: the seconds of CPU of a call, at the share of a processor that the function has.
    """
    scheduler = Scheduler()
    account = _Account(scheduler, secrets, cpu_s)
    took_s: list[float] = []

    def sweep() -> None:
        host = Host(account.now_s, scheduler.pause, lambda: 0.5, lambda: "e")
        sweeper = Sweeper(account, account, host, settle_s=6.0, parallel=account.side_by_side)
        swept = sweeper.run(lambda: False)
        assert (secrets, True) == (swept.corrected, swept.renewed)
        took_s.append(scheduler.now_s)

    scheduler.spawn("sweep", account.machine, sweep)
    scheduler.run(3600.0)
    scheduler.close()
    return took_s[0]


class _Account(FakeMarkers):
    """Secrets that have moved since their markers were written; each call takes its time and its CPU."""

    def __init__(self, scheduler: Scheduler, secrets: int, cpu_s: float) -> None:
        super().__init__()
        self.scheduler, self.machine, self.cpu_s = scheduler, Machine("listener"), cpu_s
        self._core_s = 0.0
        self._secrets: dict[str, Described] = {}
        for number in range(secrets):
            key = f"{ARN_PREFIX}db/{number}"
            arn = f"{key}-AbCdEf"
            self.set(key, arn, {AWSCURRENT: "v1"})
            self._secrets[arn] = Described(arn, f"db/{number}", {AWSCURRENT: "v2", AWSPREVIOUS: "v1"})
        self._begun = True

    _begun = False

    def _call(self) -> None:
        self._core_s = max(self._core_s, self.scheduler.now_s) + self.cpu_s
        self.scheduler.pause(self._core_s - self.scheduler.now_s + AWAY_S)

    def describe(self, secret_id: str) -> Described:
        self._call()
        return self._secrets[secret_id]

    def list(self) -> Iterator[Described]:
        for number, one in enumerate(self._secrets.values()):
            if number % LIST_PAGE == 0:
                self._call()
            yield one

    def scan(self) -> Iterator[Seen]:
        for number, key in enumerate(tuple(self.items)):
            if number % SCAN_PAGE == 0:
                self._call()
            yield self.look(key)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        # The markers, the head, and the end of `untold`.
        for _ in range(3 if self._begun else 0):
            self._call()
        super().write(changes)

    def now_s(self) -> float:
        return self.clock.wall_s + self.scheduler.now_s

    def absent(self, key: str) -> Seen:
        return self.look(key)

    def renew(self, swept_as_of_s: float) -> None:
        self._call()
        self.sweep(swept_as_of_s)

    def side_by_side(self, work: Callable[[_T], _R], items: Sequence[_T]) -> Iterable[_R]:
        """As the listener's threads do it."""
        results: dict[int, _R] = {}
        left, done = iter(enumerate(items)), Waiting()

        def worker() -> None:
            for number, item in left:
                results[number] = work(item)
            self.scheduler.wake(done)

        for _ in range(SIDE_BY_SIDE):
            self.scheduler.spawn("worker", self.machine, worker)
        while len(results) < len(items):
            self.scheduler.park(done)
        return [results[number] for number in range(len(items))]


def _key(item: object) -> str:
    return str(cast("Mapping[str, Mapping[str, str]]", item)["pk"]["S"])
