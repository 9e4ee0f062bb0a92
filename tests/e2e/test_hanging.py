"""Real sockets that hang under real botocore clients: nobody with a copy waits, a cold get has an end."""

from __future__ import annotations

import sys

import pytest

from benchmarks.hanging import HANGS, measured

WARM_S, COLD_WAIT_S, COLD_MORE_S = 1.2, 3.0, 1.5


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="drops SYNs as Linux does, on addresses of 127/8")
@pytest.mark.parametrize("what", HANGS)
def test_a_get_has_an_end_whatever_hangs(what: str) -> None:
    """Ten copies that are due while that hangs: at most 1.2 s, also beyond the bound of the copies."""
    longest = measured(what, 16.0, COLD_WAIT_S)
    assert longest.inline_s <= WARM_S
    assert longest.background_s <= WARM_S
    assert longest.cold_s is None or longest.cold_s <= COLD_WAIT_S + COLD_MORE_S
