"""The time from the move of AWSCURRENT to the first use of the new version, hop by hop.

The listener is the deployed one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3

from benchmarks.results import Curve, Part, Parts, Plot, Size, percentile, ratio, row
from keyturn import SecretCache
from keyturn.demo.stage import Stack, deploy
from keyturn.demo.story import environment
from keyturn.markers.schema import marker_of
from keyturn.model.names import secret_key
from keyturn.testing.embedded import EmbeddedAws
from keyturn.testing.rotation import Rotation, StepFunctions
from tools.build_listener import ROOT, build_listener

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME: Final = "prod/orders/database"
CHECK_INTERVAL_S: Final = 1.0
HOPS_MAX_S: Final = 0.25
READ_EVERY_S: Final = 0.005
PROBE_EVERY_S: Final = 0.01
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of rotations."""

    rotations: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(rotations=60),
    "quick": Plan(rotations=5),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """The moments of one rotation, in epoch seconds.

    AWSCURRENT moves, the listener decides on the marker, the marker is seen in the table, a check begins, and
    the new version is served.
    """

    moved_s: float
    decided_s: float
    visible_s: float
    checked_s: float
    used_s: float

    @property
    def event_s(self) -> float:
        return self.decided_s - self.moved_s

    @property
    def write_s(self) -> float:
        return max(0.0, self.visible_s - self.decided_s)

    @property
    def wait_s(self) -> float:
        return max(0.0, self.checked_s - self.visible_s)

    @property
    def read_s(self) -> float:
        return self.used_s - max(self.checked_s, self.visible_s)

    @property
    def hops_s(self) -> float:
        """Return the seconds of all hops but the wait for the next check."""
        return self.event_s + self.write_s + self.read_s

    @property
    def total_s(self) -> float:
        return self.used_s - self.moved_s


class Reader:
    """A warm process that reads the secret all the time, and the time when it began to serve each version."""

    def __init__(self, stack: Stack) -> None:
        self._cache = SecretCache(
            boto3.client("secretsmanager"),
            marker_table=stack.marker_table,
            dynamodb_client=boto3.client("dynamodb"),
            check_interval_s=CHECK_INTERVAL_S,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.uses: dict[str, tuple[float, float]] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read until the end of the block."""
        self._cache.get(NAME)
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(READ_EVERY_S):
            begun_s = time.time()
            version_id = self._cache.get(NAME).version_id
            self.uses.setdefault(version_id, (begun_s, time.time()))


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    with EmbeddedAws() as aws, environment(aws):
        stack = deploy(build_listener(), ROOT / "infra" / "template.yaml")
        client = boto3.client("secretsmanager")
        arn = client.create_secret(Name=NAME, SecretString="0")["ARN"]
        stack.sweep()
        reader = Reader(stack)
        phases = random.Random(1)
        with reader.running():
            turns = []
            for _ in range(plan.rotations + 1):
                time.sleep(phases.random() * CHECK_INTERVAL_S)
                turns.append(turn(client, stack, reader, secret_key(arn, NAME)))
    # The first rotation starts the listener's Lambda, so it is reported apart.
    return {"rotation": part(turns[0], turns[1:])}


def turn(client: SecretsManagerClient, stack: Stack, reader: Reader, key: str) -> Turn:
    """Rotate once and follow the new version. Raises `TimeoutError` if it is not used within 10 s."""
    moved: list[float] = []

    def about_to_move(**_event: object) -> None:
        moved.append(time.time())

    events = client.meta.events
    events.register("before-send.secrets-manager.UpdateSecretVersionStage", about_to_move)
    rotation = Rotation(client, NAME, StepFunctions(client, lambda current: str(int(current) + 1)))
    rotation.run()
    events.unregister("before-send.secrets-manager.UpdateSecretVersionStage", about_to_move)
    decided_s, visible_s = marker_seen(boto3.client("dynamodb"), stack.marker_table, key, rotation.version_id)
    late_s = time.monotonic() + TIMEOUT_S
    while rotation.version_id not in reader.uses:
        if time.monotonic() > late_s:
            raise TimeoutError("the new version is not used")
        time.sleep(READ_EVERY_S)
    return Turn(moved[0], decided_s, visible_s, *reader.uses[rotation.version_id])


def marker_seen(client: DynamoDBClient, table: str, key: str, version_id: str) -> tuple[float, float]:
    """Return when the listener decided on this version's marker, and when the table showed it."""
    late_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < late_s:
        item = client.get_item(TableName=table, Key={"pk": {"S": key}}, ConsistentRead=True).get("Item")
        marker = marker_of(item)
        if marker is not None and marker.stages.get("AWSCURRENT") == version_id:
            return marker.changed_at_s, time.time()
        time.sleep(PROBE_EVERY_S)
    raise TimeoutError("the marker does not come")


def part(first: Turn, turns: list[Turn]) -> Part:
    """Return the figures of these rotations."""
    hops = {
        "event: the move to the listener's decision": [one.event_s for one in turns],
        "write: to the marker seen in the table": [one.write_s for one in turns],
        "wait: to the next check": [one.wait_s for one in turns],
        "read: head, marker and value": [one.read_s for one in turns],
        "all hops without the wait": [one.hops_s for one in turns],
        "total": [one.total_s for one in turns],
    }
    total = sorted(one.total_s for one in turns)
    shares = tuple(round((number + 1) / len(total), 4) for number in range(len(total)))
    hops_p99_s = percentile([one.hops_s for one in turns], 0.99)
    return Part(
        "From the label's move to the first use",
        f"{len(turns)} rotations by the four steps, at random phases of a check interval of "
        f"{CHECK_INTERVAL_S:g} s, on an embedded AWS (ministack). UpdateSecretVersionStage is sent, and the "
        "native event goes through EventBridge. The deployed listener runs as a Lambda and writes the "
        f"marker. A warm reader that is asked every {READ_EVERY_S * 1000:g} ms uses the new version. "
        f"The table is looked at every {PROBE_EVERY_S * 1000:g} ms, which is the resolution of the second "
        "hop.",
        (
            *tuple(
                made
                for name, taken in hops.items()
                for made in (
                    row(name, "ms", [one * 1000 for one in taken]),
                    row(f"{name}, p99", "ms", [percentile(taken, 0.99) * 1000]),
                )
            ),
            row("total with the listener's cold start", "ms", [first.total_s * 1000]),
        ),
        (
            ratio("p99 of all hops without the wait", hops_p99_s * 1000, "at most", HOPS_MAX_S * 1000, "ms"),
            ratio(
                "p99 of the total",
                percentile(total, 0.99) * 1000,
                "at most",
                (CHECK_INTERVAL_S + HOPS_MAX_S) * 1000,
                "ms",
            ),
        ),
        (
            Plot(
                "rotation",
                "From the move of AWSCURRENT to the first use",
                "seconds",
                "share of rotations",
                (Curve(f"keyturn, check interval {CHECK_INTERVAL_S:g} s", tuple(total), shares),),
            ),
        ),
        (
            (
                "An emulator on one machine delivers the events. AWS states no latency for its "
                "native event, and EventBridge's own delivery takes longer on AWS. The "
                "wait for the check, which is most of the total, is the same."
            ),
        ),
    )
