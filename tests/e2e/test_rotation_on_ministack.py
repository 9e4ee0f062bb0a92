"""The rotation driver on the embedded AWS."""

from __future__ import annotations

import pytest

from tests.testing.rotation_contract import RotationContract, stage

__all__ = ["stage"]

pytestmark = pytest.mark.e2e


class TestRotationOnMinistack(RotationContract):
    """The contract, over HTTP."""
