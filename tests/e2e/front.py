"""One address for several emulated accounts, as AWS's own addresses are: a request goes to its account."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from keyturn.testing.embedded import LOCALHOST, EmbeddedAws

TOKEN: Final = "X-Amz-Security-Token"  # the name of a header
TIMEOUT_S: Final = 30


class Asked(NamedTuple):
    """One request to a table: where, which call, which item, and how consistent."""

    account: str
    region: str
    operation: str
    key: str
    consistent: bool


class Front(ThreadingHTTPServer):
    """Passes each request on to the emulator of its account, and notes the reads of tables.

    The account is that of the role which the request's credentials come from, else `home`. `denied` and
    `hung` have the accounts and Regions whose tables refuse every call, or do not answer.
    """

    daemon_threads = True

    def __init__(self, home: str, accounts: Mapping[str, EmbeddedAws]) -> None:
        super().__init__((LOCALHOST, 0), _Passing)
        self.home = home
        self.accounts = accounts
        self.asked: list[Asked] = []
        self.denied: set[tuple[str, str]] = set()
        self.hung: set[tuple[str, str]] = set()
        self.answers = threading.Event()
        self.account_of_key: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a process of the home account."""
        return self.accounts[self.home].environment | {
            "AWS_ENDPOINT_URL": f"http://{LOCALHOST}:{self.server_port}"
        }

    @contextmanager
    def open(self) -> Iterator[None]:
        """For the time in which it passes requests on."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.answers.set()
            self.shutdown()
            self.server_close()
            thread.join()


class _Passing(BaseHTTPRequestHandler):
    server: Front

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key, _, region, service, *_ = self.headers["Authorization"].split("Credential=")[1].split("/")
        account = self.server.account_of_key.get(key, self.server.home)
        if service == "sts":
            account = parse_qs(body.decode())["RoleArn"][0].split(":")[4]
        if service == "dynamodb":
            self._note(account, region, json.loads(body))
            if (account, region) in self.server.hung:
                self.server.answers.wait(TIMEOUT_S)
            if (account, region) in self.server.denied:
                self._answer(
                    400, json.dumps({"__type": "AccessDeniedException", "message": "no"}).encode(), {}
                )
                return
        status, answer, headers = self._passed(self.server.accounts[account], body, is_new=service == "sts")
        if service == "sts":
            given = answer.decode().split("<AccessKeyId>")[1].split("<")[0]
            self.server.account_of_key[given] = account
        self._answer(status, answer, headers)

    def _note(self, account: str, region: str, request: Mapping[str, object]) -> None:
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        key = json.dumps(request.get("Key", ""))
        consistent = bool(request.get("ConsistentRead")) or operation != "GetItem"
        self.server.asked.append(Asked(account, region, operation, key, consistent))

    def _passed(self, aws: EmbeddedAws, body: bytes, *, is_new: bool) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        if is_new:
            # The emulator of another account knows its own token only.
            headers[TOKEN] = aws.environment["AWS_SESSION_TOKEN"]
        connection = http.client.HTTPConnection(LOCALHOST, aws.port, timeout=TIMEOUT_S)
        with closing(connection):
            connection.request("POST", self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
