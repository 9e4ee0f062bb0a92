"""Tell stories of rotations on real servers, to workers that open a new connection about every 40 ms.

    python -m tests.stories                   tells all, and writes the tables of docs/login.md
    python -m tests.stories Redis MariaDB     tells those of some servers, and writes nothing
    python -m tests.stories --short           tells the short forms, as the tests do, and writes nothing

For each driver one worker logs in by keyturn. Beside it another one does what is usual: it reads the secret
again when a login is refused, and tries once more. Fails if a login of keyturn failed, if an attempt was
refused where both passwords work, or if the usual failed nothing where one password is replaced.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Iterator

from keyturn.testing.embedded import EmbeddedAws
from tests.stories import SETTINGS
from tests.stories.plots import FULL, PLOTS, SHORT, Outcome, Pace, told
from tests.stories.stage import Clients, Setting, clients_of
from tests.stories.table import write


def main() -> int:
    """Return 0 if every story came out well."""
    parser = argparse.ArgumentParser(prog="python -m tests.stories", description=__doc__)
    parser.add_argument("servers", nargs="*", help=f"of {', '.join(each.title for each in SETTINGS)}")
    parser.add_argument("--short", action="store_true", help="less of each story")
    asked = parser.parse_args()
    settings = [each for each in SETTINGS if not asked.servers or each.title in asked.servers]
    with EmbeddedAws() as aws, clients_of(aws) as given:
        outcomes = {each.title: list(_all(each, SHORT if asked.short else FULL, given)) for each in settings}
    faults = [fault for each in outcomes.values() for outcome in each for fault in outcome.faults()]
    if not asked.servers and not asked.short:
        write(outcomes, dt.datetime.now(dt.UTC).date())
    return 1 if faults else 0


def _all(setting: Setting, pace: Pace, given: Clients) -> Iterator[Outcome]:
    """Tell every story that suits a setting."""
    with setting.start() as server:
        for plot in PLOTS:
            if plot.suits(setting):
                outcome = told(server, plot, pace, given)
                _show(setting, outcome)
                yield outcome


def _show(setting: Setting, outcome: Outcome) -> None:
    for (driver, way), record in outcome.records.items():
        sys.stdout.write(
            f"{setting.title:10} | {outcome.plot.title:51} | {driver:30} | {way:7} | "
            f"{record.logins:4} logins, {len(record.failures):3} failed, {record.refused:3} refused\n"
        )
    for fault in outcome.faults():
        sys.stdout.write(f"WRONG {setting.title}, {fault}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
