"""One warm process of the fleet: reads the secret its own way and logs in to the database, all the time."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import boto3
import psycopg

from keyturn.demo.contenders import CONTENDERS, Surroundings
from keyturn.demo.records import Kind, Record

REFUSED = "password authentication failed"


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told. Where AWS is and who it is there stand in its environment."""

    worker: str
    contender: str
    secret_id: str
    marker_table: str
    login_interval_s: float


def work(job: Job, fleet: Connection) -> None:
    """Log in every `login_interval_s` until the fleet closes its end of the pipe, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(job, fleet)
    try:
        while not fleet.poll(job.login_interval_s):
            worker.log_in()
    except (BrokenPipeError, ConnectionResetError):
        return


class Worker:
    """Tries logins with what its contender reads, and records what happens."""

    def __init__(self, job: Job, fleet: Connection) -> None:
        self._name = job.worker
        self._fleet = fleet
        self._held = ""
        secrets_manager, dynamodb = boto3.client("secretsmanager"), boto3.client("dynamodb")
        for client in (secrets_manager, dynamodb):
            client.meta.events.register("before-send", self._called)
        around = Surroundings(secrets_manager, dynamodb, job.secret_id, job.marker_table)
        self._reader = CONTENDERS[job.contender].start(around)

    def log_in(self) -> None:
        """One login; a second one if the first is refused and the contender reads again."""
        if not self._try(self._reader.read()) and self._reader.again is not None:
            self._try(self._reader.again())

    def _try(self, text: str) -> bool:
        secret = json.loads(text)
        label = str(secret["label"])
        if label != self._held:
            self._held = label
            self._record("held", label)
        self._record("login", label)
        try:
            psycopg.connect(
                host=secret["host"],
                port=secret["port"],
                dbname=secret["dbname"],
                user=secret["username"],
                password=secret["password"],
                connect_timeout=5,
            ).close()
        except psycopg.OperationalError as error:
            if REFUSED not in str(error):
                raise
            self._record("refused", label)
            return False
        return True

    def _called(self, event_name: str, **_request: object) -> None:
        self._record("call", event_name.rpartition(".")[2])

    def _record(self, kind: Kind, what: str) -> None:
        self._fleet.send(Record(self._name, kind, time.monotonic(), what))
