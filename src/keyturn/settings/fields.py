"""The fields of a settings model: which of them follow a secret, and what pydantic takes for them."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import get_args

from pydantic import AliasChoices, AliasPath, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from keyturn.settings.references import Reference


def concealed_fields(kind: type[BaseSettings]) -> frozenset[str]:
    """Return the fields that are marked with a secret or a parameter."""
    fields = kind.model_fields.items()
    return frozenset(name for name, field in fields if any(isinstance(m, Reference) for m in field.metadata))


def kinds_of(field: FieldInfo) -> list[type]:
    """Return the types that a union names, without None."""
    return [one for one in get_args(field.annotation) if one is not NoneType]


def takes_text(field: FieldInfo) -> bool:
    """Return True if the field takes text, and no bytes."""
    kinds = [one for one in (field.annotation, *kinds_of(field)) if isinstance(one, type)]
    takes_bytes = any(issubclass(one, bytes | bytearray | SecretBytes) for one in kinds)
    return not takes_bytes and any(issubclass(one, str | SecretStr) for one in kinds)


def misplaced(field: FieldInfo) -> Iterator[Reference]:
    """Yield references that are a field's default, or inside a part of its annotation."""
    if isinstance(field.default, Reference):
        yield field.default
    inner: list[object] = list(get_args(field.annotation))
    while inner:
        one = inner.pop()
        yield from (mark for mark in getattr(one, "__metadata__", ()) if isinstance(mark, Reference))
        inner.extend(get_args(one))


def missing_fields(kind: type[BaseSettings], error: ValidationError) -> frozenset[str]:
    """Return the fields that got no value."""
    name_of = names_of(kind)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return frozenset(
        # A validator of the whole model has no place.
        name_of.get(str(one["loc"][0]), "")
        for one in found
        if one["type"] == "missing" and one["loc"]
    )


def names_of(kind: type[BaseSettings]) -> dict[str, str]:
    """Return key under which a source may give a field -> the field's name."""
    return {key: name for name, field in kind.model_fields.items() for key in keys_of(name, field)}


def keys_of(name: str, field: FieldInfo) -> list[str]:
    """Return the keys under which a source may give this field. This source uses the first."""
    return [*(one for one in _aliases(field) if isinstance(one, str)), name]


def _aliases(field: FieldInfo) -> list[str | AliasPath]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return alias.choices
    return [] if alias is None else [alias]


def has_no_key(field: FieldInfo) -> bool:
    """Return True if pydantic takes the field only from inside of another value, by an `AliasPath`."""
    aliases = _aliases(field)
    return bool(aliases) and all(isinstance(one, AliasPath) for one in aliases)


def may_be_named(kind: type[BaseSettings]) -> bool:
    """Return True if a field with an alias can be given by its own name as well."""
    config = kind.model_config
    return bool(config.get("populate_by_name") or config.get("validate_by_name"))
