"""The parameters of each route. The same models parse the requests and describe them."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request

from keyturn.serve.logs import printable

NAME_MAX: Final = 100
"""The number of characters of an unknown parameter's name that an error message repeats."""

PARAMETERS_MAX: Final = 32
"""A query with more parameters is refused at once: each unknown one would cost an error of its own."""

SELECTORS: Final = ("version", "label")
"""The extension uses only the first of these in the URL (Systems Manager User Guide)."""

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def _flag(text: object) -> bool:
    """Parse one of the agent's truth values, in any case. pydantic would accept more texts."""
    value = _FLAGS.get(text.lower()) if isinstance(text, str) else None
    if value is None:
        raise ValueError("not true, 1, false or 0")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""The texts that may be repeated in a message and a log."""

SecretId = Annotated[str, Field(min_length=1, max_length=2048, pattern=_PRINTABLE, examples=["prod/db"])]
VersionId = Annotated[str, Field(min_length=1, max_length=64, pattern=_PRINTABLE)]
Stage = Annotated[str, Field(min_length=1, max_length=256, pattern=_PRINTABLE, examples=["AWSCURRENT"])]

_ASKED: Final = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class VersionQuery(BaseModel):
    """The version of a secret, and whether to ask Secrets Manager for it now."""

    model_config = _ASKED

    version_id: VersionId | SkipJsonSchema[None] = None
    version_stage: Stage | SkipJsonSchema[None] = None
    refresh_now: Flag = False


class SecretQuery(VersionQuery):
    """A secret by its name or ARN, with the fields of `VersionQuery`."""

    secret_id: SecretId


class ParameterQuery(BaseModel):
    """A parameter by name or ARN, its version or label, and whether to decrypt it."""

    model_config = _ASKED

    name: Annotated[str, Field(min_length=1, max_length=2048, pattern=_PRINTABLE, examples=["/prod/db"])]
    version: Annotated[int, Field(ge=1, lt=2**63)] | SkipJsonSchema[None] = None
    label: Annotated[str, Field(min_length=1, max_length=100, pattern=_PRINTABLE)] | SkipJsonSchema[None] = (
        None
    )
    with_decryption: Flag = False


class QueryError(Exception):
    """The parameters of a request are wrong. The message names one in the agent's words, and no value."""


_Query = TypeVar("_Query", bound=BaseModel)


def parsed(model: type[_Query], request: Request) -> _Query:
    """Return the request's parameters. If a name is repeated, its last value counts.

    Raises `QueryError` if a parameter is wrong.
    """
    asked = dict(request.query_params)
    if len(asked) > PARAMETERS_MAX:
        raise QueryError("too many parameters")
    counting = asked.copy()
    for later in [name for name in asked if name in SELECTORS][1:]:
        del counting[later]
        if not asked[later]:
            del asked[later]
    try:
        # A selector that does not count must be right all the same, or empty: the OpenAPI document says so.
        model.model_validate(asked, by_name=False, by_alias=True)
        return model.model_validate(counting, by_name=False, by_alias=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # The error has no cause, since pydantic's error holds the values.
    raise QueryError(_words(first["type"], printable(str(first["loc"][0])[:NAME_MAX])))


def _words(kind: str, name: str) -> str:
    match kind:
        case "missing" | "string_too_short":
            return f"missing parameter {name}"
        case "extra_forbidden":
            return f"unknown parameter: {name}"
    return f"invalid {name} value"
