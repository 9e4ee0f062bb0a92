"""Parameters that are read together: as few requests as possible, and what each name has brought."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias, cast

from keyturn.cache.cache import Cache
from keyturn.cache.reads import ForgottenError
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    ParameterNotFoundError,
    SecretError,
)
from keyturn.model.names import Place
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import NAMES_MAX, ParameterSource
from keyturn.model.versions import AWSCURRENT

Outcomes: TypeAlias = dict[str, Parameter | SecretError]
"""What is served by each name after a batch, or why that cannot be served."""

OF_ONE = (AccessDeniedError, DecryptionError, InvalidSecretIdError)
"""What Parameter Store answers to a whole request although it is about one of the names."""


class Batches:
    """Reads the latest versions of many parameters into one cache, in the thread that calls."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def read(self, names: Sequence[str]) -> Outcomes:
        """Read latest versions in as few calls as possible, keep what they bring, and return it."""
        source, outcomes, missing = self._cache.source, Outcomes(), list[str]()
        for name in names:
            # Another caller's batch may have landed just now.
            ready = self._at_hand(name)
            if ready is not None:
                outcomes[name] = ready
            else:
                missing.append(name)
        if isinstance(source, ParameterSource):
            for together in _by_place(missing):
                for at in range(0, len(together), NAMES_MAX):
                    self._read_batch(source, together[at : at + NAMES_MAX], outcomes)
        else:
            self._read_singly(missing, outcomes)
        return outcomes

    def _at_hand(self, name: str) -> Parameter | None:
        try:
            return cast("Parameter | None", self._cache.copies.look(name, AWSCURRENT).version)
        except SecretError:
            return None

    def _read_singly(self, names: Sequence[str], outcomes: Outcomes) -> None:
        for name in names:
            try:
                outcomes[name] = cast("Parameter", self._cache.reads.bring(name, AWSCURRENT))
            except SecretError as error:
                outcomes[name] = error

    def _read_batch(self, source: ParameterSource, names: Sequence[str], outcomes: Outcomes) -> None:
        begun = self._cache.begin()
        try:
            answers = self._cache.reads.request(lambda: source.read_many(names), names[0])
        except ForgottenError:
            # What was answered is void.
            self._read_singly(names, outcomes)
            return
        except OF_ONE as error:
            # It is about one of them, and the answer does not say about which: each by itself, once.
            if len(names) == 1 or (isinstance(error, AccessDeniedError) and error.of_credentials):
                self._excuse_all(names, error, outcomes)
            else:
                for name in names:
                    self._read_batch(source, [name], outcomes)
            return
        except SecretError as error:
            self._excuse_all(names, error, outcomes)
            return
        for name in names:
            if name not in answers:
                self._excuse(name, ParameterNotFoundError(name), outcomes)
                continue
            kept = self._cache.offer(name, AWSCURRENT, answers[name], begun)
            if kept is not None:
                outcomes[name] = cast("Parameter", kept)
            else:
                self._read_singly([name], outcomes)

    def _excuse_all(self, names: Sequence[str], error: SecretError, outcomes: Outcomes) -> None:
        for name in names:
            self._excuse(name, error, outcomes)

    def _excuse(self, name: str, error: SecretError, outcomes: Outcomes) -> None:
        """Note that the read of this failed: from now on the copy is served, or the error is raised."""
        try:
            outcomes[name] = cast("Parameter", self._cache.excuse(name, AWSCURRENT, error))
        except SecretError as raised:
            outcomes[name] = raised


def _by_place(names: Iterable[str]) -> Collection[list[str]]:
    """Return the names apart by account and Region: one request goes to one place."""
    found: dict[Place | None, list[str]] = {}
    for name in names:
        found.setdefault(Place.of(name), []).append(name)
    return found.values()
