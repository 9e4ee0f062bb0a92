"""A stand-in for the AWS Parameters and Secrets Lambda Extension on 127.0.0.1.

It speaks what is documented and seen of it: paths, queries, token header, JSON of a secret, a cache
with a TTL under each query, and refusals by status and text. Behind it is `FakeSecretsManager`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from keyturn.aws.extension import ExtensionSettings, ExtensionSource
from keyturn.aws.extension_parameters import ExtensionParameters
from keyturn.errors import SecretError, SecretNotFoundError, StageNotFoundError
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeSecretsManager
from tests.serving import answering

TOKEN = "the-token-of-this-environment"
SAID = {
    StageNotFoundError: "Secrets Manager can't find the specified secret value for staging label",
    SecretNotFoundError: "Secrets Manager can't find the specified secret.",
}
"""What AWS says, where the extension passes it on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `length`: another Content-Length than the body's."""

    status: int
    body: bytes
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A parameter: its values, of version 1 on, and labels of versions."""

    type: str
    values: tuple[str, ...]
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Extension:
    """The extension of one environment. `explains`: whether a refusal says AWS's reason.

    `instead`: answers given before anything is looked at, first in first out.
    """

    secrets: FakeSecretsManager
    ttl_s: float = 0.0
    explains: bool = True
    port: int = 0
    instead: list[Answer] = field(default_factory=list)
    parameters: dict[str, Stored] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    peers: set[tuple[str, int]] = field(default_factory=set)
    _cached: dict[str, tuple[float, Answer]] = field(default_factory=dict)

    def answer(self, target: str, token: str | None) -> Answer:
        self.requests.append(target)
        if self.instead:
            return self.instead.pop(0)
        if token != TOKEN:
            return Answer(401, b"")
        held = self._cached.get(target)
        if held is not None and self.secrets.clock.wall_s < held[0]:
            return held[1]
        answer = self._asked(target)
        if answer.status == 200:
            self._cached[target] = (self.secrets.clock.wall_s + self.ttl_s, answer)
        return answer

    def _asked(self, target: str) -> Answer:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, strict_parsing=True))
        if parts.path == "/systemsmanager/parameters/get":
            return self._parameter(**query)
        if parts.path != "/secretsmanager/get":
            return Answer(404, b"404 page not found")
        pinned = query.pop("versionId", None)
        try:
            version = self.secrets.read(
                query.pop("secretId"), stage=query.pop("versionStage"), version_id=pinned
            )
        except SecretError as error:
            return self._refusal(error)
        assert not query
        return Answer(200, body_of(version))

    def _parameter(
        self, name: str, withDecryption: str, version: str | None = None, label: str | None = None
    ) -> Answer:
        stored = self.parameters.get(name)
        if stored is None:
            return self._no("GetParameter", "ParameterNotFound: ")
        number = stored.labels.get(label, 0) if label else int(version or len(stored.values))
        if not 1 <= number <= len(stored.values):
            return self._no(
                "GetParameter", "ParameterVersionNotFound: Systems Manager could not find version"
            )
        value = stored.values[number - 1]
        told = {
            "ARN": f"arn:aws:ssm:us-east-1:111122223333:parameter/{name.lstrip('/')}",
            "DataType": "text",
            "LastModifiedDate": "2023-12-28T14:57:31.359Z",
            "Name": name,
            "Selector": None,
            "SourceResult": None,
            "Type": stored.type,
            "Value": f"cipher({value})"
            if (stored.type, withDecryption) == ("SecureString", "false")
            else value,
            "Version": number,
        }
        return Answer(200, json.dumps({"Parameter": told, "ResultMetadata": {}}).encode())

    def _no(self, call: str, error: str) -> Answer:
        if not self.explains:
            return Answer(400, b"an unexpected error occurred while executing request")
        return Answer(400, f"operation error: {call}, api error {error}".encode())

    def _refusal(self, error: SecretError) -> Answer:
        return self._no("GetSecretValue", f"ResourceNotFoundException: {SAID[type(error)]}")

    def settings(self, timeout_s: float = 5.0) -> ExtensionSettings:
        return ExtensionSettings(self.port, self.ttl_s, self.ttl_s, timeout_s, timeout_s)

    def source(self, slept: list[float] | None = None, token: str = TOKEN) -> ExtensionSource:
        """A source that reads through this extension, and notes what it would have slept."""
        return ExtensionSource(
            self.settings(), token=lambda: token, sleep=([] if slept is None else slept).append
        )

    def parameter_source(self, *, decrypt: bool = True) -> ExtensionParameters:
        """The same for parameters."""
        return ExtensionParameters(
            self.settings(), decrypt=decrypt, token=lambda: TOKEN, sleep=lambda _: None
        )


def body_of(version: SecretVersion) -> bytes:
    """The extension's JSON: ISO dates, base64, null for the kind that it is not."""
    created = datetime.fromtimestamp(version.created_s or 0, UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "ARN": version.arn,
            "CreatedDate": created.replace("+00:00", "Z"),
            "Name": version.name,
            "SecretBinary": None if version.binary is None else b64encode(version.binary).decode(),
            "SecretString": version.string,
            "VersionId": version.version_id,
            "VersionStages": sorted(version.stages),
            "ResultMetadata": {},
        }
    ).encode()


@contextmanager
def serving(extension: Extension) -> Iterator[Extension]:
    """The extension on a free port, until the end."""
    with listening(extension.answer, extension.peers) as port:
        extension.port = port
        yield extension


@contextmanager
def listening(
    answer_to: Callable[[str, str | None], Answer], peers: set[tuple[str, int]] | None = None
) -> Iterator[int]:
    """The port on which GETs are answered, by target and token, until the end; `peers` collects callers."""

    class Handler(BaseHTTPRequestHandler):
        # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
        wbufsize = -1

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if peers is not None:
                peers.add(self.client_address)
            answer = answer_to(self.path, self.headers.get("X-Aws-Parameters-Secrets-Token"))
            self.send_response(answer.status)
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.length is not None

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield server.server_port
