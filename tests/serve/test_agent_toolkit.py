"""What `asm-exec` of AWS's agent toolkit asks of localhost:2773, and how `keyturn serve` answers it.

The requests are those of the version of 2026-08-20, as urllib of Python sends them. The program itself was
tried by hand against `keyturn serve` on 2026-11-30: by name, by ARN, with and without a key and a stage.
"""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.serve.endpoint import TOKEN
from tests.serve.wire import Line, on_a_line
from tests.world import NAME

LINES = ("Accept-Encoding: identity", "Host: localhost:2773", "User-Agent: Python-urllib/3.13")


def as_urllib(target: str, *headers: str) -> bytes:
    """One request of urllib, which writes a header's name with one capital and closes the connection."""
    lines = (f"GET {target} HTTP/1.1", *LINES, *headers, "Connection: close", "", "")
    return "\r\n".join(lines).encode("ascii")


def asked(secret_id: str, token: str) -> bytes:
    """The request for the current version, after which asm-exec takes `SecretString` of the JSON."""
    target = f"/secretsmanager/get?secretId={quote(secret_id, safe='')}&versionStage=AWSCURRENT"
    return as_urllib(target, f"X-aws-parameters-secrets-token: {token}")


@pytest.mark.parametrize("by_arn", [False, True])
def test_asm_exec_is_answered(*, by_arn: bool) -> None:
    """First it asks whether an agent is there; then by a quoted name or ARN, and it gets the text."""

    async def story(line: Line) -> tuple[bytes, bytes]:
        secret_id = line.endpoint.world.arn if by_arn else NAME
        found = await line.connect().send(as_urllib("/ping"))
        return found, await line.connect().send(asked(secret_id, TOKEN))

    found, answer = on_a_line(story)
    assert found.startswith(b"HTTP/1.1 200 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert "one" == json.loads(body)["SecretString"]


def test_asm_exec_needs_the_tokens_text() -> None:
    """It sends what AWS_TOKEN is as it stands: `file://PATH` is a wrong token there, and nothing is told."""

    async def story(line: Line) -> bytes:
        return await line.connect().send(asked(NAME, "file:///etc/keyturn/token"))

    assert on_a_line(story).startswith(b"HTTP/1.1 401 ")
