"""`keyturn serve` as a process of its own, behind the whole chain, used from Node."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest

from keyturn.assembly import marker_table
from keyturn.demo.stage import Stack
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT
from keyturn.testing.embedded import EmbeddedAws, free_port
from keyturn.testing.rotation import Rotation, StepFunctions
from tests.e2e.node import Node, installed
from tests.testing.processes import eventually, heed_interrupts, temporary_folder

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

CHECK_INTERVAL_S = 0.5
NOTICED_WITHIN_S = CHECK_INTERVAL_S + 1
START_TIMEOUT_S = 30
NAME = "prod/db"
TOKEN = "canary-token-of-the-tests"
AUTHORIZED = {"X-Aws-Parameters-Secrets-Token": TOKEN}
NOBODY = 65534
CLIENTS = ("fetch", "axios")


class Server:
    """A running `keyturn serve`, its port and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int = 0) -> None:
        self._log = log
        self.process = process
        self.port = port or self._started()
        # A log of warnings alone does not say when it has started.
        assert not port or eventually(self._is_up, START_TIMEOUT_S)

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def get(self, target: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One request on a connection of its own."""
        origin = f"http://127.0.0.1:{self.port}"
        return httpx.get(origin + target, headers=AUTHORIZED if headers is None else headers)

    def _is_up(self) -> bool:
        try:
            return self.get("/ping").status_code == 200
        except httpx.ConnectError:
            return False

    def _started(self) -> int:
        late_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < late_s and self.process.poll() is None:
            ready = re.search(r"serving on (?:http://localhost:(\d+)|the unix socket)", self.log)
            if ready is not None:
                return int(ready[1] or 0)
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.log}")


COMMAND = (sys.executable, "-m", "keyturn.cli", "serve")
ON_A_PORT = ("--port", "0")


@contextmanager
def running(log: Path, *options: str, port: int = 0, **environment: str) -> Iterator[Server]:
    """A server, on a free port unless the options say otherwise, ended at the end of the block."""
    command = [*COMMAND, *(options or ON_A_PORT)]
    settings = {"KEYTURN_CHECK_INTERVAL_S": str(CHECK_INTERVAL_S), "AWS_TOKEN": TOKEN}
    with log.open("wb") as output, ExitStack() as ending:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings, **environment},
            stderr=output,
            stdin=subprocess.DEVNULL,
            preexec_fn=heed_interrupts,  # noqa: PLW1509 # no threads here
        )
        ending.callback(process.wait, 10)
        ending.callback(process.terminate)
        yield Server(process, log, port)


@pytest.fixture
def server(stack: Stack, client: SecretsManagerClient, tmp_path: Path) -> Iterator[Server]:
    """A server in an account with the deployed listener and one secret."""
    client.create_secret(Name=NAME, SecretString="one")
    with running(tmp_path / "log", KEYTURN_MARKER_TABLE=stack.marker_table) as started:
        yield started


@pytest.fixture(scope="session")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node handlers with axios."""
    return installed(tmp_path_factory.mktemp("node"))


@pytest.fixture
def node(server: Server, handlers: Path) -> Iterator[Node]:
    """A warm Node process that knows port and token from the extension's variables."""
    environment = {
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(server.port),
        "AWS_SESSION_TOKEN": TOKEN,
    }
    with Node(handlers, environment) as process:
        yield process


def rotate(client: SecretsManagerClient, stack: Stack, suffix: str) -> None:
    """One whole rotation; returns when its event has moved the marker."""
    turn = Rotation(client, NAME, StepFunctions(client, lambda current: current + suffix))
    turn.run()
    key = secret_key(client.describe_secret(SecretId=NAME)["ARN"], NAME)
    table = marker_table(stack.marker_table, boto3.client("dynamodb"))

    def has_moved() -> bool:
        marker = table.read_markers([key]).found.get(key)
        return marker is not None and marker.stages.get(AWSCURRENT) == turn.version_id

    assert eventually(has_moved, timeout_s=20)


def within(node: Node, seconds: float, value: str, **event: object) -> bool:
    """Whether the handler comes to use this value in time."""
    late_s = time.monotonic() + seconds
    while (answer := node.ask(**event)) != {"value": value} and time.monotonic() < late_s:
        time.sleep(0.05)
    return answer == {"value": value}


def test_node_follows_a_rotation(node: Node, client: SecretsManagerClient, stack: Stack) -> None:
    """fetch and axios get the new value a check interval (and a busy second) after the marker has moved."""
    assert [node.ask(**{"with": one}, secret=NAME) for one in CLIENTS] == [{"value": "one"}] * 2
    rotate(client, stack, "'")
    # The first event starts the listener's process, which keeps the emulated table from answering.
    assert within(node, 20, "one'", **{"with": "fetch"}, secret=NAME)
    rotate(client, stack, "'")
    for one in CLIENTS:
        assert within(node, NOTICED_WITHIN_S, "one''", **{"with": one}, secret=NAME)


def test_node_reads_a_parameter(node: Node, session: boto3.Session) -> None:
    """fetch and axios read a SecureString of a hierarchy, decrypted."""
    session.client("ssm").put_parameter(Name="/app/environment/api-key", Value="key", Type="SecureString")
    asked = [node.ask(**{"with": one}, parameter="/app/environment/api-key") for one in CLIENTS]
    assert asked == [{"value": "key"}] * 2


@pytest.mark.parametrize("one", CLIENTS)
def test_node_is_told_of_each_mistake(node: Node, one: str) -> None:
    """No token, a wrong one, an unknown secret, a bad version, a proxy: each has its status."""
    target = "/secretsmanager/get?secretId=prod%2Fdb"
    header = "X-Aws-Parameters-Secrets-Token"
    mistakes: dict[str, dict[str, object]] = {
        "wrong token": {"target": target, "headers": {header: "wrong"}},
        "empty token": {"target": target, "headers": {header: ""}},
        "forwarded": {"target": target, "headers": {"X-Forwarded-For": "10.0.0.1"}},
        "unknown secret": {"secret": "prod/nothing"},
        "unknown parameter name": {"parameter": "/prod/nothing"},
        "unencoded": {"target": "/systemsmanager/parameters/get?name=/a/b?withDecryption=true"},
        "unknown version": {"secret": NAME, "query": f"&versionId={32 * '0'}"},
        "unknown parameter": {"secret": NAME, "query": "&verion=1"},
        "wrong path": {"target": "/secretmanager/get?secretId=prod%2Fdb"},
    }
    answers = {what: node.ask(**{"with": one} | event) for what, event in mistakes.items()}
    assert {what: answer.get("status") for what, answer in answers.items()} == {
        "wrong token": 401,
        "empty token": 401,
        "forwarded": 400,
        "unknown secret": 400,
        "unknown parameter name": 400,
        "unencoded": 400,
        "unknown version": 400,
        "unknown parameter": 400,
        "wrong path": 404,
    }
    assert "ResourceNotFoundException" in str(answers["unknown secret"]["body"])
    assert answers["forwarded"]["body"] == "Forwarded"


def test_encoded_ids_survive_the_network(server: Server, client: SecretsManagerClient) -> None:
    """A name with encoded slashes and an ARN are found in the query and in the path."""
    arn = client.describe_secret(SecretId=NAME)["ARN"]
    for secret_id in (NAME, "prod%2Fdb", "prod%2fdb", arn, arn.replace(":", "%3A").replace("/", "%2F")):
        by_query = server.get(f"/secretsmanager/get?secretId={secret_id}")
        by_path = server.get(f"/v1/{secret_id}")
        assert ["one", "one"] == [by_query.json()["SecretString"], by_path.json()["SecretString"]]


def test_it_can_be_reached_from_this_host_alone(server: Server) -> None:
    """Nothing listens on the port at an address that other hosts could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        own_address = probe.getsockname()[0]
    assert own_address != "127.0.0.1"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{own_address}:{server.port}/ping")


@contextmanager
def half_sent(port: int, connections: int, output: Path) -> Iterator[Callable[[], int]]:
    """An attacker with half a request on each of so many connections. Yields how many it has opened."""
    command = [sys.executable, str(Path(__file__).with_name("half_sent.py")), str(port), str(connections)]

    def opened() -> int:
        *_, last = ["0", *output.read_text().split("\n")[:-1]]
        return int(last)

    with output.open("wb") as written, subprocess.Popen(command, stdout=written) as process:
        try:
            assert eventually(lambda: opened() >= connections, timeout_s=START_TIMEOUT_S)
            yield opened
        finally:
            process.terminate()


ATTACK_S = 15
ATTACKING = 1_200
LOG_BYTES_MAX = 50_000


def test_half_sent_requests_starve_nobody(server: Server, tmp_path: Path) -> None:
    """Beside 1,200 connections with half a request each, callers, old and new, and /ping are answered.

    Mostly within a second, for longer than a head may take; and the log stays below 50 kB.
    """
    assert server.get(f"/v1/{NAME}").status_code == 200
    before = len(server.log)
    origin = f"http://127.0.0.1:{server.port}"
    waits: list[float] = []
    with (
        half_sent(server.port, ATTACKING, tmp_path / "opened") as opened,
        httpx.Client(base_url=origin) as kept,
    ):
        asks: list[Callable[[], httpx.Response]] = [
            lambda: server.get(f"/v1/{NAME}"),
            lambda: server.get("/ping", {}),
            lambda: kept.get(f"/v1/{NAME}", headers=AUTHORIZED),
        ]
        late_s = time.monotonic() + ATTACK_S
        while time.monotonic() < late_s:
            for ask in asks:
                started_s = time.monotonic()
                assert ask().status_code == 200
                waits.append(time.monotonic() - started_s)
            time.sleep(0.05)
        # Those whose time was over were opened anew.
        assert opened() > ATTACKING
    assert len(waits) > 2 * ATTACK_S
    assert sorted(waits)[len(waits) * 9 // 10] < 1
    # On a busy machine the first answer beside so many new connections may take a little longer.
    assert max(waits) < 4
    assert len(server.log) - before < LOG_BYTES_MAX
    assert "connections were closed: they sent no whole request in time" in server.log
    assert "Traceback" not in server.log


def test_too_few_descriptors_are_told(aws: EmbeddedAws) -> None:
    """It does not start with a limit that it could not hold, and says which it could."""
    assert aws.port

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))

    ended = subprocess.run(
        [*COMMAND, *ON_A_PORT],
        env=os.environ | {"AWS_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_TIMEOUT_S,
        preexec_fn=few,
    )
    assert ended.returncode == 2
    assert "800 connections need" in ended.stderr
    assert "--max-connections" in ended.stderr


def test_a_huge_request_is_refused(server: Server) -> None:
    """A megabyte of headers is not even kept."""
    with socket.create_connection(("127.0.0.1", server.port)) as asked, suppress(ConnectionError):
        asked.sendall(f"GET /v1/{NAME} HTTP/1.1\r\nX-Vault-Token: {TOKEN}\r\nX-Large: ".encode())
        asked.sendall(1_000_000 * b"a" + b"\r\n\r\n")
        assert asked.recv(65536).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert server.get(f"/v1/{NAME}").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_and_answers_first(aws: EmbeddedAws, tmp_path: Path, number: int) -> None:
    """A signal ends it within seconds; a request under way is still answered; no traceback is left."""
    assert aws.port
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        address = f"http://127.0.0.1:{stalled.getsockname()[1]}"
        with running(tmp_path / "log", AWS_ENDPOINT_URL=address) as server:
            asked = socket.create_connection(("127.0.0.1", server.port))
            asked.sendall(
                f"GET /v1/{NAME} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {TOKEN}\r\n\r\n".encode()
            )
            connection, _ = stalled.accept()
            server.process.send_signal(number)
            time.sleep(0.3)
            assert server.process.poll() is None
            body = b'{"__type":"ResourceNotFoundException","message":"none"}'
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.recv(65536)
            connection.sendall(head.encode() + body)
            assert asked.recv(65536).startswith(b"HTTP/1.1 400")
            asked.close()
            connection.close()
            assert server.process.wait(10) in (-number, 128 + number)
            assert "Traceback" not in server.log


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_log_has_no_secret(
    aws: EmbeddedAws, client: SecretsManagerClient, session: boto3.Session, tmp_path: Path, level: str
) -> None:
    """Neither a value, nor the token, nor credentials are in what is written, at any level of the log."""
    client.create_secret(Name=NAME, SecretString="canary-secret-value")
    session.client("ssm").put_parameter(Name="/prod/canary", Value="canary-value", Type="SecureString")
    options = ("--port", str(port := free_port()), "--log-level", level)
    with running(tmp_path / "log", *options, port=port) as server:
        assert server.get(f"/v1/{NAME}").json()["SecretString"] == "canary-secret-value"
        assert server.get(f"/v1/{NAME}?refreshNow=true").status_code == 200
        found = server.get("/systemsmanager/parameters/get?name=/prod/canary&withDecryption=true")
        assert found.json()["Parameter"]["Value"] == "canary-value"
        server.get("/v1/prod/nothing")
        server.get(f"/v1/{NAME}", {"X-Vault-Token": "canary-wrong"})
        server.get(f"/v1/{NAME}", AUTHORIZED | {"Host": "canary.example"})
        with socket.create_connection(("127.0.0.1", server.port)) as asked:
            asked.sendall(b"canary\r\n\r\n")
            assert asked.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert ("ResourceNotFound" in server.log) == (level != "error")
    assert ("DEBUG keyturn.serve /v1/...: 200" in server.log) == (level == "debug")
    assert "canary" not in server.log
    # The embedded AWS answers these credentials only, which are new at each start.
    for name in ("AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        assert aws.environment[name] not in server.log
    assert not re.search(r"botocore|urllib3|uvicorn|asyncio", server.log)


def asked_by(user: int | None, path: Path) -> str:
    """What a process of this user gets over the unix socket: the status, or the kind of the error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Another program could not be run: this one's folder may be closed to that user.
        try:
            if user is not None:
                os.setgroups([])
                os.setresuid(user, user, user)
            with socket.socket(socket.AF_UNIX) as asked:
                asked.connect(str(path))
                asked.sendall(f"GET /v1/{NAME} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                said = asked.recv(65536).decode().split(" ")[1]
        except (OSError, IndexError) as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


CLOSED = ("ConnectionResetError", "IndexError", "BrokenPipeError")


def ports_of(pid: int) -> int:
    """The number of TCP sockets of a process that listen."""
    own = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()
    ]
    return sum(line[3] == "0A" and f"socket:[{line[9]}]" in own for line in lines)


def test_a_unix_socket_asks_the_kernel_who_calls(client: SecretsManagerClient, tmp_path: Path) -> None:
    """Its own user needs no token, others are not answered; no port is open; the file goes away."""
    client.create_secret(Name=NAME, SecretString="one")
    with temporary_folder() as folder:
        path = folder / "serve.sock"
        options = ("--uds", str(path), "--allow", "prod/*")
        with running(tmp_path / "log", *options, AWS_TOKEN="") as server:
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
            assert asked_by(None, path) == "200"
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(transport=transport, base_url="http://localhost") as caller:
                assert caller.get(f"/v1/{NAME}").json()["SecretString"] == "one"
                assert caller.get("/v1/dev/db").status_code == 400
                assert caller.get("/ping").text == "healthy"
            assert ports_of(server.process.pid) == 0
            if os.geteuid() == 0:
                assert asked_by(NOBODY, path) == "PermissionError"
        assert not path.exists()
        if os.geteuid() == 0:
            with running(tmp_path / "log", *options, "--allow-uid", str(NOBODY), AWS_TOKEN=""):
                assert asked_by(NOBODY, path) == "200"
                assert asked_by(None, path) == "200"
                assert asked_by(NOBODY + 1, path) in CLOSED


def test_a_replaced_token_is_the_token(client: SecretsManagerClient, tmp_path: Path) -> None:
    """A server takes the token that is put into its file, at once, and the old one no more."""
    client.create_secret(Name=NAME, SecretString="one")
    file, new = tmp_path / "token", tmp_path / "new"
    file.write_text(TOKEN)
    with running(tmp_path / "log", AWS_TOKEN=f"file://{file}") as server:
        assert server.get(f"/v1/{NAME}").status_code == 200
        time.sleep(0.1)
        new.write_text("canary-token-after-that")
        new.replace(file)
        assert server.get(f"/v1/{NAME}", {"X-Vault-Token": "canary-token-after-that"}).status_code == 200
        assert server.get(f"/v1/{NAME}").status_code == 403
        file.write_text("")
        time.sleep(1.1)
        assert server.get(f"/v1/{NAME}", {"X-Vault-Token": "canary-token-after-that"}).status_code == 200
        assert "the token is as before, since" in server.log
        assert "canary" not in server.log
