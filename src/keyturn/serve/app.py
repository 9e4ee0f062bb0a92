"""The routes: each parses its request, asks the reader, and answers with the result or the error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from keyturn.errors import KeyturnError
from keyturn.serve.bodies import (
    AgentSecret,
    ExtensionParameter,
    ExtensionSecret,
    Fault,
    agent_secret,
    extension_parameter,
    extension_secret,
)
from keyturn.serve.guard import log, route_of
from keyturn.serve.openapi import AGENT_STATUSES, EXTENSION_STATUSES, Operation, document
from keyturn.serve.queries import ParameterQuery, QueryError, SecretQuery, VersionQuery, parsed
from keyturn.serve.reading import Reader
from keyturn.serve.statuses import AGENT_PREFIX, INTERNAL, Answer, Api, answer_to

OPERATIONS: Final = (
    Operation("/secretsmanager/get", "A secret", SecretQuery, ExtensionSecret, EXTENSION_STATUSES),
    Operation(
        "/systemsmanager/parameters/get",
        "A parameter",
        ParameterQuery,
        ExtensionParameter,
        EXTENSION_STATUSES,
    ),
    Operation("/v1/{secretId}", "A secret, as the agent", VersionQuery, AgentSecret, AGENT_STATUSES),
)


def make_app(reader: Reader, is_ready: Callable[[], bool] = lambda: True) -> Starlette:
    """Return the application. It checks no token, so it must run behind a `Guard`."""
    described = JSONResponse(document(OPERATIONS)).body

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("healthy")

    async def ready(_request: Request) -> Response:
        return PlainTextResponse("ready") if is_ready() else PlainTextResponse("not ready", 503)

    async def openapi(_request: Request) -> Response:
        return Response(described, media_type="application/json")

    async def secret(request: Request) -> Response:
        asked = parsed(SecretQuery, request)
        version = await reader.secret(asked.secret_id, asked)
        return _json(extension_secret(version).model_dump_json())

    async def parameter(request: Request) -> Response:
        found = await reader.parameter(parsed(ParameterQuery, request))
        return _json(extension_parameter(found).model_dump_json())

    async def secret_by_path(request: Request) -> Response:
        # The route's own parameter lacks a line break at the end.
        secret_id = request.scope["path"].removeprefix(AGENT_PREFIX)
        if not secret_id:
            raise QueryError("missing secret ID")
        version = await reader.secret(secret_id, parsed(VersionQuery, request))
        return _json(agent_secret(version).model_dump_json(exclude_unset=True))

    app = Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
            Route("/openapi.json", openapi, methods=["GET"]),
            Route("/secretsmanager/get", secret, methods=["GET"]),
            Route("/systemsmanager/parameters/get", parameter, methods=["GET"]),
            Route("/systemsmanager/parameters/get/", parameter, methods=["GET"]),
            Route(AGENT_PREFIX + "{secret_id:path}", secret_by_path, methods=["GET"]),
        ],
        exception_handlers={
            KeyturnError: _refused,
            QueryError: _wrongly_asked,
            HTTPException: _no_route,
            Exception: _unforeseen,
        },
    )
    app.router.redirect_slashes = False
    return app


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _fault(answer: Answer, message: str | None, path: str) -> Response:
    fault = Fault.model_validate({"__type": answer.code, "message": message})
    body = fault.model_dump_json(by_alias=True, exclude_none=True)
    return _json(body, answer.status(Api.of(path)))


# Starlette would run a handler that is no coroutine in a thread.


async def _refused(request: Request, error: Exception) -> Response:
    path = request.scope["path"]
    log.warning("%s: %s", route_of(path), error)
    return _fault(answer_to(error), str(error), path)


async def _wrongly_asked(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 400)


async def _no_route(_request: Request, _error: Exception) -> Response:
    """Answer 404. The router has no other error, since the guard refuses every method but GET."""
    return PlainTextResponse("Not found", 404)


async def _unforeseen(request: Request, _error: Exception) -> Response:
    """Answer 500. The guard logs the place of the error."""
    return _fault(INTERNAL, None, request.scope["path"])
