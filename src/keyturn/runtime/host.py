"""The real world of this host: its clocks, its chance and its environment variables."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError

ENVIRONMENT_PREFIX = "KEYTURN_"
MARKER_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "MARKER_TABLE"
MARKER_TABLES_VARIABLE = ENVIRONMENT_PREFIX + "MARKER_TABLES"
ROLES_VARIABLE = ENVIRONMENT_PREFIX + "ROLES"
CONVERGENCE_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "CONVERGENCE_TABLE"

MANAGED_INSTANCES: Final = "lambda-managed-instances"
"""The value of `AWS_LAMBDA_INITIALIZATION_TYPE` on Lambda Managed Instances."""


class SystemClock:
    """The two clocks of this host, in seconds."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


SYSTEM_CLOCK: Final = SystemClock()
"""The clock of a cache that was given no other."""

system_random = random.SystemRandom().random
"""Returns jitter, uniform in [0, 1).

The numbers come from the kernel. The state of a generator would be the same in every clone of a SnapStart
snapshot, and all clones would call AWS at the same moment.
"""


system_sleep = time.sleep
"""Waits so many seconds."""


def new_epoch() -> str:
    """Return a random epoch for an item of the marker table."""
    return os.urandom(8).hex()


class Host(NamedTuple):
    """The clock, the pauses and the chance that code gets as an argument, so that a test can replace them.

    Args:
        wall: returns the time in epoch seconds.
        sleep: waits so many seconds.
        random: returns a number in [0, 1).
        new_epoch: returns a random text of 1 to 64 characters.
    """

    wall: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    new_epoch: Callable[[], str]


THIS_HOST = Host(wall=time.time, sleep=system_sleep, random=system_random, new_epoch=new_epoch)
"""The real clock, pauses and chance of this host."""


def session_token() -> str:
    """Return the session token of this execution environment as it is now; "" if there is none.

    A function under SnapStart has only the second of the two variables.
    """
    names = ("AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def environment_label(given: str | None) -> str:
    """Return the label for reports of this environment: `given`, else the Lambda function's name, else ""."""
    return given or os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")


def is_managed_instance() -> bool:
    """Return True on Lambda Managed Instances: of all functions only theirs go on between invocations."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == MANAGED_INSTANCES


def new_environment() -> str:
    """Return a random id for this environment.

    The id comes from the kernel, so that the clones of a snapshot have different ids.
    """
    return os.urandom(12).hex()


def environment() -> Mapping[str, str]:
    """Return the environment variables of this process."""
    return os.environ


def known_marker_table(given: str | None) -> str | None:
    """Return the marker table's name or ARN: `given`, else that of the environment, else None."""
    return given or os.environ.get(MARKER_TABLE_VARIABLE) or None


def known_marker_tables() -> tuple[str, ...]:
    """Return the names and ARNs of the marker tables that the environment names, each once.

    The table of this account comes first; `KEYTURN_MARKER_TABLES` has those of others, separated by commas.
    """
    named = (os.environ.get(MARKER_TABLE_VARIABLE, ""), *listed(os.environ.get(MARKER_TABLES_VARIABLE, "")))
    return tuple(dict.fromkeys(one for one in named if one))


def known_roles() -> tuple[str, ...]:
    """Return the ARNs of the roles that the environment names."""
    return listed(os.environ.get(ROLES_VARIABLE, ""))


def listed(text: str) -> tuple[str, ...]:
    """Return the entries of a list that is separated by commas."""
    return tuple(entry for one in text.split(",") if (entry := one.strip()))


def known_convergence_table() -> str | None:
    """Return the convergence table that the environment names, or None."""
    return os.environ.get(CONVERGENCE_TABLE_VARIABLE) or None


def marker_table_name(given: str | None) -> str:
    """Return the marker table's name or ARN: `given`, else that of the environment.

    Raises `ConfigurationError` if neither names a table.
    """
    table = known_marker_table(given)
    if table is None:
        raise ConfigurationError(f"no marker table: pass marker_table or set {MARKER_TABLE_VARIABLE}")
    return table
