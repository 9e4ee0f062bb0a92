"""One warm process of the fleet. It logs in to the database in its own way, again and again."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import boto3
import psycopg

from keyturn import LoginRefusedError
from keyturn.demo.contenders import CONTENDERS, Surroundings
from keyturn.demo.records import Kind, Record
from keyturn.login.refusals import is_refused


@dataclass(frozen=True, slots=True)
class Job:
    """The instructions for a worker. Its environment variables have the address and credentials of AWS."""

    worker: str
    contender: str
    secret_id: str
    marker_table: str
    login_interval_s: float


def work(job: Job, fleet: Connection) -> None:
    """Log in every `login_interval_s` until the fleet closes its end of the pipe, or has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(job, fleet)
    try:
        while not fleet.poll(job.login_interval_s):
            worker.log_in()
    except (BrokenPipeError, ConnectionResetError):
        return


class Worker:
    """Logs in as its contender does, and records the server's answers and the outcome for the user."""

    def __init__(self, job: Job, fleet: Connection) -> None:
        self._name = job.worker
        self._fleet = fleet
        self._held = ""
        secrets_manager, dynamodb = boto3.client("secretsmanager"), boto3.client("dynamodb")
        for client in (secrets_manager, dynamodb):
            client.meta.events.register("before-send", self._called)
        around = Surroundings(secrets_manager, dynamodb, job.secret_id, job.marker_table)
        self._login = CONTENDERS[job.contender].start(around)

    def log_in(self) -> None:
        """Log in once. The login counts as failed only if its last attempt was refused."""
        try:
            self._login(self._connect)
        except LoginRefusedError:
            self._record("failed", self._held)
        except psycopg.OperationalError as error:
            if not is_refused(error):
                raise
            self._record("failed", self._held)
        else:
            self._record("login", self._held)

    def _connect(self, text: str) -> None:
        secret = json.loads(text)
        label = str(secret["label"])
        if label != self._held:
            self._held = label
            self._record("held", label)
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
            if is_refused(error):
                self._record("refused", label)
            raise

    def _called(self, event_name: str, **_request: object) -> None:
        self._record("call", event_name.rpartition(".")[2])

    def _record(self, kind: Kind, what: str) -> None:
        self._fleet.send(Record(self._name, kind, time.monotonic(), what))
