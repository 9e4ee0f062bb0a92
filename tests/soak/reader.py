"""The process that is watched: two caches on the real chain, used by threads, until its input ends.

Prints one JSON array a second, a `Sample`. Arguments: the marker table, then the secrets' names.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from keyturn import HeldStatus, Limits, SecretCache, SecretError
from keyturn.model.versions import AWSCURRENT, AWSPENDING, SecretVersion
from tests.soak.judge import Sample

THREADS = 4
CHECK_INTERVAL_S = 0.25
PAUSE_S = 0.002
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def main(marker_table: str, names: Sequence[str]) -> None:
    """Use every secret from every thread; every second say how large this process is."""
    # Fewer than there are secrets, so that entries come and go all the time. Both limits are small, so that
    # what logins remember of each version reaches its bound at once: until then it grows, as it may.
    caches = [
        SecretCache(
            marker_table=marker_table,
            check_interval_s=CHECK_INTERVAL_S,
            limits=Limits(max_secrets=len(names) - 1),
        ),
        SecretCache(
            marker_table=marker_table,
            check_interval_s=CHECK_INTERVAL_S,
            background=True,
            limits=Limits(max_secrets=len(names)),
        ),
    ]
    ended = threading.Event()
    begun_s = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        turns = [[0] for _ in range(THREADS)]
        uses = [pool.submit(use, caches, names, turn, ended) for turn in turns]
        threading.Thread(target=wait_for_end_of_input, args=[ended], daemon=True).start()
        while not ended.wait(1):
            now = sample(caches, begun_s, sum(turn[0] for turn in turns))
            sys.stdout.write(json.dumps(now) + "\n")
            sys.stdout.flush()
        for one in uses:
            one.result()
    for cache in caches:
        cache.close()


def use(caches: Sequence[SecretCache], names: Sequence[str], turn: list[int], ended: threading.Event) -> None:
    """Get, log in, look for a pending version and for what does not exist, invalidate, ask for status."""
    for name in cycle(names):
        if ended.is_set():
            return
        for cache in caches:
            cache.login(name, SecretVersion.text, is_refused=lambda _: False)
            for secret_id, stage in ((name, AWSPENDING), (f"{name}/{turn[0]}", "AWSCURRENT")):
                if turn[0] % 100 == 0:
                    ask_in_vain(cache, secret_id, stage)
        if turn[0] % 500 == 0:
            caches[0].invalidate(name)
            caches[0].status()
        turn[0] += 1
        time.sleep(PAUSE_S)


def ask_in_vain(cache: SecretCache, secret_id: str, stage: str) -> None:
    """What is usually not there: an error that must leave nothing behind."""
    try:
        cache.get(secret_id, stage=stage)
    except SecretError:
        return


def sample(caches: Sequence[SecretCache], begun_s: float, gets: int) -> Sample:
    """This process now."""
    gc.collect()
    return Sample(
        seconds=round(time.monotonic() - begun_s, 1),
        gets=gets,
        rss_kib=int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_KIB,
        threads=threading.active_count(),
        open_files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 # each entry is gone when it is looked at
        entries=sum(
            len(one.secret_ids) for cache in caches for one in cache.status().secrets if is_current(one)
        ),
        objects=len(gc.get_objects()),
    )


def is_current(held: HeldStatus) -> bool:
    """Pending versions come and go with the rotations."""
    return held.stage == AWSCURRENT


def wait_for_end_of_input(ended: threading.Event) -> None:
    """The parent has ended or wants us to."""
    while os.read(0, 1):
        pass
    ended.set()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
