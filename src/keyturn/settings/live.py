"""`LiveSettings`: pydantic settings with fields that a `SecretCache` fills and keeps true after a rotation.

    class Settings(LiveSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")  # else USER of the shell would be the user

        user: Annotated[str, FromSecret("prod/db", key="username")]
        password: Annotated[SecretStr, FromSecret("prod/db", key="password")]
        pool_size: int = 5

    settings = Settings.live(cache)

pydantic-settings does the work: the cache is one more source, after all the usual ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TypeVar, cast

from pydantic import Json as JsonText
from pydantic import PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError, KeyturnError, SecretError, SecretFieldError
from keyturn.model.fields import ConcealedValues, Flaw
from keyturn.model.plain import is_unrun
from keyturn.model.versions import SecretVersion
from keyturn.runtime.frames import errors_without_locals
from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log
from keyturn.runtime.process import watch_process
from keyturn.settings.fields import (
    concealed_fields,
    has_no_key,
    keys_of,
    may_be_named,
    members_of,
    misplaced,
    missing_fields,
    names_of,
    paths_of,
    takes_text,
    unaliased,
)
from keyturn.settings.references import (
    FromParameter,
    FromSecret,
    Reference,
    has_moved,
    origin_of,
    part_of,
    shown,
)

__all__ = ["FromParameter", "FromSecret", "LiveSettings"]

_T = TypeVar("_T", bound="LiveSettings")

MAKING_S: Final = 5.0
"""How long a thread waits for another one that makes the model, by validators and sources of the caller's."""


class LiveSettings(BaseSettings):
    """Settings of an application. Objects made by `live` follow the secrets that their fields name.

    The cache fills the fields that are marked with `FromSecret` or `FromParameter`, unless an argument, the
    environment or another source of pydantic-settings does. Without `live` (in a test, say) this is an
    ordinary frozen settings model.

    A field that is marked so shows no value, whatever its type: not in the repr, and not in a dump, where it
    is a pydantic `Secret` (`**********` in JSON) unless the dump is for a `round_trip`. Such a model cannot
    be pickled while it holds values.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    _bond: _Bond[LiveSettings] | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **values: object) -> None:
        """Refuse what would show a secret, and references that cannot fill their field."""
        super().__pydantic_init_subclass__(**values)
        for name, field in cls.model_fields.items():
            marks = [mark for mark in field.metadata if isinstance(mark, Reference)]
            if len(marks) > 1:
                raise ConfigurationError(
                    f"{cls.__name__}.{name}: {' and '.join(map(str, marks))}: a field has one source"
                )
            stray = next(misplaced(field), None)
            if stray is not None:
                kind = type(stray).__name__
                raise ConfigurationError(
                    f"{cls.__name__}.{name}: {kind} is in the wrong place: write "
                    f"{name}: Annotated[..., {kind}(...)]; put None inside of the brackets"
                )
            if marks and has_no_key(field) and not may_be_named(cls):
                raise ConfigurationError(
                    f"{cls.__name__}.{name}: its alias is a path, which {type(marks[0]).__name__} cannot "
                    "fill: add a name, as AliasChoices('name', AliasPath(...))"
                )
        computed = next(iter(cls.__pydantic_decorators__.computed_fields), None)
        if computed is not None and concealed_fields(cls):
            raise ConfigurationError(
                f"{cls.__name__}.{computed}: a computed_field could show secrets in repr and dumps; "
                "make it a plain property"
            )

    if not TYPE_CHECKING:  # type checkers make the signature of the fields

        def __init__(self, *arguments: object, **values: object) -> None:
            try:
                super().__init__(*arguments, **values)
            except ValidationError as error:
                missing = missing_fields(type(self), error) & concealed_fields(type(self))
                if missing and _MAKING.get() is None:
                    kind, first = type(self).__name__, min(missing)
                    given_by = keys_of(first, type(self).model_fields[first])[0]
                    error.add_note(
                        f"{', '.join(sorted(missing))}: filled from a cache by {kind}.live(cache). Without a "
                        f"cache, in a test say, give the values: {kind}({given_by}=...)."
                    )
                raise

    @classmethod
    def live(cls, cache: SecretCache, **values: object) -> Self:
        """Return settings that read their marked fields through `cache` at each access.

        Each access costs a hit. If the secret has moved, the reading thread reads all sources again and makes
        the whole model anew, before the access returns. The object itself holds no secret: use its
        `snapshot()` for what pydantic does with a model (repr, dump, compare). `values` are the init
        arguments. Threads may share the object. After a fork it gets a new lock; after SnapStart it is read
        anew.

        If a secret has moved to a value that does not fit, an access goes on with the model that was made
        last, and the log says so.

        Raises `ConfigurationError` if `cache` is no `SecretCache`.
        This call, like every access, raises the `SecretError` of a secret that cannot be read (with a note
        that names its fields). This call also raises `SecretFieldError` if a value does not fit its field,
        and `ConfigurationError` if the value of another source does not. Each error names the field and the
        secret, and never the value.
        """
        given: object = cache
        if not isinstance(given, SecretCache):
            raise ConfigurationError(
                f"{cls.__name__}.live() takes a SecretCache, not {type(given).__name__}: make cache = "
                "SecretCache(...); AsyncSecretCache(cache) shares it with tasks"
            )
        return _Bond(cls, cache, values).settings()

    def snapshot(self) -> Self:
        """Return all fields as they are now, in an ordinary frozen model that does not change.

        Fields of one secret are of one version. Without `live` this is the model itself.
        """
        bond = self._tied()
        return self if bond is None else bond.made().model

    def on_change(self, callback: Callable[[Self], object]) -> Callable[[Self], object]:
        """Call `callback` with the new snapshot after each move that changed a field. Return `callback`.

        The thread whose access or `snapshot()` noticed the move makes the call, once per move, before the
        access returns. While no thread reads, there is no call. After a SnapStart restore there is one call
        in any case. An exception of the callback is not raised. Only its type is logged, since its text may
        quote a secret. After two moves in quick succession, two threads may call at the same time. Without
        `live` the callback is never called. Raises `ConfigurationError` for an async one.
        """
        _check_callback(is_async=inspect.iscoroutinefunction(callback))
        bond = self._tied()
        if bond is not None:
            bond.callbacks.append(callback)
        return callback

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        concealed = concealed_fields(type(self))
        for name, value in super().__repr_args__():
            yield name, shown(value) if name in concealed else value

    def __getstate__(self) -> dict[object, object]:
        if self._tied() is not None:
            raise TypeError(
                f"{type(self).__name__} cannot be pickled: it follows a cache; call live() in each process"
            )
        held = concealed_fields(type(self)) & vars(self).keys()
        if held:
            raise TypeError(
                f"{type(self).__name__} cannot be pickled: {', '.join(sorted(held))} would be in it"
            )
        return super().__getstate__()

    def _tied(self) -> _Bond[Self] | None:
        # Reading the attribute by its name would be slow in pydantic.
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
        """Return the usual sources, and the cache after them. Call it by `super()` to add more sources.

        `live` raises `ConfigurationError` for a class whose own method leaves out the cache.
        """
        usual = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        making = _MAKING.get()
        return usual if making is None or making.kind is not settings_cls else (*usual, making.source())


class _LiveField:
    """Reads a field of live settings.

    An ordinary model finds the field's own value before this descriptor.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, settings: LiveSettings | None, kind: type[LiveSettings]) -> object:
        bond = settings._tied() if settings is not None else None  # noqa: SLF001 # its own field
        if bond is None:
            # pydantic raises the same for a field without a value, and for a class.
            raise AttributeError(f"{kind.__name__!r} has no {self._name!r} yet")
        return bond.read(self._name)


class _Made(NamedTuple, Generic[_T]):
    """A model, the versions that it was made of, and the version that each live field came from."""

    model: _T
    versions: Mapping[Reference, SecretVersion]
    live: Mapping[str, tuple[Reference, SecretVersion]]

    def is_outdated(self, cache: SecretCache) -> bool:
        """Return True if one of the model's secrets has moved."""
        return any(has_moved(*one, cache) for one in self.versions.items())


class _Bond(Generic[_T]):
    """Ties live settings to a cache. The model and its versions are published in one assignment."""

    def __init__(self, kind: type[_T], cache: SecretCache, values: Mapping[str, object]) -> None:
        self._kind = kind
        self._cache = cache
        self._values = values
        self._made: _Made[_T] | None = None
        self.callbacks: list[Callable[[_T], object]] = []
        self.after_fork()
        watch_process(self)

    def settings(self) -> _T:
        """Return the model without its live fields, tied to this object."""
        made = self.made()
        settings = made.model.model_copy()
        for name in made.live:
            del vars(settings)[name]
            setattr(self._kind, name, _LiveField(name))
        settings._bond = cast("_Bond[LiveSettings]", self)  # noqa: SLF001 # this ties it
        return settings

    def __deepcopy__(self, _copied: object) -> Self:
        """Return this: a copy of the settings follows the same cache."""
        return self

    def read(self, name: str) -> object:
        """Return the field's value as it is now."""
        made = self._made
        if made is None or (name in made.live and has_moved(*made.live[name], self._cache)):
            made = self._remade()
        return vars(made.model)[name]

    def made(self) -> _Made[_T]:
        """Return the model and its versions as they are now."""
        made = self._made
        return self._remade() if made is None or made.is_outdated(self._cache) else made

    def after_fork(self) -> None:
        """Make a new lock in a forked child: a thread that was not copied may hold the old one."""
        self._lock = new_lock()

    def forget(self) -> None:
        """Drop everything that holds a secret, before a SnapStart snapshot."""
        self._made = None

    def _remade(self) -> _Made[_T]:
        """Make the model anew. Wait for another thread that does so, and then go on with the last model."""
        last, lock, acquired = self._made, self._lock, list[bool]()
        try:
            # A signal handler may raise right after a call. Then the list says whether the lock is ours.
            acquired.extend(map(lock.acquire, (True,), (MAKING_S,)))
            if acquired == [False] and last is not None:
                return last
            before = self._made
            if before is not None and not before.is_outdated(self._cache):
                return before
            after, misfit = self._made_now(before)
            self._made = after
        finally:
            if acquired == [True]:
                lock.release()
        if misfit is not None:
            log.warning(
                "%s keeps its last values, since what it has now does not fit: %s",
                self._kind.__name__,
                misfit,
                extra=about("settings_unfit", error=misfit),
            )
        elif before is None or before.model != after.model:
            self._tell(after.model)
        return after

    def _made_now(self, before: _Made[_T] | None) -> tuple[_Made[_T], KeyturnError | None]:
        """Return the model of what the cache has now; else the earlier one, and what does not fit."""
        making = _Making(self._kind, self._cache)
        try:
            return making.made(self._values), None
        except (ConfigurationError, SecretFieldError) as error:
            if before is None:
                raise
            # Until the next move: none of these versions is looked at again.
            return making.instead(before), error

    def _tell(self, snapshot: _T) -> None:
        for callback in tuple(self.callbacks):
            try:
                _check_callback(is_async=is_unrun(callback(snapshot)))
            except Exception as error:  # noqa: BLE001 # a callback's fault must not end the read
                # The log has neither the error's text nor the callback's repr, since both may quote a secret.
                name = getattr(callback, "__qualname__", type(callback).__name__)
                log.error(  # noqa: TRY400
                    "the on_change callback %s raised %s",
                    name,
                    type(error).__name__,
                    extra=about("callback_failed", error=error),
                )


class _Making(Generic[_T]):
    """One construction of a model: the versions taken from the cache, and the fields they are for."""

    def __init__(self, kind: type[_T], cache: SecretCache) -> None:
        self.kind = kind
        self._cache = cache
        self._versions: dict[Reference, SecretVersion] = {}
        self._filled: dict[str, Reference] = {}
        self._is_asked = not concealed_fields(kind)

    def source(self) -> PydanticBaseSettingsSource:
        """Return the source that fills the fields that the other sources left empty."""
        self._is_asked = True
        return _Source(self.kind, self)

    @errors_without_locals
    def made(self, values: Mapping[str, object]) -> _Made[_T]:
        """Make the model from all its sources."""
        token = _MAKING.set(cast("_Making[LiveSettings]", self))
        try:
            model = self.kind(**values)
        except ValidationError as error:
            failure = self._failure(error)
        except KeyturnError:
            raise
        except SettingsError as error:
            # Its text names the field and the source. Its cause, about JSON say, holds the whole value.
            failure = ConfigurationError(f"{self.kind.__name__}: {error}")
        except Exception as error:
            # pydantic lets most errors of validators through. Before the cache has filled a field, none of
            # them can hold a secret.
            if not self._filled:
                raise
            failure = self._foreign(error)
        else:
            self._require_asked()
            origins = {name: origin_of(one) for name, one in self._filled.items()}
            live = {name: (origin, self._versions[origin]) for name, origin in origins.items()}
            return _Made(model, self._versions, live)
        finally:
            _MAKING.reset(token)
        # The error has neither cause nor context, since pydantic's error holds the refused value.
        self._require_asked()
        raise failure

    def instead(self, before: _Made[_T]) -> _Made[_T]:
        """Return the earlier model, which stands in for one that could not be made of these versions."""
        live = {
            name: (origin, self._versions.get(origin, known)) for name, (origin, known) in before.live.items()
        }
        return _Made(before.model, {**before.versions, **self._versions}, live)

    def values(self, wanted: Mapping[str, Reference]) -> dict[str, SecretVersion]:
        """Return the version for each of these fields. Every secret is read once."""
        for origin in dict.fromkeys(map(origin_of, wanted.values())):
            try:
                self._versions[origin] = origin.read(self._cache)
            except SecretError as error:
                needed = ", ".join(name for name, one in wanted.items() if origin_of(one) == origin)
                error.add_note(f"It is for {self.kind.__name__}: {needed}.")
                raise
        # Two ids of one secret may have been read before and after it moved; the later read counts.
        latest = {(one.arn, origin.variant): one for origin, one in self._versions.items()}
        self._versions = {origin: latest[one.arn, origin.variant] for origin, one in self._versions.items()}
        self._filled = dict(wanted)
        return {name: self._versions[origin_of(one)] for name, one in wanted.items()}

    def _failure(self, error: ValidationError) -> KeyturnError:
        """Say what is wrong with which fields, without a value: a validator's message may quote one."""
        name_of = names_of(self.kind)
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

    def _require_asked(self) -> None:
        """Refuse a class that has sources of its own without this one: fields would keep their defaults."""
        if not self._is_asked:
            raise ConfigurationError(
                f"{self.kind.__name__}.settings_customise_sources leaves out the cache: return the sources "
                "of super().settings_customise_sources(...), of which it is the last, and add yours"
            )

    def _foreign(self, error: Exception) -> KeyturnError:
        """Say which error of a validator it was. Its text may be the value: that of a `KeyError` is."""
        fields = ", ".join(f"{self.kind.__name__}.{name} ({one})" for name, one in self._filled.items())
        first = next(iter(self._filled.values()))
        return first.misfit(f"{fields}: a validator raised {type(error).__name__}")


_MAKING: ContextVar[_Making[LiveSettings] | None] = ContextVar("keyturn_making", default=None)
"""The construction under way in this context. pydantic-settings makes sources at a time of its own."""


class _Source(PydanticBaseSettingsSource):
    """The cache as the last of a model's sources."""

    def __init__(self, kind: type[BaseSettings], making: _Making[_T]) -> None:
        super().__init__(kind)
        self._making = making

    def __call__(self) -> dict[str, object]:
        """Return the values of the fields that earlier sources left empty or gave in part."""
        fields = self.settings_cls.model_fields
        wanted = {
            name: reference
            for name, field in fields.items()
            for reference in field.metadata
            if isinstance(reference, Reference) and not self._is_given(name, field)
        }
        versions = self._making.values(wanted)
        return ConcealedValues(
            (keys_of(name, fields[name])[0], self._value(name, wanted[name], version))
            for name, version in versions.items()
        )

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Not used: the fields of one secret are filled together."""
        raise NotImplementedError

    def _is_given(self, name: str, field: FieldInfo) -> bool:
        """Return True if an earlier source gives this field whole.

        A dict may be a part only: pydantic-settings merges it with the cache's. What stands inside of another
        value, where an alias looks for it, is whole.
        """
        state = self.current_state
        return any(not isinstance(state.get(key, {}), dict) for key in keys_of(name, field)) or any(
            path.search_dict_for_path(state) is not PydanticUndefined for path in paths_of(field)
        )

    def _value(self, name: str, reference: Reference, version: SecretVersion) -> object:
        field = self.settings_cls.model_fields[name]
        where = f"{self.settings_cls.__name__}.{name}"
        is_structured = self._is_structured(field)
        try:
            found = part_of(version, reference, where, is_structured=is_structured, is_text=takes_text(field))
        except SecretError as error:
            raise reference.misfit(f"{where}: {error.detail}") from error
        if isinstance(found, Flaw):
            raise reference.misfit(found.detail)
        return found

    def _is_structured(self, field: FieldInfo) -> bool:
        """Return True if the field takes JSON rather than text: a union, if each of its types does.

        None does not count.
        """
        one = unaliased(field)
        marks = [*field.metadata, *one.metadata]
        if any(isinstance(mark, JsonText) for mark in marks):  # type: ignore[misc] # a class, not a type
            return False
        members = members_of(one)
        if not members:
            return self.field_is_complex(one)
        return all(map(self._is_structured, map(FieldInfo.from_annotation, members)))


def _check_callback(*, is_async: bool) -> None:
    if is_async:
        raise ConfigurationError("on_change takes a plain function: nobody would await an async one")
