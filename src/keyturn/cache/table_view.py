"""The marker table as this process last saw it: one frozen view, replaced by each check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from keyturn.cache.allowance import Allowance
from keyturn.cache.freshness import Assurance, bound_s, disputed, names_held_version, since_marker_s
from keyturn.cache.head_choice import HeadChoice
from keyturn.cache.held import HeldStage
from keyturn.cache.limits import Limits
from keyturn.cache.news import HeldKeys, News, news_since, told
from keyturn.cache.refresh import backoff_s
from keyturn.errors import ConfigurationError, MarkerTableError
from keyturn.model.instant import Instant
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import MarkerReader
from keyturn.model.versions import AWSPENDING
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import is_interruption

IDLE_INTERVALS: Final = 2
"""A process that got no call for more than so many check intervals was idle."""


class TableView(NamedTuple):
    """The table as of the last check.

    `markers`: the last marker read of each key held, None where there was none; `known`: the keys
    whose marker is as the head says; `denied`: since when a key may not be read. `assurance`: the
    last good check; `trouble`: what is wrong with the table now, and `error` the class of that error.
    `keys`: those held, by their hashes.
    """

    head: Head | None
    assurance: Assurance | None
    markers: Mapping[str, Marker | None]
    known: AbstractSet[str]
    denied: Mapping[str, Instant]
    trouble: str | None
    keys: HeldKeys = HeldKeys()
    error: str = ""

    def marker(self, key: str) -> Marker | None:
        """Return the marker as last read; it may be behind."""
        return self.markers.get(key)

    def assurance_of(self, key: str) -> Assurance | None:
        """Return the check that confirmed the marker of this key; None while the marker is not known."""
        return self.assurance if key in self.known else None

    def is_denied(self, key: str, now: Instant, limits: Limits) -> bool:
        """Return True if this marker was denied lately. A policy may change, so it is read again later."""
        since = self.denied.get(key)
        return since is not None and since.age_s(now) < limits.uncovered_ttl_s


UNCHECKED: Final = TableView(None, None, {}, frozenset(), {}, None)
"""Before the first check."""


def held_bound_s(
    key: str,
    held: HeldStage,
    view: TableView,
    now: Instant,
    limits: Limits,
    *,
    is_resting: bool,
) -> float:
    """Return how old, in seconds, the served copy of this stage can be at worst.

    The long bound holds a little longer than the cover: while the table is in trouble its last word is
    trusted for a short TTL, and a copy whose marker has just moved is served until the first answer.
    `is_resting`: the service does not answer in time, which counts like a refresh that failed. The head may
    ask a fleet to spread its reads over some time, which is added.
    """
    obstacle = uncovered_because(key, held, view, now, limits)
    trusted = obstacle is None or (view.assurance is not None and obstacle == view.trouble)
    has_moved = disputed(view.marker(key), held)
    pace_s = view.assurance.head.pace_s if view.assurance is not None else 0.0
    return pace_s + bound_s(held, covered=trusted or has_moved, limits=limits, is_resting=is_resting)


def uncovered_because(key: str, held: HeldStage, view: TableView, now: Instant, limits: Limits) -> str | None:
    """Return the first reason for the short TTL, or None when the long TTL is in force."""
    if held.stage == AWSPENDING:
        return "AWSPENDING is always read from Secrets Manager"
    if view.trouble is not None:
        return view.trouble
    if view.assurance is None:
        return "the table was not checked yet"
    if view.is_denied(key, now, limits):
        return f"the marker may not be read: {key}"
    if key not in view.known:
        return "the marker was not read yet"
    if view.marker(key) is None:
        return "the secret has no marker yet"
    if not names_held_version(view.marker(key), held):
        return "the marker names another version"
    if view.assurance.lasts_s(now, limits) <= 0:
        return "the last sweep is too long ago"
    return None


def _kept(marker: Marker, key: str, arn: str) -> Marker:
    """Return the marker with the texts that are held anyway in the place of its own copies of them.

    Without its reason, which is for people, and which an entry of the head does not tell.
    """
    return marker._replace(key=key, arn=arn if marker.arn == arn else marker.arn, reason="")


class _Sight(NamedTuple):
    """What a check has seen: the view before it, the head, and the markers of which the head tells.

    A marker is None in `changed` if it must be read.
    """

    before: TableView
    head: Head
    news: News
    changed: Mapping[str, Marker | None]

    def known(self, held: frozenset[str]) -> AbstractSet[str]:
        """Return the keys held whose markers need not be read."""
        if self.news.everything:
            return frozenset()
        doubtful = frozenset(self.before.keys.doubted(self.news)) if self.news.slots else frozenset[str]()
        must_be_read = {key for key, marker in self.changed.items() if marker is None}
        return (self.before.known & held) - doubtful - must_be_read


class TableWatch:
    """Checks the table. One thread at a time may call `check`; any may read `view` and call `late_s`.

    `name` is what logs call it if there are several tables, else "".
    """

    def __init__(
        self,
        markers: MarkerReader,
        limits: Limits,
        random: Callable[[], float],
        name: str,
    ) -> None:
        self._which = f" {name}" if name else ""
        self._markers = markers
        self._limits = limits
        self._random = random
        self._heads = HeadChoice(markers, random)
        self._life = 0
        self._failures = 0
        self._pause: tuple[Instant, float] | None = None
        self._asked: Instant | None = None
        self._in_use_since: Instant | None = None
        self.view = UNCHECKED
        self.allowance = Allowance(limits.max_secrets)

    def forget(self) -> None:
        """Forget everything, as before the first check."""
        self._life += 1
        self._failures, self._pause, self.view = 0, None, UNCHECKED
        self._asked = self._in_use_since = None
        self._heads.forget()

    def note_call(self, now: Instant) -> None:
        """Note that a call came for which the table was to be checked: the process is in use."""
        if self._asked is None or self._asked.age_s(now) > IDLE_INTERVALS * self._limits.check_interval_s:
            self._in_use_since = now
        self._asked = now

    def pauses(self, now: Instant) -> bool:
        """Return True while the table is not to be checked, because the last check failed."""
        return self._pause is not None and self._pause[0].age_s(now) < self._pause[1]

    def check(self, keys: Mapping[str, str], begun: Instant) -> bool:
        """Read the head once, and the markers of `keys` only if it moved or they are not known.

        `keys` has the ARN held under each marker key. Never raises an error of the marker table: trouble is
        in `view`, is logged once, and the table is then asked ever less often. Returns False if the answer
        is void, because everything was forgotten meanwhile.
        """
        life, kind = self._life, MarkerTableError.__name__
        try:
            trouble = self._look(keys, begun)
        except (MarkerTableError, ConfigurationError) as error:
            trouble, kind = str(error), type(error).__name__
        except BaseException as error:
            if is_interruption(error):
                raise
            # Whatever the client raises is a failed check.
            kind = type(error).__name__
            trouble = f"the table's client raised {kind}; see its credentials and settings"
            if self.view.trouble is None:
                extra = about("check_failed", error=error)
                log.exception("the marker table%s's client failed", self._which, extra=extra)
        if self._life != life:
            # What this look has brought may be as old as a snapshot.
            self.forget()
            return False
        if trouble is None:
            self._answered()
        else:
            self._failed(trouble, kind, begun)
        return True

    def late_s(self, marker: Marker, now: Instant) -> float | None:
        """Return for how many seconds before `now` the marker was there while this process was in use.

        None where that is unknown. A process that got no call meanwhile has served nothing old.
        """
        assurance, in_use_since = self.view.assurance, self._in_use_since
        marker_age_s = since_marker_s(marker, assurance, now) if assurance is not None else None
        if marker_age_s is None or in_use_since is None:
            return None
        return min(marker_age_s, in_use_since.age_s(now))

    def _look(self, keys: Mapping[str, str], begun: Instant) -> str | None:
        """Read the head, and the markers that are needed. Return what is wrong with the table, or None."""
        before = self.view
        head = self._heads.read(before.head)
        if head is None:
            self.view = before._replace(assurance=None)
            which = self._which
            return f"the marker table{which} has no usable head item: has the listener run since it was made?"
        news = news_since(before.head, head)
        changed = dict(told(news, before.keys, before.markers))
        is_calm = not (news.everything or news.slots or changed)
        if is_calm and len(before.known) == len(keys) and before.known >= keys.keys():
            # The common case: nothing has happened to what is held.
            if self._is_latest(begun):
                self.view = before._replace(head=head, assurance=Assurance(head, begun))
            return None
        self._follow(_Sight(before, head, news, changed), keys, begun)
        return None

    def _follow(self, sight: _Sight, keys: Mapping[str, str], begun: Instant) -> None:
        """Take over the markers of which the head tells, and read those that are not known."""
        before, held = sight.before, frozenset(keys)
        known = sight.known(held)
        asked = {key for key in held - known if not before.is_denied(key, begun, self._limits)}
        markers = {key: marker for key, marker in before.markers.items() if key in held}
        denied = {key: since for key, since in before.denied.items() if key in held - asked}
        if asked:
            read = self._read(asked, before._replace(known=known - sight.changed.keys()), begun)
            found = {key: _kept(read.found[key], key, keys[key]) for key in asked if key in read.found}
            markers |= dict.fromkeys(read.absent | read.denied) | found
            known |= read.absent | found.keys()
            denied |= dict.fromkeys(read.denied, begun)
        markers |= {key: sight.changed[key] for key in sight.changed.keys() & held if sight.changed[key]}
        if self._is_latest(begun):
            assurance = Assurance(sight.head, begun)
            if len(known) == len(markers):
                # The same keys, without the memory of a second set.
                known = markers.keys()
            held_keys = before.keys if before.markers.keys() == held else HeldKeys(held, before.keys)
            self.view = before._replace(
                head=sight.head,
                assurance=assurance,
                markers=markers,
                known=known,
                denied=denied,
                keys=held_keys,
            )

    def _read(self, keys: Collection[str], without: TableView, begun: Instant) -> MarkersRead:
        """Return the markers of these keys. If the read fails, the view becomes `without`."""
        try:
            return self._markers.read_markers(keys)
        except BaseException:
            # Also what is no error of keyturn's own: the head has moved, so the last markers cover nothing.
            if self._is_latest(begun):
                self.view = without
            raise

    def _is_latest(self, begun: Instant) -> bool:
        """Return False for a check that hung and ends after a later one, which knows more."""
        last = self.view.assurance
        return last is None or last.checked.monotonic_s <= begun.monotonic_s

    def _failed(self, trouble: str, kind: str, begun: Instant) -> None:
        if not self._is_latest(begun):
            # A check that hung, and a later one was answered meanwhile.
            return
        if self.view.trouble is None:
            log.warning(
                "copies are read again every %g s, since the marker table cannot be used: %s",
                self._limits.uncovered_ttl_s,
                trouble,
                extra=about("table_trouble"),
            )
        pause_s = backoff_s(
            self._failures,
            first_s=self._limits.check_interval_s,
            longest_s=self._limits.max_backoff_s,
            random=self._random,
        )
        self._failures += 1
        self._pause = (begun, pause_s)
        self.view = self.view._replace(trouble=trouble, error=kind)

    def _answered(self) -> None:
        if self.view.trouble is not None:
            log.info("the marker table%s answers again", self._which, extra=about("table_answers"))
        self._failures, self._pause = 0, None
        self.view = self.view._replace(trouble=None, error="")
