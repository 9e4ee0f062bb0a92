"""Whatever a client, a table, a hook or a credential provider raises is a failure of that one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import IncompleteRead, RemoteDisconnected

import botocore.exceptions as boto
import pytest
from urllib3.exceptions import ProtocolError

from keyturn import (
    AccessDeniedError,
    ClientSetupError,
    ConfigurationError,
    KeyturnError,
    Metric,
    ParameterClientSetupError,
    ParameterUnavailableError,
    Peers,
    SecretCache,
    SecretVersion,
    UnavailableError,
)
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client
from keyturn.aws.faults import fault_of
from keyturn.aws.organization import assumed
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import ConvergenceTableError, MarkerTableError
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Report
from keyturn.runtime.frames import chain_of
from keyturn.runtime.process import around_snapshot
from keyturn.testing.fakes import FakeClock
from keyturn.testing.parts import parts_of

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
PARAMETER_ARN = "arn:aws:ssm:eu-west-1:111122223333:parameter/app/a"

FOREIGN = [
    FileNotFoundError(2, "No such file", "/var/run/secrets/eks/token"),
    PermissionError(13, "Permission denied"),
    ValueError("Invalid endpoint: localhost"),
    StopIteration(),
    KeyError("AccessKeyId"),
    ZeroDivisionError(),
    RecursionError(),
    MemoryError(),
    ExceptionGroup("several", [OSError()]),
    boto.NoRegionError(),
    boto.NoCredentialsError(),
    boto.ProfileNotFound(profile="nope"),
    boto.EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    boto.InvalidConfigError(error_msg="x"),
    boto.UnknownServiceError(service_name="x", known_service_names="y"),
]

foreign = pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)

Answer = Mapping[str, object]


class Client:
    """The client of every service. It raises `error` if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.broken: tuple[str, ...] = ()

    def get_secret_value(self, *, SecretId: str, **_: object) -> Answer:  # AWS's name
        self._fail(SecretId)
        return {
            "ARN": ARN.replace("prod/db", SecretId),
            "Name": SecretId,
            "VersionId": "v1",
            "SecretString": "x",
            "VersionStages": ["AWSCURRENT"],
        }

    def get_parameter(self, *, Name: str, **_: object) -> Answer:  # AWS's name
        self._fail(Name)
        return {"Parameter": self._parameter(Name)}

    def get_parameters(self, *, Names: list[str], **_: object) -> Answer:  # AWS's name
        self._fail(*Names)
        return {"Parameters": [self._parameter(name) for name in Names]}

    def get_parameters_by_path(self, *, Path: str, **_: object) -> Answer:  # AWS's name
        self._fail(Path)
        return {"Parameters": [self._parameter(f"{Path}/a")]}

    def any_call(self, **_: object) -> Answer:
        self._fail("*")
        return {}

    get_item = batch_get_item = put_item = update_item = scan = transact_write_items = any_call
    describe_secret = list_secrets = assume_role = get_caller_identity = any_call

    def _parameter(self, name: str) -> Answer:
        return {"Name": name, "ARN": PARAMETER_ARN, "Value": "x", "Version": 1, "Type": "String"}

    def _fail(self, *names: str) -> None:
        if self.error is not None and (not self.broken or set(names) & set(self.broken)):
            raise self.error


@pytest.fixture
def client() -> Client:
    """A client that works until it is told otherwise."""
    return Client()


def made(client: Client, clock: FakeClock | None = None, **options: object) -> SecretCache:
    """A cache over that client alone."""
    clock = clock or FakeClock()
    peers = Peers(clock=clock, random=lambda: 0.0)
    return SecretCache(client, ssm_client=client, dynamodb_client=client, peers=peers, **options)  # type: ignore[arg-type] # a double


CALLS: list[tuple[str, Callable[[SecretCache], object], type[KeyturnError]]] = [
    ("secret", lambda cache: cache.get("prod/db"), UnavailableError),
    ("parameter", lambda cache: cache.get_parameter("/app/a"), ParameterUnavailableError),
    ("parameters", lambda cache: cache.get_parameters(["/app/a", "/app/b"]), ParameterUnavailableError),
    ("path", lambda cache: cache.get_parameters_by_path("/app"), ParameterUnavailableError),
]


@foreign
@pytest.mark.parametrize(
    ("call", "kind"), [(call, kind) for _, call, kind in CALLS], ids=[one[0] for one in CALLS]
)
def test_what_a_client_raises_is_a_failed_read(
    client: Client, error: Exception, call: Callable[[SecretCache], object], kind: type[KeyturnError]
) -> None:
    """A held copy is served; without one there is a KeyturnError raised from what the client raised."""
    clock = FakeClock()
    warm = made(client, clock)
    call(warm)
    client.error = error
    clock.advance(400)
    call(warm)
    with pytest.raises(kind) as caught:
        call(made(client))
    causes = [caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
    assert error in causes
    assert "hunter2" not in str(caught.value)


@foreign
def test_what_the_tables_client_raises_is_trouble_with_the_table(client: Client, error: Exception) -> None:
    """Secrets are served; status() says what is wrong with the marker table and the convergence table."""
    clock = FakeClock()
    cache = made(client, clock, marker_table="markers", convergence_table="reports")
    cache.get("prod/db")
    client.error, client.broken = error, ("*",)
    for _ in range(3):
        clock.advance(6)
        assert "x" == cache.get_secret_string("prod/db")
    status = cache.status()
    assert status.table.trouble is not None
    assert type(error).__name__ in status.table.trouble
    assert status.reports.trouble is not None


@foreign
def test_tables_and_the_catalog_raise_their_own_errors(client: Client, error: Exception) -> None:
    """As the CLI, `announce` and the listener call them: errors that say what to do."""
    client.error = error
    with pytest.raises(MarkerTableError) as table:
        MarkerTable(client, "markers").read_head()
    with pytest.raises(ConvergenceTableError):
        ConvergenceTable(client, "reports").write(Report("e", {}, 1, 60))
    with pytest.raises(UnavailableError) as catalog:
        SecretsManagerCatalog(client).describe("prod/db")
    assert (error, error) == (table.value.__cause__, catalog.value.__cause__)


@foreign
def test_the_background_goes_on_with_the_others(client: Client, error: Exception) -> None:
    """One secret's client call raises: the other secret is refreshed ahead of use all the same."""
    clock = FakeClock()
    cache = made(client, clock)
    for name in ("bad", "good"):
        cache.get(name)
    client.error, client.broken = error, ("bad", ARN.replace("prod/db", "bad"))
    clock.advance(299)
    parts_of(cache).checker.check_ahead()
    ages = {one.name: one.age_s for one in cache.status().secrets}
    assert 0 == ages["good"]
    assert 299 == ages["bad"]


def test_a_hook_that_raises_at_a_snapshot_keeps_no_secret_in_it(client: Client) -> None:
    """`EmfMetrics` writes what it has before a snapshot, its output is closed: every cache forgets."""
    from keyturn.metrics.emf import EmfMetrics

    def closed(_line: str) -> None:
        raise ValueError("I/O operation on closed file")

    caches, hooks = [], []
    for number in range(8):
        hook = EmfMetrics(service="s", output=closed, clock=FakeClock())
        hook.record(Metric.REFUSALS, number)
        cache = made(client, metrics=hook)
        cache.get("prod/db")
        caches.append(cache)
        hooks.append(hook)
    around_snapshot()
    assert [()] * 8 == [cache.status().secrets for cache in caches]


# Setting up a client


NOWHERE = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a Region."""
    for name in (
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


WRONG = [
    ({}, "AWS_REGION"),
    ({"AWS_PROFILE": "nope", "AWS_REGION": "eu-west-1"}, "AWS_PROFILE"),
    ({"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "localhost"}, "AWS_ENDPOINT_URL"),
]


@pytest.mark.parametrize(("environment", "variable"), WRONG, ids=[variable for _, variable in WRONG])
def test_a_wrong_environment_is_named(
    variables: pytest.MonkeyPatch, environment: Mapping[str, str], variable: str
) -> None:
    """No Region, no such profile, no such endpoint: a ConfigurationError that names the variable."""
    for name, value in environment.items():
        variables.setenv(name, value)
    cache = SecretCache(marker_table="markers", peers=Peers(clock=FakeClock()))
    with pytest.raises(ConfigurationError, match=variable) as secret:
        cache.get("prod/db")
    with pytest.raises(ConfigurationError, match=variable) as parameter:
        cache.get_parameter("/app/a")
    assert (ClientSetupError, ParameterClientSetupError) == (type(secret.value), type(parameter.value))
    with pytest.raises(ConfigurationError, match=variable):
        make_client("secretsmanager", SECRETS_TIMEOUTS_S)


def test_a_table_without_a_client_is_trouble_that_names_the_variable(
    variables: pytest.MonkeyPatch, client: Client
) -> None:
    """The secrets' client is the caller's, the table's own cannot be made: served, and said in status()."""
    clock = FakeClock()
    cache = SecretCache(client, marker_table="markers", peers=Peers(clock=clock))
    cache.get("prod/db")
    clock.advance(6)
    assert "x" == cache.get_secret_string("prod/db")
    trouble = cache.status().table.trouble
    assert trouble is not None
    assert "AWS_REGION" in trouble


def test_the_region_of_the_other_sdks_will_do(variables: pytest.MonkeyPatch) -> None:
    """botocore reads AWS_DEFAULT_REGION alone; keyturn's clients take AWS_REGION where that is not set."""
    variables.setenv("AWS_REGION", "eu-west-3")
    assert "eu-west-3" == make_client("ssm", SECRETS_TIMEOUTS_S).meta.region_name  # type: ignore[attr-defined]
    variables.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert "eu-west-2" == make_client("ssm", SECRETS_TIMEOUTS_S).meta.region_name  # type: ignore[attr-defined]


def test_a_copy_outlives_a_role_that_is_not_there(client: Client) -> None:
    """The provider of the credentials is refused: the copy is served, and a parameter's too."""
    clock = FakeClock()
    cache = made(client, clock)
    cache.get("prod/db")
    cache.get_parameter("/app/a")
    client.error = boto.ClientError(
        {"Error": {"Code": "ResourceNotFoundException", "Message": "It doesn't exist."}}, "GetRoleCredentials"
    )
    clock.advance(301)
    assert "x" == cache.get_secret_string("prod/db")
    assert "x" == cache.get_parameter("/app/a").value
    with pytest.raises(AccessDeniedError, match="GetRoleCredentials"):
        cache.get("another")


def test_a_denied_role_is_no_matter_of_the_secret(client: Client) -> None:
    """AccessDenied of AssumeRoleWithWebIdentity: the advice is about the role's trust."""
    client.error = boto.ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "Not authorized to perform"}},
        "AssumeRoleWithWebIdentity",
    )
    cache = made(client, FakeClock(), marker_table="markers")
    with pytest.raises(AccessDeniedError) as caught:
        cache.get("prod/db")
    assert "trust policy" in caught.value.advice
    assert "GetSecretValue" not in str(caught.value)
    with pytest.raises(AccessDeniedError, match="trust policy"):
        cache.get_parameter("/app/a")
    with pytest.raises(MarkerTableError, match="trust policy"):
        MarkerTable(client, "markers").read_head()
    with pytest.raises(AccessDeniedError, match="trust policy"):
        SecretsManagerCatalog(client).describe("prod/db")


def broken_answer() -> boto.ConnectionClosedError:
    """What botocore raises for a body in chunks without their lengths."""
    quoted = ProtocolError(f"Connection broken: {BODY}", IncompleteRead(BODY.encode()))
    quoted.__context__ = IncompleteRead(BODY.encode())
    error = boto.ConnectionClosedError(error=quoted, endpoint_url="http://127.0.0.1")
    error.__context__ = quoted
    return error


BODY = '{"SecretAccessKey": "hunter2"}'
QUOTING: list[tuple[str, Callable[[Client], object]]] = [
    ("secret", lambda client: made(client, marker_table=False).get("prod/db")),
    ("parameter", lambda client: made(client, marker_table=False).get_parameter("/app/a")),
    ("path", lambda client: made(client, marker_table=False).get_parameters_by_path("/app")),
    ("catalog", lambda client: SecretsManagerCatalog(client).describe("prod/db")),
    ("table", lambda client: ConvergenceTable(client, "reports").write(Report("e", {}, 1, 60))),
    ("role", lambda client: assumed(client, "arn:aws:iam::111122223333:role/a")),
]


@pytest.mark.parametrize("call", [call for _, call in QUOTING], ids=[one[0] for one in QUOTING])
def test_an_answer_whose_frame_is_broken_is_not_quoted(
    client: Client, call: Callable[[Client], object]
) -> None:
    """Python's HTTP client quotes the body where it looks for its length: neither cause nor context."""
    client.error = broken_answer()
    with pytest.raises(KeyturnError) as caught:
        call(client)
    assert "ConnectionClosedError" in str(caught.value)
    assert "hunter2" not in "".join(f"{one!r} {vars(one)}" for one in chain_of(caught.value))


def test_a_connection_that_was_closed_is_the_cause(client: Client) -> None:
    """Where there was no answer nothing is quoted."""
    client.error = broken_answer()
    client.error.__context__ = RemoteDisconnected("Remote end closed connection without response")
    with pytest.raises(UnavailableError) as caught:
        made(client, marker_table=False).get("prod/db")
    assert client.error in chain_of(caught.value)


def test_an_unknown_error_of_the_http_client_is_named_only() -> None:
    """botocore's text for it is that of the error itself, which may quote the answer."""
    assert str(fault_of(boto.HTTPClientError(error=ValueError(BODY)))) == "HTTPClientError"


def test_an_error_that_the_caller_handles_does_not_count(client: Client) -> None:
    """A client's error stays the cause, whatever the caller was handling when it made the call."""
    client.error = boto.EndpointConnectionError(endpoint_url="http://127.0.0.1")
    with pytest.raises(UnavailableError) as caught, _handling(IncompleteRead(b"")):
        SecretsManagerCatalog(client).describe("prod/db")
    assert caught.value.__cause__ is client.error


@contextmanager
def _handling(error: Exception) -> Iterator[None]:
    """Run the block as a caller that handles this error."""
    try:
        raise error
    except type(error):
        yield


def test_an_async_source_is_told_as_such() -> None:
    """Nobody awaits it: a secret and a parameter each fail with what to do."""

    class Source:
        async def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
            raise AssertionError("nobody runs this")

    peers = Peers(source=Source(), parameter_source=lambda _decrypt: Source())  # type: ignore[arg-type, return-value] # on purpose
    cache = SecretCache(marker_table=False, peers=peers)
    with pytest.raises(ConfigurationError, match="the source is async"):
        cache.get("prod/db")
    with pytest.raises(ConfigurationError, match="the source is async"):
        cache.get_parameter("/app/a")
