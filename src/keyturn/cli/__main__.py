"""`python -m keyturn.cli` runs the `keyturn` command where its script is not on the path."""

from __future__ import annotations

from keyturn.cli import main

if __name__ == "__main__":
    main()
