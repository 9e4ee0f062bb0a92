"""`LiveSettings`: pydantic settings with fields that a `SecretCache` fills, and keeps true after a rotation.

    class Settings(LiveSettings):
        user: Annotated[str, FromSecret("prod/db", key="username")]
        password: Annotated[SecretStr, FromSecret("prod/db", key="password")]
        pool_size: int = 5

    settings = Settings.live(cache)

pydantic-settings does the work: the cache is one more source, after all the usual ones.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass, replace
from types import NoneType
from typing import Generic, NamedTuple, Self, TypeAlias, TypeVar, cast, get_args

from pydantic import AliasChoices, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from keyturn.client import SecretCache
from keyturn.errors import (
    ConfigurationError,
    KeyturnError,
    ParameterFieldError,
    SecretError,
    SecretFieldError,
)
from keyturn.model.names import parameter_id
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.logs import about
from keyturn.runtime.process import watch_process

log = logging.getLogger("keyturn")

_T = TypeVar("_T", bound="LiveSettings")


@dataclass(frozen=True, slots=True)
class FromSecret:
    """Marks a field: filled from this secret, by name or ARN.

    `key`: of the secret's JSON object the value under this key, or under these keys one inside the
    other. Without one the whole value: as JSON for models, dicts and lists, else as text or bytes.
    """

    secret_id: str
    key: str | tuple[str, ...] | None = None
    _: KW_ONLY
    stage: str = AWSCURRENT

    def __str__(self) -> str:
        return f"secret {self.secret_id!r}{_of_key(self.key)}"

    @property
    def variant(self) -> object:
        """What tells versions of one ARN apart that are held at the same time."""
        return self.stage

    def read(self, cache: SecretCache) -> SecretVersion:
        """The version under the stage."""
        return cache.get(self.secret_id, stage=self.stage)

    def misfit(self, detail: str) -> SecretFieldError:
        """The error for a value that is not what the field takes."""
        return SecretFieldError(self.secret_id, detail)


@dataclass(frozen=True, slots=True)
class FromParameter:
    """Marks a field: filled from this parameter of Parameter Store, by name or ARN.

    `key` is as for a secret. Without one the items of a StringList fill a list, too.
    """

    name: str
    key: str | tuple[str, ...] | None = None
    _: KW_ONLY
    decrypt: bool = True

    def __str__(self) -> str:
        return f"parameter {self.name!r}{_of_key(self.key)}"

    @property
    def variant(self) -> object:
        """As for a secret."""
        return parameter_id(self.name).selector, self.decrypt

    def read(self, cache: SecretCache) -> SecretVersion:
        """The latest version, or the one that the name ends in."""
        return cache.get_parameter(self.name, decrypt=self.decrypt)

    def misfit(self, detail: str) -> SecretFieldError:
        """As for a secret."""
        return ParameterFieldError(self.name, detail)


Reference: TypeAlias = FromSecret | FromParameter


class LiveSettings(BaseSettings):
    """Settings of an application; those made by `live` follow the secrets that their fields name.

    Fields marked with `FromSecret` or `FromParameter` are filled from the cache where neither an
    argument, the environment nor another source of pydantic-settings gives them. Made without `live` (in
    a test, say) it is an ordinary frozen settings model. The repr of a snapshot shows a `str`, but no
    `SecretStr`.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    _bond: _Bond[LiveSettings] | None = PrivateAttr(default=None)

    @classmethod
    def live(cls, cache: SecretCache, **values: object) -> Self:
        """Settings whose marked fields are read through `cache` each time that they are read.

        Reading one costs a hit. If its secret has moved, all sources are read again and the whole model
        is made anew, by that thread, before the read returns. The object itself holds no secret: what
        pydantic does with a model (repr, dump, compare) is for its `snapshot()`. `values` are the init
        arguments. Threads may share it; after a fork it is locked anew, after SnapStart read anew.

        Raises, as does every read, the `SecretError` of a secret that cannot be read (with a note of the
        fields it is for), `SecretFieldError` if its value does not fit the field, and
        `ConfigurationError` if another source's does not: each names field and secret, none the value.
        """
        return _Bond(cls, cache, values).settings()

    def snapshot(self) -> Self:
        """All fields as they are now: an ordinary frozen model that stays as it is.

        Fields of one secret are of one version. Without `live` this is the model itself.
        """
        bond = self._tied()
        return self if bond is None else bond.made().model

    def on_change(self, callback: Callable[[Self], object]) -> Callable[[Self], object]:
        """Call `callback` with the new snapshot after each move that changed a field; returns it.

        The thread whose read or `snapshot()` saw the move calls it, once per move, before that read
        returns; nobody calls it while nobody reads. After a SnapStart restore it is called once in any
        case. What it raises is not raised but logged, by its type alone, since its text may quote a
        secret. Of two moves in quick succession two threads may tell at once. Without `live` it is never
        called.
        """
        bond = self._tied()
        if bond is not None:
            bond.callbacks.append(callback)
        return callback

    def _tied(self) -> _Bond[Self] | None:
        # Not by its name, which pydantic is slow to find.
        return cast("dict[str, _Bond[Self] | None]", self.__pydantic_private__)["_bond"]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The usual sources, and the cache after them; for `super()` of those who have more."""
        usual = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        making = _MAKING.get()
        return usual if making is None or making.kind is not settings_cls else (*usual, making.source())


class _LiveField:
    """Reads a field of live settings; in an ordinary model the field's own value comes before this."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, settings: LiveSettings | None, kind: type[LiveSettings]) -> object:
        bond = settings._tied() if settings is not None else None  # noqa: SLF001 # its own field
        if bond is None:
            # What pydantic says of a field without a value, and of a class.
            raise AttributeError(f"{kind.__name__!r} has no {self._name!r} yet")
        return bond.read(self._name)


class _Made(NamedTuple, Generic[_T]):
    """A model, the versions that it was made of, and from which of them each of its live fields is."""

    model: _T
    versions: Mapping[Reference, SecretVersion]
    live: Mapping[str, tuple[Reference, SecretVersion]]

    def is_outdated(self, cache: SecretCache) -> bool:
        """Whether one of its secrets has moved."""
        return any(_has_moved(*one, cache) for one in self.versions.items())


class _Bond(Generic[_T]):
    """What ties live settings to a cache. The model and its versions are published as one."""

    def __init__(self, kind: type[_T], cache: SecretCache, values: Mapping[str, object]) -> None:
        self._kind = kind
        self._cache = cache
        self._values = values
        self._made: _Made[_T] | None = None
        self.callbacks: list[Callable[[_T], object]] = []
        self.after_fork()
        watch_process(self)

    def settings(self) -> _T:
        """The model without its live fields, tied to this."""
        made = self.made()
        settings = made.model.model_copy()
        for name in made.live:
            del vars(settings)[name]
            setattr(self._kind, name, _LiveField(name))
        settings._bond = cast("_Bond[LiveSettings]", self)  # noqa: SLF001 # this is how it is tied
        return settings

    def read(self, name: str) -> object:
        """The field as it is now."""
        made = self._made
        if made is None or (name in made.live and _has_moved(*made.live[name], self._cache)):
            made = self._remade()
        return vars(made.model)[name]

    def made(self) -> _Made[_T]:
        """The whole as it is now."""
        made = self._made
        return self._remade() if made is None or made.is_outdated(self._cache) else made

    def after_fork(self) -> None:
        """In a forked child: a lost thread may hold the lock."""
        self._lock = threading.RLock()

    def forget(self) -> None:
        """Hold nothing of a secret: for a SnapStart snapshot."""
        self._made = None

    def _remade(self) -> _Made[_T]:
        with self._lock:
            before = self._made
            if before is not None and not before.is_outdated(self._cache):
                return before
            self._made = after = _Making(self._kind, self._cache).made(self._values)
        if before is None or before.model != after.model:
            self._tell(after.model)
        return after

    def _tell(self, snapshot: _T) -> None:
        for callback in tuple(self.callbacks):
            try:
                callback(snapshot)
            except Exception as error:  # noqa: BLE001 # one listener's fault is not the reader's
                # Neither its text nor the callback's repr, which may quote a secret.
                name = getattr(callback, "__qualname__", type(callback).__name__)
                log.error(  # noqa: TRY400
                    "%s was told of a change and raised %s",
                    name,
                    type(error).__name__,
                    extra=about("callback_failed", error=error),
                )


class _Making(Generic[_T]):
    """One making of a model: what it took from the cache, and for which fields."""

    def __init__(self, kind: type[_T], cache: SecretCache) -> None:
        self.kind = kind
        self._cache = cache
        self._versions: dict[Reference, SecretVersion] = {}
        self._filled: dict[str, Reference] = {}

    def source(self) -> PydanticBaseSettingsSource:
        """The source that fills what the others left empty."""
        return _Source(self.kind, self)

    def made(self, values: Mapping[str, object]) -> _Made[_T]:
        """The model from all its sources."""
        token = _MAKING.set(cast("_Making[LiveSettings]", self))
        try:
            model = self.kind(**values)
        except ValidationError as error:
            failure = self._failure(error)
        else:
            origins = {name: _origin(one) for name, one in self._filled.items()}
            live = {name: (origin, self._versions[origin]) for name, origin in origins.items()}
            return _Made(model, self._versions, live)
        finally:
            _MAKING.reset(token)
        # Neither cause nor context: pydantic's error holds what it refused.
        raise failure

    def values(self, wanted: Mapping[str, Reference]) -> dict[str, SecretVersion]:
        """The version for each of these fields; every secret is read once."""
        for origin in dict.fromkeys(map(_origin, wanted.values())):
            try:
                self._versions[origin] = origin.read(self._cache)
            except SecretError as error:
                needed = ", ".join(name for name, one in wanted.items() if _origin(one) == origin)
                error.add_note(f"It is for {self.kind.__name__}: {needed}.")
                raise
        # Two ids of one secret may have been read before and after it moved: the later read counts.
        latest = {(one.arn, origin.variant): one for origin, one in self._versions.items()}
        self._versions = {origin: latest[one.arn, origin.variant] for origin, one in self._versions.items()}
        self._filled = dict(wanted)
        return {name: self._versions[_origin(one)] for name, one in wanted.items()}

    def _failure(self, error: ValidationError) -> KeyturnError:
        """What is wrong with which fields, without a value: a validator's own words may quote one."""
        name_of = {key: name for name, field in self.kind.model_fields.items() for key in _keys(name, field)}
        wrong: list[str] = []
        misfits: list[Reference] = []
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            name = name_of.get(str(one["loc"][0]), str(one["loc"][0])) if one["loc"] else ""
            where = f"{self.kind.__name__}.{name}" if name else self.kind.__name__
            filled = self._filled.get(name)
            if filled is not None:
                misfits.append(filled)
                wrong.append(f"{where} ({filled}): {one['type']}")
            else:
                wrong.append(f"{where}: {one['msg'] if name else one['type']}")
        detail = "; ".join(wrong)
        return misfits[0].misfit(detail) if misfits else ConfigurationError(detail)


_MAKING: ContextVar[_Making[LiveSettings] | None] = ContextVar("keyturn_making", default=None)
"""The making under way in this context: pydantic-settings makes sources where it wants them."""


class _Source(PydanticBaseSettingsSource):
    """The cache as the last of a model's sources."""

    def __init__(self, kind: type[BaseSettings], making: _Making[_T]) -> None:
        super().__init__(kind)
        self._making = making

    def __call__(self) -> dict[str, object]:
        """What the sources before this one left empty, or gave in part."""
        fields = self.settings_cls.model_fields
        wanted = {
            name: reference
            for name, field in fields.items()
            for reference in field.metadata
            if isinstance(reference, Reference) and not self._is_given(name, field)
        }
        versions = self._making.values(wanted)
        return _Unshown(
            (_keys(name, fields[name])[0], self._value(name, wanted[name], version))
            for name, version in versions.items()
        )

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Not used: the fields of one secret are filled together."""
        raise NotImplementedError

    def _is_given(self, name: str, field: FieldInfo) -> bool:
        """A dict given by another source may be a part only; pydantic-settings merges it with ours."""
        return any(not isinstance(self.current_state.get(key, {}), dict) for key in _keys(name, field))

    def _value(self, name: str, reference: Reference, version: SecretVersion) -> object:
        field = self.settings_cls.model_fields[name]
        try:
            return _value(version, reference, is_structured=self._is_structured(field))
        except SecretError as error:
            detail = f"{self.settings_cls.__name__}.{name}: {error.detail}"
            raise reference.misfit(detail) from error

    def _is_structured(self, field: FieldInfo) -> bool:
        """Whether the field takes JSON rather than text; an optional one as what it is when it is there."""
        kinds = [one for one in get_args(field.annotation) if one is not NoneType]
        if NoneType in get_args(field.annotation) and len(kinds) == 1:
            field = FieldInfo.from_annotation(kinds[0])
        return self.field_is_complex(field)


class _Unshown(dict[str, object]):
    """The values for pydantic-settings, which logs what its sources gave if it is told to debug."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def _value(version: SecretVersion, reference: Reference, *, is_structured: bool) -> object:
    """What the reference names of a version. Raises a `SecretError`."""
    if reference.key is None and not is_structured:
        return version.string if version.string is not None else version.binary
    if reference.key is None and isinstance(version, Parameter) and version.type == "StringList":
        return list(version.values)
    value: object = version.json()
    keys = (reference.key,) if isinstance(reference.key, str) else reference.key or ()
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise reference.misfit(f"there is no key {key!r}")
        value = value[key]
    return value


def _origin(reference: Reference) -> Reference:
    """The whole of what the reference names a part of."""
    return replace(reference, key=None)


def _has_moved(origin: Reference, known: SecretVersion, cache: SecretCache) -> bool:
    version = origin.read(cache)
    return version is not known and version.identity != known.identity


def _of_key(key: str | tuple[str, ...] | None) -> str:
    return "" if key is None else f", key {key if isinstance(key, str) else '.'.join(key)!r}"


def _keys(name: str, field: FieldInfo) -> list[str]:
    """The keys under which a source may give this field; the first is the one to give it under."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [*(one for one in choices if isinstance(one, str)), name]
