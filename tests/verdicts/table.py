"""The page of verdicts: a table for each server, made from the recorded errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "verdicts.md"

HEAD: Final = """\
# Verdicts on real servers

<!-- Made by `make verdicts` from the errors in tests/login/recorded. Do not edit. -->

Each cell is the answer of `keyturn.is_refused` for the error that the driver raised on the real server in that
situation. **refused** means that the login goes on with the next version of the secret. *no* means that the login
raises the error unchanged. `tests/login/test_recorded.py` makes every error anew from its record, and compares the answer.
Some verdicts are not those that the situation suggests, mostly because the server gives the same answer in two
situations. A remark in brackets then gives the reason.
[What counts as refused](login.md#what-counts-as-refused) has the rules.
"""

DOCUMENTED: Final = """\
## Servers that were not tried

These servers do not run on one machine without a licence or a cloud. A test makes their errors as the named document
shows them, with the class of the driver.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded error, as far as the table needs it."""

    server: str
    driver: str
    version: str
    situation: str
    why: str
    refused: bool


def page(recorded: Path) -> str:
    """Return the page for the records in a folder."""
    parts = [HEAD]
    for file in sorted(recorded.glob("*.json")):
        if file.stem not in {"documented", "translations"}:
            parts += [_table(names, rows) for names, rows in _alike(_rows(file))]
    parts.append(DOCUMENTED)
    parts += [_documents(names, rows) for names, rows in _alike(_rows(recorded / "documented.json"))]
    return "\n".join(parts)


def _rows(file: Path) -> list[Row]:
    return [
        Row(*(row[name] for name in ("server", "driver", "version", "situation", "why", "refused")))
        for row in json.loads(file.read_text("utf-8"))
    ]


def _alike(rows: Iterable[Row]) -> Iterator[tuple[list[str], list[Row]]]:
    """Yield the rows of each server; servers whose rows differ in nothing but their name are one."""
    by_server: dict[str, list[Row]] = {}
    for row in rows:
        by_server.setdefault(row.server, []).append(row)
    groups: dict[object, tuple[list[str], list[Row]]] = {}
    for server, own in by_server.items():
        likeness = tuple((row.driver, row.situation, row.why, row.refused) for row in own)
        groups.setdefault(likeness, ([], own))[0].append(server)
    yield from groups.values()


def _title(names: list[str]) -> str:
    languages = [name.partition(" in ")[2] for name in names]
    if len(names) > 1 and all(languages):
        return f"{names[0].partition(' in ')[0]} in {', '.join(languages)}"
    return " and ".join(names)


def _table(names: list[str], rows: list[Row]) -> str:
    """Return a table of situations and drivers."""
    drivers = list(dict.fromkeys((row.driver, row.version) for row in rows))
    situations = list(dict.fromkeys((row.situation, row.why) for row in rows))
    verdicts = {(row.situation, row.why, row.driver): row.refused for row in rows}
    lines = [
        f"## {_title(names)}",
        "",
        f"| situation | {' | '.join(driver for driver, _ in drivers)} |",
        f"|---|{'---|' * len(drivers)}",
        f"| version of the driver | {' | '.join(version for _, version in drivers)} |",
    ]
    for situation, why in situations:
        cells = [_cell(verdicts.get((situation, why, driver))) for driver, _ in drivers]
        lines.append(f"| {situation}{f' ({_escaped(why)})' if why else ''} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _documents(names: list[str], rows: list[Row]) -> str:
    """Return a list of situations with the document that each rests on."""
    lines = [f"### {_title(names)}", "", "| situation | driver | verdict | document |", "|---|---|---|---|"]
    lines += [
        f"| {row.situation} | {row.driver} | {_cell(row.refused)} | [{row.why.split('/')[2]}]({row.why}) |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def _cell(refused: bool | None) -> str:  # noqa: FBT001 # the verdict itself
    return "" if refused is None else "**refused**" if refused else "no"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
