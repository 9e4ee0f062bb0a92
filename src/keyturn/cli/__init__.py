"""The `keyturn` command: one module per sub-command, loaded when that one is called.

Exit codes, the same for every sub-command:

    0     done
    1     done, and the answer is no: a check failed, a promise was not kept
    2     the command line or the configuration cannot work; nothing was done
    3     AWS or the marker table refused or did not answer
    130   ended by Ctrl-C
    143   ended by SIGTERM

To add a sub-command, write `keyturn.cli.<name>` with a `click.Command` named `command`, and one
line for it in `keyturn.cli.root.COMMANDS`.
"""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """The console script. Needs the extra `cli`, and says so without it."""
    if importlib.util.find_spec("click") is None:
        sys.exit("the keyturn command needs click: pip install 'keyturn[cli]'")
    from keyturn.cli.root import root

    root()
