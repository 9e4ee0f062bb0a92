"""`keyturn help TOPIC` prints a page of the documentation of this very version, without network."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import click
from rich.markdown import Markdown

from keyturn.cli.output import console
from keyturn.cli.root import COMMANDS

_PACKAGED: Final = Path(__file__).with_name("docs")
_CHECKOUT: Final = Path(__file__).parents[3] / "docs"


@click.command
@click.argument("topic", required=False)
def command(*, topic: str | None) -> None:
    """Print the page TOPIC of the documentation, or list the topics.

    The pages are those of this version. On a terminal they are laid out, elsewhere they are plain Markdown.
    """
    pages = _pages()
    if topic is None:
        width = max(map(len, pages), default=0)
        for name, page in pages.items():
            click.echo(f"{name:{width}}  {_title(page)}")
        return
    if topic not in pages and topic in COMMANDS:
        raise click.UsageError(f"{topic!r} is a command and no topic: keyturn {topic} --help")
    if topic not in pages:
        meant = " or ".join(get_close_matches(topic.lower().removesuffix(".md"), pages))
        hint = f"did you mean {meant}? " if meant else ""
        raise click.UsageError(f"there is no topic {topic!r}: {hint}keyturn help lists all topics")
    text = pages[topic].read_text("utf-8")
    if sys.stdout.isatty():
        console().print(Markdown(text))
    else:
        click.echo(text, nl=False)


def _pages() -> dict[str, Path]:
    """Return topic -> its file. A wheel has the pages beside this module, a checkout has them in `docs`."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    return {file.stem: file for file in sorted(folder.glob("*.md")) if file.stem != "index"}


def _title(page: Path) -> str:
    with page.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("#").strip()
