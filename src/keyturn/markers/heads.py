"""All heads of one table: each is told of every write, and each gets the lease of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keyturn.aws.dynamodb import number_attribute
from keyturn.errors import MarkerConflictError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.head import ATTEMPTS_MAX, HeadItem
from keyturn.markers.schema import COPIES_MAX, is_overgrown
from keyturn.model.markers import Head
from keyturn.model.slots import Change, entries


class Heads:
    """The head of a table and its copies. Holds no state: as thread-safe as the client of `calls`.

    Args:
        slots: how many slots a head has.
        copies: how many heads there are to be from the next sweep on; None for as many as there are.
        pace_s: over how many seconds a fleet is to spread what it reads because of a marker; None as before.
    """

    def __init__(
        self, calls: MarkerCalls, slots: int, copies: int | None = None, pace_s: float | None = None
    ) -> None:
        self._calls = calls
        self._slots = slots
        self._copies = copies
        self._pace_s = pace_s
        self.first = HeadItem(calls, slots)

    def tell(self, written: Iterable[Change]) -> None:
        """Tell every head of these writes, each by one update. Raises `MarkerTableError`."""
        step = self._calls.new_step()
        made = entries(written, self._slots, step)
        if not made:
            return
        copies = self.first.tell(made, step)
        for copy in range(1, min(copies, COPIES_MAX)):
            self._item(copy).tell(made, step)

    def renew(self, swept_as_of_s: float) -> None:
        """Give every head the lease of a sweep; see `Lease.renew`.

        Makes heads that are not there, and replaces those that break the schema or are overgrown. If the
        number of copies is another than before, no reader trusts a copy that was not told of every write:
        the copies that are given up say so before writers leave them out, and new ones begin after writers
        tell them.
        """
        before = self.first.parsed(self.first.get())
        known = before.copies if before is not None else 1
        wanted = self._copies or known
        pace_s = before.pace_s if before is not None else 0.0
        lease = {"swept_as_of_s": number_attribute(swept_as_of_s), **self._kept(wanted, pace_s)}
        for copy in range(wanted, known):
            self._give_up(copy, wanted)
        self._lend(self.first, swept_as_of_s, lease)
        for copy in range(1, wanted):
            anew = before is None or known != wanted
            self._lend(self._item(copy), swept_as_of_s, lease, anew=anew)

    def _lend(
        self, item: HeadItem, swept_as_of_s: float, lease: Mapping[str, object], *, anew: bool = False
    ) -> None:
        for attempt in range(ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            got = item.get()
            head = item.parsed(got)
            if head is None or anew or is_overgrown(got.item):
                renewed = item.replace(got.item, lease)
            else:
                lease = {**lease, **_others(head, got.answered_at_s)}
                # A sweep that began later, and ends earlier, has a later moment.
                renewed = (head.swept_as_of_s or 0) >= swept_as_of_s or item.lend(head, lease)
            if renewed:
                return
        raise MarkerConflictError(
            self._calls.table, "other writers kept writing the head; the lease was not renewed: start over"
        )

    def _give_up(self, copy: int, wanted: int) -> None:
        """Let readers leave this copy: it says that it is none of so many."""
        item = self._item(copy)
        head = item.parsed(item.get())
        if head is not None and head.copies > copy:
            item.lend(head, {"copies": number_attribute(wanted), "swept_as_of_s": None})

    def _kept(self, copies: int, before_s: float) -> dict[str, object]:
        """Return the attributes that the sweep gives to every head. None removes an attribute."""
        pace_s = self._pace_s if self._pace_s is not None else before_s
        return {
            "copies": number_attribute(copies) if copies > 1 else None,
            "pace_s": number_attribute(pace_s) if pace_s else None,
        }

    def _item(self, copy: int) -> HeadItem:
        return HeadItem(self._calls, self._slots, copy)


def _others(head: Head, now_s: float | None) -> dict[str, object]:
    """Return what the sweep notes of writers that know no slots: they move the counter alone."""
    others = max(0, head.counter - sum(slot.total for slot in head.slots))
    noted: dict[str, object] = {"untracked": number_attribute(others)}
    if head.untracked is not None and head.untracked != others and now_s is not None:
        noted["untracked_at_s"] = number_attribute(now_s)
    return noted
