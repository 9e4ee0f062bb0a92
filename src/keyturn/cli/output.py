"""What all sub-commands share for their output: the option `--json`, the writing of JSON, and tables."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

PATIENCE_S: Final = 10.0
"""A command that takes longer says what it waits for. A sweep or an announcement may wait 6 s for AWS."""

ANSWERS: Final = "answers of AWS"
"""What a command waits for that calls several services: any of their calls may be the one that hangs."""

WIDTH_WITHOUT_TERMINAL = 10_000
"""The width where a program or a file reads the output: nothing is cut or wrapped."""

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
"""Add `--json`, passed to the command as `as_json`."""


def echo_json(document: object) -> None:
    """Write `document` as JSON to stdout, indented, with its keys in the order given.

    A character that could control a terminal, or that the encoding of stdout lacks, is written as an escape,
    which JSON allows within a text.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    click.echo("".join(one if _is_writable(one) or one == "\n" else json.dumps(one)[1:-1] for one in text))


def _is_writable(character: str) -> bool:
    if not character.isprintable():
        return False
    try:
        character.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def echo_json_line(document: object) -> None:
    """Write `document` as JSON on one line and flush it, for programs that read a stream."""
    click.echo(json.dumps(document))


@contextmanager
def patiently(what: str, *, after_s: float = PATIENCE_S) -> Iterator[None]:
    """Say once on stderr that the block still waits for `what`, so that nobody takes it for hung."""

    def tell() -> None:
        with suppress(OSError):
            click.echo(f"waiting for {what}; calls have time-outs, a credential_process has none", err=True)

    later = threading.Timer(after_s, tell)
    later.daemon = True
    try:
        # At the limit of threads nothing is said: the command itself needs none.
        with suppress(RuntimeError):
            later.start()
        yield
    finally:
        later.cancel()


def console() -> Console:
    """Return a console for stdout. On a terminal it is styled and as wide as the terminal."""
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
"""Text at the start of a cell, up to a colon -> its style on a terminal with colours."""


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of plain texts. Texts in `STYLES` get their colour."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), STYLES.get(cell.partition(":")[0], "")) for cell in row))
    return table


def printable(text: str) -> str:
    """Return the text with every character replaced that could control a terminal.

    Anyone who may write the table chooses some of the text.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def moment(at_s: float | None) -> str:
    """Return a moment, given in epoch seconds, as UTC to the second; `never` for None."""
    if at_s is None:
        return "never"
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at_s:g} s"


def short_key(key: str) -> str:
    """Return a marker's key without its place: the name of a secret, `parameter/prod/host` of a parameter."""
    resource = key.split(":", 5)[-1]
    return resource.removeprefix("secret:")
