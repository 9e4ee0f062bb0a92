"""The scene of these tests."""

from __future__ import annotations

import pytest

from tests.convergence.scene import Scene
from tests.world import World


@pytest.fixture
def scene(world: World) -> Scene:
    """A world whose processes report."""
    return Scene(world)
