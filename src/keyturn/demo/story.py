"""The course of a run: servers, deployment, fleet, rotations."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import boto3

from keyturn.demo.contenders import CHECK_INTERVAL_S, CONTENDERS
from keyturn.demo.fleet import Fleet
from keyturn.demo.records import Move, Run
from keyturn.demo.stage import NAME, DatabaseSecret, Stack, deploy
from keyturn.demo.worker import Job
from keyturn.stack import listener
from keyturn.stack.files import template
from keyturn.testing.embedded import EmbeddedAws, EmbeddedPostgres
from keyturn.testing.rotation import Rotation

FLEET_START_TIMEOUT_S: Final = 30
SLICE_S: Final = 0.25


class Progress(Protocol):
    """Shows the progress of a run."""

    def say(self, line: str) -> None:
        """Show that something happened."""

    def glance(self, line: str) -> None:
        """Show the present state in place of the last one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size and the length of a run: `moves` rotations, each `spacing_s` seconds after the last.

    `window_s` is the time between setSecret and finishSecret. Window and spacing together are no multiple of
    the check interval, so that moves meet every phase of it.
    """

    workers: int
    moves: int
    quiet_s: float
    window_s: float
    spacing_s: float
    login_interval_s: float = 0.3


FULL: Final = Plan(workers=2, moves=4, quiet_s=4, window_s=4, spacing_s=8.3)
QUICK: Final = Plan(workers=1, moves=2, quiet_s=2.5, window_s=2, spacing_s=4.3)


def tell(plan: Plan, progress: Progress) -> Run:
    """Do the whole run. Everything is started here, and ended before this returns."""
    progress.say("starting an embedded AWS and a PostgreSQL server, which answer nobody else on this machine")
    with EmbeddedAws() as aws, EmbeddedPostgres({"max_connections": "100"}) as postgres, environment(aws):
        progress.say("building the listener, deploying the template")
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "rotation_listener.zip")
            listener.build(package)
            stack = deploy(package, template())
        secret = DatabaseSecret(postgres)
        secret.create()
        stack.sweep()
        jobs = [job(key, number, stack, plan) for key in CONTENDERS for number in range(1, plan.workers + 1)]
        progress.say(f"starting {len(jobs)} processes, each logging in every {plan.login_interval_s:g} s")
        with Fleet(jobs) as fleet:
            fleet.warm_up(FLEET_START_TIMEOUT_S)
            return rotate(plan, fleet, secret, progress)


def rotate(plan: Plan, fleet: Fleet, secret: DatabaseSecret, progress: Progress) -> Run:
    """Rotate the secret while the fleet runs."""
    ready_s = time.monotonic()
    progress.say("all are warm; nothing changes")
    watch(fleet, plan.quiet_s, progress)
    moves: list[Move] = []
    for number in range(1, plan.moves + 1):
        label = f"v{number + 1}"
        rotation = secret.rotation(label)
        set_s = open_window(rotation)
        progress.say(f"rotation {number} of {plan.moves}: only {label} works, AWSCURRENT is v{number}")
        watch(fleet, plan.window_s, progress)
        moves.append(close_window(rotation, set_s, label))
        progress.say(f"rotation {number} of {plan.moves}: AWSCURRENT is {label}")
        watch(fleet, plan.spacing_s, progress)
    workers: dict[str, tuple[str, ...]] = {}
    for one in fleet.jobs:
        workers[one.contender] = (*workers.get(one.contender, ()), one.worker)
    return Run(workers, tuple(fleet.records), tuple(moves), ready_s, time.monotonic(), CHECK_INTERVAL_S)


def open_window(rotation: Rotation) -> float:
    """Do createSecret and setSecret. Return the moment until which the old password surely worked."""
    rotation.create()
    set_s = time.monotonic()
    rotation.set()
    return set_s


def close_window(rotation: Rotation, set_s: float, label: str) -> Move:
    """Do testSecret and finishSecret. Return the whole move."""
    rotation.test()
    at_s = time.monotonic()
    rotation.finish()
    return Move(set_s, at_s, time.monotonic(), label)


def watch(fleet: Fleet, seconds: float, progress: Progress) -> None:
    """Receive the fleet's records for that number of seconds."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        fleet.watch(min(until_s, time.monotonic() + SLICE_S))
        progress.glance(summary(fleet))


def summary(fleet: Fleet) -> str:
    """Return in one line the logins, the failures, and how many processes log in with each version."""
    logins = [record for record in fleet.records if record.kind in {"login", "failed"}]
    failed = sum(record.kind == "failed" for record in logins)
    now = Counter({one.worker: one.what if one.kind == "login" else "none" for one in logins}.values())
    counted = ", ".join(f"{label}: {number}" for label, number in sorted(now.items()))
    return f"{len(logins)} logins, {failed} failed; processes that log in with {counted}"


def job(key: str, number: int, stack: Stack, plan: Plan) -> Job:
    """Return the job of a contender's worker."""
    return Job(f"{key}/{number}", key, NAME, stack.marker_table, plan.login_interval_s)


@contextmanager
def environment(aws: EmbeddedAws) -> Iterator[None]:
    """Let every client of this process and its children use the embedded AWS, and no other."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(aws.environment)
    # The default session keeps the credentials that it finds first.
    boto3.setup_default_session()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        boto3.setup_default_session()
