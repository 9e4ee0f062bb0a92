"""The `keyturn` command. Each sub-command is a module of its own, imported when it is called.

Every sub-command ends with the exit codes of `docs/cli.md`; `keyturn.cli.root` has them as numbers.

To add a sub-command, write `keyturn.cli.<name>` with a `click.Command` named `command`, and add a line for it
to `keyturn.cli.root.COMMANDS` and to `docs/cli.md`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from keyturn.cli.ending import NO_ROOM, ending_at_once


def main() -> None:
    """Run the console script. Without the extra `cli` it exits and names the extra."""
    with ending_at_once():
        if any(importlib.util.find_spec(package) is None for package in ("click", "rich")):
            raise SystemExit("the keyturn command needs click and rich: pip install 'keyturn[cli]'")
        from keyturn.cli.root import root

    # Python has no stream where the caller has closed it (`>&-`).
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 # open as long as the process
    if isinstance(sys.stdout, TextIOWrapper):
        # A name may have characters that the encoding of the locale lacks. stderr escapes them by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        root()
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise SystemExit(f"Error: the output cannot be written: {os.strerror(error.errno)}") from None
