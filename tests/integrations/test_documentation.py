"""docs/login.md and the integrations' pages are true: their examples run, and the table is the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import django
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from keyturn.integrations.login import Login
from keyturn.refusals import REFUSALS
from tests.docs.pages import python_blocks
from tests.integrations.conftest import DatabaseAccount

PAGE = (Path(__file__).parents[2] / "docs" / "login.md").read_text("utf-8")


def test_the_table_has_every_row() -> None:
    """The page has one row for each row of `REFUSALS`, in its order."""
    section = PAGE.partition("## What counts as refused")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    table = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert [refusal.server for refusal in REFUSALS] == table[1:]


@pytest.fixture
def names(account: DatabaseAccount) -> Iterator[dict[str, object]]:
    """What the examples start with, in the middle of a rotation; their connections are closed in the end."""
    account.secrets.create("prod/orders", account.value("one"), "v1")
    account.open_window()
    account.secrets.put("prod/orders", account.value("two"), "v2", "AWSPENDING")
    names: dict[str, object] = {"cache": account.cache, "login": Login(account.cache, "prod/orders")}
    yield names
    for name in {"orders", "pool", "store"} & names.keys():
        names[name].close()  # type: ignore[attr-defined]
    if "engine" in names:
        names["engine"].dispose()  # type: ignore[attr-defined]


def run(examples: list[str], names: dict[str, object]) -> None:
    """Run every example of a page, one after the other."""
    assert examples
    for example in examples:
        exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code


@pytest.mark.e2e
def test_the_page_about_logins_runs(names: dict[str, object]) -> None:
    """Its connection, its judge of refusals, its login, its rotation function."""
    run(python_blocks("docs/login.md"), names)
    assert {"orders", "refused_here", "handler"} <= names.keys()


@pytest.mark.e2e
@pytest.mark.parametrize(
    "examples",
    [
        python_blocks("docs/psycopg.md"),
        python_blocks("docs/asyncpg.md"),
        python_blocks("docs/sqlalchemy.md"),
    ],
    ids=["psycopg", "asyncpg", "sqlalchemy"],
)
def test_the_pages_about_drivers_run(examples: list[str], names: dict[str, object]) -> None:
    """Each connects, by itself, from a pool and on an event loop, while the server refuses AWSCURRENT."""
    run(examples, names)


@pytest.mark.e2e
def test_the_page_about_django_runs(
    names: dict[str, object], account: DatabaseAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its settings Django logs in; its login is one of the account."""
    secrets = ModuleType("orders_secrets")
    vars(secrets)["login"] = names["login"]
    monkeypatch.setitem(sys.modules, "orders_secrets", secrets)
    run(python_blocks("docs/django.md"), names)
    assert isinstance(names["login"], Login)
    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    connection = ConnectionHandler(names["DATABASES"])["default"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert (account.fields["username"],) == cursor.fetchone()
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it
