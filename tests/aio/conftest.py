from __future__ import annotations

import pytest

from tests.aio.loops import LOOPS
from tests.world import World


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """Each kind of event loop in turn."""
    return str(request.param)


@pytest.fixture
def world() -> World:
    """A secret at version v1."""
    return World()
