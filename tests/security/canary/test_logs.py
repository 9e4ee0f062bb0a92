"""No log has a value or a session token while the root logger is at DEBUG."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

import keyturn
from keyturn import KeyturnError, SecretCache, compat
from keyturn.aws import unseen
from keyturn.cli.root import COMMANDS, root
from keyturn.live import FromSecret, LiveSettings
from keyturn.rotation import RotationFunction
from keyturn.testing.moto import mend_moto
from tests.security.canary.service import Service
from tests.security.canary.test_errors import Strategy
from tests.security.canary.watched import CANARY, TOKEN, assert_unseen, everything_logged
from tests.serving import answering

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "prod/db"
TABLE = "markers"
log = logging.getLogger("keyturn")


class Settings(LiveSettings):
    """An application's settings."""

    password: Annotated[str, FromSecret(NAME, key="password")]
    port: Annotated[int, FromSecret(NAME, key="port")]


# Over real HTTP


def read(cache: SecretCache) -> None:
    """Read everything there is, and look again."""
    for _ in range(2):
        cache.get(NAME)
        cache.get("prod/blob")
        cache.get_parameter("/prod/key")
        cache.get_parameter("/prod/key", decrypt=False)
        cache.get_parameters(["/prod/key"])
        cache.get_parameters_by_path("/prod")
        cache.invalidate(NAME)


def failing(service: Service, mode: str) -> None:
    """Read what cannot be read, with a copy and without one."""
    cache = SecretCache(marker_table=False)
    cache.get(NAME)
    service.mode = mode
    cache.invalidate(NAME)
    cache.get(NAME)
    with pytest.raises(KeyturnError):
        cache.get("another")
    with pytest.raises(KeyturnError):
        cache.get_parameter("/prod/key")


def moved_settings(service: Service) -> None:
    """Settings that move, and then do not fit."""
    cache = SecretCache(marker_table=False)
    settings = Settings.live(cache)
    settings.on_change(lambda snapshot: 1 / len(snapshot.password[:0]))
    for value in ({"password": CANARY * 2, "port": 1}, {"password": CANARY, "port": CANARY}):
        service.value = json.dumps(value)
        service.versions += 1
        cache.invalidate(NAME)
        cache.get(NAME)
        _ = settings.password


def announced(service: Service) -> None:
    """An announcement, which nobody understands here."""
    with pytest.raises((KeyturnError, AttributeError)):
        keyturn.announce(NAME, marker_table=TABLE)


OVER_HTTP: Mapping[str, Callable[[Service], object]] = {
    "reads": lambda _: read(SecretCache(marker_table=False)),
    "reads with a marker table": lambda _: read(SecretCache(marker_table=TABLE)),
    "reads by the drop-in": lambda _: compat.SecretCache(
        client=boto3.client("secretsmanager")
    ).get_secret_string("prod/described"),
    "reads that are denied": lambda service: failing(service, "denied"),
    "answers that are cut": lambda service: failing(service, "broken"),
    "answers that are no text": lambda service: failing(service, "no text"),
    "a web page for an answer": lambda service: failing(service, "a web page"),
    "no answers": lambda service: failing(service, "hangs up"),
    "an answer without an end of the headers": lambda service: failing(service, "no end of the headers"),
    "settings that move": moved_settings,
    "announce": announced,
}


SLOW = {"a web page for an answer", "no answers"}
"""What botocore tries again, after pauses."""


@pytest.mark.parametrize(
    "place", [pytest.param(one, marks=pytest.mark.proof) if one in SLOW else one for one in OVER_HTTP]
)
def test_no_log_of_a_reader_has_a_value(place: str, service: Service) -> None:
    """Clients that keyturn makes, and one that it is given, by real botocore over real HTTP."""
    with everything_logged() as seen:
        log.debug("the witness")
        OVER_HTTP[place](service)
    assert service.asked
    assert_unseen(seen.getvalue(), "the witness")


# On moto


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManagerClient]:
    """An account with a table and a secret that is about to rotate."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", TABLE)
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.create_secret(Name=NAME, SecretString=json.dumps({"password": CANARY}))
        client.rotate_secret(
            SecretId=NAME, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )
        client.put_secret_value(
            SecretId=NAME,
            SecretString=json.dumps({"password": CANARY + "2"}),
            ClientRequestToken="2" * 32,
            VersionStages=["AWSPENDING"],
        )
        yield client


@pytest.mark.parametrize("step", ["createSecret", "setSecret", "testSecret", "finishSecret"])
def test_no_log_of_a_rotation_function_has_a_value(step: str, secrets: SecretsManagerClient) -> None:
    """Its own calls carry values in both directions, and its strategy fails with one in its hands."""
    function = RotationFunction(Strategy(), secrets)
    with everything_logged() as seen:
        log.debug("the witness")
        try:
            function({"Step": step, "SecretId": NAME, "ClientRequestToken": "2" * 32})
        except TimeoutError:
            log.exception("as Lambda logs it")
    assert_unseen(seen.getvalue(), "the witness")


LINES: Mapping[str, tuple[str, ...]] = {
    "announce": ("announce", NAME),
    "announce of no secret": ("announce", "prod/nothing"),
    "status": ("status",),
    "status of a name": ("status", NAME, "--json"),
    "sweep": ("sweep",),
    "doctor": ("doctor",),
    "doctor in JSON": ("doctor", "--json"),
    "watch": ("watch", "--timeout", "0.1"),
    "policy": ("policy", "reader", "--secret", NAME),
    "a command without its table": ("--debug", "status", "--marker-table", "nowhere"),
    "a wrong option": ("--debug", "status", "--nope"),
    "help": ("help", "security"),
    "stack": ("stack", "--template", "-"),
    "demo, without a machine for it": ("demo", "--help"),
    "serve, without a token": ("serve", "--log-level", "debug"),
}


@pytest.mark.parametrize("line", LINES)
def test_no_command_logs_or_prints_a_value(line: str, secrets: SecretsManagerClient) -> None:
    """Every command, at the level DEBUG of the root logger: neither its output nor any log has a value."""
    # Without a token that it could serve with.
    environment = {"AWS_TOKEN": "", "AWS_SESSION_TOKEN": "" if line.startswith("serve") else TOKEN}
    with everything_logged() as seen:
        log.debug("the witness")
        result = CliRunner().invoke(root, LINES[line], env=environment)
    assert_unseen(seen.getvalue() + result.output + str(result.exception), "the witness")
    assert result.output


def test_every_command_has_a_line() -> None:
    """A new command is a new place."""
    assert set(COMMANDS) == {argument for line in LINES.values() for argument in line} & set(COMMANDS)


# What is withheld, and what is not


def test_the_log_of_the_applications_own_calls_is_its_own(service: Service) -> None:
    """botocore's debug records of a call that keyturn does not make are left as they are."""
    cache = SecretCache(marker_table=False)
    cache.get(NAME)
    with everything_logged() as seen:
        boto3.client("secretsmanager").get_secret_value(SecretId=NAME)
    assert CANARY in seen.getvalue()
    assert TOKEN in seen.getvalue()


def test_botocores_warnings_pass(service: Service) -> None:
    """Only records at DEBUG are withheld."""
    with everything_logged() as seen, unseen.Unseen():
        logging.getLogger("botocore.endpoint").info("something to know")
        logging.getLogger("botocore.endpoint").debug("a request")
    assert "something to know" in seen.getvalue()
    assert "a request" not in seen.getvalue()


@pytest.mark.parametrize(
    ("name", "passes"),
    [("botocore.credentials", True), ("urllib3.connection", False), ("urllib3.connectionpool", False)],
)
def test_no_warning_shows_the_error_of_an_answer(name: str, *, passes: bool) -> None:
    """botocore's text is its own. urllib3's quotes the error. It comes from another module in version 1."""
    logger = logging.getLogger(name)
    with everything_logged() as seen, unseen.Unseen():
        logger.debug("a connection")
        try:
            int(CANARY)
        except ValueError as error:
            logger.warning("it failed%s", "" if passes else f": {error}", exc_info=True)
    assert ("it failed" in seen.getvalue()) is passes
    assert ("a connection" in seen.getvalue()) is not passes
    assert CANARY not in seen.getvalue()


@contextmanager
def cut_sts() -> Iterator[str]:
    """An STS that hands credentials out and breaks off: its URL."""
    answer = f"<AssumeRoleWithWebIdentityResponse><SecretAccessKey>{CANARY}</SecretAccessKey><Sess".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 # the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_no_log_has_the_credentials_of_a_broken_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """botocore warns of credentials that it could not refresh, with the whole answer in the error."""
    (tmp_path / "token").write_text("a.web.token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/app")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with cut_sts() as url, everything_logged() as seen:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        log.debug("the witness")
        with pytest.raises(KeyturnError):
            SecretCache(marker_table=False).get(NAME)
    assert "Refreshing temporary credentials failed" in seen.getvalue()
    assert_unseen(seen.getvalue(), "the witness")


def test_logging_may_be_configured_later(service: Service) -> None:
    """`dictConfig` after keyturn's first call does not bring the records back."""
    cache = SecretCache(marker_table=False)
    cache.get(NAME)
    levels = {"botocore.parsers": {"level": "DEBUG"}}
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": levels})
    with everything_logged() as seen:
        log.debug("the witness")
        cache.invalidate(NAME)
        cache.get(NAME)
    assert_unseen(seen.getvalue(), "the witness")
    logging.getLogger("botocore.parsers").setLevel(logging.NOTSET)
