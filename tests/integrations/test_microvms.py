"""Lambda MicroVMs: what a snapshot of an application holds of secrets, and what is served after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from keyturn.integrations.microvms import Message, asgi_hooks, wsgi_hooks
from tests.world import NAME, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

PREFIX = "/aws/lambda-microvms/runtime/v1/"


async def told(request: Request) -> PlainTextResponse:
    """Say which request reached the application."""
    return PlainTextResponse(f"{request.method} {request.url.path}")


def told_by_wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Say the same, as a WSGI application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()]


def ask_asgi(method: str, path: str) -> httpx.Response:
    """Send one request to the ASGI application behind the hooks."""
    app = asgi_hooks(Starlette(routes=[Route("/{rest:path}", told, methods=["GET", "POST"])]))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vm") as client:
            return await client.request(method, path, content=b"the payload of /run")

    return asyncio.run(asked())


def ask_wsgi(method: str, path: str) -> httpx.Response:
    """Send one request to the WSGI application behind the hooks."""
    with httpx.Client(
        transport=httpx.WSGITransport(wsgi_hooks(told_by_wsgi)), base_url="http://vm"
    ) as client:
        return client.request(method, path, content=b"the payload of /run")


both = pytest.mark.parametrize("ask", [ask_asgi, ask_wsgi])


@both
@pytest.mark.parametrize("hook", ["ready", "run", "resume", "suspend"])
def test_a_hook_makes_every_cache_forget(
    world: World, ask: Callable[[str, str], httpx.Response], hook: str
) -> None:
    """Answered 200 as Lambda wants it; nothing is held, and though no clock went on the next get reads."""
    cache = world.covered()
    other = world.cache(table=False)
    other.get(NAME)
    world.secrets.put(NAME, "two", "v2")
    answer = ask("POST", PREFIX + hook)
    assert (200, b"") == (answer.status_code, answer.content)
    assert ((), ()) == (tuple(cache.status().secrets), tuple(other.status().secrets))
    assert ["two", "two"] == [one.get_secret_string(NAME) for one in (cache, other)]


@both
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PREFIX}run"),
        ("POST", f"{PREFIX}validate"),
        ("POST", f"{PREFIX}terminate"),
        ("POST", f"{PREFIX}run/more"),
        ("POST", "/orders/aws/lambda-microvms/runtime/v1/run"),
        ("GET", "/orders"),
    ],
)
def test_every_other_request_is_the_applications(
    world: World, ask: Callable[[str, str], httpx.Response], method: str, path: str
) -> None:
    """Hooks that have nothing to do with a cache, too; nothing is forgotten for them."""
    cache = world.covered()
    assert f"{method} {path}" == ask(method, path).text
    assert 1 == len(cache.status().secrets)


def test_what_is_no_request_is_the_applications() -> None:
    """The events of the server's start and end, and web sockets, whatever their path."""
    seen: list[object] = []

    async def app(scope: Message, _receive: object, _send: object) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def nowhere(_message: Message) -> None:
        return

    async def all_scopes() -> None:
        for scope in ({"type": "lifespan"}, {"type": "websocket", "path": f"{PREFIX}run"}):
            await asgi_hooks(app)({**scope}, nothing, nowhere)

    asyncio.run(all_scopes())
    assert ["lifespan", "websocket"] == seen
