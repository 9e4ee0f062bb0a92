"""The OpenAPI document is served and true: whatever is asked, the answer is one that it describes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from starlette.types import ASGIApp, Receive, Scope, Send

from keyturn import Peers, SecretCache
from keyturn.model.parameter import Parameter
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeSecretsManager
from tests.serve.endpoint import AUTHORIZED, Endpoint
from tests.world import World

if TYPE_CHECKING:
    # It takes a second to import, and `make test` leaves out the test that needs it.
    from schemathesis import Case
    from schemathesis.schemas import BaseSchema

EXAMPLES = 60
PATHS = ("/ping", "/ready", "/secretsmanager/get", "/systemsmanager/parameters/get", "/v1/{secretId}")


class EverySecret(FakeSecretsManager):
    """Has a secret under any name that it is asked for."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        fresh = FakeSecretsManager()
        fresh.create(secret_id, "one", "v1")
        fresh.move(secret_id, stage, "v1")
        return fresh.read(secret_id, stage=stage, version_id=version_id)


class EveryParameter:
    """Has a parameter of any name that it is asked for, in every version and under every label."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        arn = f"arn:aws:ssm:us-east-1:111122223333:parameter/{secret_id.removeprefix('/')}"
        return Parameter(secret_id, arn, secret_id, "1", frozenset({stage}), 0.0, string="one")


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    """A server over an account that has every secret and every parameter."""
    world = World()
    world.secrets = EverySecret(world.clock)
    cache = SecretCache(
        peers=Peers(
            source=world.secrets, parameter_source=lambda _decrypt: EveryParameter(), clock=world.clock
        )
    )
    return Endpoint(world, given_cache=cache)


def local(app: ASGIApp) -> ASGIApp:
    """The application, asked as on this host: some of the checks' requests name a host of their own."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        others = [(name, value) for name, value in scope.get("headers", []) if name != b"host"]
        await app({**scope, "headers": [(b"host", b"localhost"), *others]}, receive, send)

    return asked


@pytest.fixture(scope="module")
def schema(endpoint: Endpoint) -> BaseSchema:
    """What the server says of itself."""
    from schemathesis.openapi import from_asgi

    return from_asgi("/openapi.json", local(endpoint.guard))


def test_the_document_describes_every_path(endpoint: Endpoint) -> None:
    """It is OpenAPI 3.1, has each path of both APIs, and is told to anybody on this host."""
    document = endpoint.ask("/openapi.json", {}).json()
    assert (list(PATHS), "3.1.0") == (list(document["paths"]), document["openapi"])


@pytest.mark.proof
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("path", PATHS[2:])
def test_every_answer_is_described(schema: BaseSchema, path: str, mode: str) -> None:
    """Right and wrong requests get a status, type and body of the document, and never a 5xx."""
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    seen: Counter[int] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(schema[path]["GET"].as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Case) -> None:  # type: ignore[type-arg] # its own arguments are Any
        answer = case.call(headers=AUTHORIZED)
        seen[answer.status_code] += 1
        # A right request may all the same name a version that does not exist.
        case.validate_response(answer, headers=AUTHORIZED, excluded_checks=[positive_data_acceptance])

    ask()
    assert seen[200 if mode == "positive" else 400] > 0
