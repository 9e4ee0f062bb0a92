"""`python -m tests.soak SECONDS`: rotate all the time under a busy process, and fail if it grows."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import boto3

from keyturn.demo.stage import deploy
from keyturn.demo.story import environment
from keyturn.testing.embedded import EmbeddedAws
from keyturn.testing.rotation import Rotation, StepFunctions
from tests.soak.judge import Growth, Sample, growths
from tools.build_listener import ROOT, build_listener

NAMES = [f"soak/{number}" for number in range(6)]
BETWEEN_ROTATIONS_S = 0.1
SWEEP_EVERY = 100
END_TIMEOUT_S = 20


def main(seconds: float) -> int:
    """Run for so long, print what grew; the exit status is 1 if anything did too much."""
    with EmbeddedAws() as aws, environment(aws):
        stack = deploy(build_listener(), ROOT / "infra" / "template.yaml")
        client = boto3.client("secretsmanager")
        for name in NAMES:
            client.create_secret(Name=name, SecretString="one")
        stack.sweep()
        with watched(stack.marker_table) as samples:
            rotations = 0
            late_s = time.monotonic() + seconds
            while time.monotonic() < late_s:
                name = NAMES[rotations % len(NAMES)]
                Rotation(client, name, StepFunctions(client, lambda current: current[-40:] + "'")).run()
                rotations += 1
                if rotations % SWEEP_EVERY == 0:
                    stack.sweep()
                time.sleep(BETWEEN_ROTATIONS_S)
    return told(rotations, samples)


@contextmanager
def watched(marker_table: str) -> Iterator[list[Sample]]:
    """The samples of a reader that runs during the block; it must live until then."""
    command = [sys.executable, "-m", "tests.soak.reader", marker_table, *NAMES]
    samples: list[Sample] = []
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        collector = threading.Thread(target=collect, args=[reader.stdout, samples], daemon=True)
        collector.start()
        try:
            yield samples
            if reader.poll() is not None:
                raise RuntimeError(f"the reader ended by itself with {reader.returncode}")
        finally:
            reader.stdin.close()
            ended = reader.wait(END_TIMEOUT_S)
            collector.join(END_TIMEOUT_S)
        if ended != 0:
            raise RuntimeError(f"the reader ended with {ended}")


def collect(lines: Iterator[str], samples: list[Sample]) -> None:
    """Every sample as it comes."""
    samples.extend(Sample(*json.loads(line)) for line in lines)


def told(rotations: int, samples: Sequence[Sample]) -> int:
    """Print the table; the exit status."""
    found, last = list(growths(samples)), samples[-1]
    title = f"{rotations} rotations, {last.gets} turns of the reader, {last.seconds:.0f} s"
    sys.stdout.write("\n".join([title, *table(found), ""]))
    return int(any(growth.is_too_much for growth in found))


def table(found: Sequence[Growth]) -> Iterator[str]:
    """What grew, and whether that is too much."""
    yield f"{'':12}{'begin':>10}{'end':>10}{'allowed':>10}"
    for one in found:
        verdict = "  GROWS" if one.is_too_much else ""
        yield f"{one.name:12}{one.begin:>10.0f}{one.end:>10.0f}{one.allowed:>10.0f}{verdict}"


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1])))
