"""Where the decisions meet the real world: clocks, clients made late, fork and restore."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from keyturn.errors import ConfigurationError
from keyturn.freshness import DEFAULTS
from keyturn.protocols import MarkerReader, ParameterSource, Reports, SecretSource
from keyturn.telemetry import SILENT, Measures, Metrics
from keyturn.values import Head, MarkersRead, Report

if TYPE_CHECKING:
    from keyturn.markers import DynamoDBClient, MarkerTable
    from keyturn.parameter import Parameter
    from keyturn.recording import Recorder
    from keyturn.reports import ConvergenceTable, ReportsClient
    from keyturn.sources.catalog import CatalogClient
    from keyturn.sources.extension import ExtensionSettings
    from keyturn.sources.parameterstore import ParameterStoreClient, ParameterStoreSource
    from keyturn.sources.secretsmanager import SecretsManagerClient

_T = TypeVar("_T")

ENVIRONMENT_PREFIX = "KEYTURN_"
MARKER_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "MARKER_TABLE"
CONVERGENCE_TABLE_VARIABLE = ENVIRONMENT_PREFIX + "CONVERGENCE_TABLE"

SETTLE_S = DEFAULTS.settle_s
"""How long DescribeSecret is given to show what was announced; up to 5 s were seen in the field."""

SECRETS_TIMEOUTS_S = (2.0, 5.0)
"""Connect and read time-outs of the Secrets Manager client that keyturn makes. botocore's own are 60 s."""

SECRETS_ATTEMPTS, TABLE_ATTEMPTS = 3, 2
"""Tries of one call, botocore's own retries included: a check that failed comes again by itself."""

TABLE_TIMEOUTS_S = (1.0, 1.0)
"""The same for the marker table: a check rides on a request, and missing one costs little."""


class SystemClock:
    """This host's clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


system_random = random.SystemRandom().random
"""Jitter, uniform in [0, 1). From the kernel: a generator's state would be the same in every clone of a
SnapStart snapshot, and all of them would turn to AWS in the same moment."""

system_sleep = time.sleep
"""Waits so many seconds."""


class Once(Generic[_T]):
    """Makes a value at the first call and keeps it; threads that come meanwhile wait for it."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: list[_T] = []
        self._lock = threading.Lock()
        watch_process(self)

    def __call__(self) -> _T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def after_fork(self) -> None:
        """In a forked child: a lost thread may hold the lock, and a client's sockets are the parent's."""
        self._lock, self._made = threading.Lock(), []

    def forget(self) -> None:
        """A client holds no secret: it stays."""


class LateMarkers:
    """A `MarkerReader` whose client and module are loaded at the first check."""

    def __init__(self, table: Callable[[], MarkerTable]) -> None:
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


def make_client(
    service: str,
    timeouts_s: tuple[float, float],
    region: str | None = None,
    *,
    attempts: int = SECRETS_ATTEMPTS,
) -> object:
    """A client from botocore alone: importing boto3 as well would cost a cold start 40 to 50 ms."""
    from botocore.config import Config
    from botocore.session import get_session

    connect_s, read_s = timeouts_s
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra="keyturn",
        tcp_keepalive=True,
    )
    client: object = get_session().create_client(service, config=config, region_name=region)
    return client


def secrets_manager(client: object) -> SecretSource:
    """A source that reads through `client`, or through one made at the first read if it is None."""
    from keyturn.sources.secretsmanager import SecretsManagerSource

    if client is None:
        made = Once(lambda: make_client("secretsmanager", SECRETS_TIMEOUTS_S))
        return SecretsManagerSource(lambda: cast("SecretsManagerClient", made()))
    return SecretsManagerSource(lambda: cast("SecretsManagerClient", client))


def extension_settings() -> ExtensionSettings:
    """How this environment's variables set up the Parameters and Secrets Extension."""
    from keyturn.sources.extension import ExtensionSettings

    return ExtensionSettings.from_environment(os.environ)


def session_token() -> str:
    """The token of this execution environment, now; a function under SnapStart has only the second."""
    names = ("AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


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
            from keyturn.sources.parameterstore import ParameterStoreSource

            return ParameterStoreSource(lambda: cast("ParameterStoreClient", made()), decrypt=decrypt)

        return LateParameters(Once(load))

    return source


def marker_table(table: str, client: object) -> MarkerTable:
    """The marker table behind a DynamoDB client."""
    from keyturn.markers import MarkerTable

    return MarkerTable(
        cast("DynamoDBClient", client),
        table,
        new_epoch=new_epoch,
        sleep=time.sleep,
        random=system_random,
    )


def dynamodb(client: object, region: str | None) -> Callable[[], object]:
    """Gives `client`, or one made at the first call if it is None."""
    if client is not None:
        return lambda: client
    return Once(lambda: make_client("dynamodb", TABLE_TIMEOUTS_S, region, attempts=TABLE_ATTEMPTS))


def late_table(table: str, client: Callable[[], object]) -> MarkerReader:
    """A reader of the marker table that is loaded, with its client, at the first check."""
    return LateMarkers(Once(lambda: marker_table(table, client())))


def convergence_table(table: str, client: object) -> ConvergenceTable:
    """The convergence table behind a DynamoDB client."""
    from keyturn.reports import ConvergenceTable

    return ConvergenceTable(cast("ReportsClient", client), table)


def late_reports(table: str, client: Callable[[], object]) -> Reports:
    """A writer of the convergence table that is loaded, with its client, at the first report."""
    return LateReports(Once(lambda: convergence_table(table, client())))


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


def marker_table_name(given: str | None) -> str:
    """The same; `ConfigurationError` without one."""
    table = known_marker_table(given)
    if table is None:
        raise ConfigurationError(f"no marker table: pass marker_table or set {MARKER_TABLE_VARIABLE}")
    return table


def recorder(table: str, client: object, dynamodb_client: object) -> Recorder:
    """What writes markers, with clients of its own where None is given."""
    from keyturn.recording import Recorder
    from keyturn.sources.catalog import SecretsManagerCatalog

    if client is None:
        client = make_client("secretsmanager", SECRETS_TIMEOUTS_S)
    if dynamodb_client is None:
        dynamodb_client = make_client("dynamodb", SECRETS_TIMEOUTS_S, region_of(client))
    return Recorder(
        catalog=SecretsManagerCatalog(cast("CatalogClient", client)),
        store=marker_table(table, dynamodb_client),
        settle_s=SETTLE_S,
        sleep=time.sleep,
        random=system_random,
        wall=time.time,
    )


@functools.cache
def default_recorder(table: str) -> Recorder:
    """The recorder of this process for that table, with clients made once."""
    return recorder(table, None, None)


def region_of(client: object) -> str | None:
    """The Region of a botocore client, so that the table is looked for where the secrets are."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return region if isinstance(region, str) else None


def new_epoch() -> str:
    """A random epoch for an item of the marker table."""
    return os.urandom(8).hex()


def measures(hook: Metrics | None) -> Measures:
    """What the decisions record to: the way to this hook, or nothing at all."""
    if hook is None:
        return SILENT
    from keyturn.outbox import Outbox

    outbox = Outbox(hook)
    watch_process(outbox)
    return outbox


class Process(Protocol):
    """What has to know that the process was forked, or restored from a snapshot."""

    def after_fork(self) -> None: ...

    def forget(self) -> None: ...


_living: weakref.WeakSet[Process] = weakref.WeakSet()


def watch_process(one: Process) -> None:
    """Call `after_fork` in forked children, and `forget` before a SnapStart snapshot and after a restore."""
    _register_hooks()
    _living.add(one)


@functools.cache
def _register_hooks() -> None:
    """Once per process: hooks cannot be taken back."""
    os.register_at_fork(after_in_child=lambda: _each(lambda one: one.after_fork()))
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(_each, lambda one: one.forget())
    register_after_restore(_each, lambda one: one.forget())


def _each(call: Callable[[Process], None]) -> None:
    for one in tuple(_living):
        call(one)
