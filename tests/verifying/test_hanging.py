"""A Secrets Manager that does not answer holds up no message of a known version, for threads and loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.verifying.conftest import MakeVerifier
from tests.verifying.verifiers import Message
from tests.world import NAME, World

MOMENT_S, COLD_S = 0.05, 3.0
"""How long callers wait here with a copy, and without one."""

PATIENCE_S = 20.0


@pytest.fixture
def silent(world: World) -> Iterator[threading.Event]:
    """Secrets Manager answers nothing from the moment on at which this is cleared, until the test ends."""
    answers = threading.Event()
    answers.set()

    def hang(_secret_id: str) -> Exception | None:
        return None if answers.wait(PATIENCE_S) else TimeoutError("no answer")

    world.secrets.fail = hang
    yield answers
    answers.set()


@pytest.mark.parametrize("pending", [False, True])
def test_known_versions_wait_for_no_look(
    world: World,
    verifier: MakeVerifier,
    silent: threading.Event,
    pending: bool,  # noqa: FBT001
) -> None:
    """What was seen is to be looked up again: it counts after a moment at most, as copies are served."""
    world.secrets.put(NAME, "two", "v2")
    if pending:
        world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    checked = verifier(table=False, refresh_wait_s=MOMENT_S, cold_wait_s=COLD_S)
    expected = ["v2", "v3", "v1"] if pending else ["v2", "v1"]
    known = ["two", "three", "one"] if pending else ["two", "one"]
    assert expected == [one.version_id for one in checked.keys.all()]
    silent.clear()
    for _ in range(3):
        world.clock.advance(301)
        begun_s = time.monotonic()
        assert expected == [one.version_id for one in checked.keys.all()]
        assert all(checked.takes(Message.signed("a", key)) for key in known)
        assert time.monotonic() - begun_s < COLD_S


def test_what_is_far_too_old_counts_for_nobody(
    world: World, verifier: MakeVerifier, silent: threading.Event
) -> None:
    """A rotation was cancelled long ago, and two callers have its key: both wait for one look."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    world.mark()
    checked = verifier()
    assert checked.takes(Message.signed("a", "two"))
    world.secrets.move(NAME, "AWSPENDING", None)
    world.clock.advance(5)
    checked.keys.current()
    world.clock.advance(1000)
    world.table.sweep()
    checked.keys.current()
    silent.clear()
    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(checked.takes, Message.signed(text, "two")) for text in ("a", "b")]
        threading.Event().wait(4 * MOMENT_S)
        silent.set()
        assert [False, False] == [look.result(PATIENCE_S) for look in looks]
