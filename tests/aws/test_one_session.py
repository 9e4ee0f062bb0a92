"""The clients that keyturn makes share one session: credentials are looked for once, whatever is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from keyturn import ParameterAccessDeniedError, Peers, SecretCache
from keyturn.testing.fakes import FakeClock
from tests.serving import answering

CREDENTIALS = {
    "AccessKeyId": "AKIAEXAMPLE",
    "SecretAccessKey": "made-up",
    "Token": "made-up",
    "Expiration": "2099-01-01T00:00:00Z",
}
SECRET = {
    "ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf",
    "Name": "prod/db",
    "VersionId": "v1",
    "VersionStages": ["AWSCURRENT"],
    "SecretString": "one",
}


class Aws(BaseHTTPRequestHandler):
    """Gives out credentials and one secret, and refuses everything else."""

    # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
    wbufsize = -1

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked["credentials"] += 1
        self._answer(200, CREDENTIALS)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        self.asked[operation] += 1
        if operation == "GetSecretValue":
            self._answer(200, SECRET)
        else:
            self._answer(400, {"__type": "AccessDeniedException", "message": "no"})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    """The address of such a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_credentials_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret, the marker table and a parameter: three clients, one look at the credentials' endpoint."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with served() as address:
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/credentials")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, "/nowhere")
        clock = FakeClock()
        cache = SecretCache(marker_table="markers", peers=Peers(clock=clock))
        assert "one" == cache.get_secret_string("prod/db")
        clock.advance(6)
        cache.get("prod/db")
        with pytest.raises(ParameterAccessDeniedError):
            cache.get_parameter("/app/a")
    assert {"credentials": 1, "GetSecretValue": 1, "GetItem": 1, "GetParameter": 1} == Aws.asked
