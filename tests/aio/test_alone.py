"""asyncio alone is enough: a process without anyio, trio and sniffio."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
for package in ("anyio", "trio", "sniffio", "outcome"):
    sys.modules[package] = None

import asyncio
from keyturn import AsyncSecretCache, Peers, SecretVersion

class Source:
    def read(self, secret_id, *, stage, version_id=None):
        return SecretVersion(secret_id, "arn", "prod/db", "v1", frozenset({stage}), 1.0, string="one")

async def connect(version):
    return version.version_id

async def main():
    async with AsyncSecretCache(peers=Peers(source=Source())) as cache:
        texts = {one.text() for one in await asyncio.gather(*(cache.get("prod/db") for _ in range(10)))}
        return texts, await cache.login("prod/db", connect)

print(asyncio.run(main()))
"""


def test_asyncio_needs_nothing_else() -> None:
    """A read and a login work where neither anyio nor trio can be imported."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "({'one'}, 'v1')\n" == ran.stdout
