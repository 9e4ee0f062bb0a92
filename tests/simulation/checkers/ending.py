"""What must hold once all faults are over: everybody has converged, and nothing is left running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from keyturn.cache.service import PROBE_PAUSE_MAX_S
from keyturn.markers.schema import head_key, head_of, is_untold, marker_of
from keyturn.model.versions import AWSCURRENT, AWSPREVIOUS
from tests.simulation.changer import LABEL
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import require
from tests.simulation.hosts import EPOCH_S
from tests.simulation.peers.parameterstore import ParameterStore
from tests.simulation.peers.secretsmanager import ARN_PREFIX, SecretsManager
from tests.simulation.reader import Reader
from tests.simulation.weather import PARAMETERS, SECRETS, TABLE, Requests, Weather

SERVICES = {"Secrets Manager": SECRETS, "Parameter Store": PARAMETERS, "marker table": TABLE}
"""What `status()` calls the services."""


PAGES_S = 2.0
"""The pages of a path that are read after the slow one belong to the same request."""


@dataclass(slots=True)
class Ending:
    """Judges the last, quiet minutes."""

    service: SecretsManager
    undescribed: frozenset[str]
    store: ParameterStore
    swept_parameters: bool
    copies: int
    weather: Weather
    requests: Requests

    def table(self, items: Mapping[str, Mapping[str, object]], now_s: float) -> None:
        """Every marker says the truth, and the lease is in force."""
        for name in self.service.states:
            marker, state = marker_of(items.get(ARN_PREFIX + name)), self.service.now(name)
            if name in self.undescribed or state is None:
                continue
            said = (marker.arn, dict(marker.stages)) if marker is not None else None
            require(
                said == (state.arn, dict(state.stages)),
                "liveness",
                f"the marker of {name} stays wrong: {said}",
            )
        for copy in range(self.copies):
            head = head_of(items.get(head_key(copy)))
            swept_s = (head.swept_as_of_s or 0.0) - EPOCH_S if head is not None else 0.0
            what = f"the lease of copy {copy} is not renewed any more"
            require(now_s - swept_s < 3 * bounds.SWEEP_EVERY_S, "liveness", what)
        untold = [key for key, item in items.items() if is_untold(item)]
        require(not untold, "liveness", f"nobody tells of {untold}")

    def listener(self, waiting: int) -> None:
        """No event is handled for ever."""
        require(waiting == 0, "liveness", f"{waiting} events are still being handled")

    def reader(self, reader: Reader) -> None:
        """This reader serves the truth, knows that it is covered, and has no trouble."""
        for name in self.service.states:
            state = self.service.now(name)
            for stage in (AWSCURRENT, AWSPREVIOUS):
                wanted = state.stages.get(stage) if state is not None else None
                if state is None or wanted is None:
                    continue
                for secret_id in (name, state.arn):
                    version = reader.cache.get(secret_id, stage=stage)
                    said = (version.arn, version.version_id)
                    what = f"{reader.host.name} stays at {said} for {stage} of {secret_id}"
                    require(said == (state.arn, wanted), "liveness", what)
        self._parameters(reader)
        status = reader.cache.status()
        require(status.table.trouble is None, "liveness", f"{reader.host.name}: {status.table.trouble}")
        # Where all is covered, there may be no reason to ask a service since it is back, or since one answer
        # was slow.
        resting = [
            rest
            for rest in status.resting
            if (rest.failures or rest.since_s > PROBE_PAUSE_MAX_S)
            and self.requests.begun_s(reader.host, SERVICES[rest.service])
            > max(self.weather.hung_s, reader.scheduler.now_s - rest.since_s + PAGES_S)
        ]
        require(resting == [], "liveness", f"{reader.host.name}: still resting: {resting}")
        states = (self.service.now(name) for name in self.service.states if name not in self.undescribed)
        arns = {state.arn for state in states if state is not None}
        for held in status.secrets:
            if held.stage in (AWSCURRENT, AWSPREVIOUS) and held.arn in arns:
                require(held.covered, "liveness", f"{reader.host.name} is not covered: {held.why}")

    def _parameters(self, reader: Reader) -> None:
        for name in self.store.history:
            state = self.store.now(name)
            for selector in (AWSCURRENT, LABEL):
                put = state.under(selector) if state is not None else None
                if put is None:
                    continue
                parameter = reader.cache.get_parameter(name, label=None if selector == AWSCURRENT else LABEL)
                # Created again it may have the number of a version of its first life: docs/simulation.md.
                right = parameter.version == put.number
                what = f"{reader.host.name} stays at {parameter.version_id} for {selector} of {name}"
                require(right, "liveness", what)
        # A copy in the other form, which nobody asked for any more, may be an old one.
        held = [one for one in reader.cache.status().parameters if one.stage == AWSCURRENT]
        covered = {one.name for one in held if one.covered}
        absent = {one.name for one in held} - covered if self.swept_parameters else set[str]()
        require(not absent, "liveness", f"{reader.host.name}: {sorted(absent)} are not covered")

    def first_minute(self, reader: Reader, calls: Counter[str]) -> None:
        """To a process that begins, a marker of an old event is no reason to read anything twice."""
        first = len(self.store.history)
        what = f"{reader.host.name} began with {calls['parameters']} reads of {first} parameters"
        require(calls["parameters"] <= first, "liveness", what)

    def quiet_minute(self, reader: Reader, calls: Counter[str], seconds: float) -> None:
        """In steady state a reader costs its checks, and a re-read where a TTL ended."""
        heads = seconds / reader.limits["check_interval_s"] + 2
        read = {label: number for label, number in calls.items() if label.startswith("head")}
        consistent = sum(number for label, number in read.items() if label.endswith("consistent"))
        require(sum(read.values()) <= heads, "liveness", f"{reader.host.name} made the checks {read}")
        require(consistent == 0, "liveness", f"{reader.host.name} reads the head consistently")
        asked, parameters = calls["parameters"], len(reader.cache.status().parameters)
        # What no marker covers, and the names under a path, may reach the end of the shortest TTL twice.
        most = 2 * (parameters + len(self.store.history))
        require(asked <= most, "liveness", f"{reader.host.name} read parameters {asked} times")
        held = len(reader.cache.status().secrets)
        reads = calls["GetSecretValue"]
        require(reads <= held, "liveness", f"{reader.host.name} read {reads} times in a quiet minute")
