"""Put an environment on top of another one, and print the requirements of the group `servers`.

Run by the Python of a new environment, with the folder of the other environment as the argument: what is
installed there can be imported here as well.
"""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(below: Path) -> None:
    """Make this environment see the packages of `below`, and print what is to be installed in it."""
    own = Path(sysconfig.get_path("purelib"))
    other = below.resolve() / own.relative_to(sys.prefix)
    (own / "below.pth").write_text(f"import site; site.addsitedir({str(other)!r})\n", "utf-8")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    print("\n".join(groups["servers"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
