"""The judges of one world, and which of them hears of what a process asks, is told and serves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from keyturn.cache.status import CacheStatus, HeldStatus
from keyturn.errors import SecretError
from keyturn.metrics.hook import Metric
from keyturn.model.markers import Marker
from keyturn.model.versions import SecretVersion
from tests.simulation.account import Account
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.cost import Cost
from tests.simulation.checkers.logins import Logins
from tests.simulation.checkers.parameters import ServingParameters
from tests.simulation.checkers.reports import ReportWatch
from tests.simulation.checkers.serving import Serving
from tests.simulation.checkers.soundness import sound
from tests.simulation.checkers.table import Items
from tests.simulation.checkers.waits import Waits
from tests.simulation.peers.parameterstore import Asked
from tests.simulation.peers.reports import ReportsTable
from tests.simulation.peers.secretsmanager import Answered
from tests.simulation.reader import Reader, Served
from tests.simulation.record import Record
from tests.simulation.scheduler import Scheduler
from tests.simulation.setting import Setting
from tests.simulation.weather import SECRETS


@dataclass(slots=True, repr=False)
class Judges:
    """Everybody who watches the readers and the table of one account."""

    setting: Setting
    readers: list[Reader]
    account: Account = field(init=False)
    record: Record = field(init=False)
    scheduler: Scheduler = field(init=False)
    waits: Waits = field(init=False)
    serving: Serving = field(init=False)
    serving_parameters: ServingParameters = field(init=False)
    logins: Logins = field(init=False)
    cost: Cost = field(init=False)
    items: Items = field(init=False)
    reporting: ReportWatch = field(init=False)

    def __post_init__(self) -> None:
        setting, plan = self.setting, self.setting.plan
        account = self.account = setting.account
        record = self.record = setting.record
        scheduler = self.scheduler = setting.scheduler
        weather, service = setting.weather, account.service
        self.waits = Waits(scheduler, weather, setting.requests, record.late)
        self.reporting = ReportWatch(ReportsTable.of(plan, scheduler, weather), self.readers, record.counted)
        self.serving = Serving(
            scheduler,
            service,
            weather,
            plan.undescribed,
            checks=account.table.flights,
            late=record.late,
            pace_s=plan.pace_s,
        )
        self.serving_parameters = ServingParameters(
            scheduler,
            account.store,
            weather,
            plan.swept_parameters,
            checks=account.table.flights,
            late=record.late,
            pace_s=plan.pace_s,
        )
        self.logins = Logins(
            scheduler,
            service,
            weather,
            account.databases,
            failed=self.serving.served,
            looks=self.looks,
            say=record.say,
            counted=record.counted,
        )
        self.cost = Cost(scheduler, self._logs_in, weather.hangs_since)
        heads = plan.slots, plan.copies
        self.items = Items(scheduler, service, weather, account.table.items, self.cost.happened, *heads)

    # What a process asks and is told

    def answered(self, answer: Answered) -> None:
        """Secrets Manager has answered a read."""
        self.record.called(answer.host, "GetSecretValue")
        pinned = "(pinned)" if answer.pinned else ""
        said = _said(answer.outcome)
        self.record.say(answer.host, "read", answer.stage, "of", answer.secret_id, pinned, said)
        self.serving.answered(answer)
        self.cost.answered(answer)

    def parameter_asked(self, asked: Asked) -> None:
        """Parameter Store has answered a read."""
        self.record.called(asked.host, "parameters")
        form = "" if asked.decrypt else "(ciphertext)"
        self.record.say(asked.host, "read", asked.selector, "of", asked.name, form)
        self.cost.parameter_asked(asked)

    def table_asked(self, host: str, label: str) -> None:
        """A host calls the table."""
        self.record.called(host, label)
        self.record.say(host, "asks the table:", label)
        self.cost.table_asked(host, label)

    def learned(self, host: str, key: str, marker: Marker | None) -> None:
        """A host has read a marker."""
        self.cost.learned(host, self.account.name(key), marker)

    def happened(self, metric: Metric) -> int | None:
        """Return how often this has happened, to all readers together; None if nobody counts it."""
        account = self.account
        match metric:
            case Metric.CHECK_S:
                calls = account.table.calls
                return sum(number for label, number in calls.items() if label.startswith("head"))
            case Metric.READ_S:
                return account.service.calls["GetSecretValue"] + account.store.calls.total()
            case Metric.REFUSALS:
                return self.record.counted["logins: versions refused"]
        return None

    def _logs_in(self) -> bool:
        """Whether the running actor asks for a login.

        A login that waits for nothing any more may end in the moment in which it has begun a check, before
        that check's thread runs.
        """
        caller = self.scheduler.caller
        return caller in self.logins.flying or self.logins.ended_s.get(caller) == self.scheduler.now_s

    # What a reader does

    def copies(self, reader: Reader, secret_id: str, stage: str) -> Collection[str]:
        """Return the ARN of the copy that the reader may serve under this id, if there is any."""

        def held(status: CacheStatus) -> list[HeldStatus]:
            return [one for one in status.secrets if one.stage == stage and secret_id in one.secret_ids]

        return self.waits.copies(reader, held, 1)

    def served(self, served: Served) -> None:
        """A reader has its answer."""
        name, said = served.reader.host.name, _said(served.outcome)
        self.record.say(name, "got", served.stage, "of", served.secret_id, said)
        self._waited(served)
        self.serving.served(served)
        gets = self.record.counted["gets"]
        if gets % (10 if isinstance(served.outcome, Exception) else 150) == 0:
            secrecy.served(served)

    def _waited(self, served: Served) -> None:
        """A copy that was taken away meanwhile, or another secret's by now, is none."""
        outcome = served.outcome
        is_warm = isinstance(outcome, SecretVersion) and outcome.arn in served.copies
        what = f"{served.stage} of {served.secret_id}"
        self.waits.ended(
            served.reader, SECRETS, served.begun_s, what, is_warm=is_warm, is_left=served.is_left
        )

    def invalidated(self, reader: Reader, secret_id: str) -> None:
        """A reader was told to ask again."""
        self.cost.invalidated(reader, self.account.name(secret_id))
        self.serving.invalidated(reader, secret_id)

    def looks(self, reader: Reader, name: str) -> None:
        """A login may ask again for its secret, whatever is known of it."""
        self.cost.invalidated(reader, name)

    def interrupted(self, reader: Reader) -> None:
        """A call of the running thread ended by what a signal handler raised."""
        self.record.say(reader.host.name, "was interrupted")
        sound(reader.cache, reader.host, self.scheduler.running)
        self.cost.interrupted(reader)

    def reborn(self, reader: Reader) -> None:
        """A process begins anew, and knows nothing."""
        reader.born_s = self.scheduler.now_s
        self.serving.forgotten(reader.host.name)
        self.logins.memories.forgotten(reader.host.name)
        self.serving_parameters.forgotten(reader.host.name)


def _said(outcome: SecretVersion | SecretError) -> str:
    """An answer in one word."""
    return outcome.version_id if isinstance(outcome, SecretVersion) else type(outcome).__name__
