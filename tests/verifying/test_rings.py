"""The rings of a cache: other threads may use and forget them at any moment."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TypeAlias, cast

import pytest

from keyturn import Limits, SecretVersion
from keyturn.cache.secrets import Secrets
from keyturn.metrics.hook import Measures
from keyturn.testing.fakes import FakeClock
from keyturn.verifying.ring import Ring, Rings

SIZE = 2

Trace: TypeAlias = "Callable[[FrameType, str, object], Trace | None]"


def made() -> Rings:
    """Rings that make room by the third secret. No look is begun, so they need no cache."""
    clock = FakeClock()
    none = object()
    return Rings(
        cast("Secrets", none),
        limits=Limits(max_secrets=SIZE),
        clock=clock,
        sleep=clock.advance,
        measures=cast("Measures", none),
    )


def version(name: str) -> SecretVersion:
    """A version of the secret of this name."""
    return SecretVersion(name, f"arn:{name}", name, "v1", frozenset(), string="a key")


def between(steps: int, other: Callable[[], object], call: Callable[[], Ring]) -> tuple[Ring, bool]:
    """Make a call of `Rings.of`, in which another thread's work comes after so many steps.

    Returns the ring, and whether the call had so many steps.
    """
    passed = 0

    def traced(_frame: FrameType, event: str, _: object) -> Trace:
        nonlocal passed
        if event == "opcode":
            passed += 1
            if passed == steps:
                other()
        return traced

    def begun(frame: FrameType, _event: str, _: object) -> Trace | None:
        if frame.f_code is not Rings.of.__code__:
            return None
        # Since Python 3.13 this has to come first.
        frame.f_trace = traced
        frame.f_trace_opcodes = True
        return traced

    before, frame = sys.gettrace(), inspect.currentframe()
    if frame is not None:
        # Since Python 3.12 no instruction is traced unless some frame has asked for it before this begins.
        frame.f_trace_opcodes = True
    sys.settrace(begun)
    try:
        return call(), passed >= steps
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("does", ["asks", "asks for the same", "forgets"])
def test_other_threads_may_come_between_any_two_steps(does: str) -> None:
    """With more secrets than there may be rings: no call raises, and the oldest ring makes room."""
    steps, is_within = 1, True
    while is_within:
        rings = made()
        works: dict[str, Callable[[], object]] = {
            "asks": partial(rings.of, version("d")),
            "asks for the same": partial(rings.of, version("c")),
            "forgets": rings.forget,
        }
        oldest = rings.of(version("a"))
        rings.of(version("b"))
        ring, is_within = between(steps, works[does], partial(rings.of, version("c")))
        assert "arn:c" == ring.arn
        assert oldest is not rings.of(version("a"))
        steps += 1
    assert steps > 20
