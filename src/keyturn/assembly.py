"""Where the decisions meet the real world: clocks, clients made late, fork and restore."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client, region_of
from keyturn.cache.limits import DEFAULTS
from keyturn.metrics.hook import SILENT, Measures, Metrics
from keyturn.model.markers import Head, MarkersRead, Report
from keyturn.model.protocols import MarkerReader, ParameterSource, Reports, SecretSource
from keyturn.runtime.host import THIS_HOST
from keyturn.runtime.process import Once, watch_process

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient
    from keyturn.aws.extension import ExtensionSettings
    from keyturn.aws.parameterstore import ParameterStoreClient, ParameterStoreSource
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.convergence.table import ConvergenceTable, ReportsClient
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.markers.recorder import Recorder
    from keyturn.markers.table import MarkerTable
    from keyturn.model.parameter import Parameter


SETTLE_S = DEFAULTS.settle_s
"""How long DescribeSecret is given to show what was announced; up to 5 s were seen in the field."""


class LateMarkers:
    """A `MarkerReader` whose client and module are loaded at the first check."""

    def __init__(self, table: Callable[[], MarkerReader]) -> None:
        self._table = table

    def read_head(self, *, consistent: bool = False) -> Head | None:
        return self._table().read_head(consistent=consistent)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        return self._table().read_markers(keys)


class LateReports:
    """A `Reports` whose client and module are loaded at the first report."""

    def __init__(self, table: Callable[[], ConvergenceTable]) -> None:
        self._table = table

    def write(self, report: Report) -> None:
        self._table().write(report)


def secrets_manager(client: object) -> SecretSource:
    """A source that reads through `client`, or through one made at the first read if it is None."""
    from keyturn.aws.secretsmanager import SecretsManagerSource

    if client is None:
        made = Once(lambda: make_client("secretsmanager", SECRETS_TIMEOUTS_S))
        return SecretsManagerSource(lambda: cast("SecretsManagerClient", made()))
    return SecretsManagerSource(lambda: cast("SecretsManagerClient", client))


def extension_settings() -> ExtensionSettings:
    """How this environment's variables set up the Parameters and Secrets Extension."""
    from keyturn.aws.extension import ExtensionSettings

    return ExtensionSettings.from_environment(os.environ)


class LateParameters:
    """A `ParameterSource` whose client and module are loaded at the first read."""

    def __init__(self, source: Callable[[], ParameterStoreSource]) -> None:
        self._source = source

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        return self._source().read(secret_id, stage=stage, version_id=version_id)

    def read_many(self, names: Sequence[str]) -> Mapping[str, Parameter]:
        return self._source().read_many(names)

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        return self._source().read_path(path, recursive=recursive)


def parameter_store(client: object, region: str | None) -> Callable[[bool], ParameterSource]:
    """Makes the source of parameters, decrypted or not; the two share one client."""
    made = Once(lambda: make_client("ssm", SECRETS_TIMEOUTS_S, region) if client is None else client)

    def source(decrypt: bool) -> ParameterSource:  # noqa: FBT001 # its one argument
        def load() -> ParameterStoreSource:
            from keyturn.aws.parameterstore import ParameterStoreSource

            return ParameterStoreSource(lambda: cast("ParameterStoreClient", made()), decrypt=decrypt)

        return LateParameters(Once(load))

    return source


def marker_table(table: str, client: object) -> MarkerTable:
    """The marker table behind a DynamoDB client."""
    from keyturn.markers.table import MarkerTable

    return MarkerTable(cast("DynamoDBClient", client), table)


def late_table(table: str, client: Callable[[], object]) -> MarkerReader:
    """A reader of the marker table that is loaded, with its client, at the first check."""

    def load() -> MarkerReader:
        from keyturn.markers.calls import MarkerCalls
        from keyturn.markers.reader import TableReader

        return TableReader(MarkerCalls(cast("DynamoDBClient", client()), table, THIS_HOST))

    return LateMarkers(Once(load))


def convergence_table(table: str, client: object) -> ConvergenceTable:
    """The convergence table behind a DynamoDB client."""
    from keyturn.convergence.table import ConvergenceTable

    return ConvergenceTable(cast("ReportsClient", client), table)


def late_reports(table: str, client: Callable[[], object]) -> Reports:
    """A writer of the convergence table that is loaded, with its client, at the first report."""
    return LateReports(Once(lambda: convergence_table(table, client())))


def recorder(table: str, client: object, dynamodb_client: object) -> Recorder:
    """What writes markers, with clients of its own where None is given."""
    from keyturn.aws.catalog import SecretsManagerCatalog
    from keyturn.markers.recorder import Recorder

    if client is None:
        client = make_client("secretsmanager", SECRETS_TIMEOUTS_S)
    if dynamodb_client is None:
        dynamodb_client = make_client("dynamodb", SECRETS_TIMEOUTS_S, region_of(client))
    catalog = SecretsManagerCatalog(cast("CatalogClient", client))
    return Recorder(catalog, marker_table(table, dynamodb_client), THIS_HOST, settle_s=SETTLE_S)


@functools.cache
def default_recorder(table: str) -> Recorder:
    """The recorder of this process for that table, with clients made once."""
    return recorder(table, None, None)


def measures(hook: Metrics | None) -> Measures:
    """What the decisions record to: the way to this hook, or nothing at all."""
    if hook is None:
        return SILENT
    from keyturn.metrics.outbox import Outbox

    outbox = Outbox(hook)
    watch_process(outbox)
    return outbox
