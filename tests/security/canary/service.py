"""Secrets Manager, Parameter Store and DynamoDB over real HTTP, as far as a reader uses them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.security.canary.watched import BYTES, CANARY
from tests.serving import answering

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
PARAMETER_ARN = "arn:aws:ssm:eu-west-1:111122223333:parameter/prod/key"
VALUE = json.dumps({"username": "app", "password": CANARY, "host": "127.0.0.1", "port": 1, "deep": [CANARY]})


@dataclass
class Service:
    """What it answers: in the mode "fine" as AWS does; else as the mode says. `asked` are the operations."""

    url: str
    mode: str = "fine"
    value: str = field(default=VALUE, repr=False)
    versions: int = 1
    asked: list[str] = field(default_factory=list)

    def answer(self, operation: str, request: Mapping[str, object]) -> tuple[int, bytes]:
        """Return the status and the body."""
        self.asked.append(operation)
        match self.mode:
            case "denied":
                return 400, _json({"__type": "AccessDeniedException", "Message": "not allowed"})
            case "broken":
                return 200, self.value.encode()[:-1]
            case "no text":
                return 200, b'{"SecretString": "' + BYTES + b'"}'
            case "a web page":
                return 503, f"<html>{CANARY}</html>".encode()
        return 200, _json(getattr(self, operation)(request))

    def GetSecretValue(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802 # AWS's name
        is_blob = str(request["SecretId"]).endswith("blob")
        return {
            "ARN": ARN.replace("db", "blob") if is_blob else ARN,
            "Name": str(request["SecretId"]),
            "VersionId": f"version-number-{self.versions:020d}",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": 1_790_000_000 + self.versions,
            **(
                {"SecretBinary": base64.b64encode(BYTES).decode()}
                if is_blob
                else {"SecretString": self.value}
            ),
        }

    def DescribeSecret(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802
        labels = {f"version-number-{self.versions:020d}": ["AWSCURRENT"]}
        return {"ARN": ARN, "Name": str(request["SecretId"]), "VersionIdsToStages": labels}

    def GetParameter(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802
        return {"Parameter": self._parameter(str(request["Name"]))}

    def GetParameters(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802
        return {"Parameters": [self._parameter("/prod/key")], "InvalidParameters": []}

    def GetParametersByPath(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802
        return {"Parameters": [self._parameter("/prod/key")]}

    def _parameter(self, name: str) -> dict[str, object]:
        return {
            "ARN": PARAMETER_ARN,
            "Name": name,
            "Type": "SecureString",
            "Value": CANARY,
            "Version": self.versions,
            "LastModifiedDate": 1_790_000_000,
            "DataType": "text",
        }

    def GetItem(self, request: Mapping[str, object]) -> dict[str, object]:  # noqa: N802
        return {}


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


FRAMES = {
    "no lengths of chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no status line": b"",
    "no end of the headers": b"HTTP/1.1 200 OK\r\nno header ",
}
"""What stands before the body in an answer whose frame is broken."""


@contextmanager
def serving() -> Iterator[Service]:
    """Serve on a free port of this host."""

    class Handler(BaseHTTPRequestHandler):
        # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
        wbufsize = -1

        service: ClassVar[Service]

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.service.mode == "hangs up":
                self.close_connection = True
                return
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, answer = self.service.answer(operation, json.loads(body))
            if self.service.mode in FRAMES:
                self.wfile.write(FRAMES[self.service.mode] + answer)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.service = Service(f"http://127.0.0.1:{server.server_port}")
    with answering(server):
        yield Handler.service
