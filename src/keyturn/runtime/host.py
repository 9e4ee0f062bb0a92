"""The real world of this host: clocks, chance, and environment variables."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from typing import Final

from keyturn.errors import ConfigurationError

ENVIRONMENT_PREFIX = "KEYTURN_"
MARKER_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "MARKER_TABLE"
CONVERGENCE_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "CONVERGENCE_TABLE"


class SystemClock:
    """This host's clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


SYSTEM_CLOCK: Final = SystemClock()
"""The clock of a cache that was given no other."""

system_random = random.SystemRandom().random
"""Jitter, uniform in [0, 1). From the kernel: a generator's state would be the same in every clone of a
SnapStart snapshot, and all of them would turn to AWS in the same moment."""


system_sleep = time.sleep
"""Waits so many seconds."""


def session_token() -> str:
    """The token of this execution environment, now; a function under SnapStart has only the second."""
    names = ("AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def environment_label(given: str | None) -> str:
    """What kind of environment this is: `given`, else the name of the Lambda function, else nothing."""
    return given or os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")


def new_environment() -> str:
    """A random id of an environment; from the kernel, so that clones of a snapshot have different ones."""
    return os.urandom(12).hex()


def environment() -> Mapping[str, str]:
    """The environment variables of this process."""
    return os.environ


def known_marker_table(given: str | None) -> str | None:
    """The table's name or ARN: `given`, else from the environment, else None."""
    return given or os.environ.get(MARKER_TABLE_VARIABLE) or None


def known_convergence_table() -> str | None:
    """The convergence table that the environment names, or None."""
    return os.environ.get(CONVERGENCE_TABLE_VARIABLE) or None


def marker_table_name(given: str | None) -> str:
    """The same; `ConfigurationError` without one."""
    table = known_marker_table(given)
    if table is None:
        raise ConfigurationError(f"no marker table: pass marker_table or set {MARKER_TABLE_VARIABLE}")
    return table


def new_epoch() -> str:
    """A random epoch for an item of the marker table."""
    return os.urandom(8).hex()
