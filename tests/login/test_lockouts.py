"""Accounts that lock after five wrong passwords in a row: what a rotation costs eight warm processes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from keyturn import Limits, Peers, SecretCache
from keyturn.model.markers import Marker
from keyturn.model.versions import SecretVersion
from tests.login.client import RefusedError, is_refused
from tests.world import NAME, World

PROCESSES = 8
LOCKS_AFTER = 5


@dataclass
class Account:
    """An account that locks after five wrong passwords in a row; a right one begins the count anew."""

    accepts: set[str] = field(default_factory=lambda: {"one"})
    refused: int = 0
    in_a_row: int = 0
    most_in_a_row: int = 0

    def connect(self, version: SecretVersion) -> str:
        assert self.in_a_row < LOCKS_AFTER, "the account is locked"
        if version.text() in self.accepts:
            self.in_a_row = 0
            return version.version_id
        self.refused += 1
        self.in_a_row += 1
        self.most_in_a_row = max(self.most_in_a_row, self.in_a_row)
        raise RefusedError("password authentication failed")


class Fleet:
    """Eight warm processes, each of which logs in once a second, at its own moment."""

    def __init__(self, world: World, check_interval_s: float) -> None:
        self.world = world
        self.account = Account()
        limits = Limits(check_interval_s=check_interval_s, refresh_wait_s=20)
        self.processes = [self._process(limits) for _ in range(PROCESSES)]
        world.mark()
        self.log_in_for(20)

    def log_in_for(self, seconds: int) -> int:
        """Let time pass with its logins, and return how many attempts were refused."""
        before = self.account.refused
        for _ in range(seconds):
            for cache in self.processes:
                self.world.clock.advance(1 / PROCESSES)
                cache.login(NAME, self.account.connect, is_refused=is_refused)
        return self.account.refused - before

    def announced(self, step: str) -> None:
        """Write what a rotation function announces at the end of a step."""
        described = self.world.secrets.describe(NAME)
        marker = Marker(self.world.key, self.world.arn, dict(described.stages), step=step)
        self.world.table.write([(self.world.table.look(self.world.key), marker)])

    def _process(self, limits: Limits) -> SecretCache:
        peers = Peers(
            source=self.world.secrets,
            markers=self.world.table,
            clock=self.world.clock,
            random=lambda: 0.0,
            sleep=self.world.clock.advance,
        )
        return SecretCache(limits=limits, peers=peers)


def rotated(fleet: Fleet, *, accepts: set[str]) -> int:
    """Rotate with announcements. From setSecret on the account accepts only these values."""
    fleet.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    fleet.announced("createSecret")
    refused = fleet.log_in_for(7)
    fleet.account.accepts = accepts
    fleet.announced("setSecret")
    refused += fleet.log_in_for(7)
    fleet.announced("testSecret")
    refused += fleet.log_in_for(7)
    fleet.world.secrets.move(NAME, "AWSCURRENT", "v2")
    fleet.announced("finishSecret")
    return refused + fleet.log_in_for(30)


@pytest.mark.parametrize(("check_interval_s", "refused_max"), [(5, PROCESSES), (1, 0)])
def test_one_password_costs_at_most_one_attempt_a_process(
    world: World, check_interval_s: float, refused_max: int
) -> None:
    """A single user: a process is refused at most once, and logs in at once after it, so nothing adds up.

    A process that checks at each login knows of an announced setSecret before it tries.
    """
    fleet = Fleet(world, check_interval_s)
    assert refused_max >= rotated(fleet, accepts={"two"})
    assert 1 >= fleet.account.most_in_a_row


def test_two_passwords_cost_no_attempt(world: World) -> None:
    """Alternating users, two passwords, keys: the server takes both, so no process is ever refused."""
    assert 0 == rotated(Fleet(world, 5), accepts={"one", "two"})
