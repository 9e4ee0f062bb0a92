"""One process that reads secrets through the production cache, from several threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol

from keyturn.client import SecretCache
from keyturn.errors import SecretError
from keyturn.login.policy import LoginOptions
from keyturn.login.refusals import is_refused
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from keyturn.testing.parts import parts_of
from tests.simulation.checkers.broken import BrokenPromiseError
from tests.simulation.hosts import Host
from tests.simulation.interruptions import INTERRUPTIONS, AlarmError, Interruptions
from tests.simulation.moves import Moves
from tests.simulation.peers.database import SERVERS, RefusedError, WhimError
from tests.simulation.scheduler import NEVER_S, Actor, Scheduler

STAGES = (AWSCURRENT,) * 6 + (AWSPREVIOUS, AWSPENDING, "blue")

LOGINS = 0.15
"""How much of what a reader does is to log in."""

PARAMETERS = 0.2
"""How much of it is to read parameters."""

UNARMED = nullcontext()
"""In the place of what interrupts a call, for most readers."""

CHECKS = 0.1
"""Before how much of it a main thread that may be interrupted checks the table by itself."""


@dataclass(frozen=True, slots=True)
class Served:
    """One `get` and how it ended (true seconds).

    `is_second`: another thread of the process has begun a call at the very same moment, and may be the one
    that asks. `is_left`: a background thread is at work, and what is held is its to refresh.
    """

    reader: Reader
    secret_id: str
    stage: str
    begun_s: float
    outcome: SecretVersion | SecretError
    copies: Collection[str] = ()
    is_second: bool = False
    is_left: bool = False


@dataclass(slots=True, eq=False)
class Login:
    """One login and how it ended (true seconds).

    `deadline_s`: until when its caller has time. `looks_s`: when each look for a version began;
    `tried`: the versions tried in the last of them, `labelled`: those that had a label when one was;
    `last`: those last logged in with before it; `rests`: whether a service rested then.
    `connecting_s`, `paused_s`: how long its attempts and its pauses have taken; `beside_s`: the
    attempts of other threads of its process meanwhile. `whims`: versions that are right and were refused
    all the same. `namesakes`: the ARNs that its process held under the secret's name when it looked.
    `outcome`: None after a success.
    """

    reader: Reader
    secret_id: str
    begun_s: float
    previous: bool
    budget_s: float
    deadline_s: float
    server: str
    connecting_s: float = 0.0
    paused_s: float = 0.0
    beside_s: float = 0.0
    looks_s: list[float] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)
    labelled: set[tuple[str, str]] = field(default_factory=set)
    last: set[tuple[str, str]] = field(default_factory=set)
    rests: bool = False
    whims: set[tuple[str, str]] = field(default_factory=set)
    namesakes: set[str] = field(default_factory=set)
    timed_out: bool = False
    outcome: SecretError | TimeoutError | None = None


class LoginsTold(Protocol):
    """Who hears of each login, and of each version that it tries."""

    def begun(self, login: Login) -> None: ...

    def tries(self, login: Login, version: SecretVersion) -> None: ...

    def tried(self, login: Login) -> None: ...

    def accepted(self, login: Login, version: SecretVersion) -> None: ...

    def refused(self, login: Login, version: SecretVersion, *, by_whim: bool) -> None: ...

    def ended(self, login: Login) -> None: ...

    def interrupted(self, login: Login) -> None: ...


def foreign(error: Exception) -> BrokenPromiseError:
    """What an error that is none of keyturn's own breaks."""
    return BrokenPromiseError("error", f"{type(error).__name__} came out of the cache: {error}")


@dataclass(slots=True, eq=False)
class Reader:
    """A process and its cache. `ids`: by which id it gets each secret; `told` hears of each get.

    `copies`: the ARNs of copies of a stage that may be served. `parameters` reads some; `connect` logs in to
    a server of a secret's database with one of its versions.

    `storms`: the chance that a move is followed by many things one after the other. `interruptions` strike
    some calls of its main thread; `interrupted` hears of each that ended so. `closed` hears since
    when a cache was being closed that is closed now.
    """

    host: Host
    scheduler: Scheduler
    random: Random
    make_cache: Callable[[], SecretCache]
    limits: Mapping[str, float]
    ids: Callable[[], list[str]]
    moves: Moves
    told: Callable[[Served], None]
    invalidated: Callable[[Reader, str], None]
    reborn: Callable[[Reader], None]
    connect: Callable[[SecretVersion, str], None]
    logins: LoginsTold
    parameters: Callable[[Reader], None]
    copies: Callable[[Reader, str, str], Collection[str]]
    counted: Counter[str]
    interruptions: Interruptions | None
    interrupted: Callable[[Reader], None]
    closed: Callable[[Reader, float], None]
    mean_gap_s: float
    storms: float
    steady: bool
    background: bool
    cache: SecretCache
    born_s: float = 0.0
    begun: tuple[float, Actor | None] = (-NEVER_S, None)
    quiet: bool = False
    is_closing: bool = False
    idle_until_s: float = 0.0

    def start(self) -> None:
        """Start the threads of a new process."""
        threads = [
            self.scheduler.spawn(f"{self.host.name}.{number}", self.host.machine, self._read_on)
            for number in range(2)
        ]
        if self.interruptions is not None:
            self.interruptions.main = threads[0]

    def restart(self) -> None:
        """Another process in the place of this one."""
        self.host.kill()
        self.is_closing = False
        self.cache = self.make_cache()
        self.reborn(self)
        self.start()

    def close(self) -> None:
        """End this process as a deployment does, and start another in its place."""
        self.is_closing, begun_s = True, self.scheduler.now_s
        self.cache.close()
        self.closed(self, begun_s)
        self.restart()

    def fork(self) -> None:
        """A child in the place of this process: its one thread lives on, with all that is held."""
        self.host.kill()
        self.scheduler.spawn(f"{self.host.name}.child", self.host.machine, self._begin_as_child)

    def _begin_as_child(self) -> None:
        self.cache.after_fork()
        self.host.clock.step(0.0)
        self.start()

    def forget(self) -> None:
        """Restored from a snapshot, with the hook run."""
        self.reborn(self)
        self.cache.forget()

    def get(self, secret_id: str, stage: str) -> None:
        """Get one version and tell of it."""
        self.counted["gets"] += 1
        begun_s, copies = self.scheduler.now_s, self.copies(self, secret_id, stage)
        is_second = self.begins()
        is_left = self._is_copy_left(secret_id, stage)
        outcome: SecretVersion | SecretError
        try:
            with self.armed():
                outcome = self.cache.get(secret_id, stage=stage)
        except SecretError as error:
            outcome = error
        except AlarmError:
            raise
        except Exception as error:
            raise foreign(error) from error
        self.told(Served(self, secret_id, stage, begun_s, outcome, copies, is_second, is_left))

    def begins(self) -> bool:
        """Note that the running actor begins a call of whatever kind. Return True if it is a second one.

        Another thread of the process has then begun one at the very same moment. It may be the one that
        checks the table: in a thread of its own, which has not begun to run yet.
        """
        caller, now_s = self.scheduler.caller, self.scheduler.now_s
        (begun_s, actor), self.begun = self.begun, (now_s, caller)
        return begun_s == now_s and actor is not caller

    def is_left_to_background(self) -> bool:
        """Return True while the background thread goes round, so that no caller checks."""
        return parts_of(self.cache).caches[0].background.is_at_work()

    def _is_copy_left(self, secret_id: str, stage: str) -> bool:
        """Return True if no caller need wait for this copy: it is held, and nobody has invalidated it."""
        found = parts_of(self.cache).caches[0].holdings.find(secret_id, stage)
        if found is None or stage == AWSPENDING or not self.is_left_to_background():
            return False
        secret, held = found
        return held.generation == secret.generation

    def login(self, secret_id: str) -> None:
        """Log in to this secret's database and tell how that went."""
        self.begins()
        now_s, random = self.scheduler.now_s, self.random
        patience_s = random.choice((NEVER_S, NEVER_S, 12.0 * random.random()))
        login = Login(
            reader=self,
            secret_id=secret_id,
            begun_s=now_s,
            previous=random.random() < 0.3,
            budget_s=random.choice((10.0, 10.0, 10.0, 2.0, 0.0)),
            deadline_s=now_s + patience_s,
            server=random.choices(list(SERVERS), (7, 3))[0],
        )
        self.logins.begun(login)
        try:
            is_function = random.random() < 0.5
            with self.armed():
                if is_function:
                    self.cache.login(secret_id, partial(self._connect, login), **self._options(login))
                else:
                    self._log_in_by_turns(login)
        except (SecretError, TimeoutError) as error:
            login.outcome = error
        except INTERRUPTIONS:
            self.logins.interrupted(login)
            raise
        except Exception as error:
            raise foreign(error) from error
        self.logins.ended(login)

    def _log_in_by_turns(self, login: Login) -> None:
        """As code does that cannot pass a callable; it leaves the loop as soon as it is in."""
        turns = self.cache.login_attempts(login.secret_id, **self._options(login))
        for attempt in turns:
            with attempt as version:
                self._connect(login, version)
                return

    def _options(self, login: Login) -> LoginOptions:
        options: LoginOptions = {
            "is_refused": is_refused,
            "previous": login.previous,
            "budget_s": login.budget_s,
            "server": login.server,
        }
        if login.deadline_s < NEVER_S:
            options["remaining_s"] = lambda: login.deadline_s - self.scheduler.now_s
        return options

    def _connect(self, login: Login, version: SecretVersion) -> None:
        self.logins.tries(login, version)
        try:
            self.connect(version, login.server)
        except RefusedError as error:
            self.logins.refused(login, version, by_whim=isinstance(error, WhimError))
            raise
        except TimeoutError:
            login.timed_out = True
            raise
        finally:
            self.logins.tried(login)
        self.logins.accepted(login, version)

    def _read_on(self) -> None:
        while self._is_in_use():
            has_moved = self.moves.pause(self.random.expovariate(1 / self.mean_gap_s))
            if not self._is_in_use():
                return
            secret_id, stage = self.random.choice(self.ids()), self.random.choice(STAGES)
            if has_moved and self.random.random() < 0.5:
                secret_id = self.moves.last
            if self.steady:
                secret_id, stage = self.ids()[0], AWSCURRENT
            if self.random.random() < (self.storms if has_moved else 0.002):
                self._until_interrupted(partial(self._storm, secret_id))
            if self.random.random() < 0.004:
                self.idle_until_s = self.scheduler.now_s + self.random.expovariate(1 / 200)
            if self.idle_until_s > self.scheduler.now_s:
                # All threads of an idle process come back at once, with the same wish.
                self.scheduler.pause(self.idle_until_s - self.scheduler.now_s)
                secret_id, stage = self.ids()[0], AWSCURRENT
            if self._is_in_use():
                self._until_interrupted(partial(self._do, secret_id, stage))

    def _is_in_use(self) -> bool:
        """Whether callers come of their own accord: it may end during any pause."""
        return not self.quiet

    def _do(self, secret_id: str, stage: str) -> None:
        """Read a parameter, log in, or get this."""
        way = self.random.random()
        if way > 1 - PARAMETERS:
            self.parameters(self)
        elif way < LOGINS:
            self.login(secret_id)
        else:
            self.get(secret_id, stage)

    def _storm(self, secret_id: str) -> None:
        """A busy moment: one get after the other, or one failure, and each invalidates or logs in again."""
        kind = self.random.choice(("gets", "invalidations", "logins"))
        self.counted[f"storms of {kind}"] += 1
        for _ in range(self.random.randrange(1, 30)):
            if kind == "invalidations":
                self._invalidate(secret_id)
            if kind == "logins":
                self.login(secret_id)
            else:
                self.get(secret_id, AWSCURRENT)
            self.scheduler.pause(0.2 * self.random.random())

    def _invalidate(self, secret_id: str) -> None:
        with self.armed():
            is_held = self.cache.invalidate(secret_id)
        if is_held:
            self.invalidated(self, secret_id)

    def _check(self) -> None:
        with self.armed():
            self.cache.check()

    # Interruptions

    def armed(self) -> AbstractContextManager[None]:
        """Perhaps interrupt the call that is made meanwhile, by what a signal handler raises or by a fork."""
        if self.interruptions is None:
            return UNARMED
        return self.interruptions.armed(self.fork)

    def _until_interrupted(self, act: Callable[[], None]) -> None:
        """Do this, and go on after an interruption as a program does that catches it."""
        try:
            if self.interruptions is not None and self.interruptions.chooses(CHECKS):
                self._check()
            act()
        except INTERRUPTIONS:
            self.interrupted(self)
