"""`keyturn demo`: it runs where it can, and says what is missing where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli import demo
from keyturn.cli.root import root
from keyturn.errors import ConfigurationError


def test_without_its_packages_it_says_what_to_install() -> None:
    """The missing ones are named, with the extra that brings them."""
    with pytest.raises(ConfigurationError, match=r"ministack: not installed.*keyturn\[demo\]"):
        demo.demonstration(lambda package: package != "ministack")


@pytest.mark.parametrize("status", [0, 1])
def test_it_runs_the_demonstration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int) -> None:
    """Its options are passed on, its status is the exit code, and `--json` answers with its report alone."""
    asked: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        asked.append(arguments)
        print("progress")  # noqa: T201 # as the demonstration does
        (tmp_path / demo.REPORT).write_text('{"promises": "kept"}')
        return status

    monkeypatch.setattr(demo, "demonstration", lambda _: (main, tmp_path))
    told = CliRunner().invoke(root, ["demo", "--quick", "--json"])
    assert (status, '{"promises": "kept"}\n') == (told.exit_code, told.stdout)
    assert asked == [["--quick", "--output", str(tmp_path)]]
    shown = CliRunner().invoke(root, ["demo"])
    assert (status, "progress\n") == (shown.exit_code, shown.stdout)


def test_here_it_can_run() -> None:
    """With the packages that the tests have; the report lands below the current folder."""
    _, folder = demo.demonstration(lambda _: True)
    assert Path("keyturn-demo") == folder
