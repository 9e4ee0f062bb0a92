"""Which partitions of AWS tests may ask for: the oldest botocore that is allowed knows fewer."""

from __future__ import annotations

from typing import Final

import pytest
from botocore.session import get_session

SOVEREIGN_CLOUD: Final = pytest.mark.skipif(
    "aws-eusc" not in get_session().get_available_partitions(),
    reason="this botocore is older than the European Sovereign Cloud",
)
