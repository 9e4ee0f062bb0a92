"""What the listener does with an event, apart from where its clients and clocks come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias

from keyturn.aws.catalog import Tag
from keyturn.errors import ConfigurationError, KeyturnError
from keyturn.markers.decisions import Hint, ParameterHint
from keyturn.markers.recorder import Recorded, Recorder
from keyturn.markers.sweeper import Sweeper
from keyturn.model.protocols import Lease, Listing
from rotation_listener.events import Ignored, Sweep, parse

Summary: TypeAlias = dict[str, str | int | float | bool | None]
"""What the listener answers and logs: ids, numbers and reasons, nothing about people or values."""

SETTLE_S: Final = 6.0
SETTLE_MAX_S: Final = 60.0


class SweepIncompleteError(KeyturnError):
    """A sweep could not look at every secret that has a marker, so the lease was not renewed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The listener's settings.

    `name_prefixes`: markers are kept of secrets whose name starts with one of these; empty means all.
    `settle_s`: how long DescribeSecret is given to show what an event said, in seconds.
    `secret_tag`: and only of those that have it; None means all.
    `parameter_prefixes`: the sweep reads the parameters whose names start with one of these, so that
    their markers cover copies; empty means none, and events alone make parameters be read again.
    """

    marker_table: str
    name_prefixes: tuple[str, ...] = ()
    settle_s: float = SETTLE_S
    parameter_prefixes: tuple[str, ...] = ()
    secret_tag: Tag | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """The settings in an environment; `ConfigurationError` if one of them cannot work."""
        table = environment.get("KEYTURN_MARKER_TABLE", "").strip()
        if not table:
            raise ConfigurationError("KEYTURN_MARKER_TABLE is not set: give the name or ARN of the table")
        return cls(
            table,
            name_prefixes=_listed(environment.get("KEYTURN_NAME_PREFIXES", "")),
            settle_s=_settle_s(environment.get("KEYTURN_SETTLE_S", "")),
            parameter_prefixes=_listed(environment.get("KEYTURN_PARAMETER_PREFIXES", "")),
            secret_tag=_tag(environment.get("KEYTURN_SECRET_TAG", "")),
        )

    def wants(self, hint: Hint) -> bool:
        """Whether a marker is kept of the hinted secret, as far as its name tells."""
        name = hint.name or hint.secret_id.rpartition(":secret:")[2]
        return not self.name_prefixes or name.startswith(self.name_prefixes)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in text.split(","))))


def _tag(text: str) -> Tag | None:
    try:
        return Tag.of(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"KEYTURN_SECRET_TAG: {error}") from error


def _settle_s(text: str) -> float:
    try:
        settle_s = float(text or SETTLE_S)
    except ValueError:
        settle_s = math.nan
    if not 0 <= settle_s <= SETTLE_MAX_S:
        raise ConfigurationError(f"KEYTURN_SETTLE_S is {text!r}: give seconds from 0 to {SETTLE_MAX_S:g}")
    return settle_s


@dataclass(frozen=True, slots=True)
class Listener:
    """Handles one event at a time; the table is both the recorder's store and the lease.

    `parameters`: those that the sweep reads, None where it reads none.
    """

    settings: Settings
    recorder: Recorder
    lease: Lease
    parameters: Listing | None = None

    def handle(self, event: object, time_is_up: Callable[[], bool]) -> Summary:
        """Do what `event` says. Raises `KeyturnError` when it should be delivered once more."""
        match parse(event):
            case Ignored(reason):
                return {"outcome": "ignored", "reason": reason}
            case Sweep():
                return self._sweep(time_is_up)
            case ParameterHint() as hint:
                return _summary(hint.key, hint.reason, self.recorder.record_parameter(hint))
            # A marker that is there covers copies, and is kept right whatever its name.
            case Hint() as hint if not (self.settings.wants(hint) or self.recorder.has_marker(hint)):
                return {"outcome": "ignored", "reason": "outside the name prefixes"}
            case Hint() as hint:
                return _summary(hint.secret_id, hint.reason, self.recorder.record(hint))

    def _sweep(self, time_is_up: Callable[[], bool]) -> Summary:
        swept = Sweeper(self.recorder, self.lease, time_is_up, self.parameters).run()
        if not swept.renewed:
            raise SweepIncompleteError(f"the lease was not renewed: {asdict(swept)}")
        return {"outcome": "swept", **asdict(swept)}


def _summary(hinted: str, reason: str, recorded: Recorded) -> Summary:
    return {
        "outcome": recorded.outcome.value,
        "reason": reason,
        "hinted": hinted,
        "key": recorded.marker.key if recorded.marker is not None else None,
        "looks": recorded.looks,
    }
