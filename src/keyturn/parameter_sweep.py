"""What a sweep writes of parameters: the version of each, so that its marker can cover a copy.

An event about a parameter has no version, so its marker has only the event's token: a reason to
read again, and no cover. The sweep lists the parameters and adds their versions, under AWSCURRENT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from keyturn.names import is_secret_arn
from keyturn.protocols import Seen
from keyturn.values import AWSCURRENT, Described, Marker


def parameter_changes(
    seen: Mapping[str, Seen],
    listed: Mapping[str, Described],
    absent: Callable[[str], Seen],
    *,
    now_s: float,
    lag_s: float,
) -> Iterator[tuple[Seen, Marker]]:
    """The markers to write, where `listed` has the parameters by their keys.

    A list may be `lag_s` behind, so a marker whose version an event has taken away since is left to
    the next sweep. Where parameters are not listed at all, or not any more, their markers lose their
    version.
    """
    for key, described in listed.items():
        if key not in seen or seen[key].marker is None:
            marker = Marker(key, key, dict(described.stages), reason="sweep: first seen", changed_at_s=now_s)
            yield seen.get(key) or absent(key), marker
    for one in seen.values():
        before = one.marker
        if before is None or is_secret_arn(before.key):
            continue
        if not before.stages and before.changed_at_s > now_s - lag_s:
            continue
        found = listed.get(before.key)
        stages = dict(found.stages) if found is not None else {}
        is_wrong = dict(before.stages) != stages or (before.deleted and found is not None)
        if is_wrong or before.arn != before.key:
            yield (
                one,
                before._replace(
                    arn=before.key, stages=stages, deleted=False, reason="sweep", changed_at_s=now_s
                ),
            )


def was_missed(before: Marker | None, after: Marker) -> bool:
    """Whether an event should have told of this difference: an event takes the version away."""
    was, now = (one.stages.get(AWSCURRENT) if one is not None else None for one in (before, after))
    return was is not None and now is not None and was != now
