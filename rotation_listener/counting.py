"""Which environments have not followed a rotation, by their reports and Secrets Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from keyturn.convergence.counting import Current, Standing, is_behind, living, standing
from keyturn.convergence.table import ReportsRead
from keyturn.errors import SecretError
from keyturn.markers.sweeper import Parallel, in_turn
from keyturn.model.markers import Report
from keyturn.model.names import name_in, secret_key
from keyturn.model.protocols import Catalog, Listing
from keyturn.model.versions import AWSCURRENT, Described

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


def line_of(found: Standing) -> Line:
    """Return what is logged, and what the stack's metrics are made of."""
    return {
        "outcome": "counted",
        "environments": found.environments,
        "behind": found.behind,
        "oldest_behind_s": round(found.oldest_behind_s, 3),
        "secrets_behind": [name_in(key) for key in found.secrets_behind[:NAMED_MAX]],
    }
