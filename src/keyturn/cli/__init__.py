"""The `keyturn` command: one module per sub-command, loaded when that one is called.

Every sub-command ends with the exit codes of `docs/cli.md`; `keyturn.cli.root` has them as numbers.

To add a sub-command, write `keyturn.cli.<name>` with a `click.Command` named `command`, and one
line for it in `keyturn.cli.root.COMMANDS` and in `docs/cli.md`.
"""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """The console script. Needs the extra `cli`, and says so without it."""
    if any(importlib.util.find_spec(package) is None for package in ("click", "rich")):
        sys.exit("the keyturn command needs click and rich: pip install 'keyturn[cli]'")
    from keyturn.cli.root import root

    root()
