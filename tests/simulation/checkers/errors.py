"""What is checked of every error that `get` raises: that it is true, and that there is nothing to serve."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.errors import (
    AccessDeniedError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.model.versions import AWSPENDING
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import require
from tests.simulation.peers.secretsmanager import READ_LAG_S, SecretsManager, State
from tests.simulation.reader import Served
from tests.simulation.weather import SECRETS, Weather

KNOWN_S = 30.0
"""For so long a version that was read is at hand, whatever fails or hangs.

The shortest bound of a reader is 60 s, less its spread and the 6 s by which an answer may be old.
"""

MEMORY_S = READ_LAG_S + 2.0
"""For how long an error may be told after its reason passed: an old read, remembered for a moment."""


@dataclass(slots=True)
class Errors:
    """Judges what readers raise."""

    service: SecretsManager
    weather: Weather

    def raised(self, served: Served, error: SecretError, name: str, what: str, read_s: float) -> None:
        """Judge one error about this secret, of which a version was last read at `read_s`."""
        since_s = served.begun_s - MEMORY_S
        match error:
            case UnavailableError() | AccessDeniedError():
                self._is_not_known(served, name, what, read_s)
                # A host that stood still in the middle of a call: the call's time was over when it went on.
                stood_still = served.reader.host.clock.disturbed_s > served.begun_s
                truthful = stood_still or self.weather.calm_since(SECRETS) > served.begun_s - bounds.REST_S
            case SecretDeletedError():
                truthful = any(one is not None and one.deleted for one in self._states(name, since_s))
            case SecretNotFoundError():
                arns = {served.secret_id} if served.secret_id.count("-000") else set[str]()
                truthful = any(
                    one is None or {one.arn} != (arns or {one.arn}) for one in self._states(name, since_s)
                )
            case StageNotFoundError():
                spans = self.service.label(name, served.stage)
                recent = [
                    one
                    for at, one in enumerate(spans)
                    if at + 1 == len(spans) or spans[at + 1].start_s > since_s
                ]
                truthful = any(one.holder is None for one in recent)
            case _:
                truthful = False
        require(truthful, "error", f"{what} was refused with {type(error).__name__}, untruly")

    def _is_not_known(self, served: Served, name: str, what: str, read_s: float) -> None:
        """A read that fails is no reason to refuse what another one has just brought."""
        # Behind a name there may be another secret by now, and a clock that was set makes a copy look old.
        moved_s = self.service.states[name][-1][0] + READ_LAG_S
        is_as_it_was = max(served.reader.host.clock.disturbed_s, moved_s) < read_s
        ago_s = served.begun_s - read_s
        is_known = is_as_it_was and ago_s < KNOWN_S and served.stage != AWSPENDING
        require(not is_known, "availability", f"{what} {ago_s:.1f} s after it was read")

    def _states(self, name: str, since_s: float) -> list[State | None]:
        history = self.service.states[name]
        return [
            state
            for at, (_, state) in enumerate(history)
            if at + 1 == len(history) or history[at + 1][0] > since_s
        ]
