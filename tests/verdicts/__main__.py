"""Log in to every server in every situation by every driver; record the errors; write the table of verdicts.

    python -m tests.verdicts                records all, and writes docs/verdicts.md
    python -m tests.verdicts redis          records one
    python -m tests.verdicts --table        writes the table from what is recorded

Fails if a verdict differs from the expected one, or if no error came.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Final

from keyturn.login.refusals import is_refused
from tests.verdicts import SERVERS
from tests.verdicts.cases import RIGHT, WRONG, Driver, Server, Situation
from tests.verdicts.recording import Hidden, Json, described
from tests.verdicts.table import PAGE, page

RECORDED: Final = Path(__file__).parents[1] / "login" / "recorded"


def main() -> int:
    """Return 0 if every verdict is as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.verdicts", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SERVERS)}; all by default")
    parser.add_argument("--table", action="store_true", help="log in nowhere")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    wrong = 0
    for name in () if chosen.table else chosen.names or SERVERS:
        wrong += _record(name)
    PAGE.write_text(page(RECORDED), "utf-8")
    sys.stdout.write(f"{wrong} verdicts are not as expected\n")
    return 1 if wrong else 0


def _record(name: str) -> int:
    """Record the errors of one of `SERVERS`. Return how many verdicts are not as expected."""
    rows: list[Json] = []
    wrong = 0
    for server in SERVERS[name]():
        for driver, situation in server.cases():
            error = tried(driver, situation)
            verdict = error is not None and is_refused(error)
            is_right = error is not None and verdict == situation.refused
            wrong += not is_right
            said = f"{type(error).__module__}.{type(error).__qualname__}: {error}" if error else "no error"
            mark = "ok   " if is_right else "WRONG"
            sys.stdout.write(
                f"{mark} {server.name} | {driver.title} | {situation.name} | {verdict} | {said[:300]!r}\n"
            )
            sys.stdout.flush()
            if error is not None:
                rows.append(_row(server, driver, situation, error))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)
    (RECORDED / f"{name}.json").write_text(f"[\n{lines}\n]\n", "utf-8")
    return wrong


def tried(driver: Driver, situation: Situation) -> Exception | None:
    """Return the error of one login, or None if it succeeds."""
    with situation.during():
        try:
            driver.log_in(situation.door)
        except Exception as error:  # noqa: BLE001 # any of them is what is recorded
            return error
    return None


def _row(server: Server, driver: Driver, situation: Situation, error: Exception) -> Json:
    hidden = Hidden({RIGHT: "PASSWORD", WRONG: "PASSWORD", **server.hidden})
    return {
        "server": server.name,
        "driver": driver.title,
        "version": driver.version,
        "situation": situation.name,
        "refused": situation.refused,
        "why": situation.why,
        "error": described(error, hidden),
    }


if __name__ == "__main__":
    sys.exit(main())
