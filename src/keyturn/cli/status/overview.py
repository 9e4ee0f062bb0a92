"""What `keyturn status` compares: markers with what Secrets Manager says. Pure: asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from keyturn.cache.limits import DEFAULTS
from keyturn.markers.decisions import agrees_with_description
from keyturn.model.markers import Head, Marker
from keyturn.model.names import is_secret_arn
from keyturn.model.versions import Described

EVENTS_MAX = 10
"""So many of the last changes are shown."""


class Verdict(Enum):
    """What a marker is worth."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NO_MARKER = "no marker"
    BROKEN = "no usable marker"
    UNKNOWN = "not compared"


@dataclass(frozen=True, slots=True)
class Compared:
    """One secret or parameter: its marker (None: none of use) and the truth (None: not there or unknown)."""

    key: str
    marker: Marker | None
    described: Described | None
    verdict: Verdict
    why: str = ""

    @property
    def stages(self) -> list[tuple[str, str | None, str | None]]:
        """Each staging label with the version that the marker gives it, and Secrets Manager's."""
        marked = self.marker.stages if self.marker is not None else {}
        true = self.described.stages if self.described is not None else {}
        return [(label, marked.get(label), true.get(label)) for label in sorted({*marked, *true})]

    @property
    def is_wrong(self) -> bool:
        """Whether a reader would be told late, or not at all."""
        return self.verdict in (Verdict.DIFFERS, Verdict.NO_MARKER, Verdict.BROKEN)


def compared(key: str, marker: Marker | None, described: Described | None) -> Compared:
    """A secret's marker against what DescribeSecret said (None: there is no such secret)."""
    if marker is None:
        return Compared(key, None, described, Verdict.NO_MARKER, "the next sweep makes it")
    if agrees_with_description(marker, described):
        return Compared(key, marker, described, Verdict.AGREES, "deleted" if marker.deleted else "")
    return Compared(key, marker, described, Verdict.DIFFERS, _difference(marker, described))


def unknown(key: str, marker: Marker, why: str) -> Compared:
    """A marker that was not compared."""
    return Compared(key, marker, None, Verdict.UNKNOWN, why)


def broken(key: str) -> Compared:
    """An item that is no marker that this version of keyturn can read."""
    return Compared(key, None, None, Verdict.BROKEN, "the next sweep replaces it")


def is_comparable(marker: Marker) -> bool:
    """Whether DescribeSecret can tell the truth about it; a parameter's has an event's token instead."""
    return is_secret_arn(marker.key)


def _difference(marker: Marker, described: Described | None) -> str:
    if described is None:
        return "there is no such secret"
    if marker.arn != described.arn:
        return "it was made anew: another ARN"
    if marker.deleted != described.deleted:
        return "it is scheduled for deletion" if described.deleted else "it was restored"
    return "its staging labels have moved"


@dataclass(frozen=True, slots=True)
class Overview:
    """The head and what was compared with the markers."""

    head: Head | None
    secrets: Sequence[Compared]

    @property
    def swept_age_s(self) -> float | None:
        """How far the sweep's word is behind; None without one."""
        return self.head.swept_age_s if self.head is not None else None

    @property
    def has_lease(self) -> bool:
        """Whether markers count as complete now, for readers with the default `lease_s`."""
        age_s = self.swept_age_s
        return age_s is not None and age_s < DEFAULTS.lease_s

    @property
    def wrong(self) -> list[Compared]:
        """What readers would learn late."""
        return [one for one in self.secrets if one.is_wrong]

    @property
    def events(self) -> list[Marker]:
        """The last changes, the latest first."""
        markers = [one.marker for one in self.secrets if one.marker is not None]
        return sorted(markers, key=lambda marker: marker.changed_at_s, reverse=True)[:EVENTS_MAX]

    @property
    def is_well(self) -> bool:
        return self.has_lease and not self.wrong


def document(overview: Overview) -> dict[str, object]:
    """All of it, for JSON."""
    head = overview.head
    return {
        "well": overview.is_well,
        "head": None
        if head is None
        else {
            "epoch": head.epoch,
            "counter": head.counter,
            "swept_as_of_s": head.swept_as_of_s,
            "swept_age_s": overview.swept_age_s,
            "lease": overview.has_lease,
        },
        "secrets": [_secret(one) for one in overview.secrets],
        "events": [event(marker) for marker in overview.events],
    }


def event(marker: Marker) -> dict[str, object]:
    """What a marker's last change was, for JSON."""
    return {
        "key": marker.key,
        "changed_at_s": marker.changed_at_s,
        "reason": marker.reason,
        "step": marker.step,
        "deleted": marker.deleted,
        "sequence": marker.sequence,
        "stages": dict(marker.stages),
    }


def _secret(one: Compared) -> dict[str, object]:
    return {
        "key": one.key,
        "verdict": one.verdict.value,
        "why": one.why,
        "stages": {
            label: {"marker": marked, "secrets_manager": true, "differs": marked != true}
            for label, marked, true in one.stages
        }
        if one.described is not None
        else {label: {"marker": marked} for label, marked, _ in one.stages},
    }
