"""Reads for tasks: all that is not a hit. What needs no wait is done on the loop, the rest by errands."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar, cast

from keyturn.aio.bells import ended
from keyturn.aio.errands import Errands, landed
from keyturn.assembly import Assembled
from keyturn.cache.at_once import at_once, meanwhile
from keyturn.cache.cache import Cache, brought_late
from keyturn.cache.parameters import selected
from keyturn.cache.secrets import checked_read
from keyturn.cache.waiting import Waiting
from keyturn.model.names import REFERENCE_PREFIX, parameter_path
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion

_T = TypeVar("_T")

CHECK, REPORT, MAIL = "check", "report", "mail"
"""The keys of errands that are not about one secret."""

DELIVERIES_MAX = 64
"""One errand delivers so often: what many tasks have recorded, and not for ever."""


class Reading:
    """Reads of one cache for tasks. Loops and threads may share it."""

    def __init__(self, parts: Assembled) -> None:
        self.parts = parts
        self.errands = Errands(parts.clock)

    async def secret(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        """Return the version: all that is not a hit. Raises a `SecretError`.

        `within_s`: for a login, how long it may wait.
        """
        secret_id = checked_read(secret_id, stage)
        waiting = self.parts.checker.waiting()
        if within_s is not None:
            waiting = waiting.within(within_s)
        return await self._read(self.parts.caches.secrets, secret_id, stage, waiting)

    async def current(self, secret_id: str, within_s: float | None = None) -> SecretVersion:
        """Return AWSCURRENT: a hit, or what `secret` returns."""
        holdings, now_s = self.parts.caches.secrets.holdings, self.parts.clock.wall()
        hit = holdings.window.hit(secret_id, AWSCURRENT, now_s)
        return hit or await self.secret(secret_id, AWSCURRENT, within_s)

    async def parameter(
        self, name: str, version: int | None, label: str | None, *, decrypt: bool
    ) -> Parameter:
        """Return the parameter: all that is not a hit. Raises a `ParameterError`."""
        parameters, asked = self.parts.parameters()[decrypt], selected(name, version, label)
        hit = parameters.peek(name, version, label)
        if hit is not None:
            return hit
        if asked.name.startswith(REFERENCE_PREFIX):
            # A reference to a secret leads to another cache.
            key = ("reference", asked, decrypt)
            return await self.away(key, lambda: parameters.get(name, version, label))
        waiting = self.parts.checker.waiting()
        cache = self.parts.caches.parameters(decrypt=decrypt)
        return cast("Parameter", await self._read(cache, asked.name, asked.selector, waiting))

    async def parameters(self, names: Iterable[str], *, decrypt: bool) -> dict[str, Parameter]:
        """Return the parameters by the names asked for. See `SecretCache.get_parameters`."""
        wanted, parameters = tuple(names), self.parts.parameters()[decrypt]
        hits = {name: hit for name in wanted if (hit := parameters.peek(name, None, None)) is not None}
        if len(hits) == len(set(wanted)):
            return hits
        key = ("parameters", wanted, decrypt)
        return dict(await self.away(key, lambda: parameters.get_many(wanted)))

    async def parameters_by_path(self, path: str, *, recursive: bool, decrypt: bool) -> dict[str, Parameter]:
        """Return the parameters under the path. See `SecretCache.get_parameters_by_path`."""
        path, parameters = parameter_path(path), self.parts.parameters()[decrypt]
        key = ("path", path, recursive, decrypt)
        return dict(await self.away(key, lambda: parameters.get_by_path(path, recursive=recursive)))

    async def check(self) -> None:
        """Have the check made that is due, and the report."""
        waiting = self.parts.checker.waiting()
        await self._check(waiting)
        await self._report(waiting)

    async def away(self, key: Hashable, call: Callable[[], _T]) -> _T:
        """Return what the call brings, made by one thread for all tasks that want the same."""
        self.parts.start_poller()
        return await self.errands.run(key, self._told(call))

    def deliver(self) -> None:
        """Have the metrics hook told what was recorded: in a thread, since a hook may take its time."""
        measures = self.parts.measures

        def deliver() -> None:
            for _ in range(DELIVERIES_MAX):
                if not measures.has_mail:
                    break
                measures.deliver()

        if measures.has_mail:
            self.errands.begin(MAIL, deliver)

    async def _read(self, cache: Cache, asked: str, stage: str, waiting: Waiting) -> SecretVersion:
        self.parts.start_poller()
        await self._check(waiting)
        version = at_once(cache, asked, stage)
        if version is None:
            version = await self._fetched(cache, asked, stage, waiting)
        if await self._report(waiting):
            # In the meantime the process may have been restored from a snapshot.
            version = at_once(cache, asked, stage) or version
        return version

    async def _check(self, waiting: Waiting) -> None:
        """Have the check made that is due. One task waits for it, the others go on with what is known."""
        checker = self.parts.checker
        if checker.is_check_due():
            flight, is_mine = self.errands.begin(CHECK, self._told(lambda: checker.check_if_due(waiting)))
            if is_mine:
                await ended(flight)
                flight.outcome()

    async def _fetched(self, cache: Cache, asked: str, stage: str, waiting: Waiting) -> SecretVersion:
        """Return what a read brings; to a task that did not begin it the copy, where there is one.

        The thread waits as long as any caller may, since tasks with more time than this one may join it.
        """
        # What `at_once` has decided must not be decided again: it has noted that the copy is in use.
        needed = self.parts.checker.waiting()._replace(is_needed=True)
        read = self._told(lambda: cache.get(asked, stage, needed))
        flight, is_mine = self.errands.begin((id(cache), asked, stage), read)
        copy = meanwhile(cache, asked, stage)
        if copy is not None and not is_mine:
            return copy
        await ended(flight, waiting.left_s(has_copy=copy is not None))
        if flight.is_over:
            return landed(flight, is_mine=is_mine)
        return copy or brought_late(cache.copies, asked, stage, waiting)

    async def _report(self, waiting: Waiting) -> bool:
        """Have the convergence table told what has changed, if anything. Return True if that was tried."""
        checker = self.parts.checker
        if not checker.is_report_due():
            return False
        flight, _ = self.errands.begin(REPORT, checker.report)
        await ended(flight, waiting.left_s(has_copy=True))
        return not flight.is_over or flight.outcome()

    def _told(self, call: Callable[[], _T]) -> Callable[[], _T]:
        """Return the call with what it recorded delivered to the metrics hook after it."""

        def told() -> _T:
            try:
                return call()
            finally:
                self.parts.measures.deliver()

        return told
