"""Where a cache is put together: clients and modules that are loaded late, and the parts that use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, cast

from keyturn.aws.clients import ClientFactory, region_of
from keyturn.aws.places import (
    PlacedClients,
    naming_clients,
    parameter_clients,
    secrets_clients,
    table_clients,
)
from keyturn.cache.cache import Cache, Caches
from keyturn.cache.checker import Checker
from keyturn.cache.limits import DEFAULTS, Limits, Reporting
from keyturn.cache.secrets import Secrets
from keyturn.cache.service import Service, Services
from keyturn.cache.tables import Tables, WatchedTable
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
from keyturn.model.table_names import by_place, check_table, check_tables, parameter_of_table
from keyturn.runtime.host import (
    CONVERGENCE_TABLE_VARIABLE,
    MARKER_TABLE_VARIABLE,
    MARKER_TABLES_VARIABLE,
    ROLES_VARIABLE,
    SYSTEM_CLOCK,
    THIS_HOST,
    environment_label,
    is_managed_instance,
    known_convergence_table,
    known_marker_table,
    known_marker_tables,
    known_roles,
    new_environment,
    system_random,
    system_sleep,
)
from keyturn.runtime.process import Once, notice_fork, watch_process

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient
    from keyturn.aws.parameterstore import ParameterClient, ParameterStoreClient, PlacedParameters
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

KeyOf: TypeAlias = Callable[[str, str], str]
"""Returns the marker key of an ARN and a name."""

UnavailableKind: TypeAlias = type[UnavailableError]

ParameterSourceMaker: TypeAlias = Callable[[bool], SecretSource]
"""Makes the source of parameters: True for one that decrypts SecureStrings, False for one that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """What a cache talks to in place of AWS and of this host: other sources, and what tests hand in.

    Args:
        source: reads secrets. A source with a cache of its own says so by `ttl_s`, which `bound_s` in
            `status()` includes.
        parameter_source: makes the source of parameters, which decrypts them (True) or does not.
        markers: reads the marker table, or each of several tables, by their ARNs.
        reports: takes reports of which versions this process holds.
        roles: the ARNs of roles of other accounts, whose secrets and tables are read with the credentials
            of the role; by default (None) those that `KEYTURN_ROLES` names.
        clock: tells the time; `random` draws the jitter, in [0, 1); `sleep` waits so many seconds.
    """

    source: SecretSource | None = None
    parameter_source: ParameterSourceMaker | None = None
    markers: MarkerReader | Mapping[str, MarkerReader] | None = None
    reports: Reports | None = None
    roles: Iterable[str] | None = None
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

    def check(self) -> None:
        """Raise a `ConfigurationError` for an argument that is no such client."""
        _require_client("client", self.secrets_manager, "get_secret_value", "Secrets Manager")
        _require_client("dynamodb_client", self.dynamodb, "get_item", "DynamoDB")
        _require_client("ssm_client", self.ssm, "get_parameter", "Systems Manager")


def _require_client(argument: str, client: object, operation: str, service: str) -> None:
    if client is None or callable(getattr(client, operation, None)):
        return
    hint = f"; a table's name goes into marker_table={client!r}" if isinstance(client, str) else ""
    raise ConfigurationError(f"{argument} is a {type(client).__name__}, not a client for {service}{hint}")


class Assembled(NamedTuple):
    """The parts of one cache. `parameters`, `logins` and `keys` are loaded when they are first used.

    `parameters` has those that stay ciphertexts, then those that are decrypted: `decrypt` is the index.
    """

    caches: Caches
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
        notice_fork()
        if self.poller is not None:
            self.poller.start()

    def after_fork(self) -> None:
        """Start anew in a forked child: new locks, no thread, nothing fresh."""
        self.checker.after_fork()
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
    marker_table: str | Sequence[str] | Literal[False] | None,
    reporting: Reporting | None,
    limits: Limits,
    background: bool | None,
    metrics: Metrics | None,
    peers: Peers,
) -> Assembled:
    """Put a cache together. Makes no client and no request yet; raises `ConfigurationError`."""
    clients.check()
    told, limits = measures(metrics), limits.spread_by(peers.random)
    region, factory = region_of(clients.secrets_manager), ClientFactory()
    roles = roles_of(peers.roles)
    in_places = table_clients(clients.dynamodb, region, factory, roles)
    naming = naming_clients(clients.ssm, region, factory, roles)
    tables = _tables(marker_tables_of(marker_table), in_places, naming, limits, peers)
    background = is_managed_instance() if background is None else background
    window_s = limits.check_interval_s * (2 if background else 1)

    def cache_of(source: SecretSource, key_of: KeyOf, asked: Services, error: UnavailableKind) -> Cache:
        own = replace(limits, source_ttl_s=source.ttl_s) if isinstance(source, CachedSource) else limits
        return Cache(
            source,
            tables,
            limits=own,
            clock=peers.clock,
            random=peers.random,
            window_s=window_s,
            key_of=key_of,
            services=asked,
            metrics=told,
            unavailable=error,
        )

    parameter_source = peers.parameter_source or parameter_store(
        parameter_clients(clients.ssm, region, factory, roles)
    )
    secrets_service = _services("Secrets Manager", tables, limits, peers)
    parameters_service = _services("Parameter Store", tables, limits, peers)
    secrets_source = peers.source or secrets_manager(clients.secrets_manager, factory, roles)
    ciphertexts, clear = (parameter_source(decrypt) for decrypt in (False, True))
    caches = Caches(
        cache_of(secrets_source, secret_key, secrets_service, UnavailableError),
        cache_of(ciphertexts, parameter_key_of, parameters_service, ParameterUnavailableError),
        cache_of(clear, parameter_key_of, parameters_service, ParameterUnavailableError),
    )
    reporter = _reporter(caches, reporting, in_places, limits, peers)
    checker = Checker(
        caches,
        tables,
        limits=limits,
        clock=peers.clock,
        window_s=window_s,
        metrics=told,
        reporter=reporter,
    )
    secrets = Secrets(caches.secrets, checker, limits.min_refresh_interval_s)
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


def _services(name: str, tables: Iterable[WatchedTable], limits: Limits, peers: Peers) -> Services:
    """Return a service, apart in the place of each table but the first, which is that of the process."""

    def service(called: str) -> Service:
        return Service(called, limits=limits, clock=peers.clock, random=peers.random)

    apart = [table.place for table in tuple(tables)[1:] if table.place is not None]
    return Services(
        service(name), {place: service(f"{name} in {place.region} of {place.account}") for place in apart}
    )


def _tables(
    names: Sequence[str], clients: PlacedClients, naming: PlacedClients, limits: Limits, peers: Peers
) -> Tables:
    markers = peers.markers
    if markers is None:
        readers = [(name, placed_table(name, clients, naming)) for name in names]
    else:
        readers = list(markers.items()) if isinstance(markers, Mapping) else [("", markers)]
    places = by_place((name, name) for name, _ in readers)
    return Tables.watching(
        by_place(readers),
        limits=limits,
        clock=peers.clock,
        random=peers.random,
        names=places if len(places) > 1 else {},
    )


def marker_tables_of(asked: str | Sequence[str] | Literal[False] | None) -> tuple[str, ...]:
    """Return the tables as asked (False: none), else those that the environment names.

    Raises `ConfigurationError` for what is no table.
    """
    if asked is False:
        return ()
    if asked is None:
        tables, argument = known_marker_tables(), MARKER_TABLES_VARIABLE
        own = known_marker_table(None)
        if own is not None:
            check_table(own, MARKER_TABLE_VARIABLE)
    else:
        tables, argument = _given_tables(asked), "marker_table"
    check_tables(tables, argument)
    return tables


def _given_tables(asked: str | Sequence[str]) -> tuple[str, ...]:
    tables = (asked,) if isinstance(asked, str) else tuple(asked) if isinstance(asked, Sequence) else ()
    if not tables or not all(isinstance(one, str) and one for one in tables):
        raise ConfigurationError("marker_table is empty; give the table's name or ARN, or None")
    return tables


def reporting_of(asked: str | Reporting | Literal[False] | None) -> Reporting | None:
    """Return where to report: as asked (False: nowhere), else by `KEYTURN_CONVERGENCE_TABLE`, else None."""
    if asked is False or isinstance(asked, Reporting):
        return asked or None
    if asked is not None:
        return Reporting(asked)
    table = known_convergence_table()
    if table is None:
        return None
    check_table(table, CONVERGENCE_TABLE_VARIABLE)
    return Reporting(table)


def _parameters(caches: Caches, secrets: Secrets, limits: Limits) -> tuple[Parameters, Parameters]:
    from keyturn.cache.parameters import Parameters

    return (
        Parameters(caches.ciphertexts, None, secrets.checker, limits),
        Parameters(caches.clear, secrets, secrets.checker, limits),
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
    clients: PlacedClients,
    limits: Limits,
    peers: Peers,
) -> Reporter | None:
    reports = peers.reports
    if reports is None and reporting is not None:
        reports = late_reports(reporting.table, partial(clients.at, reporting.table))
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

    poller = Poller(checker, limits, clock)
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


def secrets_manager(
    client: object,
    factory: ClientFactory,
    roles: Mapping[str, str] = MappingProxyType({}),
    reading: Callable[[Callable[[], SecretsManagerClient]], SecretSource] | None = None,
) -> SecretSource:
    """Return a source that reads each secret in its account and Region; in that of `client` through it.

    `reading` makes the source that reads through one client: by label, unless it is given.
    """
    from keyturn.aws.secretsmanager import PlacedSecrets, SecretsManagerSource

    clients = secrets_clients(client, factory, roles)
    return PlacedSecrets(
        lambda secret_id: cast("SecretsManagerClient", clients.at(secret_id)), reading or SecretsManagerSource
    )


def roles_of(asked: Iterable[str] | None) -> Mapping[str, str]:
    """Return the role of each account: as asked, else by `KEYTURN_ROLES`. Raises `ConfigurationError`."""
    roles, argument = (known_roles(), ROLES_VARIABLE) if asked is None else (asked, "roles")
    if isinstance(roles, str):
        raise ConfigurationError(f"{argument} is a str; give a sequence of ARNs of roles")
    if not roles:
        return {}
    from keyturn.aws.roles import roles_by_account

    return roles_by_account(roles, argument)


class LateParameters:
    """A `ParameterSource` whose client and module are loaded at the first read."""

    def __init__(self, source: Callable[[], PlacedParameters]) -> None:
        self._source = source

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        return self._source().read(secret_id, stage=stage, version_id=version_id)

    def read_many(self, names: Sequence[str]) -> Mapping[str, Parameter]:
        return self._source().read_many(names)

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        return self._source().read_path(path, recursive=recursive)


def parameter_store(clients: PlacedClients) -> Callable[[bool], ParameterSource]:
    """Return what makes the source of parameters, decrypted or not; the two share their clients."""

    def source(decrypt: bool) -> ParameterSource:  # noqa: FBT001 # its one argument
        def load() -> PlacedParameters:
            from keyturn.aws.parameterstore import PlacedParameters

            return PlacedParameters(
                lambda asked: cast("ParameterStoreClient", clients.at(asked)), decrypt=decrypt
            )

        return LateParameters(Once(load))

    return source


def marker_table(table: str, client: object) -> MarkerTable:
    """Return the marker table behind a DynamoDB client."""
    from keyturn.markers.table import MarkerTable

    return MarkerTable(cast("DynamoDBClient", client), table)


def late_table(table: str, client: Callable[[], object]) -> MarkerReader:
    """Return a reader of the marker table that is loaded, with its client, at the first check."""

    def load() -> MarkerReader:
        from keyturn.markers.calls import MarkerCalls
        from keyturn.markers.reader import TableReader

        return TableReader(MarkerCalls(cast("DynamoDBClient", client()), table, THIS_HOST))

    return LateMarkers(Once(load))


def placed_table(table: str, clients: PlacedClients, naming: PlacedClients) -> MarkerReader:
    """Return a reader of a marker table in its account and Region, loaded at the first check.

    The parameter that names the table, if one does, is read by a client of `naming` at that check.
    """
    parameter = parameter_of_table(table)
    if parameter is None:
        return late_table(table, partial(clients.at, table))

    def load() -> MarkerReader:
        from keyturn.markers.named import NamedReader, NamedTable

        named = NamedTable(
            table,
            lambda: cast("ParameterClient", naming.at(parameter)),
            lambda found: late_table(found, partial(clients.at, found)),
        )
        return NamedReader(named)

    return LateMarkers(Once(load, survives_fork=True))


def convergence_table(table: str, client: object) -> ConvergenceTable:
    """Return the convergence table behind a DynamoDB client."""
    from keyturn.convergence.table import ConvergenceTable

    return ConvergenceTable(cast("ReportsClient", client), table)


def late_reports(table: str, client: Callable[[], object]) -> Reports:
    """Return a writer of the convergence table that is loaded, with its client, at the first report."""
    return LateReports(Once(lambda: convergence_table(table, client())))


def recorder(table: str, client: object, dynamodb_client: object, *, settle_s: float = SETTLE_S) -> Recorder:
    """Return what writes markers through these clients."""
    from keyturn.aws.catalog import SecretsManagerCatalog
    from keyturn.markers.recorder import Recorder

    catalog = SecretsManagerCatalog(cast("CatalogClient", client))
    return Recorder(catalog, marker_table(table, dynamodb_client), THIS_HOST, settle_s=settle_s)
