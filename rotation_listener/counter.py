"""The entry point of the counting function: how far a fleet has followed its rotations, in one log line.

It runs every five minutes beside the listener, where environments report which versions they hold. The stack
makes metrics of the line, and an alarm.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from keyturn.aws.catalog import PARAMETERS_ATTEMPTS, ParameterListing, SecretsManagerCatalog
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, ClientFactory
from keyturn.convergence.counting import Current, Standing, is_behind, living, standing
from keyturn.convergence.table import ConvergenceTable, ReportsRead
from keyturn.errors import ConfigurationError, KeyturnError, SecretError
from keyturn.markers.sweeper import Parallel, in_turn
from keyturn.model.markers import Report
from keyturn.model.names import name_in, secret_key
from keyturn.model.protocols import Catalog, Listing
from keyturn.model.versions import AWSCURRENT, Described
from keyturn.runtime.host import THIS_HOST
from rotation_listener.listener import listed, tag_of
from rotation_listener.parallel import side_by_side

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.convergence.table import ReportsClient

AGENT: Final = "rotation-counter"
"""What the clients add to their user agent."""

STACK_VARIABLE: Final = "KEYTURN_STACK"
"""The environment variable that has the name of the stack, for the log alone."""

NAMED_MAX: Final = 10
"""The log line names at most so many secrets that environments are behind of."""

Line: TypeAlias = dict[str, str | int | float | list[str]]
"""What the function returns and logs: numbers and names of secrets."""


class ReportsTable(Protocol):
    """Reads all reports; see `ConvergenceTable`."""

    def read(self) -> ReportsRead: ...


class Counter:
    """Counts the environments that are behind.

    Args:
        table: has the reports.
        catalog: lists and describes secrets.
        parameters: lists parameters with their latest versions; None if no parameter is watched.
        wall: this host's clock in epoch seconds, for an answer of the table that has no `Date`.
        parallel: how several secrets are described.
    """

    def __init__(
        self,
        table: ReportsTable,
        catalog: Catalog,
        parameters: Listing | None = None,
        *,
        wall: Callable[[], float],
        parallel: Parallel = in_turn,
    ) -> None:
        self._table = table
        self._catalog = catalog
        self._parameters = parameters
        self._wall = wall
        self._parallel = parallel

    def count(self) -> Standing:
        """Count once. Raises `KeyturnError`.

        The list of secrets may be five minutes old. So a secret by which an environment seems to be behind is
        described before that counts, as in a sweep.
        """
        read = self._table.read()
        now_s = read.answered_at_s if read.answered_at_s is not None else self._wall()
        reports = living(read.reports, now_s)
        secrets = {secret_key(one.arn, one.name): one for one in self._catalog.list()}
        doubtful = _doubtful(reports, _current(secrets))
        described = self._parallel(lambda key: self._described(secrets[key]), doubtful)
        secrets |= dict(zip(doubtful, described, strict=True))
        parameters = {one.arn: one for one in self._parameters.list()} if self._parameters else {}
        return standing(reports, _current({**secrets, **parameters}), now_s)

    def _described(self, secret: Described) -> Described:
        """Return the description of a secret as it is now; as it was listed if nobody can say."""
        try:
            return self._catalog.describe(secret.arn)
        except SecretError:
            return secret


def _current(secrets: Mapping[str, Described]) -> dict[str, Current]:
    """Return the current versions. A secret that is deleted, or has no value, has none."""
    return {
        key: Current(one.stages[AWSCURRENT], one.changed_s)
        for key, one in secrets.items()
        if AWSCURRENT in one.stages and not one.deleted
    }


def _doubtful(reports: Sequence[Report], truth: Mapping[str, Current]) -> list[str]:
    return sorted({key for report in reports for key in report.held if is_behind(report, key, truth)})


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


def line_of(found: Standing) -> Line:
    """Return what is logged, and what the stack's metrics are made of."""
    return {
        "outcome": "counted",
        "environments": found.environments,
        "behind": found.behind,
        "oldest_behind_s": round(found.oldest_behind_s, 3),
        "secrets_behind": [name_in(key) for key in found.secrets_behind[:NAMED_MAX]],
    }


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

    def client(service: str, attempts: int = 3) -> object:
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
