"""The observations of a run of the demonstration. Every figure is computed from them.

Times are seconds of `time.monotonic`, which all processes of one host share (Linux, macOS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["held", "refused", "login", "failed", "call"]
"""The kind of a record.

"held" and "refused" are about an attempt at the server: a version came into use, or the server refused it.
"login" and "failed" are about a login of one or more attempts: it succeeded or failed. "call" is a call to
AWS.
"""


class Record(NamedTuple):
    """One fact about one worker. `what` is a version's label, or the name of the operation for a call.

    A login's version is that of its last attempt.
    """

    worker: str
    kind: Kind
    at_s: float
    what: str


class Move(NamedTuple):
    """One rotation to the version `label`. From `set_s` on the server accepts only its password.

    The move of AWSCURRENT ends the window. It was requested at `at_s` and done at `done_s`.
    """

    set_s: float
    at_s: float
    done_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    `workers` by contender. It lasts from `ready_s`, when every worker had logged in, to `ended_s`.
    """

    workers: Mapping[str, tuple[str, ...]]
    records: tuple[Record, ...]
    moves: tuple[Move, ...]
    ready_s: float
    ended_s: float
    check_interval_s: float

    def of(self, worker: str, kind: Kind) -> list[Record]:
        """Return the records of one worker and kind, in order of time."""
        return [record for record in self.records if record.worker == worker and record.kind == kind]
