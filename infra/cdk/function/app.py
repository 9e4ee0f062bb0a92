"""A function that reads a secret through keyturn. The library is in a layer."""

from __future__ import annotations

import os

from keyturn import SecretCache

cache = SecretCache()


@cache.checks_first
def handler(_event: object, _context: object) -> str:
    """Return the id of the version that is current."""
    return cache.get(os.environ["SECRET_ID"]).version_id
