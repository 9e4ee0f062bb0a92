"""The wrapper: the handler setting names it, a variable names the real handler, and no code changes."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

import pytest

from keyturn import ConfigurationError
from keyturn.rotation import wrapper

EVENT = {"Step": "setSecret", "SecretId": "prod/db", "ClientRequestToken": "t" * 32}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder from which modules are imported, as /var/task in Lambda."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    return tmp_path


def given(monkeypatch: pytest.MonkeyPatch, handler: str) -> wrapper.Handler:
    """The wrapper's handler, as Lambda's runtime gets it with this setting."""
    monkeypatch.setenv("KEYTURN_HANDLER", handler)
    found: wrapper.Handler = importlib.import_module("keyturn.rotation.wrapper").handler
    return found


@pytest.mark.parametrize("name", ["plain_rotation.lambda_handler", "in_folder/rotation.lambda_handler"])
def test_the_real_handler_does_the_step_and_the_wrapper_announces_it(
    code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Its answer and its name stay. Without a marker table there is a line in the log, and no error."""
    file = code / f"{name.partition('.')[0]}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text("def lambda_handler(event, context):\n    return [event['Step'], context]\n")
    handler = given(monkeypatch, name)
    with caplog.at_level(logging.WARNING, "keyturn"):
        assert ["setSecret", "the context"] == handler(EVENT, "the context")
    assert "lambda_handler" == getattr(handler, "__name__", None)
    assert "setSecret of prod/db was not announced: no marker table" in caplog.text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "MODULE.NAME"),
        ("lambda_handler", "MODULE.NAME"),
        ("./present.handler", "MODULE.NAME"),
        ("/var/task/present.handler", "MODULE.NAME"),
        ("no_such_module.handler", "no module 'no_such_module'"),
        ("present.nothing", "no function 'nothing'"),
        ("present.text", "no function 'text'"),
        ("keyturn.rotation.wrapper.handler", "names the wrapper"),
    ],
)
def test_a_setting_that_names_no_function_is_refused_at_the_start(
    code: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    """Before any step: the message names the variable and what is wrong with it."""
    (code / "present.py").write_text("text = 'no function'\n")
    with pytest.raises(ConfigurationError, match=f"KEYTURN_HANDLER is .*{expected}"):
        given(monkeypatch, name)


def test_an_error_of_the_real_module_is_its_own(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is not in the package, for example."""
    (code / "without_driver.py").write_text("import no_such_driver\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_driver"):
        given(monkeypatch, "without_driver.handler")


def test_the_module_alone_needs_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools that look at modules import it; a name that it does not have is an AttributeError."""
    monkeypatch.delenv("KEYTURN_HANDLER", raising=False)
    importlib.reload(wrapper)
    with pytest.raises(AttributeError, match="nothing"):
        wrapper.nothing  # noqa: B018 # that is what is tried
