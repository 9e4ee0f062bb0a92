"""In-memory peers of what the cache talks to: a clock, Secrets Manager, the marker table.

They implement the protocols of `keyturn.protocols`, count every call in `calls`, and fail on demand
through `fail`. Nothing here sleeps or reads a real clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from keyturn.errors import (
    MarkerConflictError,
    SecretDeletedError,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.names import secret_key
from keyturn.protocols import Seen
from keyturn.values import (
    AWSCURRENT,
    AWSPREVIOUS,
    Described,
    Head,
    Marker,
    MarkersRead,
    SecretVersion,
)

ARN_PREFIX = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"


class FakeClock:
    """Both clocks of a host, moved by hand. Seconds."""

    def __init__(self, wall_s: float = 1_790_000_000.0, monotonic_s: float = 1000.0) -> None:
        self.wall_s = wall_s
        self.monotonic_s = monotonic_s

    def wall(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall_s += seconds
        self.monotonic_s += seconds

    def freeze(self, seconds: float) -> None:
        """Pass time as for a frozen environment: the wall clock moves, the monotonic one stands."""
        self.wall_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP does; no time passes."""
        self.wall_s += seconds


@dataclass
class _Stored:
    arn: str
    name: str
    values: dict[str, tuple[str | bytes, float]] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    deleted: bool = False


class FakeSecretsManager:
    """Secrets Manager with immediate consistency: a `SecretSource` and a `Catalog`."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[str], Exception | None] = lambda _: None
        self._secrets: dict[str, _Stored] = {}
        self._made = 0

    def create(self, name: str, value: str | bytes, version_id: str = "v1") -> str:
        """Make a secret; its full ARN. A deleted one of this name is replaced, with another suffix."""
        self._made += 1
        stored = _Stored(f"{ARN_PREFIX}{name}-{self._made:06d}", name)
        self._secrets[name] = stored
        self.put(name, value, version_id)
        return stored.arn

    def put(self, name: str, value: str | bytes, version_id: str, stage: str = AWSCURRENT) -> None:
        """Store a version under `stage`."""
        self._secrets[name].values[version_id] = (value, self.clock.wall_s)
        self.move(name, stage, version_id)

    def move(self, name: str, stage: str, version_id: str | None) -> None:
        """Move (or with None remove) a label; AWSPREVIOUS follows AWSCURRENT as on AWS."""
        stages = self._secrets[name].stages
        before = stages.pop(stage, None)
        if version_id is not None:
            stages[stage] = version_id
        if stage == AWSCURRENT and before is not None and before != version_id:
            stages[AWSPREVIOUS] = before

    def delete(self, name: str) -> None:
        """Schedule the deletion."""
        self._secrets[name].deleted = True

    def restore(self, name: str) -> None:
        self._secrets[name].deleted = False

    def purge(self, name: str) -> None:
        """Delete without recovery."""
        del self._secrets[name]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.calls["GetSecretValue"] += 1
        stored = self._stored(secret_id)
        if stored.deleted:
            raise SecretDeletedError(secret_id)
        labelled = stored.stages.get(stage)
        found = labelled if version_id in (None, labelled) else None
        if found is None or found not in stored.values:
            raise StageNotFoundError(secret_id, f"no {stage} {version_id or ''}".rstrip())
        value, created_s = stored.values[found]
        return SecretVersion(
            secret_id,
            stored.arn,
            stored.name,
            found,
            frozenset(label for label, holder in stored.stages.items() if holder == found),
            created_s,
            string=value if isinstance(value, str) else None,
            binary=value if isinstance(value, bytes) else None,
        )

    def describe(self, secret_id: str) -> Described:
        self.calls["DescribeSecret"] += 1
        stored = self._stored(secret_id)
        return Described(stored.arn, stored.name, dict(stored.stages), stored.deleted)

    def list(self) -> Iterator[Described]:
        self.calls["ListSecrets"] += 1
        for stored in self._secrets.values():
            yield Described(stored.arn, stored.name, dict(stored.stages), stored.deleted)

    def _stored(self, secret_id: str) -> _Stored:
        failure = self.fail(secret_id)
        if failure is not None:
            raise failure
        for stored in self._secrets.values():
            if secret_id in (stored.name, stored.arn, secret_key(stored.arn, stored.name)):
                return stored
        raise SecretNotFoundError(secret_id)


class FakeMarkers:
    """The marker table: a `MarkerReader` and a `MarkerStore`; conditional writes, one head."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[], Exception | None] = lambda: None
        self.denied: frozenset[str] = frozenset()
        self.items: dict[str, Marker] = {}
        self.head: Head | None = None
        self._epochs = count(1)

    def set(self, key: str, arn: str, stages: Mapping[str, str], *, deleted: bool = False) -> None:
        """Write a marker as the listener would."""
        self.write([(self.look(key), Marker(key, arn, dict(stages), deleted=deleted))])

    def sweep(self, as_of_s: float | None = None) -> None:
        """Renew the lease: by default as a sweep does that begins now, 300 s behind."""
        head = self.head or self._new_head()
        self.head = head._replace(swept_as_of_s=self.clock.wall_s - 300 if as_of_s is None else as_of_s)

    def read_head(self, *, consistent: bool = False) -> Head | None:
        self.calls["head, consistent" if consistent else "head"] += 1
        self._fail()
        return None if self.head is None else self.head._replace(answered_at_s=float(int(self.clock.wall_s)))

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        self.calls["markers"] += 1
        self._fail()
        allowed = frozenset(keys) - self.denied
        found = {key: self.items[key] for key in allowed if key in self.items}
        return MarkersRead(found, allowed - found.keys(), frozenset(keys) & self.denied)

    def look(self, key: str) -> Seen:
        self.calls["look"] += 1
        self._fail()
        marker = self.items.get(key)
        return Seen(key, marker, marker)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        self.calls["write"] += 1
        self._fail()
        if any(self.items.get(seen.key) != seen.mark for seen, _ in changes):
            raise MarkerConflictError("fake", "a marker has changed since it was read")
        for seen, marker in changes:
            epoch, sequence = (
                (seen.marker.epoch, seen.marker.sequence + 1)
                if seen.marker is not None
                else (f"epoch-{next(self._epochs)}", 1)
            )
            self.items[seen.key] = marker._replace(epoch=epoch, sequence=sequence)
        head = self.head or self._new_head()
        self.head = head._replace(counter=head.counter + 1)

    def _new_head(self) -> Head:
        return Head(f"epoch-{next(self._epochs)}", 0)

    def _fail(self) -> None:
        failure = self.fail()
        if failure is not None:
            raise failure
