"""docs/login.md is true: its examples run, and its table is the table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import django
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from keyturn.refusals import REFUSALS, Refusal
from tests.docs.pages import python_blocks
from tests.integrations.conftest import DatabaseAccount

PAGE = (Path(__file__).parents[2] / "docs" / "login.md").read_text("utf-8")


def row(refusal: Refusal) -> str:
    """The row of the page's table that says what this one says."""
    packages = ", ".join(sorted(refusal.packages)) or "any package"
    codes = ", ".join(str(code) for code in refusal.codes)
    by_code = f"{', '.join(f'`{path}`' for path in refusal.at)} is {codes}" if refusal.at else ""
    text = (refusal.text or "").replace("|", r"\|")
    if refusal.server == "RDS Proxy":
        text = text.replace(r"\|", "` or `")
    by_text = f"it says `{text}`" if text else ""
    unless = f", unless it says `{refusal.unless}`" if refusal.unless else ""
    return f"| {refusal.server} | {packages} | {' or '.join(filter(None, (by_code, by_text)))}{unless} |"


def test_the_table_is_the_table() -> None:
    """The page has one row for each row of `REFUSALS`, in its order, and says the same."""
    table = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert [row(refusal) for refusal in REFUSALS] == table[1:]


@pytest.mark.e2e
def test_the_examples_run(account: DatabaseAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example runs as it stands, one after the other, in the middle of a rotation."""
    account.secrets.create("prod/orders", account.value("one"), "v1")
    account.open_window()
    account.secrets.put("prod/orders", account.value("two"), "v2", "AWSPENDING")
    names: dict[str, object] = {"cache": account.cache}
    examples = python_blocks("docs/login.md")
    assert len(examples) >= 9
    for example in examples:
        exec(compile(example, "docs/login.md", "exec"), names)  # noqa: S102 # the page's own code
    secrets = ModuleType("orders_secrets")
    vars(secrets)["login"] = names["login"]
    monkeypatch.setitem(sys.modules, "orders_secrets", secrets)
    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    connection = ConnectionHandler(names["DATABASES"])["default"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert (account.fields["username"],) == cursor.fetchone()
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it
    for name in ("orders", "pool", "store"):
        names[name].close()  # type: ignore[attr-defined]
    names["engine"].dispose()  # type: ignore[attr-defined]
