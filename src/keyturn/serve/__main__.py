"""`python -m keyturn.serve`: the same as `keyturn serve`."""

from __future__ import annotations

import sys

from keyturn.cli.root import root

if __name__ == "__main__":
    root(["serve", *sys.argv[1:]], prog_name="keyturn")
