"""The public surface as a type checker sees it. This file is never run: mypy reads it.

What is written here is what users write; a changed argument or type fails `make lint`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, assert_type

import httpx
import requests
import urllib3
from aiohttp import ClientMiddlewareType
from mypy_boto3_lambda import LambdaClient
from mypy_boto3_secretsmanager import SecretsManagerClient
from requests.adapters import HTTPAdapter

import keyturn
from keyturn import (
    AllowanceStatus,
    AsyncSecretCache,
    CacheStatus,
    ConvergenceTableError,
    HeldStatus,
    KeyturnError,
    KeyturnSettings,
    Limits,
    Metric,
    Metrics,
    Parameter,
    Peers,
    Reporting,
    ReportStatus,
    RestStatus,
    SecretCache,
    SecretError,
    SecretVersion,
    TableStatus,
    announce,
)
from keyturn import rotation as rotating
from keyturn.compat import InjectKeywordedSecretString, InjectSecretString
from keyturn.compat import SecretCache as DropIn
from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Key, Outgoing, basic, bearer, header
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.login import Login
from keyturn.integrations.requests import KeyAdapter
from keyturn.integrations.urllib3 import with_key
from keyturn.metrics.emf import EmfMetrics
from keyturn.model.protocols import SecretSource
from keyturn.rotation.mysql import TwoPasswords
from keyturn.testing import (
    STEPS,
    TRIALS,
    EventBus,
    FakeClock,
    FakeMarkers,
    FakeParameterStore,
    FakeReports,
    FakeSecretsManager,
    PasswordServer,
    RecordedMetrics,
    RotatingSecret,
    Rotation,
    RotationError,
    RotationFunction,
    RotationSubject,
    RotationTrial,
    SecretEvents,
    Step,
    StepFunctions,
    WrongPasswordError,
    assert_converges,
    assert_no_refusals,
    assert_not_stored,
    at_once,
    deployed,
    is_wrong_password,
    twice,
)
from keyturn.testing.account import Account
from keyturn.testing.listening import InProcessListener
from keyturn.testing.plugin import MakeSecret

Connection = tuple[str, str]


def caches(client: SecretsManagerClient, clock: FakeClock) -> None:
    """Every way to make a cache: bare, by clients, by settings, of peers in memory."""
    secrets, parameters = FakeSecretsManager(clock), FakeParameterStore(clock)
    assert_type(SecretCache(), SecretCache)
    assert_type(SecretCache(client, marker_table="t", dynamodb_client=None, ssm_client=None), SecretCache)
    assert_type(KeyturnSettings().cache(metrics=RecordedMetrics()), SecretCache)
    SecretCache(client, convergence_table=Reporting("t", ttl_s=900, label="orders"))
    SecretCache(
        background=True,
        check_interval_s=5,
        limits=Limits(
            covered_ttl_s=3600.0,
            uncovered_ttl_s=300,
            lease_s=1260,
            max_stale_s=21600,
            max_denied_s=300,
            settle_s=6,
            min_refresh_interval_s=1,
            max_secrets=1000,
        ),
        peers=Peers(
            source=secrets,
            parameter_source=parameters.source,
            markers=FakeMarkers(clock),
            reports=FakeReports(clock),
            clock=clock,
            sleep=clock.advance,
            random=lambda: 0.0,
        ),
    )


class Counts:
    """A hook as users write it."""

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        assert_type(metric.unit, Literal["Count", "Seconds"])
        assert_type((value, secret, stage, error), tuple[float, str, str, str])


def hooks(clock: FakeClock, write: Callable[[str], None]) -> None:
    """Every kind of metrics hook, and every argument of the one for CloudWatch."""
    emf = EmfMetrics(
        service="orders", namespace="shop", by_secret=True, flush_interval_s=30, output=write, clock=clock
    )
    recorded = RecordedMetrics()
    hooks: list[Metrics] = [Counts(), EmfMetrics(), emf, recorded]
    for hook in hooks:
        SecretCache(metrics=hook)
    emf.flush()
    assert_type(recorded.of(Metric.LAG_S), list[float])


def secrets(cache: SecretCache) -> None:
    """What a secret gives."""
    with cache as entered:
        assert_type(entered, SecretCache)
    version = cache.get("prod/db")
    assert_type(version, SecretVersion)
    assert_type(cache.get("prod/db", stage="AWSPENDING"), SecretVersion)
    assert_type(cache.peek("prod/db"), SecretVersion | None)
    assert_type(cache.get_secret_string("prod/db"), str)
    assert_type(cache.get_secret_binary("prod/db"), bytes)
    assert_type(version.text(), str)
    assert_type(version.blob(), bytes)
    assert_type(version.fields(), dict[str, str])
    assert_type(version.fields()["password"], str)
    assert_type(version.version_id, str)
    assert_type(version.stages, frozenset[str])
    assert_type(version.created_s, float | None)
    assert_type(cache.invalidate("prod/db"), bool)


def parameters(cache: SecretCache) -> None:
    """What a parameter gives."""
    parameter = cache.get_parameter("/prod/host", version=3, decrypt=False)
    assert_type(parameter, Parameter)
    assert_type(cache.get_parameter("/prod/host", label="good"), Parameter)
    assert_type(cache.peek_parameter("/prod/host"), Parameter | None)
    assert_type(cache.get_parameters(["/prod/host"]), dict[str, Parameter])
    assert_type(cache.get_parameters_by_path("/prod", recursive=True), dict[str, Parameter])
    assert_type(parameter.value, str)
    assert_type(parameter.values, tuple[str, ...])
    assert_type(parameter.version, int)
    assert_type(parameter.type, str)


def logins(cache: SecretCache) -> None:
    """The login bridge returns what `connect` returns, and its decorator keeps the other arguments."""

    def is_refused(error: Exception) -> bool:
        return isinstance(error, PermissionError)

    def connect(version: SecretVersion) -> Connection:
        return version.secret_id, version.version_id

    assert_type(cache.login("prod/db", connect, is_refused=is_refused), Connection)
    cache.login("prod/db", connect, is_refused=is_refused, previous=True, budget_s=3, remaining_s=lambda: 2.0)
    for attempt in cache.login_attempts("prod/db", is_refused=is_refused):
        with attempt as version:
            assert_type(version, SecretVersion)

    @cache.logs_in("prod/db", is_refused=is_refused)
    def open_database(version: SecretVersion, name: str, *, timeout_s: float) -> Connection:
        return version.text(), f"{name}{timeout_s}"

    assert_type(open_database("orders", timeout_s=1.0), Connection)

    @cache.checks_first
    def handler(event: dict[str, str], context: object) -> int:
        return len(event)

    assert_type(handler({}, None), int)
    cache.check()
    cache.close()


def http_keys(cache: SecretCache, tasks: AsyncSecretCache) -> None:
    """A key of either cache is what every HTTP client takes, and a client keeps its own type."""

    def sign(version: SecretVersion, outgoing: Outgoing) -> Mapping[str, str]:
        assert_type((outgoing.method, outgoing.url, outgoing.body), tuple[str, str, bytes | None])
        return {"X-Signature": version.text()}

    signed = Key(cache, "prod/key", "https://api.example.com", sign, refused=(401, 403), budget_s=1)
    key = Key(tasks, "prod/key", "https://api.example.com", bearer(field="token"))
    Key(cache, "prod/key", "https://api.example.com", basic(username="user", password="word"))
    Key(cache, "prod/key", "https://api.example.com", header("X-Api-Key", prefix="Key "))
    httpx.Client(transport=KeyTransport(signed, httpx.HTTPTransport(http2=True)))
    httpx.AsyncClient(transport=AsyncKeyTransport(key))
    requests.Session().mount("https://api.example.com", KeyAdapter(key, HTTPAdapter(max_retries=3)))
    assert_type(with_key(urllib3.PoolManager(), key), urllib3.PoolManager)
    assert_type(with_key(urllib3.ProxyManager("http://proxy"), key), urllib3.ProxyManager)
    assert_type(key_middleware(key), ClientMiddlewareType)


async def tasks(client: SecretsManagerClient, cache: SecretCache, clock: FakeClock) -> None:
    """The cache for event loops, made in each way: the same names, awaited, with the same types."""
    assert_type(AsyncSecretCache(), AsyncSecretCache)
    AsyncSecretCache(client, marker_table="t", check_interval_s=5, background=True, metrics=Counts())
    AsyncSecretCache(limits=Limits(max_secrets=10), peers=Peers(clock=clock))
    async with AsyncSecretCache(cache) as entered:
        assert_type(entered, AsyncSecretCache)
    assert_type(entered.sync, SecretCache)
    await entered.preload(["prod/db"], parameters=["/prod/host"])
    assert_type(await entered.get("prod/db", stage="AWSPENDING"), SecretVersion)
    assert_type(entered.peek("prod/db"), SecretVersion | None)
    assert_type(await entered.get_secret_string("prod/db"), str)
    assert_type(await entered.get_secret_binary("prod/db"), bytes)
    assert_type(await entered.get_parameter("/prod/host", version=3, decrypt=False), Parameter)
    assert_type(entered.peek_parameter("/prod/host"), Parameter | None)
    assert_type(await entered.get_parameters(["/prod/host"]), dict[str, Parameter])
    assert_type(await entered.get_parameters_by_path("/prod", recursive=True), dict[str, Parameter])
    assert_type(await entered.invalidate("prod/db"), bool)
    assert_type(await entered.status(), CacheStatus)
    await entered.check()
    await entered.aclose(timeout_s=1)


async def logins_of_tasks(cache: AsyncSecretCache) -> None:
    """A login returns what `connect` returns when awaited; decorators keep the other arguments."""

    async def connect(version: SecretVersion) -> Connection:
        return version.secret_id, version.version_id

    assert_type(await cache.login("prod/db", connect, previous=True, budget_s=3), Connection)
    async for attempt in cache.login_attempts("prod/db", server="db-1:5432"):
        async with attempt as version:
            assert_type(version, SecretVersion)
        assert_type(attempt.refusal, Exception | None)

    @cache.logs_in("prod/db")
    async def open_database(version: SecretVersion, name: str, *, timeout_s: float) -> Connection:
        return version.text(), f"{name}{timeout_s}"

    assert_type(await open_database("orders", timeout_s=1.0), Connection)

    @cache.checks_first
    async def handler(event: dict[str, str], context: object) -> int:
        return len(event)

    assert_type(await handler({}, None), int)
    assert_type(await Login(cache, "prod/db").awaiting(connect), Connection)


async def verifying(cache: SecretCache, tasks: AsyncSecretCache) -> None:
    """Keys: a check returns whatever it likes, and that is returned."""

    def check(version: SecretVersion) -> Connection:
        return version.secret_id, version.version_id

    keys = cache.keys("prod/db", previous_for_s=60)
    assert_type(keys.current(), SecretVersion)
    assert_type(keys.all(), tuple[SecretVersion, ...])
    assert_type(list(keys), list[SecretVersion])
    assert_type(keys.by_id("v1"), SecretVersion)
    assert_type(keys.verify(check, mismatch=ValueError), Connection)
    assert_type(keys.verify(lambda version: version.text() == "x"), bool)
    awaited = tasks.keys("prod/db")
    assert_type(await awaited.current(), SecretVersion)
    assert_type(await awaited.all(), tuple[SecretVersion, ...])
    assert_type(await awaited.by_id("v1"), SecretVersion)
    assert_type(await awaited.verify(check, mismatch=(ValueError, LookupError)), Connection)
    cache.preload(["prod/db"], parameters=["/prod/host"])


def states(cache: SecretCache) -> None:
    """What `status` says."""
    status = cache.status()
    assert_type(status, CacheStatus)
    assert_type(status.table, TableStatus)
    assert_type(status.tables, tuple[TableStatus, ...])
    assert_type(status.secrets, tuple[HeldStatus, ...])
    assert_type(status.parameters, tuple[HeldStatus, ...])
    assert_type(status.table.trouble, str | None)
    assert_type(status.reports, ReportStatus)
    assert_type(status.resting, tuple[RestStatus, ...])
    assert_type(status.allowance, AllowanceStatus)
    assert_type(status.allowance.held_off, tuple[str, ...])
    assert_type(status.reports.reported_age_s, float | None)
    for held in status.secrets:
        assert_type(held.bound_s, float)
        assert_type(held.covered, bool)


def announcing(client: SecretsManagerClient) -> None:
    """A rotation function's one line."""
    announce("prod/db", version_id="v2", step="setSecret", marker_table="t", client=client)


def retiring(function: rotating.RotationFunction, source: SecretSource) -> None:
    """A rotation function that takes the old password away between two rotations."""
    strategy = TwoPasswords(source, host="db.internal", ssl_ca="rds.pem")
    retirement = rotating.Retirement(convergence_table="t", earliest_s=900, latest_s=86_400)
    assert_type(rotating.RotationFunction(strategy, retirement=retirement), rotating.RotationFunction)
    assert_type(function({"Step": "retireSecret", "SecretId": "prod/db"}), Mapping[str, bool | str] | None)


def errors() -> tuple[type[Exception], ...]:
    """One tree; each is also what Python calls it, where Python has a word."""
    secret: tuple[type[SecretError], ...] = (
        keyturn.AccessDeniedError,
        keyturn.ClientSetupError,
        keyturn.DecryptionError,
        keyturn.InvalidSecretIdError,
        keyturn.KeyMismatchError,
        keyturn.LoginRefusedError,
        keyturn.ParameterError,
        keyturn.SecretDeletedError,
        keyturn.SecretFormatError,
        keyturn.SecretKindError,
        keyturn.SecretNotFoundError,
        keyturn.StageNotFoundError,
        keyturn.UnavailableError,
    )
    parameter: tuple[type[keyturn.ParameterError], ...] = (
        keyturn.InvalidParameterNameError,
        keyturn.ParameterAccessDeniedError,
        keyturn.ParameterClientSetupError,
        keyturn.ParameterDecryptionError,
        keyturn.ParameterFieldError,
        keyturn.ParameterFormatError,
        keyturn.ParameterNotFoundError,
        keyturn.ParameterUnavailableError,
        keyturn.ParameterVersionNotFoundError,
    )
    field: type[keyturn.SecretFormatError] = keyturn.SecretFieldError
    conflict: type[keyturn.MarkerTableError] = keyturn.MarkerConflictError
    other: tuple[type[KeyturnError], ...] = (
        keyturn.ConfigurationError,
        ConvergenceTableError,
        RotationError,
    )
    of_a_server: type[Exception] = WrongPasswordError
    lookups: tuple[type[LookupError], ...] = (keyturn.SecretNotFoundError, keyturn.StageNotFoundError)
    denials: tuple[type[keyturn.SecretError], ...] = (keyturn.AccessDeniedError, keyturn.LoginRefusedError)
    return (*secret, *parameter, field, conflict, *other, *lookups, *denials, of_a_server)


def rotations(client: SecretsManagerClient, clock: FakeClock) -> None:
    """A rotation by hand, with a function of one's own or of one callable a step, and its events."""

    def function(event: dict[str, str], _context: object) -> None:
        del event

    own: RotationFunction = function
    bus = EventBus(lambda event: event.get("detail"))
    events = SecretEvents(client, "prod/db", bus.send, wall=clock.wall, cloudtrail=True)
    Rotation(client, "prod/db", own, version_id="v" * 32, context=None, events=events)
    rotation = Rotation(client, "prod/db", StepFunctions(client, lambda current: current + "'"))
    steps: tuple[Callable[[], None], ...] = (rotation.create, rotation.set, rotation.test, rotation.finish)
    for step in steps:
        step()
    last: Step = "testSecret"
    rotation.run(until=last)
    rotation.fail_after(last)
    rotation.retry()
    rotation.repeat(last)
    rotation.abandon()
    rotation.rollback()
    assert_type(rotation.done, tuple[Step, ...])
    assert_type(STEPS, tuple[Step, ...])
    for context in (bus.dropping(), bus.doubling(), bus.holding()):
        with context:
            bus.send({"detail-type": "Secret Label Updated"})
    bus.release()
    bus.release(reversed)


def trials(client: SecretsManagerClient, functions: LambdaClient) -> None:
    """Any rotation function in every way, also a deployed one; and the ways for rotations of one's own."""
    function = deployed(functions, "rotate-orders")
    subject = RotationSubject(
        client, "prod/db", function, accepts=lambda value: value != "", keeps_previous=True, context=None
    )
    assert_type(TRIALS, tuple[RotationTrial, ...])
    for trial in TRIALS:
        trial(subject)
    for called in (twice(function), at_once(function, callers=3)):
        assert_type(Rotation(client, "prod/db", called), Rotation)


def kit(client: SecretsManagerClient, cache: SecretCache, clock: FakeClock) -> None:
    """A secret of a test, its server, and what is asserted of them."""
    bus = EventBus(lambda _event: None)
    secret = RotatingSecret(client, "prod/db", "text", strategy="single-user", bus=bus, clock=clock)
    RotatingSecret(client, "b", {"username": "u"}, strategy="alternating-users", bus=bus, clock=clock)
    assert_type(secret.server, PasswordServer)
    assert_type(secret.rotation(cloudtrail=True), Rotation)
    assert_type(secret.rotation(lambda event, _context: event["Step"]), Rotation)
    assert_type(secret.rotate(), Rotation)
    assert_type(secret.put("value"), str)
    assert_type(secret.server.log_in(cache.get(secret.name)), str)
    assert_type(cache.login(secret.name, secret.server.log_in, is_refused=is_wrong_password), str)
    assert_type(assert_converges(cache, secret, within_s=5), float)
    assert_no_refusals(secret, secret)
    assert_not_stored({"result": ["text"]}, cache.get(secret.name), harmless={"username"})


def test_of_a_user(
    *,
    keyturn_rotating_secret: MakeSecret,
    keyturn_cache: SecretCache,
    keyturn_clock: FakeClock,
    keyturn_listener: InProcessListener,
    keyturn_marker_table: str,
    keyturn_aws: Account,
) -> None:
    """The plugin's fixtures, as an annotated test takes them."""
    assert_type(keyturn_rotating_secret(), RotatingSecret)
    assert_type(keyturn_rotating_secret("b", {"password": "p"}, strategy="alternating-users"), RotatingSecret)
    assert_type(keyturn_rotating_secret(name="c", value="text"), RotatingSecret)
    assert_type(keyturn_cache.get("b"), SecretVersion)
    keyturn_clock.advance(5.0)
    assert_type(keyturn_listener.bus, EventBus)
    keyturn_listener.sweep()
    keyturn_listener.deliver({"detail-type": "Secret Label Updated"})
    keyturn_aws.client("ssm")
    assert_type(keyturn_aws.calls.count("GetSecretValue"), int)
    assert_type(keyturn_aws.make_table(keyturn_marker_table), str)


def drop_in(cache: DropIn) -> None:
    """The decorators of aws-secretsmanager-caching, which has no types, keep what a function returns."""

    @InjectSecretString("prod/db", cache)
    def whole(secret: str) -> int:
        return len(secret)

    @InjectKeywordedSecretString("prod/db", cache, user="username")
    def by_field(user: str) -> bytes:
        return user.encode()

    assert_type(whole(), int)
    assert_type(by_field(), bytes)
