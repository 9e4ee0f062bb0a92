"""The fields of a settings model: which of them follow a secret, and what pydantic takes for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Annotated, Union, cast, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, AliasPath, BaseModel, SecretBytes, SecretStr, ValidationError
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


def members_of(field: FieldInfo) -> list[type]:
    """Return the types of which the field takes one, without None; none if it is no union."""
    return kinds_of(field) if get_origin(field.annotation) in {Union, UnionType} else []


def unaliased(field: FieldInfo) -> FieldInfo:
    """Return the field with what an alias stands for, in place of the alias."""
    while is_alias(field.annotation):
        value = aliased(field.annotation)
        if value is None:
            break
        field = FieldInfo.from_annotation(cast("type", value))
    return field


def takes_text(field: FieldInfo) -> bool:
    """Return True if the field takes text, and no bytes."""
    kinds = [one for one in (field.annotation, *kinds_of(field)) if isinstance(one, type)]
    takes_bytes = any(issubclass(one, bytes | bytearray | SecretBytes) for one in kinds)
    return not takes_bytes and any(issubclass(one, str | SecretStr) for one in kinds)


def misplaced(field: FieldInfo) -> Iterator[Reference]:
    """Yield references that are a field's default, or inside a part of its annotation.

    A part may be the field of another class: of a model, a dataclass, a TypedDict or a NamedTuple.
    """
    if isinstance(field.default, Reference):
        yield field.default
    inner = _parts_of(field.annotation)
    # A class may have a field of its own kind. Held here, since an id is of what exists.
    seen = dict[int, object]()
    while inner:
        one = inner.pop()
        if isinstance(one, Reference):
            yield one
        elif id(one) not in seen:
            seen[id(one)] = one
            inner.extend(_parts_of(one))


def _parts_of(annotation: object) -> list[object]:
    """Return what an annotation is made of: its arguments, its references, its alias's value, its fields."""
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, *marks = get_args(annotation)
        return [kind, *_references(marks)]
    parts: list[object] = [*get_args(annotation), origin]
    if is_alias(annotation):
        parts.append(aliased(annotation))
    elif isinstance(annotation, type) and origin is None:
        parts.extend(_parts_of_class(annotation))
    return parts


def _references(marks: Iterable[object]) -> Iterator[Reference]:
    return (mark for mark in marks if isinstance(mark, Reference))


def is_alias(annotation: object) -> bool:
    """Return True for what a `type` statement makes, or `TypeAliasType` of typing_extensions."""
    return type(annotation).__name__ == "TypeAliasType"


def aliased(alias: object) -> object:
    """Return what an alias stands for; None if it names what is not there yet."""
    try:
        return getattr(alias, "__value__", None)
    except NameError:
        return None


def _parts_of_class(kind: type) -> Iterator[object]:
    if issubclass(kind, BaseModel):
        for field in kind.model_fields.values():
            yield field.annotation
            yield from _references([field.default, *field.metadata])
    elif is_dataclass(kind) or issubclass(kind, tuple) or hasattr(kind, "__required_keys__"):
        for owner in kind.__mro__:
            for name, hint in get_annotations(owner).items():
                yield _resolved(hint, owner)
                yield from _references([vars(owner).get(name)])


def _resolved(hint: object, owner: type) -> object:
    """Return an annotation that may be text; None if it names what is not there (yet)."""
    alone = type(owner.__name__, (), {"__annotations__": {"one": hint}, "__module__": owner.__module__})
    try:
        return get_type_hints(alone, include_extras=True)["one"]
    except Exception:  # noqa: BLE001 # what is written there is the class's own matter
        return None


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


def paths_of(field: FieldInfo) -> list[AliasPath]:
    """Return the paths by which pydantic takes the field from inside of another value."""
    return [one for one in _aliases(field) if isinstance(one, AliasPath)]


def has_no_key(field: FieldInfo) -> bool:
    """Return True if pydantic takes the field only from inside of another value, by an `AliasPath`."""
    aliases = _aliases(field)
    return bool(aliases) and len(paths_of(field)) == len(aliases)


def may_be_named(kind: type[BaseSettings]) -> bool:
    """Return True if a field with an alias can be given by its own name as well."""
    config = kind.model_config
    return bool(config.get("populate_by_name") or config.get("validate_by_name"))
