"""What verifying with a rotating key costs, and how many requests a forger can cause."""

from __future__ import annotations

import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks.results import Part, Parts, Size, counted, ratio, row
from benchmarks.timing import interleaved, nanoseconds
from keyturn import KeyMismatchError, Peers, SecretCache, SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from keyturn.verifying.keys import Keys

NAME: Final = "hooks/signing"
BODY: Final = b'{"event": "paid", "amount": 4200}' * 8
CHECK: Final = "the check alone, with a copy of the key"
VERIFY: Final = "keys.verify, signed with AWSCURRENT"
PREVIOUS: Final = "keys.verify, signed with AWSPREVIOUS"

ANSWER_S: Final = 0.015
"""How long Secrets Manager takes to answer."""

ADDED_MAX_US: Final = 10.0
"""So much a verification may cost beside the check: little beside the request that brings the message."""

FORGERS: Final = 4
VERIFIERS: Final = 4
LABELS: Final = 3
"""A look reads each label at most once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of samples of a verification, and how long the forger goes on."""

    rounds: int
    seconds: float


PLANS: Final[Mapping[Size, Plan]] = {"full": Plan(200, 10.0), "quick": Plan(30, 3.0)}

Check = Callable[[SecretVersion], bool]


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    with SecretCache(peers=Peers(source=_rotated())) as cache:
        keys = cache.keys(NAME)
        current, previous = keys.all()
        subjects = {
            CHECK: nanoseconds("check(version)", check=fits(current), version=current),
            VERIFY: nanoseconds("verify(check)", verify=keys.verify, check=fits(current)),
            PREVIOUS: nanoseconds("verify(check)", verify=keys.verify, check=fits(previous)),
        }
        taken = interleaved(subjects, plan.rounds)
    added_us = (median(taken[VERIFY]) - median(taken[CHECK])) / 1000
    attack = attacked(plan.seconds)
    part = Part(
        "Verifying with a key that rotates",
        f"Messages of {len(BODY)} bytes are signed by HMAC-SHA256. {plan.rounds} samples of each way are "
        f"taken in turn. Then {FORGERS} threads verify forged messages without a pause for {plan.seconds:g} "
        f"s, beside {VERIFIERS} threads that verify messages of the true signer. Secrets Manager answers "
        f"after {ANSWER_S * 1000:g} ms.",
        (
            *(row(name, "ns", samples) for name, samples in taken.items()),
            counted("forged messages refused", "messages", attack.forged[False]),
            counted("true messages verified beside them", "messages", attack.taken[True]),
            counted("requests to Secrets Manager", "requests", attack.reads, f"in {plan.seconds:g} s"),
            counted("longest verification of a true message", "ms", 1000 * attack.longest_s),
        ),
        (
            ratio("verify beyond the check itself, median", added_us, "at most", ADDED_MAX_US, "µs"),
            ratio(
                "requests a second for all forged messages",
                attack.reads / plan.seconds,
                "at most",
                LABELS,
                "",
            ),
            ratio("true messages refused", attack.taken[False], "at most", 0, ""),
            ratio("forged messages taken", attack.forged[True], "at most", 0, ""),
        ),
    )
    return {"verify": part}


def fits(signer: SecretVersion) -> Check:
    """Return a check of a message that was signed with this version."""
    signed = hmac.digest(signer.text().encode(), BODY, "sha256")
    return lambda version: hmac.compare_digest(signed, hmac.digest(version.text().encode(), BODY, "sha256"))


@dataclass
class Attack:
    """What became of the true messages and of the forged ones, and the requests that all of them caused."""

    taken: Counter[bool] = field(default_factory=Counter)
    forged: Counter[bool] = field(default_factory=Counter)
    longest_s: float = 0.0
    reads: int = 0


class Slow:
    """Secrets Manager in memory that answers after some milliseconds, and counts its reads."""

    def __init__(self) -> None:
        self.secrets = _rotated()
        self.reads = 0

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Answer as of now, after a while."""
        self.reads += 1
        try:
            return self.secrets.read(secret_id, stage=stage, version_id=version_id)
        finally:
            time.sleep(ANSWER_S)


def attacked(seconds: float) -> Attack:
    """Send true and forged messages for so many seconds."""
    source, attack, is_over = Slow(), Attack(), threading.Event()
    with SecretCache(peers=Peers(source=source)) as cache:
        keys = cache.keys(NAME)
        current, _ = keys.all()
        before = source.reads

        def verify() -> None:
            check = fits(current)
            while not is_over.is_set():
                begun_s = time.monotonic()
                attack.taken[_is_taken(keys, check)] += 1
                attack.longest_s = max(attack.longest_s, time.monotonic() - begun_s)
                time.sleep(0.001)

        def forge() -> None:
            while not is_over.is_set():
                attack.forged[_is_taken(keys, lambda _: False)] += 1

        works = [verify] * VERIFIERS + [forge] * FORGERS
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        is_over.set()
        for thread in threads:
            thread.join()
        attack.reads = source.reads - before
    return attack


def _is_taken(keys: Keys, check: Check) -> bool:
    try:
        return keys.verify(check)
    except KeyMismatchError:
        return False


def _rotated() -> FakeSecretsManager:
    """Return Secrets Manager in memory with a key that was rotated once."""
    secrets = FakeSecretsManager(FakeClock(time.time()))
    secrets.create(NAME, "key-0", "v0")
    secrets.put(NAME, "key-1", "v1")
    return secrets
