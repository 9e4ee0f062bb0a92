"""The OpenAPI document. It is made from the models that parse the requests and build the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from keyturn import __version__
from keyturn.serve.bodies import Fault
from keyturn.serve.queries import SELECTORS, SecretId
from keyturn.serve.tokens import HEADERS

Schema = Mapping[str, object]

_REF: Final = "#/components/schemas/{model}"
_TEXT: Final[Schema] = {"text/plain": {"schema": {"type": "string"}}}
_FAULT: Final[Schema] = {"application/json": {"schema": {"$ref": _REF.format(model=Fault.__name__)}}}

_ANY: Final[Mapping[str, tuple[str, Schema]]] = {
    "400": ("The request is wrong, or AWS calls it wrong", {**_TEXT, **_FAULT}),
    "413": ("The request has a body", _TEXT),
    "421": ("The Host is no name of the loopback interface", _TEXT),
    "429": ("Too many requests at the same time", _TEXT),
    "431": ("The request is too large", _TEXT),
    "500": ("An unexpected error", _FAULT),
    "503": ("AWS did not answer, and no known version may be served", _FAULT),
}
_NOT_LET_IN: Final = "The token is missing or wrong"
EXTENSION_STATUSES: Final[Mapping[str, tuple[str, Schema]]] = {
    **_ANY,
    "401": (_NOT_LET_IN, _TEXT),
    "403": ("A policy denies the read", _FAULT),
}
AGENT_STATUSES: Final[Mapping[str, tuple[str, Schema]]] = {
    **_ANY,
    "403": (_NOT_LET_IN, _TEXT),
    "404": ("The id has a line break, so no path of this API matches", _TEXT),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One GET: its parameters, its answer, and its statuses other than 200."""

    path: str
    summary: str
    query: type[BaseModel]
    answer: type[BaseModel]
    statuses: Mapping[str, tuple[str, Schema]]


def document(operations: Iterable[Operation]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of these operations and of the two health checks."""
    operations = tuple(operations)
    answers: list[type[BaseModel]] = [*(one.answer for one in operations), Fault]
    _, schemas = models_json_schema([(one, "serialization") for one in answers], ref_template=_REF)
    ping = {
        "summary": "Check that the server is up",
        "security": [],
        "responses": {"200": _response("Up", _TEXT)},
    }
    ready = {
        "summary": "Check that the secrets to be read first have been read",
        "security": [],
        "responses": {"200": _response("Ready", _TEXT), "503": _response("Not ready yet", _TEXT)},
    }
    schemes = {name: {"type": "apiKey", "in": "header", "name": name} for name in HEADERS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "keyturn serve", "version": __version__},
        "paths": {"/ping": {"get": ping}, "/ready": {"get": ready}}
        | {one.path: {"get": _described(one)} for one in operations},
        "components": {"schemas": schemas["$defs"], "securitySchemes": schemes},
        "security": [{name: []} for name in HEADERS],
    }


def _described(one: Operation) -> Schema:
    answer = {"application/json": {"schema": {"$ref": _REF.format(model=one.answer.__name__)}}}
    refusals = {status: _response(*described) for status, described in sorted(one.statuses.items())}
    return {
        "summary": one.summary,
        "parameters": list(_parameters(one)),
        "responses": {"200": _response("Found", answer), **refusals},
    }


def _parameters(one: Operation) -> Iterator[Schema]:
    if "{secretId}" in one.path:
        schema = TypeAdapter(SecretId).json_schema()
        yield {"name": "secretId", "in": "path", "required": True, "schema": schema}
    asked = one.query.model_json_schema(by_alias=True)
    for name, schema in asked["properties"].items():
        # The schema says by `required` whether a parameter may be absent. Its default None is an internal
        # detail.
        shown: Schema = {key: value for key, value in schema.items() if key not in ("title", "default")}
        if name in SELECTORS:
            # The one that does not count may be empty.
            shown = {"anyOf": [shown, {"type": "string", "maxLength": 0}]}
        yield {"name": name, "in": "query", "required": name in asked.get("required", ()), "schema": shown}


def _response(description: str, content: Schema) -> Schema:
    return {"description": description, "content": content}
