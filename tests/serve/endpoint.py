"""The endpoint in this process: the real application and guard, over AWS in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from keyturn import Peers, SecretCache
from keyturn.errors import StageNotFoundError
from keyturn.model.versions import SecretVersion
from keyturn.serve.allowing import AllowList
from keyturn.serve.app import make_app
from keyturn.serve.guard import Guard
from keyturn.serve.reading import Reader
from keyturn.serve.tokens import Token
from keyturn.testing.fakes import FakeSecretsManager
from tests.world import World

TOKEN = "canary-token-of-the-tests"
THREADS = 4
MAX_REQUESTS = 10
AUTHORIZED = {"X-Aws-Parameters-Secrets-Token": TOKEN}


class FakeVersions:
    """The versions of the fake by their ids alone: a `SecretSource` whose stage is a version id."""

    def __init__(self, secrets: FakeSecretsManager) -> None:
        self._secrets = secrets

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        for label in ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"):
            try:
                return self._secrets.read(secret_id, stage=label, version_id=stage)
            except StageNotFoundError:
                continue
        raise StageNotFoundError(secret_id, f"no version {stage}")


@dataclass
class Endpoint:
    """One server with its caches; requests are sent to it without a network."""

    world: World = field(default_factory=World)
    allow: tuple[str, ...] = ()
    given_cache: SecretCache | None = None
    is_ready: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        versions = FakeVersions(self.world.secrets)
        self.cache = self.given_cache or self.world.cache()
        self.versions = SecretCache(peers=Peers(source=versions, clock=self.world.clock, random=lambda: 0.0))
        self.app = make_app(
            Reader(self.cache, self.versions, threads=THREADS, allowed=AllowList(self.allow)), self.is_ready
        )
        self.guard = Guard(
            self.app,
            token=Token(lambda: TOKEN, is_fixed=True, monotonic=self.world.clock.monotonic),
            max_requests=MAX_REQUESTS,
        )

    def ask(
        self, target: str, headers: dict[str, str] | None = None, *, method: str = "GET", body: bytes = b""
    ) -> httpx.Response:
        """The answer to one request, with the token unless other headers are given."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.guard)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:2773") as client:
                return await client.request(
                    method, target, headers=AUTHORIZED if headers is None else headers, content=body
                )

        return asyncio.run(asked())
