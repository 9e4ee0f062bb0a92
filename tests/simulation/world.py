"""One world of one seed: the production code between its peers, watched by the checkers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from traceback import format_exc
from typing import Final

from tests.simulation.account import Account
from tests.simulation.changer import ParameterReads
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.broken import BrokenPromiseError
from tests.simulation.course import Course
from tests.simulation.gremlins import Gremlins
from tests.simulation.interruptions import in_finalisers
from tests.simulation.judges import Judges
from tests.simulation.moves import Moves
from tests.simulation.peers.lambdas import ENVIRONMENTS
from tests.simulation.places import SEVERAL_TABLES, Places
from tests.simulation.plan import NAMES, planned
from tests.simulation.processes import Processes
from tests.simulation.reader import Reader
from tests.simulation.record import Record
from tests.simulation.scheduler import Scheduler
from tests.simulation.setting import Setting
from tests.simulation.threads import cooperative
from tests.simulation.watch import Watch
from tests.simulation.weather import Requests, Weather

CRASH: Final = "crash"
"""What broke where no checker saw anything: the simulation itself has failed."""


EVERY: Final = 3
"""One seed in so many also has the world of several tables."""


@dataclass(slots=True)
class Report:
    """How one seed went. `tightest`: how much of each promised time was used, at worst."""

    seed: int
    simulated_s: float
    counted: Counter[str]
    tightest: dict[str, float]
    broken: BrokenPromiseError | None = None


@dataclass(slots=True, repr=False)
class World:
    """Everything there is in one simulation, put together; `random` is the one that decides."""

    random: Random
    record: Record
    only: str | None = None
    setting: Setting = field(init=False)
    processes: Processes = field(init=False)
    course: Course = field(init=False)

    def __post_init__(self) -> None:
        random, record, scheduler = self.random, self.record, self.record.scheduler
        readers, moves, watch = list[Reader](), Moves(scheduler, random), Watch(record)
        account = Account.opened(scheduler, random, Weather(scheduler, random), watch)
        gremlins = Gremlins(
            scheduler,
            random,
            account.weather,
            account.table,
            account.service,
            account.function,
            readers,
            moves,
            record.say,
            lambda: judges.cost.happened("*"),
        )
        plan = planned(random, list(gremlins.faults()), self.only)
        account.service.stale = account.store.stale = plan.stale
        setting = Setting(plan, random, account, Requests(scheduler), moves, record)
        judges = Judges(setting, readers)
        watch.begin(account, judges, moves, account.bus(random, plan))
        parameters = ParameterReads(
            random, scheduler, judges.serving_parameters, judges.waits, record.counted
        )
        processes = Processes(setting, judges, watch, parameters)
        account.function.listeners += [processes.listener(number) for number in range(ENVIRONMENTS)]
        readers += [processes.reader(number, one) for number, one in enumerate(plan.readers)]
        judges.cost.readers.update({reader.host.name: reader for reader in readers})
        self.setting, self.processes = setting, processes
        self.course = Course(setting, judges, parameters, readers, gremlins)

    def live(self) -> None:
        """From the first secret to the last check."""
        self.course.run([self.processes.rotator(name) for name in NAMES])


def simulate(seed: int, trace: Callable[[str], None] | None = None, *, only: str | None = None) -> Report:
    """Run the world of one seed, and of each third seed a second one, up to the first broken promise.

    `only`: instead of the faults that it draws, this one; empty for none; or the name of the second world.
    """
    reports = list[Report]()
    if only != SEVERAL_TABLES:
        reports.append(_one_account(seed, trace, only))
    is_drawn = only is None and seed % EVERY == 0 and reports[0].broken is None
    if only == SEVERAL_TABLES or is_drawn:
        reports.append(_several_tables(seed, trace))
    first, *others = reports
    for report in others:
        first.simulated_s += report.simulated_s
        first.counted.update(report.counted)
        first.broken = report.broken
    return first


def _several_tables(seed: int, trace: Callable[[str], None] | None) -> Report:
    scheduler = Scheduler()
    record = Record(scheduler, trace)
    with cooperative(scheduler), secrecy.listening_to_logs():
        broken = _broken(lambda: Places(Random(f"places of {seed}"), record).live())
        scheduler.close()
    return Report(seed, scheduler.now_s, record.counted, {}, broken)


def _broken(live: Callable[[], None]) -> BrokenPromiseError | None:
    try:
        live()
    except BrokenPromiseError as error:
        return error
    except Exception:  # noqa: BLE001 # told with its seed, and the next seeds go on
        return BrokenPromiseError(CRASH, format_exc())
    return None


def _one_account(seed: int, trace: Callable[[str], None] | None, only: str | None) -> Report:
    scheduler = Scheduler()
    record = Record(scheduler, trace)
    with cooperative(scheduler), secrecy.listening_to_logs(), in_finalisers():
        world = World(Random(seed), record, only)
        broken = _broken(world.live)
        scheduler.close()
    account, counted = world.setting.account, record.counted
    counted.update({f"fault: {name}": number for name, number in account.weather.counted.items()})
    counted.update(account.service.calls)
    counted.update(account.store.calls)
    counted.update({f"table: {name}": number for name, number in account.table.calls.items()})
    return Report(seed, scheduler.now_s, counted, record.tightest, broken)
