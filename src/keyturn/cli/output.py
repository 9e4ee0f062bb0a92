"""What sub-commands share when they answer: the option `--json`, how JSON is written, and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 10_000
"""Nothing is cut or wrapped where a program or a file reads."""

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
"""Adds `--json`, passed to the command as `as_json`."""


def echo_json(document: object) -> None:
    """Write `document`, made of what JSON knows, to stdout: indented, in the order given."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def echo_json_line(document: object) -> None:
    """Write `document` as one line, at once: for a reader of a stream."""
    click.echo(json.dumps(document))


def console() -> Console:
    """stdout; styled and as wide as the terminal where there is one."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


STYLES: Mapping[str, str] = {
    "ok": "green",
    "agrees": "green",
    "note": "cyan",
    "unknown": "yellow",
    "not compared": "yellow",
    "wrong": "bold red",
    "differs": "bold red",
    "no marker": "bold red",
    "no usable marker": "bold red",
}
"""How the first words of a cell, up to a colon, are shown on a terminal that has colours."""


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of plain texts, those of `STYLES` in their colours."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), STYLES.get(cell.partition(":")[0], "")) for cell in row))
    return table


def printable(text: str) -> str:
    """The text without what could steer a terminal: whoever may write the table chooses some of it."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def moment(at_s: float | None) -> str:
    """A moment in epoch seconds as UTC, to the second; `never` for None."""
    if at_s is None:
        return "never"
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at_s:g} s"


def named(key: str) -> str:
    """The name in a marker's key."""
    resource = key.split(":", 5)[-1]
    return resource.removeprefix("secret:")
