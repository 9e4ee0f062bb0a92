"""Files of which a part is made by a tool: written, or with `--check` compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def write_or_check(made: Mapping[Path, str], source: str, arguments: Sequence[str]) -> int:
    """Write the files that differ from what was `made` of this source, or name them if asked to `--check`.

    Return the exit code: 1 if a check has found one.
    """
    is_check = "--check" in arguments
    differ = [file for file, text in made.items() if not file.is_file() or file.read_text("utf-8") != text]
    for file in differ:
        print(f"{file.relative_to(ROOT)}: {'differs from' if is_check else 'made from'} {source}")
        if not is_check:
            file.write_text(made[file], "utf-8")
    return int(bool(differ) and is_check)
