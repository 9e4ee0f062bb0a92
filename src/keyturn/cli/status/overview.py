"""The comparison of markers with Secrets Manager for `keyturn status`. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from keyturn.cache.limits import DEFAULTS
from keyturn.markers.decisions import agrees_with_description
from keyturn.markers.schema import head_key
from keyturn.model.markers import Head, Marker
from keyturn.model.names import is_secret_arn
from keyturn.model.versions import Described

EVENTS_MAX = 10
"""The number of last changes that are shown."""


class Verdict(Enum):
    """The result of comparing a marker with Secrets Manager."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NO_MARKER = "no marker"
    MISSING = "no such secret"
    BROKEN = "no usable marker"
    UNKNOWN = "not compared"


@dataclass(frozen=True, slots=True)
class Compared:
    """One secret or parameter with its marker and its description.

    `marker` is None if there is no usable one; `described` is None if the secret does not exist or was not
    described.
    """

    key: str
    marker: Marker | None
    described: Described | None
    verdict: Verdict
    why: str = ""

    @property
    def stages(self) -> list[tuple[str, str | None, str | None]]:
        """Return each staging label with the version in the marker, and the version in Secrets Manager."""
        marked = self.marker.stages if self.marker is not None else {}
        true = self.described.stages if self.described is not None else {}
        return [(label, marked.get(label), true.get(label)) for label in sorted({*marked, *true})]

    @property
    def is_wrong(self) -> bool:
        """Return True if a reader would learn of a change late, or not at all."""
        return self.verdict in (Verdict.DIFFERS, Verdict.NO_MARKER, Verdict.MISSING, Verdict.BROKEN)


def compared(key: str, marker: Marker | None, described: Described | None) -> Compared:
    """Compare a secret's marker with DescribeSecret's answer (None: there is no such secret)."""
    if marker is None:
        return Compared(key, None, described, Verdict.NO_MARKER, "the next sweep makes one")
    if agrees_with_description(marker, described):
        return Compared(key, marker, described, Verdict.AGREES, "deleted" if marker.deleted else "")
    return Compared(key, marker, described, Verdict.DIFFERS, _difference(marker, described))


def unknown(key: str, marker: Marker, why: str) -> Compared:
    """Return the entry of a marker that was not compared, and why."""
    return Compared(key, marker, None, Verdict.UNKNOWN, why)


def broken(key: str) -> Compared:
    """Return the entry of an item that this version of keyturn cannot read as a marker."""
    return Compared(key, None, None, Verdict.BROKEN, "the next sweep replaces it")


def missing(secret_id: str) -> Compared:
    """Return the entry of a secret that was asked for and that does not exist."""
    return Compared(secret_id, None, None, Verdict.MISSING, "check the name, the account and the Region")


def is_comparable(marker: Marker) -> bool:
    """Return True if DescribeSecret can confirm this marker.

    A parameter's marker holds the token of an event instead.
    """
    return is_secret_arn(marker.key)


def _difference(marker: Marker, described: Described | None) -> str:
    if described is None:
        return "there is no such secret"
    if marker.arn != described.arn:
        return "the secret was re-created and has another ARN"
    if marker.deleted != described.deleted:
        return "the secret is scheduled for deletion" if described.deleted else "the secret was restored"
    return "the staging labels have moved"


@dataclass(frozen=True, slots=True)
class Overview:
    """The head, each marker with the result of its comparison, and the copies of the head, from `head#1` on.

    A copy is None if there is no usable one.
    """

    head: Head | None
    secrets: Sequence[Compared]
    copies: Sequence[Head | None] = ()

    @property
    def swept_age_s(self) -> float | None:
        """Return how old the sweep's last statement is, in seconds; None without a sweep."""
        return self.head.swept_age_s if self.head is not None else None

    @property
    def has_lease(self) -> bool:
        """Return True if markers count as complete now, for readers with the default `lease_s`."""
        return _has_lease(self.head)

    @property
    def without_lease(self) -> list[str]:
        """Return the keys of the copies whose readers are not covered."""
        return [head_key(number) for number, one in enumerate(self.copies, start=1) if not _has_lease(one)]

    @property
    def wrong(self) -> list[Compared]:
        """Return the entries that need attention."""
        return [one for one in self.secrets if one.is_wrong]

    @property
    def events(self) -> list[Marker]:
        """Return the last changes, the latest first."""
        markers = [one.marker for one in self.secrets if one.marker is not None]
        return sorted(markers, key=lambda marker: marker.changed_at_s, reverse=True)[:EVENTS_MAX]

    @property
    def is_well(self) -> bool:
        return self.has_lease and not self.without_lease and not self.wrong


def _has_lease(head: Head | None) -> bool:
    age_s = head.swept_age_s if head is not None else None
    return age_s is not None and age_s < DEFAULTS.lease_s


def document(overview: Overview) -> dict[str, object]:
    """Return the overview for JSON."""
    head = overview.head
    return {
        "well": overview.is_well,
        "head": None if head is None else {**_head(head), "copies": head.copies, "pace_s": head.pace_s},
        "copies": [
            {"key": head_key(number), **(_head(one) if one is not None else {"lease": False})}
            for number, one in enumerate(overview.copies, start=1)
        ],
        "secrets": [_secret(one) for one in overview.secrets],
        "events": [event(marker) for marker in overview.events],
    }


def event(marker: Marker) -> dict[str, object]:
    """Return a marker's last change, for JSON."""
    return {
        "key": marker.key,
        "changed_at_s": marker.changed_at_s,
        "reason": marker.reason,
        "step": marker.step,
        "deleted": marker.deleted,
        "sequence": marker.sequence,
        "stages": dict(marker.stages),
    }


def _head(head: Head) -> dict[str, object]:
    return {
        "epoch": head.epoch,
        "counter": head.counter,
        "swept_as_of_s": head.swept_as_of_s,
        "swept_age_s": head.swept_age_s,
        "lease": _has_lease(head),
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
