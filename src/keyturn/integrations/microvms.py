"""Lambda MicroVMs: every cache forgets what it holds around a snapshot, by the hooks that Lambda calls.

A MicroVM starts from a snapshot of the memory of the running application, and all MicroVMs of an image start
from the same one. Put one of these around the application that answers the hooks:

    app = asgi_hooks(app)        # FastAPI, Starlette, Django under ASGI
    app = wsgi_hooks(app)        # Flask, Django under WSGI

It needs no package. https://docs.aws.amazon.com/lambda/latest/dg/microvms-how-it-works.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Final, TypeAlias

from keyturn.runtime.process import around_snapshot

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["asgi_hooks", "forget_all", "wsgi_hooks"]

Message: TypeAlias = MutableMapping[str, object]
"""A scope or a message of ASGI."""

Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HOOKS: Final = frozenset(
    f"/aws/lambda-microvms/runtime/v1/{name}" for name in ("ready", "run", "resume", "suspend")
)
"""The hooks around a snapshot: before the first one is taken, after each start, and around a pause."""


def forget_all() -> None:
    """Make every cache of this process forget what it holds. For an application with hooks of its own."""
    around_snapshot()


def asgi_hooks(app: AsgiApp) -> AsgiApp:
    """Return `app` behind the hooks: it gets every other request, and never the hooks themselves."""

    async def hooked(scope: Message, receive: Receive, send: Send) -> None:
        if not _is_hook(scope.get("type"), scope.get("method"), scope.get("path")):
            await app(scope, receive, send)
            return
        forget_all()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return hooked


def wsgi_hooks(app: WSGIApplication) -> WSGIApplication:
    """Return `app` behind the hooks: it gets every other request, and never the hooks themselves."""

    def hooked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        if not _is_hook("http", environ.get("REQUEST_METHOD"), path):
            return app(environ, start_response)
        forget_all()
        start_response("200 OK", [("Content-Length", "0")])
        return []

    return hooked


def _is_hook(kind: object, method: object, path: object) -> bool:
    return kind == "http" and method == "POST" and path in HOOKS
