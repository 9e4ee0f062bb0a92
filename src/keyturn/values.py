"""The values that travel between keyturn's parts: a secret's version, a marker, the head, a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from keyturn.errors import SecretFormatError, SecretKindError

AWSCURRENT: Final = "AWSCURRENT"
AWSPENDING: Final = "AWSPENDING"
AWSPREVIOUS: Final = "AWSPREVIOUS"

LEFT_MAX: Final = 20
"""How many versions that AWSCURRENT has left a marker remembers."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One immutable version of one secret, as Secrets Manager answered it.

    `secret_id` is the name or ARN that the caller used, `arn` the full ARN, `created_s` the
    version's CreatedDate (epoch seconds). Exactly one of `string` and `binary` is set. Neither
    `repr`, `str` nor `format` shows the value.
    """

    secret_id: str
    arn: str
    name: str
    version_id: str
    stages: frozenset[str]
    created_s: float | None = None
    string: str | None = field(default=None, repr=False)
    binary: bytes | None = field(default=None, repr=False)

    @property
    def identity(self) -> tuple[str, str]:
        """ARN and version id: what makes it this version and no other."""
        return self.arn, self.version_id

    def text(self) -> str:
        """The value of a text secret; `SecretKindError` if it is binary."""
        if self.string is None:
            raise SecretKindError(self.secret_id, "it is binary, text was asked for")
        return self.string

    def blob(self) -> bytes:
        """The value of a binary secret; `SecretKindError` if it is text."""
        if self.binary is None:
            raise SecretKindError(self.secret_id, "it is text, binary was asked for")
        return self.binary

    def json(self) -> Json:
        """The value parsed as JSON, anew at each call; `SecretFormatError` if it is not JSON."""
        text = self.text()
        try:
            value: Json = json.loads(text)
        except ValueError as error:
            # JSONDecodeError carries the whole document: it must be neither cause nor context.
            where = f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        else:
            return value
        raise SecretFormatError(self.secret_id, f"not JSON {where}".rstrip())


class Described(NamedTuple):
    """What DescribeSecret or ListSecrets says of a secret: never a value.

    `stages` maps each staging label to the id of the version that carries it. A secret that is not
    `wanted` gets no marker; one that it has already is kept right.
    """

    arn: str
    name: str
    stages: Mapping[str, str]
    deleted: bool = False
    wanted: bool = True


class Marker(NamedTuple):
    """One secret's (or parameter's) item in the marker table: a hint to re-read, never a belief.

    `key` is the ARN without a secret's random suffix, `left` the versions that AWSCURRENT has
    left, oldest first. `(epoch, sequence)` orders the writers of one item; the epoch is random,
    made with the item. A parameter's marker has the `token` of its last event, and the latest
    version's number under AWSCURRENT if the sweep has listed it since.
    """

    key: str
    arn: str
    stages: Mapping[str, str]
    left: tuple[str, ...] = ()
    deleted: bool = False
    token: str | None = None
    step: str | None = None
    reason: str = ""
    changed_at_s: float = 0.0
    epoch: str = ""
    sequence: int = 0


class Head(NamedTuple):
    """The table's one head item: `(epoch, counter)` moves with every marker.

    `swept_as_of_s`: everything that happened before this moment is in the markers (epoch seconds
    by the table's own clock; None before the first sweep). `answered_at_s`: the `Date` of the
    answer that carried the head, by the same clock; None when the answer had none.
    """

    epoch: str
    counter: int
    swept_as_of_s: float | None = None
    answered_at_s: float | None = None


class MarkersRead(NamedTuple):
    """The answer to a read of several markers: each key is in exactly one of the four."""

    found: Mapping[str, Marker]
    absent: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()


class Report(NamedTuple):
    """What one environment holds, as it told the convergence table: ids, never a value.

    `environment` is random, made at the first report of a process. `held` maps the key of a marker to
    the version id of AWSCURRENT (of a parameter the latest version), `left_out` counts what did not fit.
    The moments are epoch seconds by the environment's own clock.
    """

    environment: str
    held: Mapping[str, str]
    reported_at_s: float
    expires_at_s: float
    label: str = ""
    left_out: int = 0


class Instant(NamedTuple):
    """One moment by both clocks of this host (seconds)."""

    wall_s: float
    monotonic_s: float

    def age_s(self, now: Instant) -> float:
        """Seconds from this moment to `now`, never too few.

        A frozen environment may stop the monotonic clock and NTP may move the wall clock, so the
        larger difference counts; a wall clock that went backwards makes everything infinitely old.
        """
        wall_s = now.wall_s - self.wall_s
        if wall_s < 0:
            return float("inf")
        return max(wall_s, now.monotonic_s - self.monotonic_s)
