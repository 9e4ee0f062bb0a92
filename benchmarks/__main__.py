"""`python -m benchmarks [--quick] [--only hit,cold,...]`: measure, and write `build/bench`.

Each measurement runs in a process of its own, with a time limit. A measurement that is not chosen keeps the
figures of its last run; `runs` says which run each part is from.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import results
from benchmarks.aws import CREDENTIALS
from benchmarks.markdown import publish
from benchmarks.results import Parts, Results, Size

STOP_TIMEOUT_S = 10

BOUNDS_S: Final[Mapping[str, Mapping[Size, float]]] = {
    "hit": {"full": 120, "quick": 30},
    "cold": {"full": 240, "quick": 45},
    "check": {"full": 90, "quick": 30},
    "chain": {"full": 420, "quick": 45},
    "memory": {"full": 120, "quick": 30},
    "eviction": {"full": 60, "quick": 30},
    "hang": {"full": 150, "quick": 60},
    "httpkeys": {"full": 90, "quick": 45},
    "verifying": {"full": 60, "quick": 30},
    "fleet": {"full": 120, "quick": 30},
    "scale": {"full": 120, "quick": 90},
    "storm": {"full": 120, "quick": 60},
    "sweep": {"full": 300, "quick": 90},
    "cost": {"full": 60, "quick": 30},
    "listener": {"full": 400, "quick": 45},
    "serve": {"full": 120, "quick": 30},
    "aio": {"full": 300, "quick": 60},
}
"""The modules that measure, and the time limit of each in seconds."""


class MeasurementFailedError(RuntimeError):
    """A measurement ended with an error or ran out of time. The message says which."""


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
    for name in asked.only:
        try:
            measured = measure(name, size)
        except MeasurementFailedError as error:
            failures.append(str(error))
            say(f"  {error}")
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
    parser.add_argument("--quick", action="store_true", help="small samples, in about three minutes")
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


def measure(name: str, size: Size) -> Results:
    """Run one measurement in a process of its own."""
    bound_s = BOUNDS_S[name][size]
    say(f"{name}: at most {bound_s:g} s")
    with TemporaryDirectory() as folder:
        path = Path(folder, "part.json")
        command = [sys.executable, "-m", "benchmarks", "--only", name, "--child", str(path)]
        command += ["--quick"] if size == "quick" else []
        environment = {
            key: text for key, text in os.environ.items() if not key.startswith("AWS_")
        } | CREDENTIALS
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                code = process.wait(bound_s)
            except subprocess.TimeoutExpired:
                raise MeasurementFailedError(f"{name} took more than {bound_s:g} s") from None
            finally:
                _end(process)
        if code:
            raise MeasurementFailedError(f"{name} ended with {code}")
        return results.read(path)


def child(name: str, size: Size, path: Path) -> int:
    """Measure in this process and write only this measurement."""
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


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the measurement so that it stops its servers. Kill its session if it does not end."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _end_with_the_parent() -> None:
    """Interrupt this process when the standard input closes, which means that the parent has ended."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
