"""The deployment package: the same bytes each time, small, and complete beside botocore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.listener.test_events import sample
from tests.serving import answering
from tools.build_listener import ROOT, SIZE_MAX, build

LAMBDAS_OWN = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What the Python runtime of Lambda brings."""

RUN = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from rotation_listener.handler import handler
answer = handler(json.load(sys.stdin), None)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"answer": answer, "loaded": loaded}))
"""


@dataclass
class Aws:
    """A stub of the calls that one event needs, in the order in which they came."""

    arn: str
    asked: dict[str, dict[str, object]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def answer(self, target: str, request: dict[str, object]) -> dict[str, object]:
        self.asked[target] = request
        self.order.append(target.rpartition(".")[2])
        described: dict[str, object] = {
            "ARN": self.arn,
            "Name": "prod/app/db",
            "VersionIdsToStages": {"7f1c3b1e-0000-4000-8000-0000000000b2": ["AWSCURRENT"]},
        }
        return described if target == "secretsmanager.DescribeSecret" else {}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A freshly built package."""
    path = tmp_path / "rotation_listener.zip"
    build(path)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages that has only what Lambda has."""
    site = tmp_path / "site"
    site.mkdir()
    for name in LAMBDAS_OWN:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        place = origin.parent if found.submodule_search_locations else origin
        (site / place.name).symlink_to(place)
    return site


@pytest.fixture
def aws() -> Iterator[tuple[Aws, str]]:
    """The stub and its address."""
    stub = Aws("arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/app/db-AbCdEf")

    class Handler(BaseHTTPRequestHandler):
        # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
        wbufsize = -1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(stub.answer(self.headers["X-Amz-Target"], request)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield stub, f"http://127.0.0.1:{server.server_address[1]}"


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """Built twice, also in another process, the package is the same."""
    other = tmp_path / "other" / "listener.zip"
    command = [sys.executable, "-m", "tools.build_listener", str(other)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert other.read_bytes() == build(tmp_path / "one.zip") == build(tmp_path / "two.zip")


def test_the_package_is_small_and_holds_only_the_listeners_part(package: Path) -> None:
    """Under 110 KiB; neither what reads values nor a file that is no module."""
    assert package.stat().st_size < SIZE_MAX
    names = zipfile.ZipFile(package).namelist()
    assert {"rotation_listener/handler.py", "keyturn/markers/table.py", "keyturn/__init__.py"} <= set(names)
    assert not [name for name in names if not name.endswith(".py")]
    assert not {"keyturn/aws/secretsmanager.py", "keyturn/cache/cache.py", "keyturn/assembly.py"} & set(names)


def test_the_package_runs_with_nothing_but_botocore(
    package: Path, site: Path, aws: tuple[Aws, str], tmp_path: Path
) -> None:
    """A real event goes through it in a Python that has only boto3, and becomes a marker."""
    stub, address = aws
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN, package, site],
        input=json.dumps(sample("native_awscurrent.json")),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            "PATH": os.defpath,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": address,
            "KEYTURN_MARKER_TABLE": "markers",
        },
    )
    assert answer.returncode == 0, answer.stderr
    log, result = (json.loads(line) for line in answer.stdout.splitlines())
    assert ("written", "written") == (log["outcome"], result["answer"]["outcome"])
    assert {"boto3", "pydantic", "aws_secretsmanager_caching"}.isdisjoint(result["loaded"])
    item = stub.asked["DynamoDB_20120810.PutItem"]["Item"]
    assert isinstance(item, dict)
    assert {"S": stub.arn} == item["arn"]
    # The marker, then the head, then that the head was told.
    assert ["GetItem", "DescribeSecret", "PutItem", "UpdateItem", "UpdateItem"] == stub.order
