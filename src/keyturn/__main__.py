"""`python -m keyturn` runs the `keyturn` command, as `python -m keyturn.cli` does."""

from __future__ import annotations

from keyturn.cli import main

if __name__ == "__main__":
    main()
