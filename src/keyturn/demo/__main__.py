"""`python -m keyturn.demo`: run the demonstration, show its outcome, and check its promise."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.status import Status

from keyturn.demo.report import report, write
from keyturn.demo.story import FULL, QUICK, tell
from keyturn.demo.terminal import table

WIDTH_WITHOUT_TERMINAL = 120

OUTPUT = Path("keyturn-demo")
"""The folder of the report, below the current folder, unless the caller names another."""

KEPT = (
    "No login through keyturn failed; each keyturn process used each version in time, "
    "and the cache for one GetSecretValue."
)


@dataclass(frozen=True, slots=True)
class OnConsole:
    """Shows progress as lines with their time, and as a status line on a terminal."""

    console: Console
    status: Status
    started_s: float

    def say(self, line: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started_s:5.1f} s[/dim]  {line}", highlight=False)

    def glance(self, line: str) -> None:
        self.status.update(line)


def main(arguments: list[str]) -> int:
    """Run the demonstration. The exit status is 1 if keyturn did not keep its promises."""
    parser = argparse.ArgumentParser(prog="python -m keyturn.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run with half the processes")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of the report ({OUTPUT})")
    options = parser.parse_args(arguments)

    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
    with console.status("") as status:
        run = tell(QUICK if options.quick else FULL, OnConsole(console, status, time.monotonic()))
    made = report(run, datetime.now(UTC).date())
    write(options.output, run, made)
    console.print(table(made))
    console.print(f"timeline.svg and report.json are in {options.output}", highlight=False, soft_wrap=True)
    for line in made.broken_promises:
        console.print(f"[red]promise not kept:[/red] {line}", highlight=False)
    if not made.broken_promises:
        console.print(KEPT, style="green")
    return 1 if made.broken_promises else 0


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
