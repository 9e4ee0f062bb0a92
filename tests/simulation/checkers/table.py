"""What is checked of every item written: the lease says the truth, and no item holds a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyturn.aws.dynamodb import NUMBER_MAX
from keyturn.markers.schema import head_key, head_of, is_head_key, marker_of
from keyturn.model.markers import Marker
from keyturn.model.names import is_secret_arn
from keyturn.model.slots import STEP_MAX
from keyturn.model.versions import AWSCURRENT
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.hosts import EPOCH_S
from tests.simulation.peers.secretsmanager import LIST_LAG_S, SecretsManager, State
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import TAMPER, Weather

HINTED_S = 15.0
"""The longest that one hint is handled at a time."""

COUNTED_MAX = 10_000 * STEP_MAX
"""More than the writes of one simulation count."""


@dataclass(slots=True)
class Items:
    """Watches the table. `items` gives all of them, `wrote` hears which secret's marker was written.

    `leases`: the moment up to which each head was swept when it was last renewed, as its attribute.
    """

    scheduler: Scheduler
    service: SecretsManager
    weather: Weather
    items: Callable[[], Mapping[str, Mapping[str, object]]]
    wrote: Callable[[str], None]
    slots: int
    copies: int
    leases: dict[str, object] = field(default_factory=dict)
    renewed_s: dict[str, float] = field(default_factory=dict)
    last: dict[str, tuple[Marker | None, int]] = field(default_factory=dict)
    hinted_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def hinted(self, name: str, version_id: str) -> None:
        """An event or announcement about this version is being handled."""
        self.hinted_s[name, version_id] = self.scheduler.now_s

    def written(self, key: str, item: Mapping[str, object]) -> None:
        """Judge an item that was just written."""
        secrecy.no_canary(repr(item), "an item of the table")
        if not is_head_key(key):
            name = self.service.name_by_id.get(key, key)
            self.wrote(name)
            self._no_relapse(key, name, marker_of(item))
            return
        if item.get("swept_as_of_s") == self.leases.get(key):
            return
        head = head_of(item, slots=self.slots)
        swept_s = head.swept_as_of_s if head is not None else None
        if swept_s is not None:
            self.leases[key] = item["swept_as_of_s"]
            self._renewed(key, swept_s - EPOCH_S)

    def _no_relapse(self, key: str, name: str, marker: Marker | None) -> None:
        """AWSCURRENT goes back to what a marker has left only in truth, or where a hint names it."""
        before, at = self.last.get(key, (None, 0))
        if self.weather.active[TAMPER] or TAMPER in self.weather.lasting or marker is None:
            self.last.pop(key, None)
            return
        spans, holder = self.service.label(name, AWSCURRENT), (marker.arn, marker.stages.get(AWSCURRENT, ""))
        found = next((one for one in range(at, len(spans)) if spans[one].holder == holder), None)
        self.last[key] = (marker, at if found is None else found)
        if found is not None or before is None or before.arn != marker.arn or holder[1] not in before.left:
            return
        hinted_s = self.scheduler.now_s - self.hinted_s.get((name, holder[1]), -HINTED_S)
        if hinted_s >= HINTED_S:
            what = f"of {name} went back to {holder[1]} from {before.stages.get(AWSCURRENT)}"
            raise BrokenPromiseError("marker relapse", f"the marker {what}")

    def _renewed(self, key: str, as_of_s: float) -> None:
        """The lease claims that what happened before that moment is in the markers: see whether it is."""
        if self.weather.active[TAMPER] or self.weather.ended_s.get(TAMPER, 0.0) > as_of_s + LIST_LAG_S - 1:
            return
        self.renewed_s[key] = as_of_s
        if TAMPER in self.weather.lasting and all(map(self._is_mended, range(self.copies))):
            self.weather.lasting.discard(TAMPER)
            self.weather.struck(TAMPER)
        for of, item in self.items().items():
            marker = marker_of(item)
            if marker is None or not is_secret_arn(of) or of not in self.service.name_by_id:
                continue
            states = self._states(self.service.name_by_id[of], as_of_s)
            truthful = any(_agree(marker, state) for state in states)
            require(truthful, "lease", f"{of} is not as it was at any time since {as_of_s:.1f}")

    def _is_mended(self, copy: int) -> bool:
        """A whole sweep since it was tampered with, and counts that will not run over."""
        key = head_key(copy)
        head = head_of(self.items().get(key), slots=self.slots)
        since_s = self.weather.ended_s.get(TAMPER, 0.0) - LIST_LAG_S + 1
        if head is None or self.renewed_s.get(key, -LIST_LAG_S) < since_s:
            return False
        return max(head.counter, *(slot.total for slot in head.slots)) < NUMBER_MAX - COUNTED_MAX

    def _states(self, name: str, since_s: float) -> list[State | None]:
        """Every state of a secret since a moment, the one at that moment included."""
        history = self.service.states[name]
        return [
            state
            for at, (_, state) in enumerate(history)
            if at + 1 == len(history) or history[at + 1][0] > since_s - 1.0
        ]


def _agree(marker: Marker, state: State | None) -> bool:
    if state is None or state.deleted:
        return marker.deleted
    return (marker.arn, dict(marker.stages), marker.deleted) == (state.arn, dict(state.stages), False)
