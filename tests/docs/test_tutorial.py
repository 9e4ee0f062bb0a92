"""docs/tutorial.md is typed as it stands, into three terminals of a machine that has Python and the wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import blocks
from tests.docs.terminal import Terminal, build_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

LEFT_RUNNING: Final = ("python cloud.py\n", "python app.py\n")


def fits(expected: str, printed: str) -> bool:
    """Whether it was printed, spaces apart; an ellipsis stands for whatever comes out."""
    words = [re.escape(word).replace("…", ".*?") for word in expected.split()]
    return re.fullmatch(r"\s*" + r"\s+".join(words) + r"\s*", printed, re.DOTALL) is not None


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the terminals begin."""
    return tmp_path_factory.mktemp("empty")


def typed(terminals: Iterator[Terminal], empty: Path) -> Iterator[tuple[str, str]]:
    """Do all that the page says; each text that it shows, and what was printed at that moment."""
    terminal = running = first = next(terminals)
    printed = ""
    for block in blocks("docs/tutorial.md"):
        if block.language == "python":
            name = block.text.partition("\n")[0].removeprefix("# ")
            (empty / "keyturn-tutorial" / name).write_text(block.text)
        elif block.text in LEFT_RUNNING:
            running = terminal
            running.type(block.text)
            running.wait_until(running.printed)
            printed = running.printed()
        elif block.language == "sh":
            terminal = next(terminals) if "terminal" in block.text.partition("\n")[0] else terminal
            printed = terminal.run(block.text)
        else:
            # What a program that was left running has printed by now is shown once more.
            yield block.text, running.printed() if fits(block.text, running.printed()) else printed
    first.type("\n")


def test_what_the_page_says_comes_out(empty: Path, wheels: Path) -> None:
    """Every command ends well, and every text that the page shows is what was printed there."""
    count = 0
    with ExitStack() as stack:
        terminals = (stack.enter_context(Terminal(empty, wheels)) for _ in range(3))
        for expected, printed in typed(terminals, empty):
            assert fits(expected, printed), printed
            count += 1
    assert [block.language for block in blocks("docs/tutorial.md")].count("text") == count


def test_the_demonstration_in_an_empty_folder(empty: Path, wheels: Path, tmp_path: Path) -> None:
    """`keyturn demo` needs nothing but what the tutorial has installed: no checkout, no make, no account."""
    with Terminal(tmp_path, wheels) as terminal:
        said = terminal.run(f". {empty}/keyturn-tutorial/.venv/bin/activate\nkeyturn demo --quick")
    assert "No login through keyturn failed" in said, said
    assert {"report.json", "timeline.svg"} == {file.name for file in (tmp_path / "keyturn-demo").iterdir()}
