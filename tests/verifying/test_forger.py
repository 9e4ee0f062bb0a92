"""Rotations that nobody announces, and a forger who never stops: no valid message is refused."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from keyturn import AsyncSecretCache, Peers, SecretCache, SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.aio.loops import LOOPS, run
from tests.verifying.verifiers import Message

pytestmark = pytest.mark.proof

NAME = "hooks/signing"
VERSIONS, BETWEEN_S = 5, 1.7
VALID_LEAST = 800


class Slow:
    """Secrets Manager that answers after some milliseconds, and counts the reads of each label."""

    def __init__(self) -> None:
        self.secrets = FakeSecretsManager(FakeClock(time.time()))
        self.secrets.create(NAME, "key-0", "v0")
        self.reads: Counter[str] = Counter()

    def put(self, number: int) -> str:
        """Make a version now, and return its key."""
        self.secrets.clock.wall_s = time.time()
        self.secrets.put(NAME, f"key-{number}", f"v{number}")
        return f"key-{number}"

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.reads[stage] += 1
        # The answer is of when the request was made.
        try:
            return self.secrets.read(secret_id, stage=stage, version_id=version_id)
        finally:
            time.sleep(0.015)


@dataclass
class Traffic:
    """What was sent and what became of it. `key` is what the signer signs with now."""

    key: str = "key-0"
    taken: Counter[bool] = field(default_factory=Counter)
    forged: Counter[bool] = field(default_factory=Counter)
    is_over: bool = False

    def rotate(self, slow: Slow) -> None:
        """Make a version, and sign with it from that moment on."""
        for number in range(1, VERSIONS):
            time.sleep(BETWEEN_S)
            self.key = slow.put(number)
        time.sleep(BETWEEN_S)
        self.is_over = True


def verified_by_threads(cache: SecretCache, traffic: Traffic) -> None:
    """Four threads verify, and four are kept busy by the forger."""
    keys = cache.keys(NAME)

    def verify(message: Callable[[], Message], counted: Counter[bool], pause_s: float) -> None:
        while not traffic.is_over:
            try:
                counted[keys.verify(message().is_signed_by)] += 1
            except LookupError:
                counted[False] += 1
            time.sleep(pause_s)

    valid, forged = _senders(traffic)
    works = [(valid, traffic.taken, 0.01)] * 4 + [(forged, traffic.forged, 0.0)] * 4
    threads = [threading.Thread(target=verify, args=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def verified_by_tasks(loop: str) -> Callable[[SecretCache, Traffic], None]:
    """Four tasks verify, and a hundred are kept busy by the forger."""

    def verified(cache: SecretCache, traffic: Traffic) -> None:
        keys = AsyncSecretCache(cache).keys(NAME)
        valid, forged = _senders(traffic)

        async def verify(message: Callable[[], Message], counted: Counter[bool], pause_s: float) -> None:
            while not traffic.is_over:
                try:
                    counted[await keys.verify(message().is_signed_by)] += 1
                except LookupError:
                    counted[False] += 1
                await anyio.sleep(pause_s)

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(verify, valid, traffic.taken, 0.01)
                for _ in range(100):
                    group.start_soon(verify, forged, traffic.forged, 0.0)

        ran: Awaitable[None] | None = run(loop, main)
        assert ran is None

    return verified


def _senders(traffic: Traffic) -> tuple[Callable[[], Message], Callable[[], Message]]:
    numbers = itertools.count()
    return (
        lambda: Message.signed(f"valid {next(numbers)}", traffic.key),
        lambda: Message.signed(f"forged {next(numbers)}", "a guess"),
    )


@pytest.mark.parametrize("kind", ["threads", *LOOPS])
def test_no_valid_message_is_refused(kind: str) -> None:
    """Each version signs from the moment it is made: 0 of 800 messages refused, at most one look a second."""
    slow, traffic = Slow(), Traffic()
    cache = SecretCache(peers=Peers(source=slow))
    cache.keys(NAME).all()
    before, began_s = slow.reads.copy(), time.monotonic()
    rotating = threading.Thread(target=traffic.rotate, args=[slow])
    rotating.start()
    verified = verified_by_threads if kind == "threads" else verified_by_tasks(kind)
    verified(cache, traffic)
    rotating.join()
    looks = slow.reads - before
    passed_s = time.monotonic() - began_s
    assert 0 == traffic.taken[False]
    assert VALID_LEAST <= traffic.taken[True]
    assert 0 == traffic.forged[True]
    assert 0 < traffic.forged[False]
    assert looks["AWSPENDING"] <= passed_s + 1
    assert looks["AWSCURRENT"] <= passed_s + 1
