"""`LiveSettings`: fields of a settings model that follow their secrets, and never show or mix them."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Annotated, Generic, Literal, NamedTuple, Optional, Required, TypeVar, Union, assert_type

import pydantic_settings.main
import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    Json,
    SecretBytes,
    SecretStr,
    ValidationError,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import TypeAliasType, TypedDict

import keyturn.settings.live
from keyturn import (
    AsyncSecretCache,
    ConfigurationError,
    SecretCache,
    SecretError,
    SecretFieldError,
    SecretNotFoundError,
    SecretVersion,
    UnavailableError,
)
from keyturn.runtime.process import around_snapshot
from keyturn.settings.live import FromParameter, FromSecret, LiveSettings
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"


class Settings(LiveSettings):
    """As an application has them: two fields of one secret, a secret of its own, and what is none."""

    model_config = SettingsConfigDict(env_prefix="APP_")

    user: Annotated[str, FromSecret(NAME, key="username")]
    password: Annotated[SecretStr, FromSecret(NAME, key="password")]
    key: Annotated[SecretBytes, FromSecret("prod/key")]
    pool_size: int = 5


def login(user: str, password: str) -> str:
    """The text of the secret."""
    return json.dumps({"username": user, "password": password, "deep": {"er": 7}})


@pytest.fixture(autouse=True)
def _secrets(world: World) -> None:
    """Both secrets, with matching user and password."""
    world.rotate("v2", login("app-2", "word-2"))
    world.secrets.create("prod/key", b"\x00\xff")


def rotate(world: World, number: int) -> None:
    """The next version of the login, at once to be noticed."""
    world.rotate(f"v{number}", login(f"app-{number}", f"word-{number}"))
    world.clock.advance(5)


@pytest.fixture
def settings(world: World) -> Settings:
    """Live settings on a cache that has seen the marker."""
    return Settings.live(world.covered())


def test_a_field_follows_its_secret(world: World, settings: Settings) -> None:
    """Reading a field gives the value of the moment, with the type that the model says."""
    assert ("app-2", "word-2", b"\x00\xff") == (
        settings.user,
        settings.password.get_secret_value(),
        settings.key.get_secret_value(),
    )
    rotate(world, 3)
    assert ("app-3", "word-3") == (settings.user, settings.password.get_secret_value())
    assert_type(settings.password, SecretStr)
    assert_type(settings.snapshot(), Settings)


def test_reading_costs_hits_only(world: World, settings: Settings) -> None:
    """A thousand reads of fields and snapshots make no call."""
    settings.snapshot()
    calls = world.secrets.calls.total()
    for _ in range(1000):
        assert settings.user
        assert settings.snapshot().user
    assert calls == world.secrets.calls.total()


def test_a_validator_that_waits_for_a_reader_holds_nobody_up_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's code makes the model: a thread that reads it meanwhile goes on with the last one."""
    monkeypatch.setattr(keyturn.settings.live, "MAKING_S", 0.05)
    found = list[str]()

    class Trying(LiveSettings):
        user: Annotated[str, FromSecret(NAME, key="username")]

        @field_validator("user")
        @classmethod
        def works(cls, user: str) -> str:
            if user == "app-3":
                with ThreadPoolExecutor(1) as pool:
                    found.append(pool.submit(lambda: live.user).result(10))
            return user

    live = Trying.live(world.covered())
    rotate(world, 3)
    assert "app-3" == live.user
    assert ["app-2"] == found


def test_one_secret_is_read_once_for_all_its_fields(world: World) -> None:
    """Making the model reads each secret once, however many fields are of it."""
    Settings.live(world.cache(table=False))
    assert 2 == world.reads


def test_a_snapshot_stays_as_it_is(world: World, settings: Settings) -> None:
    """It is an ordinary frozen model; while nothing moves it is the same one."""
    before = settings.snapshot()
    assert before is settings.snapshot()
    assert isinstance(before, Settings)
    assert before is before.snapshot()
    rotate(world, 3)
    assert "app-3" == settings.user
    assert ("app-2", 5) == (before.user, before.pool_size)
    with pytest.raises(ValidationError, match="frozen"):
        before.user = "other"
    with pytest.raises(ValidationError, match="frozen"):
        settings.user = "other"


def moving(world: World, cache: SecretCache) -> None:
    """From now on the login moves after each read of it, and the cache knows."""
    read, numbers = world.secrets.read, count(3)

    def read_and_move(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        version = read(secret_id, stage=stage, version_id=version_id)
        if version.name == NAME:
            number = next(numbers)
            world.secrets.put(NAME, login(f"app-{number}", f"word-{number}"), f"v{number}")
            world.clock.advance(1)
            cache.invalidate(NAME)
        return version

    world.secrets.read = read_and_move  # type: ignore[method-assign] # it moves while it is read


def test_a_snapshot_is_never_torn(world: World) -> None:
    """A secret that moves while the model is made gives all its fields from one version."""
    cache = world.cache(table=False)
    moving(world, cache)
    settings = Settings.live(cache)
    users = set()
    for _ in range(5):
        cache.invalidate(NAME)
        one = settings.snapshot()
        assert one.user.partition("-")[2] == one.password.get_secret_value().partition("-")[2]
        users.add(one.user)
    assert len(users) > 3


def test_name_and_arn_are_of_one_version(world: World) -> None:
    """So it is where one field names the secret and another has its ARN."""

    class Both(LiveSettings):
        by_name: Annotated[str, FromSecret(NAME, key="username")]
        by_arn: Annotated[str, FromSecret(world.arn, key="username")]

    cache = world.cache(table=False)
    moving(world, cache)
    settings = Both.live(cache)
    for _ in range(3):
        cache.invalidate(NAME)
        both = settings.snapshot()
        assert both.by_name == both.by_arn


def test_the_usual_sources_win(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, then the environment, then the secret; what is given is not read, and stays."""
    monkeypatch.setenv("APP_USER", "from-environment")
    monkeypatch.setenv("APP_KEY", "from-environment")
    cache = world.covered()
    reads = world.reads
    settings = Settings.live(cache, key=b"from-argument", pool_size=9)
    assert reads == world.reads
    assert ("from-environment", b"from-argument", 9) == (
        settings.user,
        settings.key.get_secret_value(),
        settings.pool_size,
    )
    rotate(world, 3)
    assert ("from-environment", "word-3") == (settings.user, settings.password.get_secret_value())
    assert reads + 1 == world.reads


def test_a_model_without_its_cache_says_what_is_missing() -> None:
    """Without `live`, the error says how the marked fields are filled; other errors get no note."""

    class Aliased(Settings):
        token: Annotated[str, FromSecret("prod/token"), Field(alias="api_token")]
        region: str

    with pytest.raises(ValidationError) as caught:
        Aliased(user="u", key=SecretBytes(b"k"))  # type: ignore[call-arg] # they are missing
    note = "password, token: filled from a cache by Aliased.live(cache). Without a cache, in a test say, "
    assert [note + "give the values: Aliased(password=...)."] == caught.value.__notes__
    with pytest.raises(ValidationError) as caught:
        Aliased(user="u", password=SecretStr("p"), key=SecretBytes(b"k"), region="r")  # type: ignore[call-arg] # token
    assert caught.value.__notes__[0].endswith("give the values: Aliased(api_token=...).")
    with pytest.raises(ValidationError) as caught:
        Aliased(user="u", password=SecretStr("p"), key=SecretBytes(b"k"), api_token="t")  # type: ignore[call-arg] # region
    assert not hasattr(caught.value, "__notes__")


def test_an_error_of_the_whole_model_is_pydantics_own() -> None:
    """It has no field, so nothing is said of fields, whatever the validator calls it."""

    class Judged(Settings):
        @model_validator(mode="before")
        @classmethod
        def nothing_fits(cls, _given: object) -> object:
            raise PydanticCustomError("missing", "nothing is here")

    with pytest.raises(ValidationError, match="nothing is here") as caught:
        Judged()  # type: ignore[call-arg] # they are missing
    assert not hasattr(caught.value, "__notes__")


def test_without_live_it_is_an_ordinary_model(world: World) -> None:
    """A test gives the fields by hand; nothing is read, and nothing is told."""
    plain = Settings(user="u", password=SecretStr("p"), key=SecretBytes(b"k"))
    told: list[Settings] = []
    plain.on_change(told.append)
    assert plain is plain.snapshot()
    assert "u" == plain.user
    assert [] == told


class Database(BaseModel):
    """A model of a whole secret."""

    username: str
    password: SecretStr


class Shapes(LiveSettings):
    """Every shape of a field."""

    model_config = SettingsConfigDict(env_prefix="SHAPES_", env_nested_delimiter="__")

    text: Annotated[str, FromSecret(NAME)]
    encoded: Annotated[bytes, FromSecret(NAME)]
    database: Annotated[Database, FromSecret(NAME)]
    perhaps: Annotated[Database | None, FromSecret(NAME)] = None
    anything: Annotated[dict[str, object], FromSecret(NAME)]
    nested: Annotated[int, FromSecret(NAME, key=("deep", "er"))]
    renamed: Annotated[str, FromSecret(NAME, key="username")] = Field(validation_alias="OTHER_NAME")
    previous: Annotated[SecretStr, FromSecret(NAME, stage="AWSPREVIOUS")]


def test_every_shape_of_a_field_is_filled(world: World) -> None:
    """Text, bytes, a model, an optional one, a dict, a key inside a key, an alias, another stage."""
    shapes = Shapes.live(world.cache())
    assert login("app-2", "word-2") == shapes.text == shapes.encoded.decode()
    assert "app-2" == shapes.database.username == shapes.renamed
    assert shapes.perhaps == shapes.database
    assert {"er": 7} == shapes.anything["deep"]
    assert 7 == shapes.nested
    assert "one" == shapes.previous.get_secret_value()


def test_the_environment_may_give_a_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a nested model the environment's part wins and the secret fills the rest, as pydantic merges."""
    monkeypatch.setenv("SHAPES_DATABASE__USERNAME", "mine")
    monkeypatch.setenv("OTHER_NAME", "alias")
    shapes = Shapes.live(world.covered())
    rotate(world, 3)
    assert ("mine", "word-3") == (shapes.database.username, shapes.database.password.get_secret_value())
    assert "alias" == shapes.renamed


def test_an_argument_gives_the_whole(world: World) -> None:
    """A dict may be a part, which the secret completes; other objects are whole."""

    class Whole(LiveSettings):
        database: Annotated[Database, FromSecret("prod/missing")]
        limits: Annotated[dict[str, int], FromSecret("prod/missing")]

    given = Database(username="u", password=SecretStr("p"))
    whole = Whole.live(world.cache(), database=given, limits=MappingProxyType({"a": 7}))
    assert (given, {"a": 7}) == (whole.database, whole.limits)
    with pytest.raises(SecretNotFoundError):
        Whole.live(world.cache(), database=given, limits={"a": 7})


# Changes


def test_a_change_is_told_once(world: World, settings: Settings) -> None:
    """Once per move, with the new snapshot, before the read that saw it returns; not for another's sake."""
    told: list[str] = []

    @settings.on_change
    def remember(new: Settings) -> None:
        told.append(new.user)

    assert "app-2" == settings.user
    assert [] == told
    rotate(world, 3)
    assert [] == told
    assert settings.password
    assert ["app-3"] == told
    settings.snapshot()
    assert ["app-3"] == told
    world.rotate("v4", login("app-3", "word-3"))
    world.clock.advance(5)
    settings.snapshot()
    assert ["app-3"] == told


def test_an_async_callback_is_refused(settings: Settings) -> None:
    """Nobody would await it, so it would never run."""

    async def reconnect(_new: Settings) -> None:
        raise AssertionError("nobody runs this")

    with pytest.raises(ConfigurationError, match="on_change takes a plain function"):
        settings.on_change(reconnect)


def test_a_callback_that_hides_that_it_is_async_is_in_the_log(
    world: World, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It has not run, and the log says that it failed."""

    async def reconnect(_new: Settings) -> None:
        raise AssertionError("nobody runs this")

    @settings.on_change
    def hidden(new: Settings) -> object:
        return reconnect(new)

    rotate(world, 3)
    assert "app-3" == settings.user
    (said,) = [one.getMessage() for one in caplog.records if "on_change callback" in one.getMessage()]
    assert "raised ConfigurationError" in said


def test_a_callback_that_fails_is_no_readers_fault(
    world: World, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged by its type, without its text; the others are told, the read succeeds."""
    told: list[Settings] = []

    def broken(new: Settings) -> None:
        raise RuntimeError(new.password.get_secret_value())

    settings.on_change(broken)
    settings.on_change(told.append)
    world.rotate("v3", login("app-3", CANARY))
    world.clock.advance(5)
    assert "app-3" == settings.user
    assert 1 == len(told)
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


# Errors


def shown(error: BaseException) -> str:
    """All that a traceback, a log or a debugger's first look shows of an error and its chain."""
    texts, chain = [], [error]
    while chain:
        one = chain.pop()
        texts += [repr(one), str(one), repr(vars(one)), *traceback.format_exception(one)]
        texts += [repr(one.errors())] if isinstance(one, ValidationError) else []
        chain += [link for link in (one.__cause__, one.__context__) if link is not None]
    return "\n".join(texts)


class Port(LiveSettings):
    """A number, and validators with loose tongues."""

    port: Annotated[int, FromSecret(NAME, key="password")] = 1
    name: Annotated[str, FromSecret(NAME, key="username")] = ""
    limit: int = 5

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if name == CANARY:
            raise ValueError(f"{name} is too long")
        return name

    @model_validator(mode="after")
    def _fits(self) -> Port:
        if self.limit == 0:
            raise ValueError(f"{self.name} {self.port} {CANARY}")
        return self


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (login("app", CANARY), SecretFieldError, "Port.port .*key 'password'.*int_parsing"),
        (login(CANARY, "5432"), SecretFieldError, "Port.name .*key 'username'.*value_error"),
        (json.dumps({"password": "1", "user": CANARY}), SecretFieldError, "Port.name: .*no key 'username'"),
        (json.dumps([CANARY]), SecretFieldError, "Port.port: .*no key 'password'"),
        (f'{{"password": {CANARY}', SecretFieldError, "Port.port: not JSON at character"),
        (CANARY.encode(), SecretFieldError, "Port.port: the value is binary"),
    ],
)
def test_a_value_that_does_not_fit_is_named_not_shown(
    world: World, value: str | bytes, error: type[SecretError], said: str
) -> None:
    """The error has the secret's id and the field's name; the value is nowhere in it or its chain."""
    world.secrets.put(NAME, value, "v3")
    with pytest.raises(error, match=said) as caught:
        Port.live(world.cache(table=False))
    assert NAME == caught.value.secret_id
    assert CANARY not in shown(caught.value)


def test_other_sources_mistakes_are_configuration_errors(world: World) -> None:
    """What an argument got wrong says so; the words of a validator of the whole model are left out."""
    world.secrets.put(NAME, login(CANARY[:5], "5432"), "v3")
    cache = world.cache(table=False)
    with pytest.raises(ConfigurationError, match="limit: Input should be a valid integer"):
        Port.live(cache, limit="many")
    with pytest.raises(ConfigurationError, match="value_error") as caught:
        Port.live(cache, limit=0)
    assert CANARY not in shown(caught.value)


def test_a_secret_that_cannot_be_read_says_what_it_is_for(world: World) -> None:
    """The cache's own error, with a note of the fields that need the secret."""
    world.secrets.purge("prod/key")
    with pytest.raises(SecretNotFoundError) as caught:
        Settings.live(world.cache(table=False))
    assert ["It is for Settings: key."] == caught.value.__notes__


@pytest.mark.parametrize("unfit", [login("app", CANARY), login(CANARY, "7"), json.dumps([CANARY]), CANARY])
def test_after_a_version_that_does_not_fit_the_last_values_hold(
    world: World, unfit: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A rotation to nonsense: every field keeps its value, the log says once why, and the next one counts."""
    world.secrets.put(NAME, login("app", "1"), "v3")
    port = Port.live(world.covered())
    assert 1 == port.port
    world.rotate("v4", unfit)
    world.clock.advance(5)
    for _ in range(2):
        assert (1, "app", 1) == (port.port, port.name, port.snapshot().port)
    (said,) = [one.getMessage() for one in caplog.records if "keeps its last values" in one.getMessage()]
    assert NAME in said
    assert CANARY not in said
    world.rotate("v5", login("app", "2"))
    world.clock.advance(5)
    assert (2, 2) == (port.port, port.snapshot().port)


class Postgres(BaseModel):
    """One of two documents."""

    engine: Literal["postgres"]
    password: SecretStr


class Maria(BaseModel):
    """The other one."""

    engine: Literal["mariadb"]
    password: SecretStr


AnyServer = TypeAliasType("AnyServer", Postgres | Maria)
JSON_TEXT = Annotated[Postgres | Maria, Json()]
JSON_ALIAS = Annotated[AnyServer, Json()]


@pytest.mark.parametrize(
    "kind",
    [
        Postgres | Maria,
        Annotated[Postgres | Maria, Field(discriminator="engine")],
        Postgres | Maria | None,
        Annotated[Postgres | Maria, Field(discriminator="engine")] | None,
        Maria | list[str],
        Optional[Union[Postgres, Maria]],  # noqa: UP007, UP045 # the older way to write it
        AnyServer,
        AnyServer | None,
    ],
    ids=str,
)
def test_a_union_of_documents_is_filled_from_json(world: World, kind: object) -> None:
    """As a field of one of them is: with a discriminator, optional, or behind an alias."""
    world.rotate("v2", json.dumps({"engine": "mariadb", "password": CANARY}))
    made = create_model("Made", __base__=LiveSettings, db=(Annotated[kind, FromSecret(NAME)], ...))
    server = made.live(world.cache()).snapshot().db  # type: ignore[attr-defined] # made here
    assert isinstance(server, Maria)
    assert CANARY == server.password.get_secret_value()


@pytest.mark.parametrize("kind", [Maria | str, dict[str, str] | SecretStr, JSON_TEXT, JSON_ALIAS], ids=str)
def test_a_union_that_takes_text_gets_the_text(world: World, kind: object) -> None:
    """As it did: a password may look like JSON. `Json` takes the text apart by itself."""
    world.rotate("v2", json.dumps({"engine": "mariadb", "password": CANARY}))
    made = create_model("Made", __base__=LiveSettings, db=(Annotated[kind, FromSecret(NAME)], ...))
    found = made.live(world.cache()).snapshot().db  # type: ignore[attr-defined] # made here
    assert isinstance(found, Maria if kind in (JSON_TEXT, JSON_ALIAS) else str | SecretStr)


def test_a_reference_in_the_wrong_place_is_refused_with_the_class() -> None:
    """As a default, or inside of an optional: pydantic would give None, or want text, in silence."""
    with pytest.raises(
        ConfigurationError, match=r"AsDefault.key: FromSecret .*key: Annotated\[..., FromSecret"
    ):

        class AsDefault(LiveSettings):
            key: SecretStr = FromSecret("prod/key")  # type: ignore[assignment] # the mistake

    with pytest.raises(ConfigurationError, match=r"Inside.key: FromSecret"):

        class Inside(LiveSettings):
            key: Annotated[SecretStr, FromSecret("prod/key")] | None = None

    with pytest.raises(ConfigurationError, match=r"Deep.keys: FromParameter"):

        class Deep(LiveSettings):
            keys: tuple[Annotated[str, FromParameter("/app/key")], ...] = ()

    for mark in (FromSecret, FromParameter):
        with pytest.raises(ConfigurationError, match="is without brackets"):
            create_model("Bare", __base__=LiveSettings, key=(Annotated[str, mark], ""))

    class Right(LiveSettings):
        key: Annotated[SecretStr | None, FromSecret("prod/key")] = None

    assert Right().key is None


class InModel(BaseModel):
    """Of a library, say, which nobody fills."""

    password: Annotated[SecretStr, FromSecret("prod/db", key="password")] = SecretStr("dev")


class InSettings(LiveSettings):
    """Filled by its own `live`, and by no other."""

    password: Annotated[SecretStr, FromSecret("prod/db", key="password")] = SecretStr("dev")


class Around(BaseModel):
    """Has it two levels down, and itself."""

    around: Around | None = None
    inside: list[InModel] = []


@dataclass
class InDataclass:
    """By an annotation that is text."""

    password: Annotated[str, FromSecret("prod/db", key="password")] = "dev"


@dataclass
class AsItsDefault:
    """Instead of a password."""

    password: str = FromSecret("prod/db")  # type: ignore[assignment] # the mistake


class InTypedDict(TypedDict, total=False):
    """Under a qualifier."""

    password: Required[Annotated[str, FromSecret("prod/db", key="password")]]


class InNamedTuple(NamedTuple):
    """By the name of its field."""

    password: Annotated[str, FromSecret("prod/db", key="password")] = "dev"


class Heir(InDataclass):
    """Inherits it."""


_Item = TypeVar("_Item")


@dataclass
class Box(Generic[_Item]):
    """Of anything."""

    item: _Item


Alias = TypeAliasType("Alias", Annotated[str, FromSecret("prod/db", key="password")])
GenericAlias = TypeAliasType(
    "GenericAlias", Annotated[_Item, FromSecret("prod/db", key="password")], type_params=(_Item,)
)


class Innocent(BaseModel):
    """Names what is not there yet, and itself."""

    later: Later | None = None  # type: ignore[name-defined] # noqa: F821 # what is not there
    own: Innocent | None = None


@dataclass
class InnocentData:
    """Names what is not there yet, beside what is."""

    later: Later | None = None  # type: ignore[name-defined] # noqa: F821 # what is not there
    other: Innocent | None = None


@pytest.mark.parametrize(
    "kind",
    [
        InModel,
        InSettings,
        Around,
        InDataclass,
        AsItsDefault,
        InTypedDict,
        InNamedTuple,
        Heir,
        Box[InModel],
        InModel | None,
        dict[str, tuple[InModel, ...]],
        Alias,
        GenericAlias[str],
        list[Alias],
    ],
    ids=str,
)
def test_a_reference_inside_of_another_class_or_alias_is_refused_with_the_class(kind: object) -> None:
    """Else the default of the other class would be the password, in silence."""
    with pytest.raises(ConfigurationError, match=r"Outer.db: FromSecret is in the wrong place"):
        create_model("Outer", __base__=LiveSettings, db=(kind, None))


@pytest.mark.parametrize("kind", [Innocent, InnocentData, Box[int], Literal["a"], type[int]], ids=str)
def test_a_class_without_a_reference_may_be_inside(kind: object) -> None:
    """Whatever else it names: a forward reference fails no settings class."""
    made = create_model("Outer", __base__=LiveSettings, db=(kind, None))
    assert ["db"] == list(made.model_fields)


def test_a_field_with_two_sources_is_refused_with_the_class() -> None:
    """Else one of them would be left out without a word."""
    with pytest.raises(
        ConfigurationError, match=r"Twice.key: secret 'a', key 'k' and parameter '/b': a field has one"
    ):

        class Twice(LiveSettings):
            key: Annotated[SecretStr, FromSecret("a", key="k"), FromParameter("/b")]


def test_an_alias_that_is_only_a_path_is_refused_with_the_class(world: World) -> None:
    """pydantic would look for the value inside of another one; with a name as well, the secret fills it."""
    path = AliasPath("db", "user")
    for alias in (path, AliasChoices(path)):
        with pytest.raises(ConfigurationError, match=r"Nested.user: its alias is a path, which FromSecret"):
            create_model(
                "Nested",
                __base__=LiveSettings,
                user=(Annotated[str, FromSecret(NAME, key="username")], Field(validation_alias=alias)),
            )

    class Named(LiveSettings):
        user: Annotated[str, FromSecret(NAME, key="username")] = Field(
            validation_alias=AliasChoices(path, "USER_NAME")
        )

    class ByName(LiveSettings):
        model_config = SettingsConfigDict(populate_by_name=True)

        user: Annotated[str, FromSecret(NAME, key="username")] = Field(validation_alias=path)
        other: str = Field(default="", validation_alias=AliasPath("db", "other"))

    for kind in (Named, ByName):
        assert "app-2" == kind.live(world.cache()).user


def test_what_another_source_gives_by_a_path_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what it gives by a name: the environment comes before the secret, which is not read."""

    class Named(LiveSettings):
        user: Annotated[str, FromSecret(NAME, key="username")] = Field(
            validation_alias=AliasChoices("USER_NAME", AliasPath("DB", "user"))
        )

    monkeypatch.setenv("DB", '{"user": "mine"}')
    reads = world.reads
    assert ("mine", reads) == (Named.live(world.cache()).user, world.reads)


def test_a_value_that_no_source_can_parse_is_told_without_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a secret of the environment's. If it comes later, the settings keep their last values."""

    class Database(BaseModel):
        user: str = ""

    class Parsed(Settings):
        database: Database = Database()

    cache = world.cache()
    settings = Parsed.live(cache)
    assert "app-2" == settings.user
    monkeypatch.setenv("APP_DATABASE", f'{{"password": "{CANARY}"')
    with pytest.raises(
        ConfigurationError, match=r'Parsed: error parsing value for field "database"'
    ) as caught:
        Parsed.live(cache)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    world.rotate("v3", login("app-3", "word-3"))
    world.clock.advance(400)
    assert "app-2" == settings.user
    assert "keeps its last values" in caplog.text
    assert CANARY not in caplog.text


def test_a_copy_follows_too_and_a_pickle_is_refused(world: World) -> None:
    """`dataclasses.asdict` makes such copies. A lock and a cache go to no other process."""
    settings = Settings.live(world.cache())
    copied = copy.deepcopy(settings)
    world.rotate("v3", login("app-3", "word-3"))
    world.clock.advance(400)
    assert "app-3" == copied.user == settings.user
    with pytest.raises(TypeError, match=r"Settings cannot be pickled: it follows a cache; call live\(\)"):
        pickle.dumps(settings)


def test_a_computed_field_is_refused_with_the_class(world: World) -> None:
    """Also in a subclass: repr and dumps would have what it is made of. A property is in neither."""

    class Plain(LiveSettings):
        host: str = "db"

        @computed_field  # type: ignore[prop-decorator] # as pydantic says
        @property
        def url(self) -> str:
            return f"postgresql://{self.host}"

    with pytest.raises(ConfigurationError, match=r"Inherits.url: a computed_field could show secrets"):

        class Inherits(Plain):
            password: Annotated[SecretStr, FromSecret(NAME, key="password")]

    class Right(LiveSettings):
        password: Annotated[SecretStr, FromSecret(NAME, key="password")]

        @property
        def url(self) -> str:
            return f"postgresql://:{self.password.get_secret_value()}@db"

    right = Right.live(world.cache())
    assert "postgresql://:word-2@db" == right.url
    for one in (right, right.snapshot()):
        assert "word-2" not in repr(one) + repr(one.model_dump()) + one.model_dump_json()


@pytest.mark.parametrize("default", [None, "of the class", ...])
def test_sources_without_the_cache_are_refused(world: World, default: object) -> None:
    """A class that lists its sources anew would keep its defaults for ever, without a word."""

    class Base(LiveSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, init_settings

    class Listed(Base):
        word: Annotated[object, FromSecret(NAME, key="password")] = default

    with pytest.raises(ConfigurationError, match=r"Listed.settings_customise_sources leaves out the cache"):
        Listed.live(world.cache())
    assert "given" == Listed(word="given").word
    assert Base.live(world.cache()) is not None


@pytest.mark.parametrize("cache", [None, "cache", AsyncSecretCache(World().cache())])
def test_what_is_no_cache_is_refused_with_what_to_do(cache: object) -> None:
    """A cache for tasks reads by awaiting, which an access to a field cannot do."""
    with pytest.raises(
        ConfigurationError, match=r"Settings.live\(\) takes a SecretCache, not \w+: make cache ="
    ):
        Settings.live(cache)  # type: ignore[arg-type] # the mistake


def test_an_outage_does_not_touch_the_fields(world: World, settings: Settings) -> None:
    """While Secrets Manager does not answer, fields have the known values, as `get` does."""
    world.secrets.fail = UnavailableError
    world.clock.advance(4000)
    assert "app-2" == settings.user


# What shows, and where it lives


def test_live_settings_show_no_secret(world: World, settings: Settings) -> None:
    """The live object holds none: neither repr nor a dump has a field of a secret, not even a `str`."""
    assert "pool_size=5" == str(settings)
    assert {"pool_size": 5} == settings.model_dump()
    assert "app-2" == settings.snapshot().model_dump()["user"].get_secret_value()


@pytest.mark.skipif(
    "DEBUG" not in inspect.getsource(pydantic_settings.main),
    reason="this version of pydantic-settings has no debug log",
)
def test_pydantics_debug_log_shows_no_secret(tmp_path_factory: pytest.TempPathFactory) -> None:
    """PYDANTIC_SETTINGS_DEBUG logs what each source gave: of this one the names of the fields."""
    program = """
import logging
from typing import Annotated
from pydantic import SecretStr
from keyturn import Peers, SecretCache
from keyturn.live import FromSecret, LiveSettings
from keyturn.testing.fakes import FakeSecretsManager

logging.basicConfig(level=logging.DEBUG)
secrets = FakeSecretsManager()
secrets.create("prod/db", "CANARY")

class Settings(LiveSettings):
    password: Annotated[SecretStr, FromSecret("prod/db")]

Settings.live(SecretCache(peers=Peers(source=secrets)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program.replace("CANARY", CANARY)],
        env={**os.environ, "PYDANTIC_SETTINGS_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "<password>" in answer.stderr
    assert CANARY not in answer.stderr


def test_a_snapshot_of_the_process_holds_no_secret(world: World, settings: Settings) -> None:
    """Around SnapStart cache and settings forget; the first read afterwards brings all anew, and tells it."""
    told: list[Settings] = []
    settings.on_change(told.append)
    around_snapshot()
    reads = world.reads
    assert "app-2" == settings.user
    assert (reads + 2, 1) == (world.reads, len(told))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_can_read(world: World, settings: Settings) -> None:
    """A fork while another thread makes the model anew does not lock the child out."""
    inside, go_on, parent = threading.Event(), threading.Event(), os.getpid()
    read = world.secrets.read

    def slow(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
            inside.set()
            go_on.wait(10)
        return read(secret_id, stage=stage, version_id=version_id)

    rotate(world, 3)
    world.secrets.read = slow  # type: ignore[method-assign] # the other thread waits for this one
    # Nothing is held after a restore: whoever asks first makes the model anew, under its lock.
    around_snapshot()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: settings.user)
        assert inside.wait(10)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(0 if settings.user == "app-3" else 1)
        go_on.set()
        other.result()
    assert (child, 0) == os.waitpid(child, 0)


def test_a_subclass_has_its_own_fields(world: World) -> None:
    """Fields are inherited; one that is declared again without a mark is an ordinary one."""

    class Mine(Settings):
        user: str = "mine"
        extra: Annotated[str, FromSecret(NAME, key="username")]

    mine = Mine.live(world.covered())
    assert ("mine", "app-2") == (mine.user, mine.extra)
    rotate(world, 3)
    assert ("mine", "app-3", "word-3") == (mine.user, mine.extra, mine.password.get_secret_value())
    assert "app-3" == Settings.live(world.cache(table=False)).user


def test_a_callback_may_read(world: World, settings: Settings) -> None:
    """A callback that reads the live settings sees the new values, and is not told again."""
    told: list[str] = []
    tell: Callable[[Settings], object] = lambda _: told.append(settings.user)  # noqa: E731 # typed
    settings.on_change(tell)
    rotate(world, 3)
    assert "app-3" == settings.user
    assert ["app-3"] == told


class Table(LiveSettings):
    """A validator that looks the value up."""

    port: Annotated[int, FromSecret(NAME, key="password")]

    @field_validator("port", mode="before")
    @classmethod
    def _known(cls, name: str) -> int:
        return {"alpha": 1, "beta": 2}[name]


def test_an_error_that_pydantic_lets_through_is_one_of_the_value(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A `KeyError` is its key. It is named, not shown, and after a rotation the last values hold."""
    world.secrets.put(NAME, login("app", CANARY), "v3")
    with pytest.raises(SecretFieldError, match=r"Table\.port .*a validator raised KeyError") as caught:
        Table.live(world.cache(table=False))
    assert NAME == caught.value.secret_id
    assert CANARY not in shown(caught.value)
    world.secrets.put(NAME, login("app", "alpha"), "v4")
    table = Table.live(world.covered())
    world.rotate("v5", login("app", CANARY))
    world.clock.advance(5)
    assert [1, 1] == [table.port, table.port]
    (said,) = [one.getMessage() for one in caplog.records if "keeps its last values" in one.getMessage()]
    assert CANARY not in said
    world.rotate("v6", login("app", "beta"))
    world.clock.advance(5)
    assert 2 == table.port


def test_an_error_of_another_source_passes_through(world: World) -> None:
    """Before the cache has filled a field, no secret can be in it."""

    class Broken(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **more: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            raise LookupError("no such file")

    with pytest.raises(LookupError, match="no such file"):
        Broken.live(world.cache(table=False))
