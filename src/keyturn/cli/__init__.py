"""The `keyturn` command. Each sub-command is a module of its own, imported when it is called.

Every sub-command ends with the exit codes of `docs/cli.md`; `keyturn.cli.root` has them as numbers.

To add a sub-command, write `keyturn.cli.<name>` with a `click.Command` named `command`, and add a line for it
to `keyturn.cli.root.COMMANDS` and to `docs/cli.md`.
"""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the console script. Without the extra `cli` it exits and names the extra."""
    if any(importlib.util.find_spec(package) is None for package in ("click", "rich")):
        sys.exit("the keyturn command needs click and rich: pip install 'keyturn[cli]'")
    from keyturn.cli.root import root

    root()
