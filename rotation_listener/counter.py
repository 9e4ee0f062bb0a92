"""The entry point of the counting function: how far a fleet has followed its rotations, in one log line.

It runs every five minutes beside the listener, where environments report which versions they hold. The stack
makes metrics of the line, and an alarm.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from keyturn.aws.catalog import PARAMETERS_ATTEMPTS, ParameterListing, SecretsManagerCatalog
from keyturn.aws.clients import SECRETS_ATTEMPTS, SECRETS_TIMEOUTS_S, ClientFactory
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import ConfigurationError, KeyturnError
from keyturn.runtime.host import THIS_HOST, listed
from keyturn.runtime.parallel import side_by_side
from rotation_listener.counting import Counter, Line, line_of
from rotation_listener.listener import STACK_VARIABLE, tag_of

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.convergence.table import ReportsClient

AGENT: Final = "rotation-counter"
"""What the clients add to their user agent."""


def handler(_event: object, _context: object) -> Line:
    """Count, and log the result. An error is logged and raised, so that Lambda counts it as one."""
    stack = os.environ.get(STACK_VARIABLE)
    about = {"stack": stack} if stack else {}
    try:
        line = line_of(_counter().count())
    except KeyturnError as error:
        failed = {"outcome": "failed", "error": type(error).__name__, "detail": str(error)}
        _log({"level": "ERROR", **about, **failed})
        raise
    _log({"level": "INFO", **about, **line})
    return line


@cache
def _counter() -> Counter:
    """Make the counter of this execution environment, at its first invocation."""
    return counter_of(os.environ)


def counter_of(environment: Mapping[str, str]) -> Counter:
    """Make the counter by its variables. Raises `ConfigurationError` for a wrong one."""
    table = environment.get("KEYTURN_CONVERGENCE_TABLE", "").strip()
    if not table:
        raise ConfigurationError("KEYTURN_CONVERGENCE_TABLE is not set: give the name or ARN of the table")
    clients = ClientFactory()

    def client(service: str, attempts: int = SECRETS_ATTEMPTS) -> object:
        return clients.make(service, SECRETS_TIMEOUTS_S, attempts=attempts, agent=AGENT)

    prefixes = listed(environment.get("KEYTURN_PARAMETER_PREFIXES", ""))
    return Counter(
        ConvergenceTable(cast("ReportsClient", client("dynamodb")), table),
        SecretsManagerCatalog(
            cast("CatalogClient", client("secretsmanager")),
            name_prefixes=listed(environment.get("KEYTURN_NAME_PREFIXES", "")),
            tag=tag_of(environment.get("KEYTURN_SECRET_TAG", "")),
        ),
        ParameterListing(cast("ListingClient", client("ssm", PARAMETERS_ATTEMPTS)), prefixes)
        if prefixes
        else None,
        wall=THIS_HOST.wall,
        parallel=side_by_side,
    )


def _log(fields: Mapping[str, object]) -> None:
    """Write one JSON object a line. Lambda's own log handler would add a prefix."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
