"""In-memory fakes of what the cache uses: a clock, the services, the two tables, and a metrics hook.

They implement the protocols of `keyturn.model.protocols`, count every call in `calls`, and fail on demand
through `fail`. Nothing here sleeps or reads a real clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from keyturn.convergence.table import ReportsRead
from keyturn.errors import (
    InvalidParameterNameError,
    MarkerConflictError,
    ParameterNotFoundError,
    ParameterVersionNotFoundError,
    SecretDeletedError,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.metrics.hook import Metric
from keyturn.metrics.outbox import Measurement
from keyturn.model.markers import Head, Marker, MarkersRead, Report, Slot
from keyturn.model.names import Arn, parameter_id, parameter_key, parameter_path, secret_key
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import NAMES_MAX, WRITES_MAX, Seen
from keyturn.model.slots import SLOTS, Change, entries, moved
from keyturn.model.versions import AWSCURRENT, AWSPREVIOUS, Described, SecretVersion

ARN_PREFIX = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"
PARAMETERS_ARN = Arn("aws", "ssm", "us-east-1", "111122223333", "parameter/")


class FakeClock:
    """The wall clock and the monotonic clock of a host, in seconds. The test moves them."""

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
        """Pass time as in a frozen environment: the wall clock moves, the monotonic clock stands still."""
        self.wall_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP does. No time passes."""
        self.wall_s += seconds


@dataclass
class _Stored:
    arn: str
    name: str
    values: dict[str, tuple[str | bytes, float]] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    deleted: bool = False
    changed_s: float | None = None

    def described(self) -> Described:
        return Described(
            self.arn, self.name, dict(self.stages), deleted=self.deleted, changed_s=self.changed_s
        )


class FakeSecretsManager:
    """Secrets Manager with immediate consistency: a `SecretSource` and a `Catalog`.

    `arn_prefix` says in which account and Region it is.
    """

    def __init__(self, clock: FakeClock | None = None, *, arn_prefix: str = ARN_PREFIX) -> None:
        self.clock = clock or FakeClock()
        self.arn_prefix = arn_prefix
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[str], Exception | None] = lambda _: None
        self._secrets: dict[str, _Stored] = {}
        self._made = 0

    def create(self, name: str, value: str | bytes, version_id: str = "v1") -> str:
        """Make a secret and return its full ARN.

        A deleted secret of this name is replaced; the new one has another suffix.
        """
        self._made += 1
        stored = _Stored(f"{self.arn_prefix}{name}-{self._made:06d}", name)
        self._secrets[name] = stored
        self.put(name, value, version_id)
        return stored.arn

    def put(self, name: str, value: str | bytes, version_id: str, stage: str = AWSCURRENT) -> None:
        """Store a version under `stage`."""
        self._secrets[name].values[version_id] = (value, self.clock.wall())
        self.move(name, stage, version_id)

    def move(self, name: str, stage: str, version_id: str | None) -> None:
        """Move a label, or remove it with None. AWSPREVIOUS follows AWSCURRENT as on AWS."""
        self._secrets[name].changed_s = self.clock.wall()
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
        return self._stored(secret_id).described()

    def list(self) -> Iterator[Described]:
        self.calls["ListSecrets"] += 1
        for stored in self._secrets.values():
            yield stored.described()

    def _stored(self, secret_id: str) -> _Stored:
        failure = self.fail(secret_id)
        if failure is not None:
            raise failure
        for stored in self._secrets.values():
            if secret_id in (stored.name, stored.arn, secret_key(stored.arn, stored.name)):
                return stored
        raise SecretNotFoundError(secret_id)


@dataclass(frozen=True, slots=True)
class _ParameterVersion:
    value: str = field(repr=False)
    type: str
    data_type: str
    modified_s: float


@dataclass
class _StoredParameter:
    name: str
    arn: str
    versions: list[_ParameterVersion] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    def number(self, selector: str) -> int | None:
        """Return the number of the latest version, of the version with that number, or of that label."""
        number = int(selector) if selector.isdecimal() else self.labels.get(selector, 0)
        number = len(self.versions) if selector == AWSCURRENT else number
        return number if 1 <= number <= len(self.versions) else None


class FakeParameterStore:
    """Parameter Store with immediate consistency. `source` returns its readers, and it is a `Listing`.

    `calls` counts the operations; each page is a call. `fail` is called with each name or path that is read
    ("*" for the list). `any_arn`, the ARN of any of its parameters, says in which account and Region it is.
    The fake keeps every version, while Parameter Store keeps the latest 100.
    """

    def __init__(self, clock: FakeClock | None = None, *, any_arn: Arn = PARAMETERS_ARN) -> None:
        self.clock = clock or FakeClock()
        self.any_arn = any_arn
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[str], Exception | None] = lambda _: None
        self._parameters: dict[str, _StoredParameter] = {}

    def put(
        self,
        name: str,
        value: str,
        *,
        type: str = "String",  # noqa: A002 # AWS's word
        data_type: str = "text",
    ) -> int:
        """Store a version, the first or the next one, and return its number.

        `type` is String, StringList or SecureString. Raises `InvalidParameterNameError`.
        """
        stored = self._parameters.setdefault(parameter_id(name).name, _StoredParameter(name, self.arn(name)))
        stored.versions.append(_ParameterVersion(value, type, data_type, self.clock.wall_s))
        return len(stored.versions)

    def label(self, name: str, label: str, version: int) -> None:
        """Give the label to a version. Any other version loses it."""
        self._parameters[name].labels[label] = version

    def delete(self, name: str) -> None:
        """Delete the parameter with all its versions.

        A new one of the same name begins at version 1 again.
        """
        del self._parameters[name]

    def arn(self, name: str) -> str:
        """Return the ARN of the parameter, which need not exist."""
        return parameter_key(self.any_arn, name)

    def source(self, decrypt: bool = True) -> FakeParameterSource:  # noqa: FBT001, FBT002 # its one argument
        """Return a reader that decrypts, or one that does not: the `parameter_source` of `SecretCache`."""
        return FakeParameterSource(self, decrypt=decrypt)

    def list(self) -> Iterator[Described]:
        """Yield every parameter with the number of its latest version under AWSCURRENT."""
        self.begin("DescribeParameters", "*")
        for stored in self._parameters.values():
            yield Described(stored.arn, stored.name, {AWSCURRENT: str(len(stored.versions))})

    def begin(self, operation: str, *asked: str) -> None:
        """Count a call, and fail if `fail` says so. The sources of this store call it."""
        self.calls[operation] += 1
        failure = next(filter(None, map(self.fail, asked)), None)
        if failure is not None:
            raise failure

    def found(self, secret_id: str) -> _StoredParameter | None:
        """Return the parameter of this name or ARN. The sources of this store call it."""
        for stored in self._parameters.values():
            if secret_id in (stored.name, stored.arn):
                return stored
        return None

    def under(self, path: str, *, recursive: bool) -> Sequence[_StoredParameter]:
        """Return the parameters under a path, sorted by name. The sources of this store call it."""
        named = sorted(self._parameters.items())
        return [stored for name, stored in named if _is_under(name, path, recursive=recursive)]


def _is_under(name: str, path: str, *, recursive: bool) -> bool:
    """Return True if a parameter is under the path. A name without a slash is under `/`."""
    prefix, full = path.rstrip("/") + "/", "/" + name.removeprefix("/")
    return full.startswith(prefix) and (recursive or "/" not in full.removeprefix(prefix))


class FakeParameterSource:
    """A `ParameterSource` of a `FakeParameterStore`.

    Without `decrypt` it returns a text for an encrypted value.
    """

    def __init__(self, store: FakeParameterStore, *, decrypt: bool) -> None:
        self._store = store
        self._decrypt = decrypt

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        self._store.begin("GetParameter", secret_id)
        asked = parameter_id(secret_id)
        stored = self._store.found(asked.name)
        if stored is None:
            raise ParameterNotFoundError(secret_id)
        selector = asked.selector if stage == AWSCURRENT else stage
        number = stored.number(selector)
        if number is None:
            raise ParameterVersionNotFoundError(secret_id, f"no {selector}")
        if version_id is not None and version_id.isdecimal() and number < int(version_id):
            raise ParameterVersionNotFoundError(
                secret_id, f"Parameter Store does not show version {version_id} yet"
            )
        return self._shown(stored, number, secret_id, stage)

    def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
        self._store.begin("GetParameters", *names)
        if not 1 <= len(names) <= NAMES_MAX:
            raise InvalidParameterNameError(
                ", ".join(names), f"{len(names)} names were given, 1 to 10 are allowed"
            )
        found = ((name, self._store.found(name)) for name in names)
        return {name: self._latest(stored) for name, stored in found if stored is not None}

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        path = parameter_path(path)
        at = 0
        while True:
            self._store.begin("GetParametersByPath", path)
            page = self._store.under(path, recursive=recursive)[at:]
            yield from map(self._latest, page[:NAMES_MAX])
            if len(page) <= NAMES_MAX:
                return
            at += NAMES_MAX

    def _latest(self, stored: _StoredParameter) -> Parameter:
        return self._shown(stored, len(stored.versions), stored.name, AWSCURRENT)

    def _shown(self, stored: _StoredParameter, number: int, asked: str, stage: str) -> Parameter:
        version = stored.versions[number - 1]
        is_clear = self._decrypt or version.type != "SecureString"
        return Parameter(
            secret_id=asked,
            arn=stored.arn,
            name=stored.name,
            version_id=str(number),
            stages=frozenset({stage}),
            created_s=version.modified_s,
            string=version.value if is_clear else f"ciphertext-of-{stored.arn}:{number}",
            type=version.type,
            data_type=version.data_type,
        )


class FakeMarkers:
    """The marker table: a `MarkerReader` and a `MarkerStore` with conditional writes.

    `head` is the head, `copies` holds its copies by their numbers, from 1. `untold` has the keys of markers
    of which no reader was told; the test may add to it.
    """

    def __init__(self, clock: FakeClock | None = None, *, slots: int = SLOTS, copies: int = 1) -> None:
        self.clock = clock or FakeClock()
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[], Exception | None] = lambda: None
        self.denied: frozenset[str] = frozenset()
        self.items: dict[str, Marker] = {}
        self.untold: set[str] = set()
        self.head: Head | None = None
        self.copies: dict[int, Head] = {}
        self._slots = slots
        self._copies = copies
        self._epochs = count(1)

    def set(self, key: str, arn: str, stages: Mapping[str, str], *, deleted: bool = False) -> None:
        """Write a marker as the listener would."""
        marker = Marker(key, arn, dict(stages), deleted=deleted, changed_at_s=self.clock.wall_s)
        self.write([(self.look(key), marker)])

    def sweep(self, as_of_s: float | None = None) -> None:
        """Renew the lease of every head, by default as a sweep that begins now does: as of 300 s ago."""
        swept_as_of_s = self.clock.wall_s - 300 if as_of_s is None else as_of_s
        self._change(lambda head: head._replace(swept_as_of_s=swept_as_of_s))

    def pace(self, pace_s: float) -> None:
        """Let every head ask a fleet to spread its reads, as a sweep of a stack with `PaceSeconds` does."""
        self._change(lambda head: head._replace(pace_s=pace_s))

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.calls["head, consistent" if consistent else "head"] += 1
        self._fail()
        head = self.copies.get(copy) if copy else self.head
        return None if head is None else head._replace(answered_at_s=float(int(self.clock.wall_s)))

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
        return Seen(key, marker, marker, key in self.untold)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        if not changes:
            return
        if len(changes) > WRITES_MAX:
            raise ValueError(f"{len(changes)} markers in one write; at most {WRITES_MAX} fit")
        if any(seen.key != marker.key for seen, marker in changes):
            raise ValueError("a marker can be written only under the key under which it was read")
        self.calls["write"] += 1
        self._fail()
        if any(self.items.get(seen.key) != seen.mark for seen, _ in changes):
            raise MarkerConflictError("fake", "a marker has changed since it was read; nothing was written")
        written: list[Change] = []
        for seen, marker in changes:
            epoch, sequence = (
                (seen.marker.epoch, seen.marker.sequence + 1)
                if seen.marker is not None
                else (f"epoch-{next(self._epochs)}", 1)
            )
            self.items[seen.key] = marker._replace(epoch=epoch, sequence=sequence)
            written.append((seen.marker, self.items[seen.key]))
        self._tell(written)

    def tell(self, seen: Sequence[Seen]) -> None:
        self.calls["tell"] += 1
        self._fail()
        self._tell([(None, one.marker) for one in seen if one.marker is not None])

    def _tell(self, written: Sequence[Change]) -> None:
        step = 1
        made = entries(written, self._slots, step)

        def told(head: Head) -> Head:
            slots = head.slots or (Slot(),) * self._slots
            return head._replace(counter=head.counter + step * len(made), slots=moved(slots, made, step))

        self._change(told)
        self.untold -= {after.key for _, after in written}

    def _change(self, change: Callable[[Head], Head]) -> None:
        """Change every head, and make those that are not there."""
        self.head = change(self.head or self._new_head())
        self.copies = {
            copy: change(self.copies.get(copy) or self._new_head()) for copy in range(1, self._copies)
        }

    def _new_head(self) -> Head:
        return Head(f"epoch-{next(self._epochs)}", 0, slots=(Slot(),) * self._slots, copies=self._copies)

    def _fail(self) -> None:
        failure = self.fail()
        if failure is not None:
            raise failure


class FakeReports:
    """The convergence table: a `Reports` that keeps each environment's last report, also past its end."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.calls: Counter[str] = Counter()
        self.fail: Callable[[], Exception | None] = lambda: None
        self.items: dict[str, Report] = {}

    def write(self, report: Report) -> None:
        self.calls["write"] += 1
        failure = self.fail()
        if failure is not None:
            raise failure
        self.items[report.environment] = report

    def read(self) -> ReportsRead:
        """Return all reports, as `keyturn.convergence.table.ConvergenceTable` does."""
        return ReportsRead(tuple(self.items.values()), 0, float(int(self.clock.wall_s)))


class RecordedMetrics:
    """A metrics hook that keeps its measurements in `told`, oldest first."""

    def __init__(self) -> None:
        self.told: list[Measurement] = []

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        self.told.append(Measurement(metric, value, secret, stage, error))

    def of(self, metric: Metric) -> list[float]:
        """Return the values of one metric, oldest first."""
        return [one.value for one in self.told if one.metric is metric]
