"""What the listener does with an event. Its clients and its host are arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias

from keyturn.aws.catalog import Tag
from keyturn.errors import ConfigurationError, KeyturnError
from keyturn.markers.decisions import UNWATCHED, Hint, ParameterHint, hinted_key
from keyturn.markers.recorder import Outcome, Recorded, Recorder
from keyturn.markers.schema import COPIES_MAX, PACE_MAX_S
from keyturn.markers.sweeper import Parallel, Sweeper, in_turn
from keyturn.model.names import Arn, name_in
from keyturn.model.protocols import Catalog, Listing, SweptTable
from keyturn.runtime.host import Host, listed
from rotation_listener.events import Ignored, Sweep, parse

STACK_VARIABLE: Final = "KEYTURN_STACK"
"""The environment variable that has the name of the functions' stack, for their logs alone."""

Summary: TypeAlias = dict[str, str | int | float | bool | None]
"""What the listener returns and logs: ids, numbers and reasons, and nothing about people or values."""

SETTLE_S: Final = 6.0
SETTLE_MAX_S: Final = 60.0


class SweepIncompleteError(KeyturnError):
    """A sweep could not look at every secret that has a marker, so it did not renew the lease."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The listener's settings.

    Args:
        marker_table: the table's name or ARN.
        name_prefixes: only secrets whose name starts with one of these get markers; empty means all.
        settle_s: for how many seconds DescribeSecret may fail to show what an event says.
        parameter_prefixes: the sweep lists the parameters whose names start with one of these, so that their
            markers cover copies. Empty means none: then events alone make a cache read parameters again.
        secret_tag: only secrets that have this tag get markers; None means all.
        head_copies: how many heads the table has from the next sweep on; None leaves it as it is.
        pace_s: over how many seconds a fleet spreads the reads that a marker causes; None leaves it as it is.
    """

    marker_table: str
    name_prefixes: tuple[str, ...] = ()
    settle_s: float = SETTLE_S
    parameter_prefixes: tuple[str, ...] = ()
    secret_tag: Tag | None = None
    head_copies: int | None = None
    pace_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings in these environment variables. Raises `ConfigurationError` for a wrong one."""
        table = environment.get("KEYTURN_MARKER_TABLE", "").strip()
        if not table:
            raise ConfigurationError("KEYTURN_MARKER_TABLE is not set: give the name or ARN of the table")
        return cls(
            table,
            name_prefixes=listed(environment.get("KEYTURN_NAME_PREFIXES", "")),
            settle_s=_settle_s(environment.get("KEYTURN_SETTLE_S", "")),
            parameter_prefixes=listed(environment.get("KEYTURN_PARAMETER_PREFIXES", "")),
            secret_tag=tag_of(environment.get("KEYTURN_SECRET_TAG", "")),
            head_copies=_head_copies(environment.get("KEYTURN_HEAD_COPIES", "")),
            pace_s=_pace_s(environment.get("KEYTURN_PACE_S", "")),
        )

    def wants(self, hint: Hint) -> bool:
        """Return True if the hinted secret is one of the prefixes' by its id, and by the name if it has one.

        An event may be forged, and give a secret the name of another one.
        """
        named = hint.secret_id.rpartition(":secret:")[2]
        return self.watches(named) and (hint.name is None or self.watches(hint.name))

    def watches(self, name: str) -> bool:
        """Return True if this name begins with one of the prefixes."""
        return not self.name_prefixes or name.startswith(self.name_prefixes)


def tag_of(text: str) -> Tag | None:
    """Return the tag in KEYTURN_SECRET_TAG. Raises `ConfigurationError` for what cannot be one."""
    try:
        return Tag.of(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"KEYTURN_SECRET_TAG: {error}") from error


def _settle_s(text: str) -> float:
    settle_s = _number(text or str(SETTLE_S))
    if not 0 <= settle_s <= SETTLE_MAX_S:
        raise ConfigurationError(f"KEYTURN_SETTLE_S is {text!r}: give seconds from 0 to {SETTLE_MAX_S:g}")
    return settle_s


def _head_copies(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= COPIES_MAX):
        raise ConfigurationError(
            f"KEYTURN_HEAD_COPIES is {text!r}: give a whole number from 1 to {COPIES_MAX}"
        )
    return int(text)


def _pace_s(text: str) -> float | None:
    if not text:
        return None
    pace_s = _number(text)
    if not 0 <= pace_s <= PACE_MAX_S:
        raise ConfigurationError(f"KEYTURN_PACE_S is {text!r}: give seconds from 0 to {PACE_MAX_S:g}")
    return pace_s


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


ELSEWHERE: Final = "it is of another account or Region, whose own listener keeps its marker"


def _elsewhere(hinted: str, own: Arn | None) -> bool:
    """Return True if this secret or parameter is of another account or Region than `own`.

    CloudTrail tells of a call in the account of the caller, too. A parameter that AWS publishes is of no
    account.
    """
    arn = Arn.parse(hinted)
    if arn is None or own is None:
        return False
    is_near = (arn.partition, arn.region) == (own.partition, own.region)
    return not is_near or arn.account not in ("", own.account)


class Listener:
    """Handles events, one at a time.

    Args:
        settings: which secrets get markers, and how long answers take to settle.
        catalog: describes and lists secrets.
        table: the marker table.
        host: the clock, the pauses and the chance.
        parameters: lists the parameters that the sweep covers; None if it covers none.
        parallel: how the sweep asks about several secrets; by default about one after the other.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        table: SweptTable,
        host: Host,
        parameters: Listing | None = None,
        *,
        parallel: Parallel = in_turn,
    ) -> None:
        self._settings = settings
        self._recorder = Recorder(catalog, table, host, settle_s=settings.settle_s)
        self._sweeper = Sweeper(
            catalog,
            table,
            host,
            settle_s=settings.settle_s,
            parameters=parameters,
            watches=settings.watches,
            parallel=parallel,
        )

    def handle(self, event: object, time_is_up: Callable[[], bool], own: Arn | None = None) -> Summary:
        """Handle one event and return a summary.

        `time_is_up` returns True once a sweep must stop. `own` is the ARN of the listener's function; events
        about what is of another account or Region are ignored. Raises `KeyturnError` if the event should be
        delivered once more.
        """
        match parse(event):
            case Hint(secret_id=hinted) | ParameterHint(key=hinted) if _elsewhere(hinted, own):
                return {"outcome": "ignored", "reason": ELSEWHERE, "hinted": hinted}
            case Ignored(reason):
                return {"outcome": "ignored", "reason": reason}
            case Sweep():
                return self._sweep(time_is_up)
            case ParameterHint() as hint:
                return _summary(hint.key, hint.reason, self._recorder.record_parameter(hint))
            case Hint() as hint if not self._settings.wants(hint):
                return self._let_go(hint)
            case Hint() as hint:
                return _summary(hint.secret_id, hint.reason, self._recorder.record(hint))

    def _let_go(self, hint: Hint) -> Summary:
        """Ignore the event of a secret that is not watched, and let a marker of it cover no copy.

        Not the marker of a secret that is watched, and that an event gives another name.
        """
        key = hinted_key(hint)
        recorded = self._recorder.let_go(key) if key and not self._settings.watches(name_in(key)) else None
        if recorded is None or recorded.outcome is Outcome.UNCHANGED:
            return {"outcome": "ignored", "reason": "the secret's name begins with none of the prefixes"}
        return _summary(hint.secret_id, UNWATCHED, recorded)

    def _sweep(self, time_is_up: Callable[[], bool]) -> Summary:
        swept = self._sweeper.run(time_is_up)
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
