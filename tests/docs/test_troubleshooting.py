"""docs/troubleshooting.md has every error and every text that keyturn says."""

from __future__ import annotations

from typing import Final

from keyturn import errors
from tests.architecture.sources import Module
from tests.docs.pages import ROOT, spans
from tests.docs.said import said, texts

PAGE: Final = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
CODE: Final = {span.content for span in spans("docs/troubleshooting.md") if span.type == "code_inline"}


def kinds() -> list[type[errors.KeyturnError]]:
    """All errors of `keyturn.errors`."""
    found = (one for one in vars(errors).values() if isinstance(one, type))
    return [one for one in found if issubclass(one, errors.KeyturnError)]


def test_every_error_has_a_row() -> None:
    """Each class stands there, and what its message says."""
    assert len(kinds()) >= 24
    assert [one.__name__ for one in kinds() if one.__name__ not in CODE] == []
    summaries = {one.summary for one in kinds() if issubclass(one, errors.SecretError)}
    assert [one for one in summaries if not any(code.endswith(one) for code in CODE)] == []


def test_every_text_has_a_row() -> None:
    """What is raised, logged or shown as a reason stands there as it is said."""
    assert len(said()) > 100
    assert {text: module for text, module in said().items() if text not in CODE} == {}


def test_no_row_is_of_the_past() -> None:
    """A row whose text nobody says any more is one too many."""
    _, _, texts_only = PAGE.partition("## Reading a secret")
    rows = [line for line in texts_only.splitlines() if line.startswith("| `")]
    told = [row.split("|")[1].strip("` ") for row in rows]
    elsewhere = {
        "a character that no name has",
        "an empty part",
        "the answer has no Name, Value or Version",
        "not ready to serve traffic",
    }
    assert len(told) > 100
    assert sorted(set(told) - said().keys() - elsewhere) == []


def test_a_text_is_seen() -> None:
    """What is raised and logged is found, with an ellipsis for each part that differs."""
    source = """
raise ConfigurationError(f"{name} is too large: {size!r}")
raise CallFailedError(Fault(KIND, f"nothing answers on {port}"))
log.warning("%s has ended after %d s", name, age_s)
raise SecretNotFoundError(secret_id)
"""
    expected = ["… is too large: …", "nothing answers on …", "… has ended after … s"]
    assert expected == list(texts(Module("made", source)))
