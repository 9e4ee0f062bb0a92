"""`KeyturnSettings`: the environment configures a cache, and says by name what cannot work."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from keyturn import ConfigurationError, KeyturnSettings, Reporting, SecretCache
from keyturn.assembly import SETTLE_S
from keyturn.cache.limits import Limits
from keyturn.compat import SecretCache as CompatibleCache
from rotation_listener import listener

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")

PARTS = {
    "client",
    "dynamodb_client",
    "ssm_client",
    "metrics",
    "limits",
    "peers",
    "table",
    "max_backoff_s",
    "source_ttl_s",
    "spread",
}
"""Arguments of `SecretCache`, `Limits` and `Reporting` that no variable sets."""

SETTING = {"label": "report_label", "ttl_s": "report_ttl_s"}
"""Argument of `Reporting` -> its setting."""

LISTS = {"marker_tables": None, "roles": None}
"""Settings that are lists: of `marker_table`, and of `Peers.roles`."""

DRAWN_OR_FIXED = {"spread", "max_backoff_s", "source_ttl_s"}
"""Limits that nobody sets: drawn, fixed, or told by the source."""


def signature(one: Callable[..., object]) -> Iterable[inspect.Parameter]:
    """The arguments of a class."""
    return inspect.signature(one).parameters.values()


def rows() -> list[str]:
    """The table that the page must have, made from the model."""
    return [
        f"| `KEYTURN_{name.upper()}` | {field.default:g} | {field.description} |"
        if type(field.default) in (int, float)
        else f"| `KEYTURN_{name.upper()}` | {str(field.default).lower()} | {field.description} |"
        for name, field in KeyturnSettings.model_fields.items()
    ]


def test_the_page_has_the_table() -> None:
    """docs/settings.md lists every variable with its default and meaning, in the model's order."""
    table = [line for line in PAGE.splitlines() if line.startswith("| `KEYTURN_")]
    assert rows() == table


def test_every_setting_of_a_cache_is_a_variable() -> None:
    """What `SecretCache` takes as a name or number is in the settings, with the same default."""
    arguments = [*signature(SecretCache), *signature(Limits), *signature(Reporting)]
    named = {SETTING.get(one.name, one.name): one.default for one in arguments if one.name not in PARTS}
    named["check_interval_s"] = Limits().check_interval_s
    named |= LISTS
    assert named == {name: field.default for name, field in KeyturnSettings.model_fields.items()}


def test_a_number_is_written_once() -> None:
    """Limits, cache, settings, `announce` and the listener agree on every default."""
    limits = {one.name: one.default for one in fields(Limits) if one.name not in DRAWN_OR_FIXED}
    assert limits.items() <= KeyturnSettings().model_dump().items()
    assert {limits["settle_s"]} == {SETTLE_S, listener.SETTLE_S}


def test_the_environment_configures_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable wins over the default, an argument over the variable; the cache is as they say."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
    monkeypatch.setenv("KEYTURN_CHECK_INTERVAL_S", "2.5")
    monkeypatch.setenv("KEYTURN_BACKGROUND", "true")
    settings = KeyturnSettings(background=False)
    assert ("markers", 2.5, False) == (settings.marker_table, settings.check_interval_s, settings.background)
    with settings.cache() as cache:
        assert cache.status().table.used


ABROAD = "arn:aws:dynamodb:us-east-1:111122223333:table/markers"


@pytest.mark.parametrize("make", [SecretCache, lambda: KeyturnSettings().cache()], ids=["cache", "settings"])
def test_variables_name_several_tables(
    make: Callable[[], SecretCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of this account comes first, and a table that both variables name counts once."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
    monkeypatch.setenv("KEYTURN_MARKER_TABLES", f"markers, {ABROAD},")
    assert ["markers", ABROAD] == [one.name for one in make().status().tables]


def test_a_cache_names_the_variable_whose_tables_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without `KeyturnSettings`: no argument is blamed that nobody gave."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLES", "first,second")
    with pytest.raises(ConfigurationError, match="KEYTURN_MARKER_TABLES: 'second' is not the ARN"):
        SecretCache()


@pytest.mark.parametrize(
    "make",
    [SecretCache, CompatibleCache, lambda: KeyturnSettings().cache()],
    ids=["cache", "compat", "settings"],
)
@pytest.mark.parametrize(
    "variable", ["KEYTURN_MARKER_TABLE", "KEYTURN_MARKER_TABLES", "KEYTURN_CONVERGENCE_TABLE"]
)
def test_every_way_to_a_cache_names_the_variable_that_gave_the_table(
    variable: str, make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the variable beside it, and no argument."""
    monkeypatch.setenv(variable, "ab")
    with pytest.raises(ConfigurationError, match=f"^{variable}: 'ab' is neither the name nor the ARN"):
        make()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("KEYTURN_CHECK_INTERVAL_S", "five"),
        ("KEYTURN_CHECK_INTERVAL_S", "0"),
        ("KEYTURN_COVERED_TTL_S", "299"),
        ("KEYTURN_LEASE_S", ""),
        ("KEYTURN_MARKER_TABLE", ""),
        ("KEYTURN_MARKER_TABLES", ""),
        ("KEYTURN_MARKER_TABLES", "first,second"),
        ("KEYTURN_ROLES", "reader"),
        ("KEYTURN_CONVERGENCE_TABLE", ""),
        ("KEYTURN_REPORT_LABEL", "l" * 129),
        ("KEYTURN_REPORT_TTL_S", "59"),
        ("KEYTURN_MAX_SECRETS", "1.5"),
        ("KEYTURN_BACKGROUND", "perhaps"),
        ("KEYTURN_SETTLE_S", "nan"),
    ],
)
def test_an_error_names_the_variable(variable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot work is a `ConfigurationError` that begins with the environment variable."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=f"^{variable}"):
        KeyturnSettings()


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        (
            "KEYTURN_CHECK_INTERVAL_S",
            " is out of range: it must be above 0, at most 1e+09; 1 is a good smallest value",
        ),
        ("KEYTURN_MAX_SECRETS", "; it must be a whole number above 0, at most 1e+09"),
    ],
)
def test_what_must_be_above_0_is_told_in_one_way(
    variable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that it may be 0, to be refused as 0 after that."""
    for text in ("0", "-1", "2000000000", *(["nan", "inf"] if variable.endswith("_S") else [])):
        monkeypatch.setenv(variable, text)
        with pytest.raises(ConfigurationError) as raised:
            KeyturnSettings()
        assert str(raised.value).endswith(said)


def test_every_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mistakes are told at once, and an argument that does not exist is one."""
    monkeypatch.setenv("KEYTURN_LEASE_S", "long")
    monkeypatch.setenv("KEYTURN_MAX_STALE_S", "short")
    with pytest.raises(ConfigurationError, match=r"KEYTURN_LEASE_S.*KEYTURN_MAX_STALE_S"):
        KeyturnSettings()
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="check_intervall_s"):
        KeyturnSettings(check_intervall_s=1)  # type: ignore[call-arg] # a slip, seen by mypy too


@pytest.mark.parametrize("variable", ["KEYTURN_MARKER_TABLE", "KEYTURN_CONVERGENCE_TABLE"])
def test_what_can_be_no_table_is_refused_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """At once, and not by DynamoDB at the first check or report."""
    monkeypatch.setenv(variable, "a b")
    with pytest.raises(ConfigurationError, match=rf"{variable}: 'a b' is neither the name nor the ARN"):
        KeyturnSettings()


def test_a_subclass_names_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its prefix; what a validator of the whole says is told as it is."""

    class Shop(KeyturnSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

        @model_validator(mode="after")
        def _needs_a_table(self) -> Self:
            if self.marker_table is None:
                raise ValueError("the shop needs its table")
            return self

    with pytest.raises(ConfigurationError, match=r"^Value error, the shop needs its table$"):
        Shop()
    monkeypatch.setenv("SHOP_MARKER_TABLE", "markers")
    for wrong in ("5s", "0"):
        monkeypatch.setenv("SHOP_CHECK_INTERVAL_S", wrong)
        with pytest.raises(ConfigurationError, match=r"^SHOP_CHECK_INTERVAL_S"):
            Shop()


def test_settings_cannot_be_changed() -> None:
    """A cache was made from them: they stay as they are."""
    with pytest.raises(ValueError, match="frozen"):
        KeyturnSettings().lease_s = 1


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.floats().map(str)


@given(st.dictionaries(st.sampled_from(sorted(KeyturnSettings.model_fields)), texts, max_size=3))
def test_any_environment_is_a_cache_or_refused(environment: dict[str, str]) -> None:
    """Whatever the variables say, it is a cache that can be made, or a `ConfigurationError`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(f"KEYTURN_{name.upper()}", text)
        try:
            settings = KeyturnSettings()
        except ConfigurationError:
            return
        settings.cache().close()
