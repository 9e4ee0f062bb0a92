"""What is checked of every login: it succeeds while it can, tries little, and gives nothing away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from keyturn.cache.limits import DEFAULTS
from keyturn.errors import LoginRefusedError, UnavailableError
from keyturn.login.logins import FIRST_PAUSE_S
from keyturn.login.memory import REFUSED_S
from keyturn.login.policy import LEAST_PAUSE_S
from keyturn.login.turns import TURN_S
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from tests.simulation.checkers import bounds, secrecy
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.checkers.memories import Identity, Memories, now_of
from tests.simulation.peers.database import Database, RefusedError
from tests.simulation.peers.secretsmanager import READ_LAG_S, SecretsManager
from tests.simulation.reader import Login, Reader, Served
from tests.simulation.scheduler import NEVER_S, Actor, Scheduler
from tests.simulation.weather import SECRETS, Weather

SEEN_S = READ_LAG_S + 2.5
"""A label that moved longer ago is seen: a read's lag, one forced read a second, a slow call in flight."""

FLIGHT_S = 1.5
"""Within this time a login need not see what changed: its last call to the server takes time."""

CALLS_MAX_S = 4.0
"""What all reads of one login take together, those of other threads that it waits for included."""

WAITED = "a rotation seems to be under way"
"""In the error of a login that would look again if it had more time."""

LATE_S = 1.5
"""How long after its caller's last moment a login may end, beside its attempts: a slow call."""

PAUSE_MAX_S = 4.0
"""The longest pause between two looks."""

AWS_LABELS = (AWSCURRENT, AWSPENDING, AWSPREVIOUS)


@dataclass(slots=True)
class Logins:
    """Watches every login of every reader.

    `failed` judges the error of reading AWSCURRENT; `looks` hears when a login may force a read.
    """

    scheduler: Scheduler
    service: SecretsManager
    weather: Weather
    databases: dict[str, Database]
    failed: Callable[[Served], None]
    looks: Callable[[Reader, str], None]
    say: Callable[..., None]
    counted: Counter[str]
    flying: dict[Actor, Login] = field(default_factory=dict)
    ended_s: dict[Actor, float] = field(default_factory=dict)
    memories: Memories = field(default_factory=Memories)
    tried_after: dict[Actor, int] = field(default_factory=dict)
    connecting: dict[Actor, tuple[Login, float]] = field(default_factory=dict)
    number: int = 0

    # What happens

    def begun(self, login: Login) -> None:
        """A login begins."""
        self.counted["logins"] += 1
        self.flying[self.scheduler.caller] = login
        self._look(login, self.scheduler.now_s)

    def paused(self, pause_s: float) -> None:
        """A login waits, to look once more then."""
        login = self.flying[self.scheduler.caller]
        login.paused_s += pause_s
        ends_s = self.scheduler.now_s + pause_s
        if login.reader.host.clock.disturbed_s < login.begun_s:
            used_s = (ends_s - login.begun_s) / bounds.DRIFT
            require(used_s <= login.budget_s, "login budget", f"{_what(login)} waits {used_s:.1f} s in all")
        require(ends_s < login.deadline_s, "login budget", f"{_what(login)} waits past its caller's time")
        self._look(login, ends_s)

    def _tries_again(self, login: Login, version: SecretVersion) -> None:
        """What was refused is tried once more in `REFUSED_S`, and not at once."""
        known = self.memories.remembered(login, version.identity, is_current=AWSCURRENT in version.stages)
        if known is None:
            return
        has_try_left = known.tries_left > 0
        known.again += 1
        age_s = known.at.age_s(now_of(login))
        what = f"{_what(login)} tries {version.version_id} again {age_s:.1f} s after it was refused"
        is_time = age_s >= bounds.SETTLE_S or known.may_be_tried_by(login)
        require(has_try_left and is_time, "refusals", f"{what}, for the {known.again}. time")

    def _look(self, login: Login, at_s: float) -> None:
        login.looks_s.append(at_s)
        login.tried.clear()
        login.labelled.clear()
        login.last = self.memories.last(login)
        name, status = self._name(login), login.reader.cache.status()
        login.rests = bool(status.resting)
        login.namesakes |= {one.arn for one in status.secrets if one.name == name}
        self.looks(login.reader, name)

    def tries(self, login: Login, version: SecretVersion) -> None:
        """A login is about to try this version."""
        stored = self.service.versions.get((version.arn, version.version_id))
        name = self._name(login)
        genuine = stored is not None and stored.value == version.string and version.name == name
        require(genuine, "safety", f"{_what(login)}: {version.version_id} is a mix of versions")
        require(not login.timed_out, "login", f"{_what(login)} goes on after a time-out")
        self._tries_again(login, version)
        self.tried_after[self.scheduler.running] = self.number
        self.connecting[self.scheduler.running] = login, self.scheduler.now_s
        login.namesakes.add(version.arn)
        login.tried.append(version.identity)
        again = len(login.tried) != len(set(login.tried))
        require(not again, "login attempts", f"{_what(login)} tries {version.version_id} twice in one look")
        login.labelled |= self._labelled(login)
        others = set(login.tried) - login.last - login.labelled
        require(len(others) <= 1, "login attempts", f"{_what(login)} tries {sorted(others)} without a label")

    def tried(self, login: Login) -> None:
        """The attempt has ended."""
        _, begun_s = self.connecting.pop(self.scheduler.running)
        login.connecting_s += self.scheduler.now_s - begun_s
        for other in self.flying.values():
            self._was_beside(other, login, begun_s)

    def accepted(self, login: Login, version: SecretVersion) -> None:
        """The server took it."""
        self.say(login.reader.host.name, "is in with", version.version_id, "of", login.secret_id)
        self.counted["logins with another version than AWSCURRENT"] += AWSCURRENT not in version.stages
        self.counted["logins that had to wait"] += len(login.looks_s) > 1
        self.number += 1
        self.memories.accepted(login, version, self.number, self.scheduler.now_s)

    def refused(self, login: Login, version: SecretVersion, *, by_whim: bool) -> None:
        """The server did not take it. It counts for nothing if it took it from others meanwhile."""
        if by_whim:
            login.whims.add(version.identity)
        self.counted["logins: versions refused"] += 1
        self.say(login.reader.host.name, "is refused", version.version_id, "of", login.secret_id)
        tried_after = self.tried_after.pop(self.scheduler.running)
        self.memories.refused(login, version, tried_after, self.scheduler.now_s)

    def ended(self, login: Login) -> None:
        """Judge how a login ended."""
        del self.flying[self.scheduler.caller]
        self.ended_s[self.scheduler.caller] = self.scheduler.now_s
        outcome = login.outcome
        if outcome is not None:
            self.counted[f"logins: {type(outcome).__name__}"] += 1
            self.say(_what(login), "ended with", outcome)
        if login.reader.host.clock.disturbed_s < login.begun_s:
            self._in_time(login)
        if outcome is None or isinstance(outcome, TimeoutError):
            return
        secrecy.error(outcome)
        if isinstance(outcome, UnavailableError) and self._is_out_of_time(login):
            # Its caller's time ended before the read did: no sign of anything.
            return
        if not isinstance(outcome, LoginRefusedError):
            self.failed(Served(login.reader, login.secret_id, AWSCURRENT, login.begun_s, outcome))
            return
        cause = outcome.__cause__
        require(cause is None or isinstance(cause, RefusedError), "login", f"{_what(login)}: {cause!r}")
        self._was_hopeless(login)

    def interrupted(self, login: Login) -> None:
        """A login was interrupted: what it has done to the memory of its process is not known."""
        del self.flying[self.scheduler.caller]
        self.ended_s[self.scheduler.caller] = self.scheduler.now_s
        self.memories.interrupted(login, self.scheduler.now_s)

    def _in_time(self, login: Login) -> None:
        """Attempts take the time that the server takes; all else is within the budget, and has a reason."""
        took_s = self.scheduler.now_s - login.begun_s - login.connecting_s
        # The first read of AWSCURRENT is cold where nothing is held; the budget is about what comes after it.
        first_s = DEFAULTS.cold_wait_s if self.weather.hangs_since(login.begun_s) else 0.0
        in_time = took_s <= login.budget_s + first_s + CALLS_MAX_S
        require(in_time, "login budget", f"{_what(login)} took {took_s:.1f} s beside its attempts")
        if isinstance(login.outcome, LoginRefusedError) and WAITED in login.outcome.detail:
            left_s = login.budget_s / bounds.DRIFT - (self.scheduler.now_s - login.begun_s)
            is_over = left_s <= FIRST_PAUSE_S or not self._has_time(login)
            require(is_over, "login budget", f"{_what(login)} gave up with {left_s:.1f} s of it left")
        late_s = self.scheduler.now_s - login.connecting_s - login.deadline_s
        require(
            late_s <= LATE_S, "login budget", f"{_what(login)} ended {late_s:.1f} s too late for its caller"
        )
        for actor, (other, begun_s) in self.connecting.items():
            if actor.generation == actor.machine.generation:
                self._was_beside(login, other, begun_s)
        if self.weather.hangs_since(login.begun_s):
            return
        idle_s = took_s - login.paused_s - login.beside_s
        # An interrupted login may have left its turn half made, for which others wait so long at most.
        longest_s = CALLS_MAX_S + (TURN_S if self.memories.is_unsure(login) else 0.0)
        require(idle_s <= longest_s, "login budget", f"{_what(login)} waited {idle_s:.1f} s for nobody")

    def _was_beside(self, login: Login, other: Login, begun_s: float) -> None:
        """Another login's attempt, begun then, has lasted until now."""
        if other is not login and other.reader is login.reader:
            login.beside_s += self.scheduler.now_s - max(begun_s, login.begun_s)

    def all_ended(self) -> None:
        """Faults over: nobody whose process lives is still at a login."""
        for actor, login in self.flying.items():
            is_alive = actor.generation == actor.machine.generation
            require(not is_alive, "login", f"{_what(login)} never ended")

    # Whether it could have succeeded

    def _was_hopeless(self, login: Login) -> None:
        """A login is refused only if nothing that it can know is accepted, or as docs/login.md says."""
        now_s, reader, name = self.scheduler.now_s, login.reader, self._name(login)
        state, database = self.service.now(name), self.databases[name]
        if reader.host.clock.disturbed_s + REFUSED_S > login.begun_s or state is None:
            return
        if self.memories.is_unsure(login):
            # An interrupted login may have spent the second try of a version.
            return
        if self._is_out_of_time(login):
            # Its caller's time ended while it read, so it has not seen all that there is to try.
            return
        if login.secret_id not in (name, state.arn) and not state.arn.startswith(login.secret_id):
            return
        can_read = self._can_read(login)
        is_new = self._since_s(name, state.arn) + SEEN_S > login.looks_s[-1]
        if (is_new or not can_read) and login.namesakes - {state.arn}:
            # When it looked, it could not know yet that the name means another secret now.
            return
        success = self.memories.success(login, state.arn)
        candidates = self._labels(login) if can_read else {}
        is_warm = success is not None and (
            success.refused_s is None or now_s - success.refused_s < REFUSED_S - FLIGHT_S
        )
        if success is not None:
            candidates[success.version.identity] = success.since_s
        for identity, named_s in candidates.items():
            accepted_s = database.accepts_since(self.service.versions[identity].value, login.server)
            is_excused = identity in login.whims or self._was_refused_lately(login, identity)
            if accepted_s is None or is_excused:
                continue
            known_s = (
                named_s if success is not None and success.version.identity == identity else named_s + SEEN_S
            )
            since_s = max(accepted_s, known_s)
            waits_s = login.budget_s / bounds.DRIFT - LEAST_PAUSE_S
            waits = is_warm and now_s - login.begun_s < waits_s and self._has_time(login)
            in_time = since_s <= login.looks_s[-1] or (waits and max(accepted_s, named_s) + FLIGHT_S < now_s)
            if in_time:
                what = f"accepted for {now_s - accepted_s:.1f} s and known for {now_s - named_s:.1f} s"
                raise BrokenPromiseError("login", f"{_what(login)} was refused: {identity[1]} is {what}")

    def _was_refused_lately(self, login: Login, identity: Identity) -> bool:
        """Whether docs/login.md lets this version wait: refused a moment ago, or tried again already."""
        current = self.service.label(self._name(login), AWSCURRENT)[-1]
        is_seen = current.start_s + SEEN_S < login.looks_s[-1]
        known = self.memories.remembered(login, identity, is_current=current.holder == identity and is_seen)
        if known is None:
            return False
        looked_ago_s = self.scheduler.now_s - login.looks_s[-1]
        if not known.again and known.has_to_be_tried_by(login):
            return False
        return (
            known.again > 0 or known.at.age_s(now_of(login)) - looked_ago_s < bounds.SETTLE_S * bounds.DRIFT
        )

    def _since_s(self, name: str, arn: str) -> float:
        """When this name began to mean the secret that it means now."""
        since_s = NEVER_S
        for at_s, state in reversed(self.service.states[name]):
            if state is None or state.arn != arn:
                break
            since_s = at_s
        return since_s

    def _is_out_of_time(self, login: Login) -> bool:
        """Whether its caller's time has ended, by the login's own clock, which may run fast."""
        passed_s = self.scheduler.now_s - login.begun_s
        return passed_s * bounds.DRIFT >= login.deadline_s - login.begun_s

    def _has_time(self, login: Login) -> bool:
        return self.scheduler.now_s + PAUSE_MAX_S < login.deadline_s

    def _labels(self, login: Login) -> dict[Identity, float]:
        """The versions that the labels which this login has to try are on now, and since when.

        AWSPREVIOUS is one of them by choice, or where its version is newer than AWSCURRENT's.
        """
        found: dict[Identity, float] = {}
        current, pending, previous = (self.service.label(self._name(login), one)[-1] for one in AWS_LABELS)
        named = [(one.holder, one.start_s) for one in (current, pending)]
        previous_s = previous.start_s
        if self._moved_twice(login, AWSPREVIOUS):
            # A read between the two moves is held, and what is read after it is doubted.
            previous_s += bounds.SETTLE_S
        if login.previous:
            named.append((previous.holder, previous_s))
        elif self._is_newer(previous.holder, current.holder):
            named.append((previous.holder, max(previous_s, current.start_s)))
        for holder, since_s in named:
            if holder is not None:
                found[holder] = min(since_s, found.get(holder, since_s))
        return found

    def _moved_twice(self, login: Login, stage: str) -> bool:
        """Return True if the last two moves of this label are close together."""
        starts_s = [span.start_s for span in self.service.label(self._name(login), stage)[-2:]]
        return starts_s[-1] - starts_s[0] < bounds.APART_S and len(starts_s) > 1

    def _is_newer(self, one: Identity | None, other: Identity | None) -> bool:
        if one is None or other is None:
            return False
        return self.service.versions[one].put_s > self.service.versions[other].put_s

    def _labelled(self, login: Login) -> set[Identity]:
        """Every version that AWS's labels were on while this look may have seen it."""
        since_s, found = login.looks_s[-1] - SEEN_S, set[Identity]()
        for stage in AWS_LABELS:
            spans = self.service.label(self._name(login), stage)
            found |= {
                span.holder
                for at, span in enumerate(spans)
                if span.holder is not None and (at + 1 == len(spans) or spans[at + 1].start_s > since_s)
            }
        if self.scheduler.now_s + FLIGHT_S < login.deadline_s and self._can_read(login):
            return found
        # Where it cannot be read anew, or not before the caller's end, what is held goes on to count.
        held = login.reader.cache.status().secrets
        return found | {(one.arn, one.version_id) for one in held if one.stage in AWS_LABELS}

    def _can_read(self, login: Login) -> bool:
        """Whether a look of this login gets what Secrets Manager says now.

        No login waits for a service that rests, and it may rest on until somebody calls it.
        """
        return not login.rests and self.weather.calm_since(SECRETS) + bounds.REST_S < login.begun_s

    def _name(self, login: Login) -> str:
        return self.service.name_by_id.get(login.secret_id, login.secret_id)


def _what(login: Login) -> str:
    return f"{login.reader.host.name} logging in to {login.secret_id} for {login.begun_s:.1f}"
