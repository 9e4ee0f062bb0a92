"""`keyturn serve` as a command: options that do not fit, and what it needs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli.root import root
from keyturn.serve import server
from keyturn.serve.server import Tcp, Unix

TOKEN = "token-of-this-test"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging of this process is left as it was found."""
    logger, ours = logging.getLogger(), logging.getLogger("keyturn")
    before = logger.level, logger.handlers, ours.level
    yield
    logger.level, logger.handlers, ours.level = before


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Tcp | Unix]:
    """Where the command would have served."""
    seen: list[Tcp | Unix] = []
    monkeypatch.setattr(server, "serve", lambda where, *_, **__: seen.append(where))
    for name in ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return seen


def run(*options: str, **environment: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(root, ["serve", *options], env=environment)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ([], {}, "no token: set AWS_TOKEN"),
        ([], {"AWS_TOKEN": "x"}, "shorter than 16 bytes"),
        (["--allow-uid", "1"], {"AWS_TOKEN": TOKEN}, "--allow-uid needs --uds"),
        (["--uds", "a", "--port", "1"], {"AWS_TOKEN": TOKEN}, "--port or --uds, not both"),
        (["--uds", "a"], {"AWS_TOKEN": "x"}, "shorter than 16 bytes"),
        (["--allow", "a", "--preload", "b"], {"AWS_TOKEN": TOKEN}, "--preload 'b' can never be read"),
        (["--allow", ""], {"AWS_TOKEN": TOKEN}, "--allow '' is no pattern"),
        (["--allow-uid", "-1"], {"AWS_TOKEN": TOKEN}, "--allow-uid"),
        (["--log-level", "trace"], {"AWS_TOKEN": TOKEN}, "--log-level"),
    ],
)
def test_what_cannot_work_is_told(
    places: list[Tcp | Unix], options: list[str], environment: dict[str, str], said: str
) -> None:
    """Exit code 2 and the option or the rule; nothing is served."""
    code, output = run(*options, **environment)
    assert (2, []) == (code, places)
    assert said in " ".join(output.split())


def test_a_unix_socket_needs_no_token(places: list[Tcp | Unix]) -> None:
    """Nor is one made of what may be credentials; AWS_TOKEN is one. The port's variable does not matter.

    The server's own user may call, whoever else may.
    """
    credentials = {
        "AWS_SESSION_TOKEN": "session-token-of-a-role",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t" * 20,
    }
    assert 0 == run("--uds", "a", PARAMETERS_SECRETS_EXTENSION_HTTP_PORT="2774", **credentials)[0]
    assert 0 == run("--uds", "a", "--allow-uid", "1", "--allow-uid", "2", AWS_TOKEN=TOKEN)[0]
    first, second = places
    assert isinstance(first, Unix)
    assert isinstance(second, Unix)
    assert (Path("a"), None) == (first.path, first.token)
    assert [{os.geteuid()}, {os.geteuid(), 1, 2}] == [first.uids, second.uids]
    assert second.token is not None
    assert second.token.matches([TOKEN.encode()])


def test_a_port_needs_one(places: list[Tcp | Unix]) -> None:
    """The token of the first variable that is set."""
    assert 0 == run("--port", "0", AWS_SESSION_TOKEN=TOKEN)[0]
    (place,) = places
    assert isinstance(place, Tcp)
    assert place.token.matches([TOKEN.encode()])
