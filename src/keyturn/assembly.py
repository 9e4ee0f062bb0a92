"""Where a cache is put together: clients and modules that are loaded late, and the parts that use them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, cast

from keyturn.aws.clients import SECRETS_TIMEOUTS_S, TABLE_TIMEOUTS_S, ClientFactory, dynamodb, region_of
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker, Secrets
from keyturn.cache.limits import DEFAULTS, Limits, Reporting
from keyturn.cache.service import Service
from keyturn.cache.table_view import TableWatch
from keyturn.errors import ConfigurationError, ParameterUnavailableError, UnavailableError
from keyturn.metrics.hook import SILENT, Measures, Metrics
from keyturn.model.instant import Clock
from keyturn.model.markers import Head, MarkersRead, Report
from keyturn.model.names import parameter_key_of, secret_key
from keyturn.model.protocols import (
    CachedSource,
    MarkerReader,
    ParameterSource,
    Reports,
    SecretSource,
)
from keyturn.runtime.host import (
    SYSTEM_CLOCK,
    THIS_HOST,
    environment_label,
    is_managed_instance,
    known_convergence_table,
    known_marker_table,
    new_environment,
    system_random,
    system_sleep,
)
from keyturn.runtime.process import Once, watch_process

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient
    from keyturn.aws.extension import ExtensionSettings
    from keyturn.aws.parameterstore import ParameterStoreClient, ParameterStoreSource
    from keyturn.aws.secretsmanager import SecretsManagerClient
    from keyturn.cache.background import Poller
    from keyturn.cache.parameters import Parameters
    from keyturn.convergence.reporter import Reporter
    from keyturn.convergence.table import ConvergenceTable, ReportsClient
    from keyturn.login.logins import Logins
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.markers.recorder import Recorder
    from keyturn.markers.table import MarkerTable
    from keyturn.model.parameter import Parameter
    from keyturn.verifying.ring import Rings

SETTLE_S: Final = DEFAULTS.settle_s
"""How long DescribeSecret is given to show what was announced; up to 5 s were seen in the field."""

HURRIED_SETTLE_S: Final = 0.5
"""The same for a rotation function, which must not wait: half of what its announcement may take."""

ParameterSourceMaker: TypeAlias = Callable[[bool], SecretSource]
"""Makes the source of parameters: True for one that decrypts SecureStrings, False for one that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """What a cache talks to in place of AWS and of this host: other sources, and what tests hand in.

    Args:
        source: reads secrets. A source with a cache of its own says so by `ttl_s`, which `bound_s` in
            `status()` includes.
        parameter_source: makes the source of parameters, which decrypts them (True) or does not.
        markers: reads the marker table.
        reports: takes reports of which versions this process holds.
        clock: tells the time; `random` draws the jitter, in [0, 1); `sleep` waits so many seconds.
    """

    source: SecretSource | None = None
    parameter_source: ParameterSourceMaker | None = None
    markers: MarkerReader | None = None
    reports: Reports | None = None
    clock: Clock = SYSTEM_CLOCK
    random: Callable[[], float] = system_random
    sleep: Callable[[float], None] = system_sleep


AWS_ITSELF: Final = Peers()
"""The peers of a cache that was not told otherwise."""


class Clients(NamedTuple):
    """The AWS clients that a caller gave; keyturn makes the others itself, in the Region of the first."""

    secrets_manager: SecretsManagerClient | None = None
    dynamodb: DynamoDBClient | None = None
    ssm: ParameterStoreClient | None = None

    def checked(self) -> Clients:
        """Return the clients, or raise a `ConfigurationError` for an argument that is no such client."""
        _require_client("client", self.secrets_manager, "get_secret_value", "Secrets Manager")
        _require_client("dynamodb_client", self.dynamodb, "get_item", "DynamoDB")
        _require_client("ssm_client", self.ssm, "get_parameter", "Systems Manager")
        return self


def _require_client(argument: str, client: object, operation: str, service: str) -> None:
    if client is None or callable(getattr(client, operation, None)):
        return
    hint = f"; a table's name goes into marker_table={client!r}" if isinstance(client, str) else ""
    raise ConfigurationError(f"{argument} is a {type(client).__name__}, not a client for {service}{hint}")


class Assembled(NamedTuple):
    """The parts of one cache. `parameters` and `logins` are loaded when they are first used.

    `caches` are those of secrets, of parameters as ciphertexts and of decrypted parameters.
    """

    caches: tuple[Cache, Cache, Cache]
    checker: Checker
    secrets: Secrets
    measures: Measures
    clock: Clock
    poller: Poller | None
    parameters: Once[tuple[Parameters, Parameters]]
    logins: Once[Logins]
    keys: Once[Rings]

    def start_poller(self) -> None:
        """Start the background thread, if there is to be one, at the first use and after a fork."""
        if self.poller is not None:
            self.poller.start()

    def after_fork(self) -> None:
        """Start anew in a forked child: new locks, no thread, nothing fresh."""
        self.checker.reset_locks()
        self.parameters.after_fork()
        self.logins.after_fork()
        self.keys.after_fork()
        for made in (self.logins.made, self.keys.made):
            if made is not None:
                made.after_fork()
        if self.poller is not None:
            self.poller.after_fork()

    def forget(self) -> None:
        """Drop everything held, as before the first `get`."""
        self.checker.forget()
        self.parameters.drop()
        for made in (self.logins.made, self.keys.made):
            if made is not None:
                made.forget()

    def invalidate(self, secret_id: str) -> bool:
        """Make the next read of this secret, or parameter, ask the service. Return True if it was held."""
        held = [one.invalidate(secret_id) for one in self.caches]
        return any(held)


def assemble(
    clients: Clients,
    *,
    marker_table: str | Literal[False] | None,
    reporting: Reporting | None,
    limits: Limits,
    background: bool | None,
    metrics: Metrics | None,
    peers: Peers,
) -> Assembled:
    """Put a cache together. Makes no client and no request yet; raises `ConfigurationError`."""
    clients.checked()
    told, limits = measures(metrics), limits.spread_by(peers.random)
    region, factory = region_of(clients.secrets_manager), ClientFactory()
    table_client = dynamodb(clients.dynamodb, region, factory)
    table = _table_watch(marker_table_of(marker_table), table_client, limits, peers)
    background = is_managed_instance() if background is None else background
    window_s = limits.check_interval_s * (2 if background else 1)

    def service(name: str) -> Service:
        return Service(name, limits=limits, clock=peers.clock, random=peers.random)

    def cache_of(source: SecretSource, key_of: Callable[[str, str], str], asked: Service) -> Cache:
        is_secrets = key_of is secret_key
        own = replace(limits, source_ttl_s=source.ttl_s) if isinstance(source, CachedSource) else limits
        return Cache(
            source,
            table,
            limits=own,
            clock=peers.clock,
            random=peers.random,
            window_s=window_s,
            key_of=key_of,
            service=asked,
            metrics=told,
            unavailable=UnavailableError if is_secrets else ParameterUnavailableError,
        )

    parameter_source = peers.parameter_source or parameter_store(clients.ssm, region, factory)
    parameter_store_service = service("Parameter Store")
    secrets_source = peers.source or secrets_manager(clients.secrets_manager, factory)
    ciphertexts, clear = (parameter_source(decrypt) for decrypt in (False, True))
    caches = (
        cache_of(secrets_source, secret_key, service("Secrets Manager")),
        cache_of(ciphertexts, parameter_key_of, parameter_store_service),
        cache_of(clear, parameter_key_of, parameter_store_service),
    )
    reporter = _reporter(caches, reporting, table_client, limits, peers)
    checker = Checker(
        caches,
        table,
        limits=limits,
        clock=peers.clock,
        window_s=window_s,
        random=peers.random,
        metrics=told,
        reporter=reporter,
    )
    secrets = Secrets(caches[0], checker, limits.min_refresh_interval_s)
    return Assembled(
        caches=caches,
        checker=checker,
        secrets=secrets,
        measures=told,
        clock=peers.clock,
        poller=_poller(checker, limits, peers.clock) if background else None,
        parameters=Once(lambda: _parameters(caches, secrets, limits)),
        logins=Once(lambda: _logins(secrets, limits, peers, told), survives_fork=True),
        keys=Once(lambda: _rings(secrets, limits, peers, told), survives_fork=True),
    )


def _table_watch(
    name: str | None, client: Callable[[], object], limits: Limits, peers: Peers
) -> TableWatch | None:
    markers = peers.markers
    if markers is None and name is not None:
        markers = late_table(name, client)
    return TableWatch(markers, limits, peers.random) if markers is not None else None


def marker_table_of(asked: str | Literal[False] | None) -> str | None:
    """Return the table as asked (False: none), else the one that `KEYTURN_MARKER_TABLE` names, else None."""
    if asked is False:
        return None
    if asked is not None and not (isinstance(asked, str) and asked):
        raise ConfigurationError("marker_table is empty; give the table's name or ARN, or None")
    return known_marker_table(asked)


def reporting_of(asked: str | Reporting | Literal[False] | None) -> Reporting | None:
    """Return where to report: as asked (False: nowhere), else by `KEYTURN_CONVERGENCE_TABLE`, else None."""
    if asked is False or isinstance(asked, Reporting):
        return asked or None
    table = asked if asked is not None else known_convergence_table()
    return Reporting(table) if table is not None else None


def _parameters(
    caches: tuple[Cache, Cache, Cache], secrets: Secrets, limits: Limits
) -> tuple[Parameters, Parameters]:
    from keyturn.cache.parameters import Parameters

    _, ciphertexts, clear = caches
    return (
        Parameters(ciphertexts, None, secrets.checker, limits),
        Parameters(clear, secrets, secrets.checker, limits),
    )


def _logins(secrets: Secrets, limits: Limits, peers: Peers, measures: Measures) -> Logins:
    from keyturn.login.logins import Logins

    return Logins(
        secrets,
        limits=limits,
        clock=peers.clock,
        sleep=peers.sleep,
        random=peers.random,
        metrics=measures,
    )


def _rings(secrets: Secrets, limits: Limits, peers: Peers, measures: Measures) -> Rings:
    from keyturn.verifying.ring import Rings

    return Rings(secrets, limits=limits, clock=peers.clock, sleep=peers.sleep, measures=measures)


def _reporter(
    caches: Sequence[Cache],
    reporting: Reporting | None,
    table_client: Callable[[], object],
    limits: Limits,
    peers: Peers,
) -> Reporter | None:
    reports = peers.reports
    if reports is None and reporting is not None:
        reports = late_reports(reporting.table, table_client)
    if reports is None:
        return None
    from keyturn.convergence.reporter import Reporter

    reporting = reporting or Reporting("given")
    return Reporter(
        caches,
        reports,
        label=environment_label(reporting.label),
        ttl_s=reporting.ttl_s,
        new_id=new_environment,
        limits=limits,
        clock=peers.clock,
        random=peers.random,
    )


def _poller(checker: Checker, limits: Limits, clock: Clock) -> Poller:
    from keyturn.cache.background import Poller

    poller = Poller(checker, limits.check_interval_s, clock)
    for cache in checker.caches:
        cache.background = poller
    return poller


def measures(hook: Metrics | None) -> Measures:
    """Return what the parts of a cache record to: the way to this hook, or nothing at all."""
    if hook is None:
        return SILENT
    from keyturn.metrics.outbox import Outbox

    outbox = Outbox(hook)
    watch_process(outbox)
    return outbox


# Loaded late: a cold start pays only for what it uses


class LateMarkers:
    """A `MarkerReader` whose client and module are loaded at the first check."""

    def __init__(self, table: Callable[[], MarkerReader]) -> None:
        self._table = table

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        return self._table().read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        return self._table().read_markers(keys)


class LateReports:
    """A `Reports` whose client and module are loaded at the first report."""

    def __init__(self, table: Callable[[], ConvergenceTable]) -> None:
        self._table = table

    def write(self, report: Report) -> None:
        self._table().write(report)


def secrets_manager(client: object, factory: ClientFactory) -> SecretSource:
    """A source that reads through `client`, or through one made at the first read if it is None."""
    from keyturn.aws.secretsmanager import SecretsManagerSource

    if client is None:
        made = Once(lambda: factory.make("secretsmanager", SECRETS_TIMEOUTS_S))
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


def parameter_store(
    client: object, region: str | None, factory: ClientFactory
) -> Callable[[bool], ParameterSource]:
    """Makes the source of parameters, decrypted or not; the two share one client."""
    made = Once(lambda: factory.make("ssm", SECRETS_TIMEOUTS_S, region) if client is None else client)

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


def recorder(table: str, client: object, dynamodb_client: object, *, settle_s: float = SETTLE_S) -> Recorder:
    """What writes markers through these clients."""
    from keyturn.aws.catalog import SecretsManagerCatalog
    from keyturn.markers.recorder import Recorder

    catalog = SecretsManagerCatalog(cast("CatalogClient", client))
    return Recorder(catalog, marker_table(table, dynamodb_client), THIS_HOST, settle_s=settle_s)


def hurried(table: str, client: object, dynamodb_client: object) -> Recorder:
    """A recorder for a caller that must not wait, with clients of its own where None is given.

    These try each call once. What is not visible soon is left to the listener.
    """
    factory = ClientFactory()
    if client is None:
        client = factory.make("secretsmanager", TABLE_TIMEOUTS_S, attempts=1)
    if dynamodb_client is None:
        dynamodb_client = factory.make("dynamodb", TABLE_TIMEOUTS_S, region_of(client), attempts=1)
    return recorder(table, client, dynamodb_client, settle_s=HURRIED_SETTLE_S)


@functools.cache
def default_announcer(table: str) -> Recorder:
    """What `announce` records with in this process for that table, with clients made once."""
    return hurried(table, None, None)
