"""Every object that holds secrets hears of a snapshot, whatever other threads do meanwhile."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from keyturn.runtime.process import around_snapshot, watch_process


class Told:
    """An object that counts what it hears of."""

    def __init__(self) -> None:
        self.forgot = 0
        watch_process(self)

    def after_fork(self) -> None: ...

    def forget(self) -> None:
        self.forgot += 1


@pytest.fixture
def making() -> Iterator[None]:
    """Another thread, which makes such objects all the time."""
    before, is_over = sys.getswitchinterval(), threading.Event()

    def make() -> None:
        kept = list[Told]()
        while not is_over.is_set() and len(kept) < 50_000:
            kept.append(Told())

    thread = threading.Thread(target=make)
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(before)


@pytest.mark.usefixtures("making")
def test_a_snapshot_is_told_to_all_while_a_thread_makes_more() -> None:
    """It went through a set that had changed meanwhile, and told nobody."""
    told = [Told() for _ in range(300)]
    for _ in range(400):
        around_snapshot()
    assert {400} == {one.forgot for one in told}


def test_nothing_lives_on_because_it_is_told() -> None:
    """A cache that nobody refers to any more is collected."""
    one = weakref.ref(Told())
    gc.collect()
    assert one() is None
