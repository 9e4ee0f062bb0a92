"""Run many seeds, or replay one: `python -m tests.simulation --help`.

Each job is a process of its own that runs every n-th seed and prints one JSON object a seed. A job
whose parent is gone ends at its next seed, since nobody reads what it prints.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import IO, TypedDict

from tests.simulation.world import Report, simulate

COMMAND = "python -m tests.simulation"
MARGIN = 52


class Told(TypedDict):
    """One seed's report, as a job prints it."""

    seed: int
    simulated_s: float
    counted: dict[str, int]
    tightest: dict[str, float]
    broken: list[str]


@dataclass(slots=True)
class Summary:
    """What all seeds together came to."""

    seeds: int = 0
    simulated_s: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)
    tightest: dict[str, float] = field(default_factory=dict)
    broken: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        """One seed more."""
        self.seeds += 1
        self.simulated_s += told["simulated_s"]
        self.counted.update(told["counted"])
        for promise, share in told["tightest"].items():
            self.tightest[promise] = max(share, self.tightest.get(promise, 0.0))
        if told["broken"]:
            self.broken.append(told)

    def markdown(self, took_s: float) -> Iterator[str]:
        """The table of docs/simulation.md."""
        days, counted = self.simulated_s / 86_400, self.counted
        figures = {
            "seeds": f"{self.seeds:,}",
            "broken promises": f"{len(self.broken):,}",
            "simulated days": f"{days:,.1f}",
            "took": f"{took_s:,.0f} s",
            "rotations": f"{counted['rotations']:,}",
            "reads of secrets": f"{counted['gets']:,}",
            "reads of parameters": f"{counted['parameter reads']:,}",
            "logins": f"{counted['logins']:,}",
            "events": f"{counted['events']:,}",
            "sweeps": f"{counted['sweeps']:,}",
            "faults felt": f"{sum(n for name, n in counted.items() if name.startswith('fault: ')):,}",
        }
        figures |= {
            f"of the time promised by {name}": f"{n:.0%}" for name, n in sorted(self.tightest.items())
        }
        yield "| | |"
        yield "|---|---|"
        yield from (f"| {name} | {figure} |" for name, figure in figures.items())

    def lines(self, took_s: float) -> Iterator[str]:
        """The summary as it is printed."""
        days = self.simulated_s / 86_400
        yield f"{self.seeds} seeds, {days:,.1f} simulated days, in {took_s:.0f} s"
        yield from (f"  {name:{MARGIN}} {number:>10,}" for name, number in sorted(self.counted.items()))
        for promise, share in sorted(self.tightest.items()):
            yield f"  of the time promised by {promise}, used at most".ljust(MARGIN + 3) + f"{share:>10.0%}"


def main() -> int:
    """Parse the arguments and run; the exit code says whether all promises were kept."""
    arguments = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of strings is part of what a seed has to repeat.
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    if arguments.seed is not None:
        return _replay(arguments.seed, arguments.only, trace=arguments.trace)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.json:
        share = seeds[arguments.share :: arguments.jobs]
        return _work(share, arguments.only, keep_going=arguments.keep_going)
    show = Summary.markdown if arguments.markdown else Summary.lines
    return _run(seeds, arguments.jobs, show, arguments.only, keep_going=arguments.keep_going)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Simulate keyturn under faults.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--only", metavar="FAULT", help="instead of the faults drawn; empty for none")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every step")
    parser.add_argument(
        "--keep-going", action="store_true", help="run all seeds, also after a broken promise"
    )
    parser.add_argument("--markdown", action="store_true", help="sum up as the table of the documentation")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _replay(seed: int, only: str | None, *, trace: bool) -> int:
    report = simulate(seed, print if trace else None, only=only)
    summary = Summary()
    told = _told(report)
    summary.add(told)
    print(*summary.lines(0.0), sep="\n")
    _print_broken(told)
    return 1 if summary.broken else 0


def _work(seeds: range, only: str | None, *, keep_going: bool) -> int:
    # A world is garbage as a whole, when its seed is over; to look for some meanwhile costs a twentieth. What
    # was imported stays, and need not be looked at after each seed.
    gc.disable()
    gc.freeze()
    for seed in seeds:
        report = simulate(seed, only=only)
        gc.collect()
        try:
            print(json.dumps(_told(report)), flush=True)
        except BrokenPipeError:
            # The parent is gone; what is left in the buffer must not fail once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if report.broken is not None and not keep_going:
            return 1
    return 0


def _told(report: Report) -> Told:
    return Told(
        seed=report.seed,
        simulated_s=report.simulated_s,
        counted=dict(report.counted),
        tightest=report.tightest,
        broken=[report.broken.checker, report.broken.what] if report.broken is not None else [],
    )


def _run(
    seeds: range,
    jobs: int,
    show: Callable[[Summary, float], Iterator[str]],
    only: str | None,
    *,
    keep_going: bool,
) -> int:
    """Run the seeds in processes, show how far they are, and sum up."""
    # Ended politely, it takes its workers with it; killed, they end at their next seed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started_s, summary = time.monotonic(), Summary()
    command = [sys.executable, "-m", "tests.simulation", "--json", "--jobs", str(jobs)]
    command += [
        "--first",
        str(seeds.start),
        "--seeds",
        str(len(seeds)),
        *(["--keep-going"] if keep_going else []),
        *(["--only", only] if only is not None else []),
    ]
    workers = [
        subprocess.Popen([*command, "--share", str(share)], stdout=subprocess.PIPE, text=True)
        for share in range(jobs)
    ]
    try:
        for told in _told_by(workers):
            summary.add(told)
            _print_broken(told)
            if summary.seeds % 50 == 0:
                took_s = time.monotonic() - started_s
                print(f"{summary.seeds} of {len(seeds)} seeds, {took_s:.0f} s", file=sys.stderr, flush=True)
            if told["broken"] and not keep_going:
                break
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    print(*show(summary, time.monotonic() - started_s), sep="\n")
    complete = summary.seeds == len(seeds)
    if not complete and not summary.broken:
        print("a process ended before its seeds did", file=sys.stderr)
    return 0 if complete and not summary.broken else 1


def _told_by(workers: list[subprocess.Popen[str]]) -> Iterator[Told]:
    """What the workers print, as it comes."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    for worker in workers:
        if worker.stdout is not None:
            Thread(target=_forward, args=(worker.stdout, lines), daemon=True).start()
    left = len(workers)
    while left:
        line = lines.get()
        if line is None:
            left -= 1
        else:
            told: Told = json.loads(line)
            yield told


def _forward(stream: IO[str], lines: SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _print_broken(told: Told) -> None:
    """Print what was broken, if anything was, as soon as it is known."""
    if told["broken"]:
        checker, what = told["broken"]
        print(f"\nBROKEN in seed {told['seed']}: {checker}\n  {what}", file=sys.stderr)
        print(f"  step by step: {COMMAND} --seed {told['seed']} --trace", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
