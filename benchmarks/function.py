"""A Lambda function as `benchmarks.outages` invokes it: a line in is an invocation, a line out its answer.

The platform's part, to kill it after its time-out, is its parent's.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from keyturn import KeyturnError, Limits, SecretCache

NAMES: Final = ("prod/db", "prod/queue", "prod/mail")
"""What each invocation reads."""

READY: Final = "ready"
ANSWERED: Final = "answered"


def main() -> None:
    """Make the cache, as a function's module does, and handle invocations until there is no more."""
    # Due at once, so that an outage of seconds is felt as one of minutes is by default.
    limits = Limits(uncovered_ttl_s=1.5, covered_ttl_s=60, cold_wait_s=float(os.environ["COLD_WAIT_S"]))
    cache = SecretCache(marker_table=False, convergence_table=False, limits=limits)
    print(READY, flush=True)
    for _ in sys.stdin:
        print(handled(cache), flush=True)


def handled(cache: SecretCache) -> str:
    """Read what the function needs; return the kind of the error if that fails."""
    try:
        for name in NAMES:
            cache.get_secret_string(name)
    except KeyturnError as error:
        return type(error).__name__
    return ANSWERED


if __name__ == "__main__":
    main()
