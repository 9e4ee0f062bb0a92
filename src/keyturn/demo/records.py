"""What a run of the demonstration observed: plain facts, from which every figure is computed.

Times are seconds of `time.monotonic`, which all processes of one host share (Linux, macOS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["held", "refused", "login", "failed", "call"]
"""Of an attempt at the server: a version came into use, the server refused it. Of a login, which is one
attempt or more: it succeeded, it failed. Of AWS: it was called."""


class Record(NamedTuple):
    """One fact about one worker; `what` is a version's label, or an operation's name for a call.

    A login's version is that of its last attempt.
    """

    worker: str
    kind: Kind
    at_s: float
    what: str


class Move(NamedTuple):
    """One rotation to the version `label`: the server takes only its password from `set_s` on.

    The move of AWSCURRENT, which ends the window, was asked for at `at_s` and done at `done_s`.
    """

    set_s: float
    at_s: float
    done_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run: `workers` by contender; from `ready_s` every worker had logged in, to `ended_s`."""

    workers: Mapping[str, tuple[str, ...]]
    records: tuple[Record, ...]
    moves: tuple[Move, ...]
    ready_s: float
    ended_s: float
    check_interval_s: float

    def of(self, worker: str, kind: Kind) -> list[Record]:
        """The records of one worker and kind, in order of time."""
        return [record for record in self.records if record.worker == worker and record.kind == kind]
