"""How one marker is brought into agreement with Secrets Manager: read the marker, describe, write.

A hint says only that something happened to a secret. The marker is written from the answer of DescribeSecret,
never from the hint. The marker is read before the secret, and written only if it has not changed since, which
puts several writers into one order.

DescribeSecret is eventually consistent. An answer that moves AWSCURRENT back to a version that it has left
may be an old answer. It counts only if the hint names that version, or if an earlier answer asked for the
same move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from keyturn.errors import (
    InvalidSecretIdError,
    MarkerConflictError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.markers.decisions import (
    CurrentMove,
    Hint,
    agrees_with_description,
    hinted_key,
    marker_after,
    move_of,
    moves_back,
    shows,
)
from keyturn.model.markers import Marker
from keyturn.model.names import secret_key
from keyturn.model.protocols import Catalog, MarkerStore, Seen
from keyturn.model.versions import AWSCURRENT, Described
from keyturn.runtime.host import Host

_CONFLICTS_MAX: Final = 6
_BACKOFF_FIRST_S: Final = 0.05

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a marker and its secret has found and written.

    `before` is the marker that was read, `marker` the marker as it is now (None: there is none). `move` is
    the move of AWSCURRENT between the two. `settled` is False if a later look may find more: the answer did
    not show yet what the hint says, or it moves AWSCURRENT back.
    """

    before: Marker | None
    marker: Marker | None
    move: CurrentMove | None = None
    written: bool = False
    settled: bool = True


class Reconciler:
    """Brings markers into agreement with Secrets Manager. Holds no state: as thread-safe as its arguments."""

    def __init__(self, catalog: Catalog, store: MarkerStore, host: Host) -> None:
        self._catalog = catalog
        self._store = store
        self._host = host

    def look(self, hint: Hint, seen_before: CurrentMove | None = None) -> Look:
        """Read the marker and the secret once, and write the marker if it differs.

        A move of AWSCURRENT back to a version that it has left is written only if the hint names that
        version or if the same move was `seen_before`. Raises `SecretError` and `MarkerTableError`.
        """
        return until_written(lambda: self._look(hint, seen_before), self._host)

    def _look(self, hint: Hint, seen_before: CurrentMove | None) -> Look:
        seen, described = self._observe(hint)
        look = self._judge(hint, seen, described, seen_before)
        if seen is not None and seen.untold and not look.written:
            # The writer of the marker may have been killed before it told the head.
            self._store.tell([seen])
        return look

    def _judge(
        self, hint: Hint, seen: Seen | None, described: Described | None, seen_before: CurrentMove | None
    ) -> Look:
        before = seen.marker if seen is not None else None
        if seen is None or described is None:
            return self._bury(hint, seen)
        if before is None and not described.wanted:
            return Look(None, None)
        move = move_of(before, described)
        is_named = hint.stage == AWSCURRENT and hint.version_id == move.to
        if moves_back(before, described) and move != seen_before and not is_named:
            return Look(before, before, move, settled=False)
        after = marker_after(before, described, hint, self._host.wall())
        if before is not None and agrees_with_description(before, described) and before.step == after.step:
            return Look(before, before, move, settled=shows(described, hint))
        self._store.write([(seen, after)])
        return Look(before, after, move, written=True, settled=shows(described, hint))

    def _observe(self, hint: Hint) -> tuple[Seen | None, Described | None]:
        """Read the marker, then describe the secret.

        Only the `Name` in an answer proves a key. So the marker that was read first may be another one, and
        the marker under the proven key is read again.
        """
        key = hinted_key(hint)
        for _ in range(3):
            seen = self._store.look(key) if key is not None else None
            described = find_secret(self._catalog, hint.secret_id, key)
            if described is None:
                return seen, None
            if key == secret_key(described.arn, described.name):
                return seen, described
            key = secret_key(described.arn, described.name)
        raise UnavailableError(hint.secret_id, "every answer of DescribeSecret names another secret")

    def _bury(self, hint: Hint, seen: Seen | None) -> Look:
        """Mark a secret that does not exist as deleted, if the marker has the very ARN of the hint."""
        before = seen.marker if seen is not None else None
        if seen is None or before is None or before.deleted or before.arn != hint.secret_id:
            return Look(before, before)
        after = before._replace(deleted=True, step=None, reason=hint.reason, changed_at_s=self._host.wall())
        self._store.write([(seen, after)])
        return Look(before, after, written=True)


def find_secret(catalog: Catalog, secret_id: str, key: str | None) -> Described | None:
    """Describe the secret with this id, else the secret that has the name in the marker key `key` now.

    Returns None if there is neither. Raises `SecretError`.
    """
    found = _described(catalog, secret_id)
    if found is not None or key is None:
        return found
    # Secrets Manager could take the key for a partial ARN, and cut off a name's end that looks like a suffix.
    # So it is asked for the name.
    renewed = _described(catalog, key.partition(":secret:")[2])
    return renewed if renewed is not None and secret_key(renewed.arn, renewed.name) == key else None


def _described(catalog: Catalog, secret_id: str) -> Described | None:
    try:
        return catalog.describe(secret_id)
    except (SecretNotFoundError, InvalidSecretIdError):
        return None


def until_written(attempt: Callable[[], _T], host: Host) -> _T:
    """Call `attempt` until no other writer is faster, at most seven times, and return its result.

    Raises the last `MarkerConflictError`.
    """
    for number in range(_CONFLICTS_MAX):
        try:
            return attempt()
        except MarkerConflictError:
            host.sleep(host.random() * _BACKOFF_FIRST_S * 2**number)
    return attempt()
