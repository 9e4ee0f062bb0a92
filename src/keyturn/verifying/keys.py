"""`Keys`: what `SecretCache.keys` returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from keyturn.errors import ConfigurationError, KeyMismatchError
from keyturn.model.versions import SecretVersion
from keyturn.verifying.ring import Ring, Rings
from keyturn.verifying.search import Search
from keyturn.verifying.trial import Mismatch, Trial

_T = TypeVar("_T")


class Keys:
    """The versions of a secret that may have signed, or encrypted, what comes in. Threads may share it.

    Sign with `current()`. Verify with `verify`, or by the id in the message with `by_id`. Where another
    library takes a list of keys, give it `all()` each time.
    """

    def __init__(
        self,
        rings: Rings,
        secret_id: str,
        get: Callable[[str], SecretVersion],
        previous_for_s: float | None,
    ) -> None:
        self._rings = rings
        self._secret_id = secret_id
        self._get = get
        self._previous_for_s = checked_age(previous_for_s)

    def __repr__(self) -> str:
        return f"Keys({self._secret_id!r})"

    def __iter__(self) -> Iterator[SecretVersion]:
        return iter(self.all())

    def current(self) -> SecretVersion:
        """Return AWSCURRENT, the version to sign with. Mostly a hit. Raises a `SecretError`."""
        return self._get(self._secret_id)

    def all(self) -> tuple[SecretVersion, ...]:
        """Return AWSCURRENT, AWSPENDING and AWSPREVIOUS in this order, each version once.

        Mostly no request. It looks again once AWSCURRENT or the marker has moved, after
        `Limits.uncovered_ttl_s`, and each check interval while a version is pending. Raises a `SecretError`.
        """
        current = self.current()
        ring = self._rings.of(current)
        if ring.is_due(current):
            self._look(ring, is_needed=not ring.is_at_hand())
            current = self.current()
        return ring.versions(current, self._previous_for_s)

    def by_id(self, version_id: str) -> SecretVersion:
        """Return the version with this id, which the signer has put into the message as `kid`.

        Looks again for an unknown id, as `verify` does. Raises `KeyMismatchError` if no version that may sign
        has this id, or a `SecretError`.
        """
        return self.verify(chosen(version_id), mismatch=LookupError)

    def verify(self, check: Callable[[SecretVersion], _T], *, mismatch: Mismatch = Exception) -> _T:
        """Return what `check` returns for the first version that fits: CURRENT, PENDING, then PREVIOUS.

        Where none fits, it looks again, at most once a second for the whole process, and tries what is new.
        So a message that nothing fits is refused after about a second, and costs no request of its own.

        Args:
            check: is called with a version. It says that the message was not made with this version if it
                returns False or raises one of `mismatch`; whatever else it returns is the result.
            mismatch: one exception class or several; every other error is raised at once. By default all.

        Raises what `check` raised for AWSCURRENT, or `KeyMismatchError` if it returned False, or the
        `SecretError` of reading AWSCURRENT.
        """
        trial = Trial(check, mismatch)
        search = Search(self._rings, trial, self._previous_for_s)
        while (ring := search.next_look(self.current())) is not None:
            self._look(ring, is_needed=search.is_look_needed)
        return trial.outcome(self._secret_id)

    def _look(self, ring: Ring, *, is_needed: bool) -> None:
        """Wait for the look that is under way, or begins now: to its end only if it is needed."""
        look, patience_s = self._rings.begin_look(ring, self._secret_id, is_needed=is_needed)
        look.wait(patience_s)


def chosen(version_id: str) -> Callable[[SecretVersion], SecretVersion]:
    """Return a check that fits only the version with this id."""

    def check(version: SecretVersion) -> SecretVersion:
        if version.version_id != version_id:
            raise KeyMismatchError(version.secret_id, "no version that may sign has this key id")
        return version

    return check


def checked_age(previous_for_s: float | None) -> float | None:
    """Return `previous_for_s`, or raise `ConfigurationError` for what is no duration."""
    if previous_for_s is None:
        return None
    is_number = isinstance(previous_for_s, int | float) and not isinstance(previous_for_s, bool)
    if not is_number or not previous_for_s >= 0:
        raise ConfigurationError(
            f"previous_for_s is {previous_for_s!r}; give seconds, 0 or more, or None for as long as the label"
        )
    return previous_for_s
