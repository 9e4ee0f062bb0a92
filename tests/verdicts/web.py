"""Stand-ins that answer as HTTP services and mail servers do."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from tests.servers.process import LOCALHOST, answering
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent

STATUSES: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


def _serve_http(connection: socket.socket) -> None:
    """Answer the status that the path names, with a JSON body."""
    head = b""
    while b"\r\n\r\n" not in head:
        read = connection.recv(10_000)
        if not read:
            return
        head += read
    path = head.split()[1].decode()
    status = next((code for code in STATUSES if str(code) in path), 200)
    kind = "text/plain" if "plain" in path else "application/json"
    body = b"denied" if "plain" in path else b'{"error": "denied"}'
    lines = [
        f"HTTP/1.1 {status} {STATUSES.get(status, 'OK')}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "X-Elastic-Product: Elasticsearch",
        "Connection: close",
        "",
        "",
    ]
    connection.sendall("\r\n".join(lines).encode() + body)


def _requests(door: Door) -> None:
    import requests

    requests.get(
        _url(door), headers={"Authorization": f"Bearer {door.password}"}, timeout=2
    ).raise_for_status()


def _httpx(door: Door) -> None:
    import httpx

    httpx.get(_url(door), headers={"Authorization": f"Bearer {door.password}"}, timeout=2).raise_for_status()


def _aiohttp(door: Door) -> None:
    import aiohttp  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        limit = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(_url(door)) as response:
            response.raise_for_status()

    asyncio.run(run())


def _urllib(door: Door) -> None:
    urllib.request.urlopen(_url(door), timeout=2).close()  # noqa: S310 # a server of the tests on 127.0.0.1


def _elasticsearch(door: Door) -> None:
    import elasticsearch  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    client = elasticsearch.Elasticsearch(
        f"http://{LOCALHOST}:{door.port}",
        basic_auth=(door.user, door.password),
        request_timeout=2,
        max_retries=0,
    )
    with client:
        client.perform_request("GET", f"/{door.word}", headers={"accept": "application/json"})


def _botocore(door: Door) -> None:
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2)
    client = boto3.client(
        "s3",
        region_name="eu-west-1",
        endpoint_url=_url(door),
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )
    client.list_buckets()


def _url(door: Door) -> str:
    return f"http://{LOCALHOST}:{door.port}/{door.word}"


HTTP: Final = (
    Driver("requests", _requests),
    Driver("httpx", _httpx),
    Driver("aiohttp", _aiohttp),
    Driver("urllib", _urllib),
    Driver("elasticsearch", _elasticsearch),
    Driver("botocore", _botocore),
)


def http() -> Iterator[Server]:
    """Yield an HTTP service that answers what it is asked for."""
    with answering(_serve_http) as port, silent() as port_of_silence:
        ask = partial(Door, port, password=WRONG)
        situations = (
            Situation("wrong password", ask(word="401"), refused=True, why="401"),
            Situation(
                "wrong password",
                ask(word="401-plain"),
                refused=True,
                why="401 with a body that is not JSON",
                without=("botocore",),
            ),
            Situation(
                "no right",
                ask(word="403"),
                refused=False,
                why="403: most services mean a valid key without the permission",
            ),
            Situation("too many connections", ask(word="429"), refused=False, why="429"),
            Situation("no password wanted", ask(word="407"), refused=False, why="407: a proxy's login"),
            Situation("down", ask(word="500"), refused=False, why="500"),
            Situation("down", Door(1), refused=False),
            Situation("no answer", Door(port_of_silence), refused=False),
        )
        yield Server("HTTP", HTTP, situations, {str(port): "80", str(port_of_silence): "80"})


ANSWERS: Final = {
    "wrong": "535 Authentication Credentials Invalid",
    "gmail": "535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8 the help centre",
    "disabled": "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
    "temporary": "454 Temporary authentication failure",
    "weak": "534 5.7.9 Authentication mechanism is too weak",
    "first": "530 Must issue a STARTTLS command first",
    "busy": "421 4.7.0 Too many connections, try again later",
}
"""User name -> what the stand-in answers to its login."""


def _serve_smtp(connection: socket.socket) -> None:
    """Speak as much SMTP as a login needs; the user's name chooses the answer."""
    import base64

    connection.sendall(b"220 mail.example ESMTP\r\n")
    with connection.makefile("rb") as lines:
        for line in lines:
            words = line.decode(errors="replace").split()
            match [word.upper() for word in words[:2]]:
                case ["EHLO" | "HELO", *_]:
                    connection.sendall(b"250-mail.example\r\n250 AUTH PLAIN\r\n")
                case ["AUTH", "PLAIN"]:
                    user = base64.b64decode(words[2]).split(b"\0")[1].decode()
                    connection.sendall(ANSWERS.get(user, "235 ok").encode() + b"\r\n")
                case ["QUIT"]:
                    connection.sendall(b"221 bye\r\n")
                    return
                case _:
                    connection.sendall(b"250 ok\r\n")


def _smtplib(door: Door) -> None:
    with smtplib.SMTP(LOCALHOST, door.port, timeout=2) as client:
        client.login(door.user, door.password)


def _aiosmtplib(door: Door) -> None:
    import aiosmtplib  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        async with aiosmtplib.SMTP(hostname=LOCALHOST, port=door.port, timeout=2, start_tls=False) as client:
            await client.login(door.user, door.password)

    asyncio.run(run())


def mail() -> Iterator[Server]:
    """Yield a mail server that speaks with the words of SES and of Gmail."""
    drivers = (Driver("smtplib", _smtplib), Driver("aiosmtplib", _aiosmtplib))
    with ExitStack() as stack:
        port, port_of_silence = stack.enter_context(answering(_serve_smtp)), stack.enter_context(silent())
        situations = (
            Situation("wrong password", Door(port, "wrong"), refused=True, why="535 of SES"),
            Situation("wrong password", Door(port, "gmail"), refused=True, why="535 of Gmail, in two lines"),
            Situation(
                "no password wanted",
                Door(port, "disabled"),
                refused=False,
                why="535 of Exchange Online, where the tenant allows no passwords",
            ),
            Situation(
                "down", Door(port, "temporary"), refused=False, why="454: the mail server cannot ask just now"
            ),
            Situation(
                "no password wanted",
                Door(port, "weak"),
                refused=False,
                why="534: another mechanism is wanted",
            ),
            Situation("TLS", Door(port, "first"), refused=False, why="530: STARTTLS first"),
            Situation("too many connections", Door(port, "busy"), refused=False, why="421"),
            Situation("down", Door(1), refused=False),
            Situation("no answer", Door(port_of_silence), refused=False),
        )
        yield Server("SMTP", drivers, situations, {str(port): "25", str(port_of_silence): "25"})


__all__ = ["RIGHT", "http", "mail"]
