"""`python -m benchmarks [--quick] [--only hit,cold,...]`: measure, and write `build/bench`.

A measurement that is not chosen keeps the figures of its last run; `runs` says which run each part is from.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks import results
from benchmarks.markdown import publish
from benchmarks.measurements import BOUNDS_S, MeasurementFailedError, each_measured
from benchmarks.results import Parts, Results, Size


def main(arguments: list[str]) -> int:
    """Run the chosen measurements.

    Return 1 if one failed, or if a whole run misses a target and the page does not say why. The figures are
    written all the same.
    """
    asked = parsed(arguments)
    size: Size = "quick" if asked.quick else "full"
    if asked.child is not None:
        return child(asked.only[0], size, asked.child)
    kept, failures = results.read(), []
    for measured in each_measured(asked.only, size):
        if isinstance(measured, MeasurementFailedError):
            failures.append(str(measured))
            say(f"  {measured}")
            continue
        kept = Results(kept.runs | measured.runs, kept.parts | measured.parts)
        results.write(kept)
        tell(measured)
        if size == "full":
            failures += unexplained(measured)
    publish(kept, results.FOLDER)
    say(f"wrote {results.PATH}, {results.FOLDER}/performance.md and its plots")
    return 1 if failures else 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small samples, in about a minute")
    parser.add_argument(
        "--only", type=names, default=list(BOUNDS_S), metavar="NAMES", help=", ".join(BOUNDS_S)
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def names(text: str) -> list[str]:
    """Return the names of measurements in a list separated by commas.

    Raises `ArgumentTypeError` for an unknown name.
    """
    found = text.split(",")
    unknown = [name for name in found if name not in BOUNDS_S]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such measurement: {', '.join(unknown)}")
    return found


def child(name: str, size: Size, path: Path) -> int:
    """Measure in this process and write only this measurement."""
    # Unlike SIGINT, this signal is heeded in the background job of a shell as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started_s = time.monotonic()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # What keyturn says of the outages that are measured would hide the figures.
    logging.getLogger("keyturn").addHandler(logging.NullHandler())
    # Only this module is loaded, so that no measurement pays for the imports of another.
    measure_it: Callable[[Size], Parts] = import_module(f"benchmarks.{name}").measure
    parts = measure_it(size)
    run = results.run(size, time.monotonic() - started_s)
    results.write(Results(dict.fromkeys(parts, run), parts), path)
    return 0


def tell(measured: Results) -> None:
    """Print the comparisons of a measurement."""
    for key, part in measured.parts.items():
        say(f"  {part.title}: {measured.runs[key].seconds:g} s")
        for one in part.ratios:
            say(f"    {one.name}: {one.value:g} {one.unit}, {one.kind} {one.limit:g}: {one.verdict}")


def unexplained(measured: Results) -> list[str]:
    """Return the comparisons that miss their targets, and of which the page does not say why."""
    return [
        f"{part.title}: {one.name} misses its target"
        for part in measured.parts.values()
        for one in part.ratios
        if not one.met and not one.because
    ]


def say(line: str) -> None:
    """Print progress."""
    print(line, flush=True)


def _end_with_the_parent() -> None:
    """End this process when the standard input closes, which means that the parent has ended."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
