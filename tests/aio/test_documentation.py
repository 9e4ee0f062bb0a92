"""docs/async.md is true: its examples run, on both kinds of loops."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyturn import AsyncSecretCache, Peers, SecretCache
from keyturn.testing.fakes import FakeParameterStore
from tests.aio.loops import run
from tests.docs.checkers import CHECKERS, Checker
from tests.docs.pages import python_blocks
from tests.world import World


@pytest.fixture
def names(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the examples leave open; their caches read a world in memory."""
    store = FakeParameterStore(world.clock)
    store.put("/prod/host", "h")
    world.secrets.create("prod/payments", "the key", "v1")
    world.secrets.create("prod/orders", '{"host": "h", "username": "u", "password": "p"}', "v1")

    async def post_with(key: str, amount: int) -> str:
        return f"{amount} with {key}"

    async def open_connection(host: str, user: str, password: str) -> str:
        return f"{user}:{password}@{host}"

    found: dict[str, object] = {
        "post_with": post_with,
        "open_connection": open_connection,
        "Connection": str,
        "peers": Peers(
            source=world.secrets, parameter_source=store.source, markers=world.table, clock=world.clock
        ),
    }
    for example in python_blocks("docs/async.md"):
        text = example.replace('marker_table="keyturn-markers"', "peers=peers")
        exec(compile(text, "docs/async.md", "exec", dont_inherit=True), found)  # noqa: S102 # the page's own code
    return found


def test_the_page_runs(names: dict[str, object], loop: str) -> None:
    """A read, a lifespan, both caches beside each other, and both ways to log in."""
    cache, pair = names["cache"], (names["for_threads"], names["for_tasks"])
    assert isinstance(cache, AsyncSecretCache)
    assert isinstance(pair[0], SecretCache)
    assert isinstance(pair[1], AsyncSecretCache)
    assert pair[1].sync is pair[0]

    async def main() -> list[object]:
        async with names["lifespan"](None):  # type: ignore[operator] # the page's own
            assert cache.peek("prod/orders") is not None
            assert cache.peek_parameter("/prod/host") is not None
            charged = await names["charge"](3)  # type: ignore[operator] # the page's own
            return [charged, await names["orders"](), await names["orders_by_a_loop"]()]  # type: ignore[operator] # the page's own

    assert ["3 with the key", "u:p@h", "u:p@h"] == run(loop, main)


LEFT_OPEN = """
class Connection: ...

async def open_connection(host: str, user: str, password: str) -> Connection:
    return Connection()

async def post_with(key: str, amount: int) -> str:
    return key
"""
"""What docs/async.md leaves to its readers."""


@pytest.mark.proof
@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.name)
def test_the_pages_pass_a_strict_check(checker: Checker, tmp_path: Path) -> None:
    """Type checkers have nothing to say of the pages' programs; a missing await is seen."""
    tasks = "\n".join((LEFT_OPEN, *python_blocks("docs/async.md")))
    keys = "\n".join(python_blocks("docs/verifying.md"))
    said = checker.check(tmp_path, {"tasks.py": tasks, "verifying.py": keys})
    assert 0 == said.returncode, said.stdout
    wrong = tasks.replace("await cache.login", "cache.login")
    assert checker.wrong_return in checker.check(tmp_path, {"wrong.py": wrong}).stdout
