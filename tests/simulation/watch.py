"""What the services do is written down, told to the judges, and published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyturn.markers.decisions import Hint, ParameterHint
from rotation_listener.events import Parsed, parse
from tests.simulation.account import Account
from tests.simulation.judges import Judges
from tests.simulation.moves import Moves
from tests.simulation.peers.events import Event
from tests.simulation.peers.lambdas import Bus
from tests.simulation.record import Record


@dataclass(slots=True, repr=False)
class Watch:
    """The witness of an account, which has to `begin` before the services do anything."""

    record: Record
    hints: dict[int, tuple[Event, Parsed]] = field(default_factory=dict)
    account: Account = field(init=False)
    judges: Judges = field(init=False)
    moves: Moves = field(init=False)
    bus: Bus = field(init=False)

    def begin(self, account: Account, judges: Judges, moves: Moves, bus: Bus) -> None:
        """Watch this account for these judges, and publish its events on this bus."""
        self.account, self.judges, self.moves, self.bus = account, judges, moves, bus

    def published(self, event: Event) -> None:
        """Secrets Manager, or an announcer, has made this event."""
        hint = self._hint(event)
        if isinstance(hint, Hint):
            name = self.account.name(hint.secret_id)
            self.judges.cost.happened(name)
            if (hint.reason, hint.stage) == ("Secret Label Updated", "AWSCURRENT"):
                self.moves.happened(name)
            self.record.say("Secrets Manager:", hint.reason, hint.secret_id, hint.stage, hint.version_id)
        self._publish(event)

    def changed(self, event: Event) -> None:
        """Parameter Store has made this event."""
        hint = self._hint(event)
        if isinstance(hint, ParameterHint):
            self.judges.cost.happened(hint.key)
            self.record.say(hint.reason, hint.key)
        self._publish(event)

    def written(self, key: str, item: Mapping[str, object]) -> None:
        """An item of the table was written."""
        self.record.say("table:", item)
        self.judges.items.written(key, item)

    def event_begun(self, event: Event) -> None:
        """The listener begins to handle an event."""
        hint = self._hint(event)
        self.record.say("listener begins:", hint)
        self._muddle(hint)

    def event_ended(self, event: Event, answer: Mapping[str, object] | BaseException) -> None:
        """The listener has handled an event, or has failed to."""
        hint = self._hint(event)
        self.record.say("listener ended:", answer, hint)
        self.record.counted["listener invocations"] += 1
        self._muddle(hint)

    def _publish(self, event: Event) -> None:
        self.record.counted["events"] += 1
        self.bus.publish(event)

    def _hint(self, event: Event) -> Parsed:
        """Return what the event says, parsed once. Kept with it, so that no other event gets its id."""
        if id(event) not in self.hints:
            self.hints[id(event)] = event, parse(event)
        return self.hints[id(event)][1]

    def _muddle(self, hint: Parsed) -> None:
        """An event that names a version which is not current (any more) can hold up the marker."""
        if not isinstance(hint, Hint) or hint.version_id is None:
            return
        name = self.account.name(hint.secret_id)
        self.judges.items.hinted(name, hint.version_id)
        state = self.account.service.now(name)
        if state is None or state.stages.get(hint.stage or "AWSCURRENT") != hint.version_id:
            self.judges.serving.muddled_s[name] = self.record.scheduler.now_s
