"""Parameters of Parameter Store behind `SecretCache`: one by one, many at once, and whole paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple, NoReturn, cast

from keyturn.cache.batches import Batches, Outcomes
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.flights import SingleFlight
from keyturn.cache.holdings import hit_key
from keyturn.cache.limits import Limits
from keyturn.cache.reads import ForgottenError
from keyturn.cache.secrets import Secrets
from keyturn.cache.waiting import Waiting
from keyturn.errors import (
    ConfigurationError,
    InvalidParameterNameError,
    ParameterNotFoundError,
    ParameterUnavailableError,
    SecretError,
)
from keyturn.model.bounded import make_room
from keyturn.model.instant import Instant
from keyturn.model.names import REFERENCE_PREFIX, ParameterId, exact_str, parameter_id, parameter_path
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import ParameterSource
from keyturn.model.versions import AWSCURRENT, SecretVersion

_VERSION_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

PATHS_MAX: Final = 1024
"""How many paths' names are kept; the one that was read longest ago makes room."""

BATCHES_AWAITED_MAX: Final = 3
"""How many batches of other callers, and its own, a caller waits for."""

BATCH: Final = "the batch"
"""The key of the one batch that is read at a time."""


class _NamesUnderPath(NamedTuple):
    """The names under a path, and when the reading that showed them was begun."""

    names: tuple[str, ...]
    begun: Instant


def selected(name: object, version: int | None, label: str | None) -> ParameterId:
    """Return the parameter that the caller means. Raises `ConfigurationError` if it is selected twice."""
    asked = parameter_id(name)
    selectors = [
        exact_str(one) if isinstance(one, str) else str(one) for one in (version, label) if one is not None
    ]
    if len(selectors) + (asked.selector != AWSCURRENT) > 1:
        raise ConfigurationError(f"parameter {asked.name!r}: give a version or a label, once")
    return parameter_id(f"{asked.name}:{selectors[0]}") if selectors else asked


class Parameters:
    """Parameters, all of them decrypted or none. Threads may share it.

    Names are as callers give them: a name or ARN, which may end in `:version` or `:label`. One batch is read
    at a time; a caller that waits for it finds what it has brought. `secrets`: where references to secrets
    lead, or None, since Parameter Store gives their values decrypted only.
    """

    def __init__(self, cache: Cache, secrets: Secrets | None, checker: Checker, limits: Limits) -> None:
        self._cache = cache
        self._secrets = secrets
        self._checker = checker
        self._limits = limits
        self._reads = Batches(cache)
        self._batches: SingleFlight[str, Outcomes] = SingleFlight("keyturn-read")
        self._path_reads: SingleFlight[tuple[str, bool], None] = SingleFlight("keyturn-read")
        self._paths: dict[tuple[str, bool], _NamesUnderPath] = {}

    def get(self, name: str, version: int | None, label: str | None) -> Parameter:
        """Return the parameter: all that is not a hit. Raises a `ParameterError`.

        A reference to a secret raises a `SecretError`.
        """
        asked = selected(name, version, label)
        waiting = self._checker.waiting()
        self._checker.check_if_due(waiting)
        return self._checker.telling(lambda patience: self._get(asked, patience), waiting)

    def peek(self, name: str, version: int | None, label: str | None) -> Parameter | None:
        """Return what `get` returns without a lock or a request, or None."""
        asked, now_s = selected(name, version, label), self._cache.copies.now().wall_s
        if not self._refers(asked):
            hit = self._cache.holdings.window.hit(asked.name, asked.selector, now_s)
            return cast("Parameter | None", hit)
        if self._secrets is None:
            return None
        secret_id = asked.name.removeprefix(REFERENCE_PREFIX)
        secret = self._secrets.cache.holdings.window.hit(secret_id, asked.selector, now_s)
        return as_parameter(secret, asked.name) if secret is not None else None

    def get_many(self, names: Iterable[str]) -> dict[str, Parameter]:
        """Return each parameter by the name asked for; what is missing is read ten at a time.

        Raises `ParameterNotFoundError` for all that are not there, else the `SecretError` of the first
        that cannot be served.
        """
        pairs = [(name, parameter_id(name)) for name in names]
        asked = {exact_str(name): one for name, one in pairs}
        waiting = self._checker.waiting()
        self._checker.check_if_due(waiting)
        found, absent = self._checker.telling(lambda patience: self._found(asked, patience), waiting)
        if absent:
            raise ParameterNotFoundError(", ".join(absent))
        return found

    def get_by_path(self, path: str, *, recursive: bool) -> dict[str, Parameter]:
        """Return each parameter under the path by its full name, in the order of Parameter Store.

        The names are read again after `uncovered_ttl_s`; with a background thread at work the caller leaves
        with names up to twice as old. Each value is as fresh as any other. Raises a `SecretError`.
        """
        path = parameter_path(path)
        waiting = self._checker.waiting()
        self._checker.check_if_due(waiting)
        return self._checker.telling(lambda patience: self._under(path, recursive, patience), waiting)

    # One by one

    def _get(self, asked: ParameterId, waiting: Waiting) -> Parameter:
        if self._refers(asked):
            return self._referred(asked)
        return cast("Parameter", self._cache.get(asked.name, asked.selector, waiting))

    def _refers(self, asked: ParameterId) -> bool:
        """Return True for a secret under its name in Parameter Store, by a staging label."""
        return asked.name.startswith(REFERENCE_PREFIX) and not _VERSION_ID.fullmatch(asked.selector)

    def _referred(self, asked: ParameterId) -> Parameter:
        """Return a secret under its name in Parameter Store: the secret's own copy, with its own marker."""
        if self._secrets is None:
            raise InvalidParameterNameError(asked.name, "a reference to a secret needs decrypt=True")
        version = self._secrets.get(asked.name.removeprefix(REFERENCE_PREFIX), asked.selector)
        return as_parameter(version, asked.name)

    # Many

    def _found(
        self, asked: Mapping[str, ParameterId], waiting: Waiting
    ) -> tuple[dict[str, Parameter], list[str]]:
        """Return what there is, and the names of what there is not."""
        ready, spares = self._ready(asked, waiting)
        missing = [name for name in asked if name not in ready]
        outcomes: Outcomes | None = None
        # The batch under way may have begun without these names; the next one did not, or is our own.
        for _ in range(BATCHES_AWAITED_MAX):
            if not missing or outcomes is not None:
                break
            is_cold = any(name not in spares for name in missing)
            is_over, outcomes = self._read_in_a_thread(missing, waiting, is_cold=is_cold)
            if not is_over:
                break
            now_ready, spares = self._ready({name: asked[name] for name in missing}, waiting)
            ready |= now_ready
            missing = [name for name in missing if name not in ready]
        for name in missing:
            outcome = (outcomes or {}).get(name)
            if isinstance(outcome, Parameter):
                # Read for this very caller, even where it looks old by a clock that was set meanwhile.
                ready[name] = outcome
            elif not isinstance(outcome, ParameterNotFoundError):
                ready[name] = spares.get(name) or self._given_up(name, outcome, waiting)
        found = {name: one for name in asked if (one := ready.get(name)) is not None}
        return found, [name for name in asked if name not in found]

    def _read_in_a_thread(
        self, names: Sequence[str], waiting: Waiting, *, is_cold: bool
    ) -> tuple[bool, Outcomes | None]:
        """Read these, or wait for the batch under way. Return whether it ended, and an own one's outcomes."""
        if self._cache.copies.is_locked_here():
            return True, self._reads.read(names)
        service, now = self._cache.services.main, self._cache.copies.now()
        if self._batches.find(BATCH) is None and not is_cold and not service.may_probe(now):
            return False, None
        flight, is_mine = self._batches.join_or_begin(
            BATCH, lambda: self._reads.read(names), now.monotonic_s, service.patience_s(now)
        )
        if not is_cold and service.rest is not None:
            return False, None
        patience_s = waiting.left_s(has_copy=not is_cold)
        if not flight.wait(patience_s):
            service.waited_in_vain(patience_s)
            return False, None
        return True, flight.outcome() if is_mine else None

    def _given_up(self, name: str, error: SecretError | None, waiting: Waiting) -> NoReturn:
        """Raise why this was not read: nothing is held that may be served."""
        if error is None:
            error = ParameterUnavailableError(name, f"no answer within {waiting.cold_s:g} s")
            self._cache.copies.remember_failure(name, AWSCURRENT, error)
        raise error.about(name) from error.__cause__

    def _ready(
        self, asked: Mapping[str, ParameterId], waiting: Waiting
    ) -> tuple[dict[str, Parameter | None], dict[str, Parameter]]:
        """Return what needs no batch, and the copies that may be served in the place of what needs one.

        No batch is needed for what is served as it is or refreshed in the background, and for what a batch
        cannot read. None stands for a parameter that was just found not to exist.
        """
        ready: dict[str, Parameter | None] = {}
        spares: dict[str, Parameter] = {}
        for name, one in asked.items():
            try:
                if one.selector != AWSCURRENT or one.name.startswith(REFERENCE_PREFIX):
                    ready[name] = self._get(one, waiting)
                    continue
                look = self._cache.copies.look(one.name, one.selector)
                if look.version is not None:
                    ready[name] = cast("Parameter", look.version)
                elif look.spare is not None and self._cache.is_refreshed_ahead(one.selector, look):
                    self._cache.copies.spare_hit(one.name, one.selector)
                    ready[name] = cast("Parameter", look.spare)
                elif look.spare is not None:
                    spares[name] = cast("Parameter", look.spare)
            except ParameterNotFoundError:
                ready[name] = None
        return ready, spares

    # Paths

    def _under(self, path: str, recursive: bool, waiting: Waiting) -> dict[str, Parameter]:  # noqa: FBT001
        names = self._names(path, recursive, waiting)
        return self._found({name: ParameterId(name) for name in names}, waiting)[0]

    def _names(self, path: str, recursive: bool, waiting: Waiting) -> tuple[str, ...]:  # noqa: FBT001
        """Return the names under a path, as they are known or as a reading of all pages shows them."""
        source, key, copies = self._cache.source, (path, recursive), self._cache.copies
        if not isinstance(source, ParameterSource):
            raise ConfigurationError(f"parameters under {path!r}: this source reads no paths")
        known, now = self._paths.get(key), copies.now()
        ttl_s = self._limits.uncovered_ttl_s * self._limits.spread
        age_s = known.begun.age_s(now) if known is not None else inf
        if known is not None and age_s < ttl_s:
            return known.names
        is_usable = age_s < self._limits.max_stale_s
        if is_usable and age_s < 2 * ttl_s and self._cache.background.is_at_work():
            # A caller that asks often enough need not wait: the next one has what this reading brings.
            waiting = waiting.within(0.0)
        failure = copies.recent_failure(path_key(path), _stage_of(recursive))
        if failure is None and (self._cache.services.main.may_probe(now) or not is_usable):
            self._read_path_within(source, key, waiting, has_copy=is_usable)
            read = self._paths.get(key)
            if read is not None and read is not known:
                return read.names
            failure = copies.recent_failure(path_key(path), _stage_of(recursive))
        if known is not None and is_usable:
            return known.names
        if failure is not None:
            raise failure.about(path) from failure
        raise ParameterUnavailableError(path, f"no answer within {waiting.cold_s:g} s")

    def _read_path_within(
        self, source: ParameterSource, key: tuple[str, bool], waiting: Waiting, *, has_copy: bool
    ) -> None:
        """Have a path read, and wait for that as long as the caller may."""
        service, copies = self._cache.services.main, self._cache.copies
        if copies.is_locked_here():
            self._read_path(source, *key)
            return
        now = copies.now()
        flight, _ = self._path_reads.join_or_begin(
            key, lambda: self._read_path(source, *key), now.monotonic_s, service.patience_s(now)
        )
        does_answer = service.rest is None
        patience_s = waiting.left_s(has_copy=has_copy) if does_answer or not has_copy else 0.0
        if flight.wait(patience_s):
            flight.outcome()
        elif does_answer:
            service.waited_in_vain(patience_s)

    def _read_path(self, source: ParameterSource, path: str, recursive: bool) -> None:  # noqa: FBT001
        """Read all pages of a path, and keep what they bring."""
        now, begun = self._cache.copies.now(), self._cache.begin()

        def pages() -> tuple[SecretVersion, ...]:
            return tuple(source.read_path(path, recursive=recursive))

        try:
            parameters = self._cache.reads.request(pages, path)
        except ForgottenError:
            self._read_path(source, path, recursive)
            return
        except SecretError as error:
            self._cache.copies.remember_failure(path_key(path), _stage_of(recursive), error)
            return
        copies = self._cache.copies
        with copies.lock:
            copies.failures.drop(hit_key(path_key(path), _stage_of(recursive)))
        for parameter in parameters:
            self._cache.offer(parameter.name, AWSCURRENT, parameter, begun)
        paths = self._paths
        paths.pop((path, recursive), None)
        paths[path, recursive] = _NamesUnderPath(tuple(one.name for one in parameters), now)
        make_room(paths, PATHS_MAX)


def path_key(path: str) -> str:
    """Return the id under which a failed reading of this path is remembered; no parameter is called so."""
    return f"{path}/*"


def _stage_of(recursive: bool) -> str:  # noqa: FBT001 # as in AWS's request
    return "recursive" if recursive else AWSCURRENT


def as_parameter(version: SecretVersion, asked: str) -> Parameter:
    """Return a secret's version as Parameter Store shows it: a SecureString, without a version number."""
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
