"""The parts of a cache, for tests of keyturn itself: the one place that looks behind `SecretCache`."""

from __future__ import annotations

from keyturn.assembly import Assembled
from keyturn.client import SecretCache


def parts_of(cache: SecretCache) -> Assembled:
    """Return the parts that `cache` is put together from."""
    return cache._parts  # noqa: SLF001 # see above
