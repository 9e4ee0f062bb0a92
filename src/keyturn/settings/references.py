"""What fills a field of live settings: a secret or a parameter, and which part of its value."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Final, TypeAlias

from pydantic import (
    GetCoreSchemaHandler,
    Secret,
    SecretBytes,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import chain_schema, wrap_serializer_function_ser_schema

from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError, ParameterFieldError, SecretFieldError
from keyturn.model.fields import Flaw, Json, flaw
from keyturn.model.names import parameter_id
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion

CONCEALED: Final = "**********"
"""What a dump in JSON shows of a value, as pydantic's secrets do."""


class _Concealing:
    """A mark that keeps its field's value out of dumps."""

    __slots__ = ()

    def __get_pydantic_core_schema__(
        self, kind: object, handler: GetCoreSchemaHandler | None = None
    ) -> CoreSchema:
        if handler is None:
            # pydantic calls the class itself where it stands without brackets.
            raise ConfigurationError(
                "FromSecret or FromParameter is without brackets: name the secret, as FromSecret('prod/db')"
            )
        shown = wrap_serializer_function_ser_schema(_dumped, info_arg=True)
        return chain_schema([handler(kind)], serialization=shown)


@dataclass(frozen=True, slots=True)
class FromSecret(_Concealing):
    """Fills the field from this secret, given by name or ARN.

    `key` names the value under this key of the secret's JSON object, or under these keys, each inside the one
    before. Without a key the field gets the whole value: as JSON for models, dicts and lists, otherwise as
    text or bytes.
    """

    secret_id: str
    key: str | tuple[str, ...] | None = None
    _: KW_ONLY
    stage: str = AWSCURRENT

    def __str__(self) -> str:
        return f"secret {self.secret_id!r}{_of_key(self.key)}"

    @property
    def variant(self) -> object:
        """Return what distinguishes versions of one ARN that are held at the same time."""
        return self.stage

    def read(self, cache: SecretCache) -> SecretVersion:
        """Return the version under the stage."""
        return cache.get(self.secret_id, stage=self.stage)

    def misfit(self, detail: str) -> SecretFieldError:
        """Return the error for a value that does not fit the field."""
        return SecretFieldError(self.secret_id, detail)


@dataclass(frozen=True, slots=True)
class FromParameter(_Concealing):
    """Fills the field from this parameter of Parameter Store, given by name or ARN.

    `key` is as for a secret. Without a key the items of a StringList can fill a list, too.
    """

    name: str
    key: str | tuple[str, ...] | None = None
    _: KW_ONLY
    decrypt: bool = True

    def __str__(self) -> str:
        return f"parameter {self.name!r}{_of_key(self.key)}"

    @property
    def variant(self) -> object:
        """Return what distinguishes versions of one ARN. See `FromSecret.variant`."""
        return parameter_id(self.name).selector, self.decrypt

    def read(self, cache: SecretCache) -> SecretVersion:
        """Return the latest version, or the version that the name ends in."""
        return cache.get_parameter(self.name, decrypt=self.decrypt)

    def misfit(self, detail: str) -> SecretFieldError:
        """Return the error for a value that does not fit the field."""
        return ParameterFieldError(self.name, detail)


Reference: TypeAlias = FromSecret | FromParameter


def part_of(
    version: SecretVersion, reference: Reference, where: str, *, is_structured: bool, is_text: bool
) -> object:
    """Return the part of a version that the reference names, or a `Flaw` about the field `where`.

    A part that is text has been judged: `keyturn.model.fields` says what a text may be. Raises a
    `SecretError` if the version has no JSON.
    """
    document: Json | list[str]
    keys = (reference.key,) if isinstance(reference.key, str) else reference.key or ()
    if reference.key is None and not is_structured:
        value = version.string if version.string is not None else _decoded(version.blob(), is_text)
        if not isinstance(value, str):
            return Flaw(f"{where}: its bytes are no UTF-8") if value is None else value
        document = value
    elif reference.key is None and isinstance(version, Parameter) and version.type == "StringList":
        document = list(version.values)
    else:
        document = version.json()
        for key in keys:
            if not isinstance(document, dict) or key not in document:
                return Flaw(f"{where}: there is no key {key!r}")
            document = document[key]
    found = flaw(document, keys[-1] if keys else None)
    return document if found is None else Flaw(f"{where} ({reference}): {found.detail}")


def _decoded(value: bytes, is_text: bool) -> str | bytes | None:  # noqa: FBT001 # of the field
    """Return binary as it is; for a field that takes text as UTF-8, or None if it is not."""
    if not is_text:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def origin_of(reference: Reference) -> Reference:
    """Return the reference to the whole value, without a key."""
    return replace(reference, key=None)


def has_moved(origin: Reference, known: SecretVersion, cache: SecretCache) -> bool:
    """Return True if the cache has another version of this than the known one."""
    version = origin.read(cache)
    return version is not known and version.identity != known.identity


def _of_key(key: str | tuple[str, ...] | None) -> str:
    return "" if key is None else f", key {key if isinstance(key, str) else '.'.join(key)!r}"


def shown(value: object) -> object:
    """Return what is shown of a concealed value: a secret of pydantic's own."""
    return value if value is None or isinstance(value, Secret | SecretStr | SecretBytes) else Secret(value)


def _dumped(value: object, serialize: SerializerFunctionWrapHandler, info: SerializationInfo) -> object:
    """Return what a dump shows of a concealed value; only a round trip needs the value itself."""
    if info.round_trip:
        dumped: object = serialize(value)
        return dumped
    return CONCEALED if info.mode == "json" and value is not None else shown(value)
