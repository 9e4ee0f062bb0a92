"""What `AsyncSecretCache` promises in figures: of one run on this machine, with margins for a busy one."""

from __future__ import annotations

import pytest

from benchmarks import aio
from benchmarks.aws import endpoint
from benchmarks.timing import interleaved

pytestmark = pytest.mark.proof

STALL_MS_MAX = 10.0
TRIES = 3


def test_an_awaited_hit_costs_at_most_two_hits() -> None:
    """`await cache.get` costs at most twice what `get` costs, each at its best (measured: 1.4)."""
    samples = interleaved(aio.hit_takes(), 60)
    assert min(samples[aio.AWAITED]) <= 2 * min(samples[aio.HIT])


def test_the_loop_is_not_stalled() -> None:
    """Cold start, check, refresh and a Secrets Manager that hangs: at most 10 ms of CPU between two ticks.

    The clients are given: where keyturn makes them, botocore's own start is longer (measured: 17 ms).
    """
    best: dict[str, float] = {}
    with endpoint(moves_every=2) as url:
        for _ in range(TRIES):
            for phase, (_, cpu_ms) in aio.stalls_of_a_process(url).items():
                best[phase] = min(cpu_ms, best.get(phase, cpu_ms))
            if max(best.values()) <= STALL_MS_MAX:
                break
    assert len(best) == 6
    assert {phase: cpu_ms for phase, cpu_ms in best.items() if cpu_ms > STALL_MS_MAX} == {}


@pytest.mark.parametrize(("kind", "threads"), [(aio.PROVEN, 0), (aio.FIRST, 4), (aio.WINDOW, 16)])
def test_threads_of_five_hundred_logins(kind: str, threads: int) -> None:
    """Five hundred logins at once start none with a proven version, and a handful where one must read."""
    rate, started, at_once = aio.burst(kind)
    assert started <= threads
    assert at_once <= threads
    assert rate > 100
