"""Whoever can write markers cannot make a process try a refused password more often than by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from keyturn import LoginRefusedError
from keyturn.model.markers import Head, Marker
from tests.login.client import Client
from tests.world import World

Forge = Callable[[World, int], None]

PERIODS_S = (30, pytest.param(120, marks=pytest.mark.proof))
"""A refusal is remembered for 30 s; these are what an attacker has waited for."""


def forge(world: World, number: int, **fields: object) -> None:
    """A new marker of the secret, and a head that moved with it and was swept just now."""
    marker = Marker(world.key, world.arn, {"AWSCURRENT": f"forged-{number}"}, epoch="forged", sequence=number)
    world.table.items[world.key] = marker._replace(**fields)  # type: ignore[arg-type] # as the test gives it
    world.table.head = Head("forged", number, world.clock.wall_s)


FORGERIES: Mapping[str, Forge] = {
    "a version that nobody made": forge,
    "the true version, as if it had moved": lambda world, n: forge(world, n, stages={"AWSCURRENT": "v1"}),
    "setSecret of the pending version": lambda world, n: forge(
        world, n, stages={"AWSCURRENT": "v1", "AWSPENDING": "v2"}, step="setSecret"
    ),
    "testSecret, another epoch each time": lambda world, n: forge(
        world, n, stages={"AWSCURRENT": "v1", "AWSPENDING": "v2"}, step="testSecret", epoch=f"e{n}"
    ),
    "finishSecret": lambda world, n: forge(world, n, stages={"AWSCURRENT": "v2"}, step="finishSecret"),
    "a tombstone": lambda world, n: forge(world, n, deleted=True),
    "a marker and none, by turns": lambda world, n: (
        forge(world, n) if n % 2 else world.table.items.pop(world.key, None) and None
    ),
}


def process(world: World, *, is_proven: bool) -> Client:
    """A process whose password is revoked, perhaps after it had been right; AWSPENDING is refused, too."""
    world.secrets.put("prod/db", "two", "v2", "AWSPENDING")
    world.mark()
    one = Client(world)
    if is_proven:
        one.login()
    one.server.accepts = set()
    one.server.tried()
    return one


def tried_in(
    one: Client, seconds: int, forged: Forge | None, *, budget_s: float, every_s: float
) -> dict[str, int]:
    """How often each version is tried by a process that logs in all the time."""
    number, begun_s, forged_s = 0, one.world.clock.wall_s, -1e9
    while one.world.clock.wall_s - begun_s < seconds:
        if forged is not None and one.world.clock.wall_s - forged_s >= every_s:
            number, forged_s = number + 1, one.world.clock.wall_s
            forged(one.world, number)
        with pytest.raises(LoginRefusedError):
            one.login(budget_s=budget_s)
        one.world.clock.advance(0.5)
    tried = one.server.tried()
    return {version_id: tried.count(version_id) for version_id in ("v1", "v2")}


@cache
def tried_alone(seconds: int, *, is_proven: bool, budget_s: float) -> Mapping[str, int]:
    """How often each version is tried where nobody forges anything: the same for every forgery."""
    return tried_in(process(World(), is_proven=is_proven), seconds, None, budget_s=budget_s, every_s=1)


@pytest.mark.parametrize("seconds", PERIODS_S)
@pytest.mark.parametrize("is_proven", [True, False], ids=["it had been right", "it was never right"])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_marker_buys_no_attempt(name: str, *, is_proven: bool, seconds: int) -> None:
    """Markers forged anew every second and every five: no version is tried more often than without them."""
    alone = tried_alone(seconds, is_proven=is_proven, budget_s=0)
    assert 2 * (seconds // 30) <= alone["v1"] <= 2 * (seconds // 30 + 1)
    for every_s in (1, 5):
        attacked = process(World(), is_proven=is_proven)
        forged = tried_in(attacked, seconds, FORGERIES[name], budget_s=0, every_s=every_s)
        assert forged["v1"] <= alone["v1"]
        assert forged["v2"] <= alone["v2"]


@pytest.mark.parametrize("name", FORGERIES)
def test_nor_does_a_login_that_waits_try_more_often(world: World, name: str) -> None:
    """The same with the budget of 10 s: a forged marker may make a login wait, and try nothing twice."""
    alone = tried_alone(60, is_proven=True, budget_s=10)
    forged = tried_in(process(world, is_proven=True), 60, FORGERIES[name], budget_s=10, every_s=1)
    assert forged["v1"] <= max(4, alone["v1"])
    assert forged["v2"] <= max(4, alone["v2"])


def test_a_forged_setsecret_costs_one_attempt(world: World) -> None:
    """AWSCURRENT is right, a cancelled rotation has left AWSPENDING: the marker gets that tried once."""
    one = process(world, is_proven=True)
    one.server.accepts = {"one"}
    for number in range(1, 601):
        FORGERIES["setSecret of the pending version"](world, number)
        assert "connected with v1" == one.login(budget_s=0)
        world.clock.advance(1)
    assert 1 == one.server.tried().count("v2")


def test_a_version_that_becomes_current_is_tried_at_once(world: World) -> None:
    """The label's move is Secrets Manager's own word: what was refused as AWSPENDING is right now."""
    one = process(world, is_proven=False)
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0)
    assert ["v1", "v2"] == one.server.tried()
    one.server.accepts = {"two"}
    world.secrets.move("prod/db", "AWSCURRENT", "v2")
    world.mark()
    world.clock.advance(5)
    assert "connected with v2" == one.login(budget_s=0)
    assert 0 == one.slept_s
