"""Parameters of Parameter Store behind `SecretCache`: one by one, many at once, and whole paths."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker, Secrets
from keyturn.cache.limits import Limits
from keyturn.errors import (
    ConfigurationError,
    InvalidParameterNameError,
    ParameterNotFoundError,
    SecretError,
)
from keyturn.model.instant import Instant
from keyturn.model.names import REFERENCE_PREFIX, ParameterId, parameter_id, parameter_path
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import NAMES_MAX, ParameterSource
from keyturn.model.versions import AWSCURRENT, SecretVersion

_VERSION_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class _NamesUnderPath(NamedTuple):
    """The names that were under a path when its reading was begun."""

    names: tuple[str, ...]
    begun: Instant


def selected(name: object, version: int | None, label: str | None) -> ParameterId:
    """The parameter that is asked for. Raises `ConfigurationError` if it is selected in two ways."""
    asked = parameter_id(name)
    selectors = [str(one) for one in (version, label) if one is not None]
    if len(selectors) + (asked.selector != AWSCURRENT) > 1:
        raise ConfigurationError(f"parameter {asked.name!r}: give a version or a label, once")
    return parameter_id(f"{asked.name}:{selectors[0]}") if selectors else asked


class Parameters:
    """Parameters, all of them decrypted or none. Threads may share it.

    Names are as callers give them: a name or ARN, which may end in `:version` or `:label`. One batch
    is read at a time; who waits for it finds what it has brought. `secrets`: where references to
    secrets lead; None where they lead nowhere, since Parameter Store gives them decrypted only.
    """

    def __init__(self, cache: Cache, secrets: Secrets | None, checker: Checker, limits: Limits) -> None:
        self._cache = cache
        self._secrets = secrets
        self._checker = checker
        self._limits = limits
        self._batching = threading.Lock()
        self._listings: dict[tuple[str, bool], _NamesUnderPath] = {}

    def get(self, name: str, version: int | None, label: str | None) -> Parameter:
        """All that is not a hit. Raises a `ParameterError`, or a `SecretError` for a reference."""
        asked = selected(name, version, label)
        self._checker.check_if_due()
        return self._checker.telling(self._get, asked)

    def peek(self, name: str, version: int | None, label: str | None) -> Parameter | None:
        """Return what `get` returns without a lock or a request, or None."""
        asked, now_s = selected(name, version, label), self._cache.now().wall_s
        if not self._refers(asked):
            hit = self._cache.holdings.window.hit(asked.name, asked.selector, now_s)
            return cast("Parameter | None", hit)
        if self._secrets is None:
            return None
        secret_id = asked.name.removeprefix(REFERENCE_PREFIX)
        secret = self._secrets.cache.holdings.window.hit(secret_id, asked.selector, now_s)
        return as_parameter(secret, asked.name) if secret is not None else None

    def get_many(self, names: Iterable[str]) -> dict[str, Parameter]:
        """Each parameter by the name asked for; what is missing is read ten at a time.

        Raises `ParameterNotFoundError` for all that are not there, else the `SecretError` of the first
        that cannot be served.
        """
        asked = {name: parameter_id(name) for name in names}
        self._checker.check_if_due()
        found, absent = self._checker.telling(self._found, asked)
        if absent:
            raise ParameterNotFoundError(", ".join(absent))
        return found

    def get_by_path(self, path: str, *, recursive: bool) -> dict[str, Parameter]:
        """Each parameter under the path by its full name, in the order of Parameter Store.

        Which there are is asked anew after `uncovered_ttl_s`; each value is as fresh as any other.
        Raises a `SecretError`.
        """
        path = parameter_path(path)
        self._checker.check_if_due()
        return self._checker.telling(self._under, path, recursive=recursive)

    def _under(self, path: str, *, recursive: bool) -> dict[str, Parameter]:
        with self._batching:
            names = self._names(path, recursive=recursive)
        return self._found({name: ParameterId(name) for name in names})[0]

    def _get(self, asked: ParameterId) -> Parameter:
        if self._refers(asked):
            return self._referred(asked)
        return cast("Parameter", self._cache.get(asked.name, asked.selector))

    def _refers(self, asked: ParameterId) -> bool:
        """Return True for a secret under its name in Parameter Store, by a staging label."""
        return asked.name.startswith(REFERENCE_PREFIX) and not _VERSION_ID.fullmatch(asked.selector)

    def _referred(self, asked: ParameterId) -> Parameter:
        """A secret under its name in Parameter Store: the secret's own entry, with its own marker."""
        if self._secrets is None:
            raise InvalidParameterNameError(asked.name, "a reference to a secret needs decrypt=True")
        version = self._secrets.get(asked.name.removeprefix(REFERENCE_PREFIX), asked.selector)
        return as_parameter(version, asked.name)

    def _found(self, asked: Mapping[str, ParameterId]) -> tuple[dict[str, Parameter], list[str]]:
        """What there is, and the names of what there is not."""
        ready = self._ready(asked)
        missing = [name for name in asked if name not in ready]
        if missing:
            with self._batching:
                ready |= self._ready({name: asked[name] for name in missing})
                missing = [name for name in missing if name not in ready]
                ready |= self._read(missing)
        found = {name: one for name in asked if (one := ready.get(name)) is not None}
        return found, [name for name in asked if name not in found]

    def _ready(self, asked: Mapping[str, ParameterId]) -> dict[str, Parameter | None]:
        """What needs no batch: what is served as it is, and what a batch cannot read.

        None for what was just found not to be there.
        """
        ready: dict[str, Parameter | None] = {}
        for name, one in asked.items():
            try:
                if one.selector != AWSCURRENT or one.name.startswith(REFERENCE_PREFIX):
                    ready[name] = self._get(one)
                elif (version := self._cache.peek(one.name, one.selector)) is not None:
                    ready[name] = cast("Parameter", version)
            except ParameterNotFoundError:
                ready[name] = None
        return ready

    def _read(self, names: Sequence[str]) -> dict[str, Parameter]:
        """Read latest versions, as few calls as possible; those that are not there are left out."""
        source = self._cache.source
        if not isinstance(source, ParameterSource):
            return {name: cast("Parameter", self._cache.get(name, AWSCURRENT)) for name in names}
        read: dict[str, Parameter] = {}
        for at in range(0, len(names), NAMES_MAX):
            read |= self._read_batch(source, names[at : at + NAMES_MAX])
        return read

    def _read_batch(self, source: ParameterSource, names: Sequence[str]) -> dict[str, Parameter]:
        begun = self._cache.begin()
        served: dict[str, SecretVersion] = {}
        try:
            answers = source.read_many(names)
        except SecretError as error:
            self._cache.measure_read(begun.at, error=error)
            served = {name: self._cache.excuse(name, AWSCURRENT, error) for name in names}
            return cast("dict[str, Parameter]", served)
        self._cache.measure_read(begun.at)
        for name in names:
            if name in answers:
                served[name] = self._cache.offer(name, AWSCURRENT, answers[name], begun)
                continue
            with suppress(ParameterNotFoundError):
                self._cache.excuse(name, AWSCURRENT, ParameterNotFoundError(name))
        return cast("dict[str, Parameter]", served)

    def _names(self, path: str, *, recursive: bool) -> tuple[str, ...]:
        """The names under a path, as they are known or as a reading of all pages shows them."""
        source, key = self._cache.source, (path, recursive)
        if not isinstance(source, ParameterSource):
            raise ConfigurationError(f"parameters under {path!r}: this source reads no paths")
        known, now = self._listings.get(key), self._cache.now()
        if known is not None and known.begun.age_s(now) < self._limits.uncovered_ttl_s * self._limits.spread:
            return known.names
        try:
            names = tuple(self._offered(source.read_path(path, recursive=recursive)))
        except SecretError as error:
            self._cache.measure_read(now, error=error)
            if known is None or known.begun.age_s(now) >= self._limits.max_stale_s:
                raise
            return known.names
        self._cache.measure_read(now)
        self._listings[key] = _NamesUnderPath(names, now)
        return names

    def _offered(self, parameters: Iterator[SecretVersion]) -> Iterator[str]:
        """Keep what a reading of pages brings, and give its names."""
        begun = self._cache.begin()
        for parameter in parameters:
            self._cache.offer(parameter.name, AWSCURRENT, parameter, begun)
            yield parameter.name


def as_parameter(version: SecretVersion, asked: str) -> Parameter:
    """A secret's version as Parameter Store shows it: a SecureString, without a version number."""
    return Parameter(
        secret_id=asked,
        arn=version.arn,
        name=asked,
        version_id=version.version_id,
        stages=version.stages,
        created_s=version.created_s,
        string=version.text(),
        type="SecureString",
    )
