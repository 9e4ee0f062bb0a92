"""Real servers for the integrations: a PostgreSQL that takes passwords, and an embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyturn.testing.embedded import EmbeddedAws, EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for all tests; each has a role of its own."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    """One account for all tests; each has a secret of its own."""
    with EmbeddedAws() as aws:
        yield aws
