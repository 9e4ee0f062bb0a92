"""Whole answers of AWS, with every field, `ResponseMetadata` and HTTP headers, without an AWS account.

`answer` makes the body of one call. `canned` puts it under a real boto3 client, so that the client does all
its own work except the network. `endpoint` serves it over HTTP on 127.0.0.1 from a process of its own,
together with one secret in the form of the Parameters and Secrets Extension.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, uuid5

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from keyturn.markers.schema import marker_of
from keyturn.model.slots import ENTRY_MAX, SLOTS, key_hash, packed, slot_of
from keyturn.testing.embedded import LOCALHOST, REGION

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

NAME: Final = "prod/orders/database"
TABLE: Final = "keyturn-markers"
KEY_PREFIX: Final = f"arn:aws:secretsmanager:{REGION}:111122223333:secret:"
MOVING: Final = (f"{KEY_PREFIX}{NAME}", f"{KEY_PREFIX}{NAME}-0")
"""The keys of the secrets whose slots in the head count up with each version."""

OTHER: Final = f"{KEY_PREFIX}of-others"

SLOT_TOTAL, STEP = 1_000_000_000, 524_288
HEAD_KEY: Final = "head"
MOVE_ALL: Final = "Stub.MoveAll"
"""The operation by which a benchmark rotates every secret of a `LargeAccount`, without any event."""

LIST_PAGE: Final = 100
SCAN_PAGE: Final = 1500
"""The number of items that fill about 1 MB."""

CREATED_S: Final = 1_790_000_000.123
VALUE: Final = json.dumps(
    {
        "engine": "postgres",
        "host": "orders.cluster-c0123456789a.us-east-1.rds.amazonaws.com",
        "port": 5432,
        "dbname": "orders",
        "username": "orders_app",
        "password": "correct-horse-battery-staple-0123456789",
    }
)
"""A secret with the fields that RDS secrets have."""

CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "nobodys",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

Body = Mapping[str, object]


def version_id(arn: str, number: int) -> str:
    """Return the version id of the `number`-th version of a secret. As on AWS, no two secrets share one."""
    return str(uuid5(NAMESPACE_URL, f"{arn}/{number}"))


def arn(name: str) -> str:
    """Return the full ARN of the secret of this name."""
    return f"{KEY_PREFIX}{name}-AbCdEf"


def secret_value(name: str, version: int = 1) -> dict[str, object]:
    """Return GetSecretValue's answer."""
    return {
        "ARN": arn(name),
        "CreatedDate": CREATED_S + version,
        "Name": name,
        "SecretString": VALUE,
        "VersionId": version_id(arn(name), version),
        "VersionStages": ["AWSCURRENT"],
    }


def parameter(name: str) -> dict[str, object]:
    """Return GetParameter's answer."""
    return {
        "Parameter": {
            "ARN": f"arn:aws:ssm:{REGION}:{arn('').split(':')[4]}:parameter{name}",
            "DataType": "text",
            "LastModifiedDate": CREATED_S,
            "Name": name,
            "Type": "SecureString",
            "Value": VALUE,
            "Version": 1,
        }
    }


def described(name: str, version: int = 1) -> dict[str, object]:
    """Return DescribeSecret's answer for a secret that rotates."""
    current, previous = (version_id(arn(name), number) for number in (version, version - 1))
    return {
        "ARN": arn(name),
        "CreatedDate": CREATED_S,
        "Description": "The database of orders",
        "LastAccessedDate": CREATED_S,
        "LastChangedDate": CREATED_S + version,
        "LastRotatedDate": CREATED_S + version,
        "Name": name,
        "RotationEnabled": True,
        "RotationLambdaARN": f"arn:aws:lambda:{REGION}:111122223333:function:rotate-orders",
        "RotationRules": {"AutomaticallyAfterDays": 30},
        "Tags": [{"Key": "team", "Value": "orders"}],
        "VersionIdsToStages": {current: ["AWSCURRENT"], previous: ["AWSPREVIOUS"]},
    }


def listed(name: str, version: int = 1) -> dict[str, object]:
    """Return a secret in ListSecrets' answer."""
    found = described(name, version)
    return found | {"SecretVersionsToStages": found.pop("VersionIdsToStages")}


def head(version: int, others: int = 0) -> dict[str, object]:
    """Return the head item of a marker table that was swept a moment ago, with every slot full.

    `version`: the version of the `MOVING` secrets, whose slots have counted up each time. `others`: how often
    another secret has moved.
    """
    moves = {**dict.fromkeys(MOVING, version), OTHER: others}
    entries = dict.fromkeys(range(SLOTS), b"x" * ENTRY_MAX)
    totals = dict.fromkeys(range(SLOTS), SLOT_TOTAL)
    for key, moved in moves.items():
        slot = slot_of(key_hash(key), SLOTS)
        totals[slot] += moved * STEP
        before, after = (marker_of(marker(key, number)) for number in (max(1, moved - 1), max(1, moved)))
        if after is not None:
            entries[slot] = packed(before, after, STEP)
    return {
        "pk": {"S": "head"},
        "schema": {"N": "1"},
        "epoch": {"S": "0123456789abcdef"},
        "counter": {"N": str(sum(totals.values()))},
        "swept_as_of_s": {"N": str(int(datetime.now(UTC).timestamp()) - 301)},
        **{f"n{slot}": {"N": str(total)} for slot, total in totals.items()},
        **{f"e{slot}": {"B": b64encode(entry).decode()} for slot, entry in entries.items()},
    }


def item_bytes(item: Mapping[str, Mapping[str, object]]) -> int:
    """Return the size of an item without maps and lists as DynamoDB counts it: names, and values by type."""
    size = 0
    for name, value in item.items():
        [(kind, content)] = value.items()
        length = len(content) if isinstance(content, (str, bytes)) else 1
        size += len(name) + ((length + 1) // 2 + 1 if kind == "N" else length)
    return size


def marker(key: str, version: int = 1) -> dict[str, object]:
    """Return the marker of a secret."""
    arn = f"{key}-AbCdEf"
    current, previous = (version_id(arn, number) for number in (version, version - 1))
    return {
        "pk": {"S": key},
        "schema": {"N": "1"},
        "epoch": {"S": "fedcba9876543210"},
        "sequence": {"N": str(max(1, version))},
        "arn": {"S": arn},
        "stages": {"M": {"AWSCURRENT": {"S": current}, "AWSPREVIOUS": {"S": previous}}},
        "left": {"L": [{"S": version_id(arn, number)} for number in range(max(0, version - 20), version)]},
        "deleted": {"BOOL": False},
        "reason": {"S": "Secret Label Updated"},
        "changed_at_s": {"N": str(CREATED_S)},
    }


class Answers:
    """Answers as Secrets Manager and DynamoDB.

    Every `moves_every`-th read of the head rotates the secret (0: none does); `others_move`: each read finds
    that another secret has moved.
    """

    def __init__(self, moves_every: int = 0, *, others_move: bool = False) -> None:
        self.others_move = others_move
        self._others = 0
        self._moves_every = moves_every
        self._heads = count(1)
        self._version = 1

    def rotate(self) -> None:
        """Rotate the secret now."""
        self._version += 1

    def answer(self, operation: str, request: Body) -> Body:
        """Return the body of one answer. Raises `LookupError` for an operation that no client should call."""
        match operation:
            case "GetSecretValue":
                return secret_value(_name(request), self._version)
            case "GetParameter":
                return parameter(str(request["Name"]))
            case "DescribeSecret":
                return described(_name(request), self._version)
            case "GetItem" if request["Key"] == {"pk": {"S": "head"}}:
                if self._moves_every and next(self._heads) % self._moves_every == 0:
                    self._version += 1
                self._others += self.others_move
                return {"Item": head(self._version, self._others)}
            case "GetItem":
                return {"Item": marker(_key(request["Key"]), self._version)}
            case "BatchGetItem":
                return {"Responses": {TABLE: self._markers(request)}, "UnprocessedKeys": {}}
        raise LookupError(operation)

    def _markers(self, request: Body) -> list[object]:
        tables = request["RequestItems"]
        assert isinstance(tables, dict)
        return [marker(_key(key), self._version) for key in tables[TABLE]["Keys"]]


class LargeAccount:
    """A large number of secrets, and a marker table that stores what it is given.

    Both find each item at once.
    """

    def __init__(self, secrets: int) -> None:
        self._names = [f"{NAME}-{number}" for number in range(secrets)]
        self._version = 1
        self._items: dict[str, dict[str, object]] = {}
        self._keys: list[str] = []

    def answer(self, operation: str, request: Body) -> Body:
        """Return the body of one answer. Raises `LookupError` for an operation that no client should call."""
        match operation:
            case "MoveAll":
                self._version += 1
                return {}
            case "DescribeSecret":
                return described(_name(request), self._version)
            case "ListSecrets":
                return self._listed(int(str(request.get("NextToken", 0))))
            case "Scan":
                return self._scanned(request.get("ExclusiveStartKey"))
            case "GetItem":
                item = self._items.get(_key(request["Key"]))
                return {"Item": item} if item else {}
            case "TransactWriteItems":
                return self._written(request["TransactItems"])
            case "PutItem":
                return self._written([{"Put": request}])
            case "UpdateItem":
                return self._written([{"Update": request}])
        raise LookupError(operation)

    def _listed(self, start: int) -> Body:
        page = self._names[start : start + LIST_PAGE]
        more = {"NextToken": str(start + LIST_PAGE)} if start + LIST_PAGE < len(self._names) else {}
        return {"SecretList": [listed(name, self._version) for name in page], **more}

    def _scanned(self, after: object) -> Body:
        start = self._keys.index(_key(after)) + 1 if after else 0
        page = self._keys[start : start + SCAN_PAGE]
        more = {"LastEvaluatedKey": {"pk": {"S": page[-1]}}} if start + SCAN_PAGE < len(self._keys) else {}
        return {"Items": [self._items[key] for key in page], **more}

    def _written(self, writes: object) -> Body:
        assert isinstance(writes, list)
        for write in writes:
            if "Put" in write:
                self._items[_key(write["Put"]["Item"])] = write["Put"]["Item"]
            else:
                self._items.get(_key(write["Update"]["Key"]), {}).pop("untold", None)
        self._items[HEAD_KEY] = head(1)
        self._keys = sorted(self._items.keys() - {HEAD_KEY})
        return {}


def headers(body: bytes) -> dict[str, str]:
    """Return the headers of an answer."""
    return {
        "Content-Type": "application/x-amz-json-1.1",
        "Content-Length": str(len(body)),
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
        "x-amzn-RequestId": "b7a6c5d4-e3f2-4190-8a7b-6c5d4e3f2a1b",
        "x-amz-crc32": str(zlib.crc32(body)),
    }


def canned(client: object, answers: Answers | None = None) -> None:
    """Answer a boto3 client's requests before it sends them."""
    served = answers or Answers()

    def answered(request: AWSPreparedRequest, **_event: object) -> AWSResponse:
        target, body = request.headers["X-Amz-Target"], request.body
        assert isinstance(target, bytes)
        assert isinstance(body, bytes)
        content = json.dumps(served.answer(target.decode().rpartition(".")[2], json.loads(body))).encode()
        return AWSResponse(request.url, 200, _http(headers(content)), _Raw(content))

    client.meta.events.register("before-send", answered)  # type: ignore[attr-defined] # any boto3 client


def secrets_manager(answers: Answers | None = None) -> SecretsManagerClient:
    """Return a boto3 client for Secrets Manager with canned answers."""
    client = _session().client("secretsmanager")
    canned(client, answers)
    return client


def parameter_store() -> SSMClient:
    """Return a boto3 client for Parameter Store with canned answers."""
    client = _session().client("ssm")
    canned(client)
    return client


def _session() -> boto3.Session:
    return boto3.Session(
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def endpoint(moves_every: int = 0, *, secrets: int = 0) -> Iterator[str]:
    """Yield the URL of an endpoint for both services. Its process ends with this one.

    The endpoint answers as `Answers`, or with `secrets` as a `LargeAccount`.
    """
    command = [sys.executable, "-m", "benchmarks.aws", str(moves_every), str(secrets)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://{LOCALHOST}:{int(server.stdout.readline())}"
        finally:
            server.kill()


def variables(url: str) -> dict[str, str]:
    """Return the environment variables of a process that uses this endpoint."""
    port = url.rpartition(":")[2]
    return CREDENTIALS | {"AWS_ENDPOINT_URL": url, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": port}


class _Raw(io.BytesIO):
    """The raw answer in the form that botocore reads."""

    def stream(self, **_options: object) -> Iterator[bytes]:
        yield self.read()


def _http(named: Mapping[str, str]) -> HTTPHeaders:
    found = HTTPHeaders()
    for name, text in named.items():
        found[name] = text
    return found


def _name(request: Body) -> str:
    return str(request["SecretId"]).removeprefix(KEY_PREFIX).removesuffix("-AbCdEf")


def _key(key: object) -> str:
    assert isinstance(key, dict)
    return str(key["pk"]["S"])


def _handler(answers: Answers | LargeAccount) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            created = datetime.fromtimestamp(CREATED_S, UTC).isoformat()
            self._answer(json.dumps(secret_value(NAME) | {"CreatedDate": created}).encode())

        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(json.dumps(answers.answer(operation, request)).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response_only(200)
            for name, value in headers(body).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    return Handler


def main(arguments: list[str]) -> None:
    """Serve until the standard input closes. The first line of the output is the port."""
    moves_every, secrets = map(int, arguments)
    answers = LargeAccount(secrets) if secrets else Answers(moves_every)
    server = ThreadingHTTPServer((LOCALHOST, 0), _handler(answers))
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
