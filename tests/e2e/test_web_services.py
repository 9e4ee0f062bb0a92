"""docs/web-services.md is true: each program runs in several processes, through a rotation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import boto3
import httpx
import pytest

from keyturn.announcing import announce
from keyturn.testing.account import table_definition
from keyturn.testing.embedded import (
    LOCALHOST,
    EmbeddedAws,
    EmbeddedServerError,
    free_port,
    new_folder,
    started,
)
from keyturn.testing.guard import Task
from keyturn.testing.rotation import Rotation, StepFunctions
from tests.docs.checkers import mypy
from tests.docs.pages import ROOT, python_blocks, spans
from tests.servers.others import valkey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

PAGE: Final = "docs/web-services.md"
NAME: Final = "prod/payments"
TABLE: Final = "keyturn-markers"
INTERVAL_S: Final = 1.0
PATIENCE_S: Final = 60.0
CALLERS: Final = 4
ENOUGH: Final = 5
"""So many new answers of each process are looked at."""
SOON_S: Final = 30.0
"""A check interval, a check and a read on a busy machine. Without the table the old copy stays for 300 s."""
FASTAPI, STARLETTE, FLASK, GUNICORN, CELERY = python_blocks("docs/web-services.md")

WHICH_PROCESS: Final = """

import os as _os

_IMPORTED_IN = _os.getpid()
"""
OF_FASTAPI: Final = """

@app.get("/process")
async def _process() -> dict[str, int | str]:
    version = (await cache.get("prod/payments")).version_id
    return {"process": _os.getpid(), "imported in": _IMPORTED_IN, "version": version}
"""
OF_STARLETTE: Final = """

async def _process(request: Request) -> JSONResponse:
    version = (await cache.get("prod/payments")).version_id
    return JSONResponse({"process": _os.getpid(), "imported in": _IMPORTED_IN, "version": version})


app.add_route("/process", _process)
"""
OF_FLASK: Final = """

@app.get("/process")
def _process() -> dict[str, int | str]:
    version = cache.get("prod/payments").version_id
    return {"process": _os.getpid(), "imported in": _IMPORTED_IN, "version": version}
"""
OF_CELERY: Final = """

@app.task
def process() -> dict[str, int | str]:
    version = cache.get("prod/payments").version_id
    return {"process": _os.getpid(), "imported in": _IMPORTED_IN, "version": version}
"""
"""What the test adds to a program: in which process it runs, and in which one it was loaded."""

CELERYCONFIG: Final = """
broker_url = result_backend = "redis://{host}:{port}/0"
broker_connection_retry_on_startup = True
"""
ASKS: Final = """
import json, time
from orders import charge, process

print(charge.delay(3).get(timeout={patience_s}), flush=True)
while True:
    begun_s = time.monotonic()
    print(json.dumps([begun_s, process.delay().get(timeout={patience_s})]), flush=True)
"""
"""A process that has tasks done, one after the other."""


class Answer(NamedTuple):
    """One answer: when its request was begun and over, the process that gave it, and the version there."""

    begun_s: float
    over_s: float
    process: int
    loaded_in: int
    version: str


@dataclass
class Answers:
    """The answers to requests, in the order in which they came."""

    given: list[Answer] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def add(self, begun_s: float, answer: dict[str, object]) -> None:
        process, loaded = answer["process"], answer["imported in"]
        assert isinstance(process, int)
        assert isinstance(loaded, int)
        self.given.append(Answer(begun_s, time.monotonic(), process, loaded, str(answer["version"])))

    def processes(self) -> set[int]:
        return {one.process for one in self.given}

    def with_version(self, version: str) -> dict[int, list[Answer]]:
        """The answers with this version, by the process that gave them."""
        return {
            process: [one for one in self.given if one.process == process and one.version == version]
            for process in self.processes()
        }

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        late_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert [] == self.troubles
            assert time.monotonic() < late_s, self.given[-5:]
            time.sleep(0.02)


@pytest.fixture
def secrets(aws: EmbeddedAws) -> Iterator[SecretsManagerClient]:
    """Secrets Manager with the page's secret, beside an empty marker table."""
    client, tables = boto3.client("secretsmanager"), boto3.client("dynamodb")
    client.create_secret(Name=NAME, SecretString="key-1")
    definition = table_definition()
    tables.create_table(
        TableName=TABLE,
        AttributeDefinitions=definition["AttributeDefinitions"],  # type: ignore[arg-type] # of the template
        KeySchema=definition["KeySchema"],  # type: ignore[arg-type] # of the template
        BillingMode="PAY_PER_REQUEST",
    )
    announce(NAME, marker_table=TABLE)
    yield client
    client.close()
    tables.close()


def rotated(secrets: SecretsManagerClient) -> str:
    """Rotate the secret, announce it, and return the new version's id."""
    rotation = Rotation(secrets, NAME, StepFunctions(secrets, lambda _: "key-2"))
    rotation.run()
    announce(NAME, version_id=rotation.version_id, step="finishSecret", marker_table=TABLE)
    return rotation.version_id


def shown(program: str) -> list[str]:
    """The command of the page that begins with this program, to be run by this Python."""
    commands = (span.content.split() for span in spans(PAGE) if span.type == "code_inline")
    (command,) = (one for one in commands if one[0] == program and len(one) > 2)
    return [sys.executable, "-m", *command]


@contextmanager
def serving(
    aws: EmbeddedAws, command: list[str], files: dict[str, str], is_ready: Callable[[], bool]
) -> Iterator[Path]:
    """Run a server in a new folder with these files; all its processes end with the block."""
    folder = new_folder("keyturn-web-")
    for name, text in files.items():
        quick = f'marker_table="{TABLE}", check_interval_s={INTERVAL_S:g}'
        (folder / name).write_text(text.replace(f'marker_table="{TABLE}"', quick), "utf-8")
    path = f"{ROOT / 'src'}:{folder}"
    environment = {**aws.environment, "PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(folder)}
    guard = started(Task(str(folder), [command], signal.SIGTERM), environment, is_ready)
    try:
        yield folder
    finally:
        guard.stop()


def answers_at(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(url, timeout=PATIENCE_S).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def asking(url: str) -> Iterator[Answers]:
    """Ask all the time, by some callers, each time on a new connection: any process may take it."""
    answers, is_over = Answers(), threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=PATIENCE_S, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            while not is_over.is_set():
                begun_s = time.monotonic()
                try:
                    answers.add(begun_s, client.get(url).raise_for_status().json())
                except httpx.HTTPError as error:
                    answers.troubles.append(repr(error))
                time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def goes_through_a_rotation(answers: Answers, secrets: SecretsManagerClient, *, is_forked: bool) -> None:
    """Two processes answer; each soon has the new version, and from then on no other."""
    answers.wait_for(lambda: len(answers.processes()) == 2)
    assert {is_forked} == {one.process != one.loaded_in for one in answers.given}
    (first,) = {one.version for one in answers.given}
    new = rotated(secrets)
    assert new != first
    rotated_s = time.monotonic()
    answers.wait_for(lambda: all(len(given) >= ENOUGH for given in answers.with_version(new).values()))
    noticed_s = {
        process: min(one.over_s for one in given) for process, given in answers.with_version(new).items()
    }
    assert 2 == len(noticed_s)
    assert max(noticed_s.values()) < rotated_s + SOON_S
    assert {new} == {one.version for one in answers.given if one.begun_s > noticed_s[one.process]}
    assert {first, new} == {one.version for one in answers.given}
    assert [] == answers.troubles


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_asgi_in_two_processes(framework: str, aws: EmbeddedAws, secrets: SecretsManagerClient) -> None:
    """uvicorn's two workers: no request fails, and each process soon has the new version only."""
    program = (
        FASTAPI + WHICH_PROCESS + OF_FASTAPI
        if framework == "fastapi"
        else STARLETTE + WHICH_PROCESS + OF_STARLETTE
    )
    port = free_port()
    origin = f"http://{LOCALHOST}:{port}"
    command = [*shown("uvicorn"), "--host", LOCALHOST, "--port", str(port)]
    with serving(aws, command, {"shop.py": program}, lambda: answers_at(origin + "/charge")):
        version = httpx.get(origin + "/charge", timeout=PATIENCE_S).json()["paid with"]
        if framework == "fastapi":
            assert {"paid back with": version} == httpx.get(origin + "/refund", timeout=PATIENCE_S).json()
        with asking(origin + "/process") as answers:
            goes_through_a_rotation(answers, secrets, is_forked=False)
        assert version != httpx.get(origin + "/charge", timeout=PATIENCE_S).json()["paid with"]


@pytest.mark.parametrize("arguments", ["", ", background=True"])
def test_flask_under_gunicorn(arguments: str, aws: EmbeddedAws, secrets: SecretsManagerClient) -> None:
    """The module is loaded, and its secret read, before the workers are forked; also beside a thread."""
    program = FLASK.replace(f'"{TABLE}")', f'"{TABLE}"{arguments})') + WHICH_PROCESS + OF_FLASK
    assert arguments in program
    port = free_port()
    origin = f"http://{LOCALHOST}:{port}"
    command = [*shown("gunicorn"), "--bind", f"{LOCALHOST}:{port}"]
    files = {"shop.py": program, "gunicorn.conf.py": GUNICORN}
    with serving(aws, command, files, lambda: answers_at(origin + "/charge")):
        version = httpx.get(origin + "/charge", timeout=PATIENCE_S).json()["paid with"]
        with asking(origin + "/process") as answers:
            goes_through_a_rotation(answers, secrets, is_forked=True)
        assert version != httpx.get(origin + "/charge", timeout=PATIENCE_S).json()["paid with"]


def of_celery(program: str, port: int) -> dict[str, str]:
    """The files of Celery's worker and of those who ask it, with a broker at this port."""
    return {
        "orders.py": program,
        "celeryconfig.py": CELERYCONFIG.format(host=LOCALHOST, port=port),
        "asks.py": ASKS.format(patience_s=PATIENCE_S),
    }


def test_celery(aws: EmbeddedAws, secrets: SecretsManagerClient) -> None:
    """The processes of a pool are forked from the one that loaded the module; tasks have the new version."""
    program = CELERY + WHICH_PROCESS + OF_CELERY
    answers, first = Answers(), list[str]()
    with (
        valkey() as port,
        serving(aws, shown("celery"), of_celery(program, port), lambda: True) as where,
    ):
        environment = {**aws.environment, "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}:{where}"}
        asks = [
            subprocess.Popen(
                [sys.executable, "asks.py"], cwd=where, env=environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]

        def listen(process: subprocess.Popen[str]) -> None:
            assert process.stdout is not None
            first.append(process.stdout.readline())
            for line in process.stdout:
                begun_s, answer = json.loads(line)
                answers.add(begun_s, answer)

        threads = [threading.Thread(target=listen, args=(one,)) for one in asks]
        for thread in threads:
            thread.start()
        try:
            goes_through_a_rotation(answers, secrets, is_forked=True)
        finally:
            for one in asks:
                one.terminate()
                one.wait()
            for thread in threads:
                thread.join()
            for one in asks:
                assert one.stdout is not None
                one.stdout.close()
    assert all(line.startswith("3 paid with ") for line in first)


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_without_its_secret_no_server_starts(server: str, aws: EmbeddedAws) -> None:
    """The secret is not there: the server ends, and its log says which secret that is."""
    files = {"shop.py": FASTAPI if server == "uvicorn" else FLASK}
    with (
        pytest.raises(EmbeddedServerError, match=f"{NAME}.* was not found"),
        serving(aws, [*shown(server), "--workers", "1"], files, lambda: False),
    ):
        pass


def test_the_programs_pass_a_strict_check(tmp_path: Path) -> None:
    """mypy --strict has nothing to say of the page's programs. Celery's package has no types."""
    programs = {
        "with_fastapi.py": FASTAPI,
        "with_starlette.py": STARLETTE,
        "shop.py": FLASK,
        "conf.py": GUNICORN,
    }
    said = mypy(tmp_path, programs)
    assert 0 == said.returncode, said.stdout
