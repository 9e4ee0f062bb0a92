"""Whoever reads logs, errors, status or a dump: what they find, and what is not there."""

from __future__ import annotations

import gc
import logging
import pickle
import traceback
from dataclasses import asdict

import pytest

from keyturn import Peers, SecretCache, SecretError, UnavailableError
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    LoginRefusedError,
    SecretDeletedError,
    SecretFormatError,
    SecretKindError,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.model.names import checked_secret_id
from keyturn.model.versions import SecretVersion
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"

KINDS = [
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    LoginRefusedError,
    SecretDeletedError,
    SecretFormatError,
    SecretKindError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
]


class RefusedError(Exception):
    """The server's 'wrong password'."""


def is_refused(error: Exception) -> bool:
    """Whether it is the server's 'wrong password'."""
    return isinstance(error, RefusedError)


def versions_in_memory() -> set[str]:
    """The ids, of those that the tests below made, of every version that this process still holds."""
    gc.collect()
    held = (one.version_id for one in gc.get_objects() if isinstance(one, SecretVersion))
    return {version_id for version_id in held if version_id.startswith("memory-")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_error_is_the_same_error(kind: type[SecretError]) -> None:
    """Errors that cross a process boundary keep kind, id, detail, advice and text, and hold nothing else."""
    error = kind(NAME, "a detail", advice="do this")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own
    assert (kind, str(error)) == (type(copy), str(copy))
    assert vars(error) == vars(copy) == {"secret_id": NAME, "detail": "a detail", "advice": "do this"}


def test_status_and_its_copies_hold_no_value(world: World) -> None:
    """`status()` as repr, as a dict and pickled: ids, ages and reasons, no value."""
    world.secrets.put(NAME, CANARY, "v2")
    cache = world.covered()
    cache.get(NAME)
    status = cache.status()
    assert CANARY not in repr(status) + repr(asdict(status))
    assert CANARY.encode() not in pickle.dumps(status)


@pytest.mark.proof
def test_a_superseded_value_leaves_memory(world: World) -> None:
    """After the move was noticed nothing of keyturn refers to the old version any more."""
    world.rotate("memory-1", "one")
    cache = world.covered()
    assert {"memory-1"} == versions_in_memory()
    world.rotate("memory-2", "two")
    world.clock.advance(5)
    cache.get(NAME)
    assert {"memory-2"} == versions_in_memory()
    cache.forget()
    assert set() == versions_in_memory()


@pytest.mark.proof
def test_a_login_keeps_one_old_version_until_the_next_success(world: World) -> None:
    """The version last logged in with outlives its label: login needs it. The next login lets go of it."""
    world.rotate("memory-1", "one")
    cache = world.covered()
    cache.login(NAME, SecretVersion.text, is_refused=is_refused)
    world.rotate("memory-2", "two")
    world.clock.advance(5)
    cache.get(NAME)
    assert {"memory-1", "memory-2"} == versions_in_memory()
    cache.login(NAME, SecretVersion.text, is_refused=is_refused)
    assert {"memory-2"} == versions_in_memory()


def test_a_refused_login_shows_no_value(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The error names versions and the class of the refusals; its cause is the driver's own."""
    world.secrets.put(NAME, CANARY, "v2")
    caplog.set_level(logging.DEBUG)

    def connect(version: SecretVersion) -> str:
        raise RefusedError(version.version_id)

    with pytest.raises(LoginRefusedError) as caught:
        world.cache().login(NAME, connect, is_refused=is_refused, budget_s=0)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert "v2" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("secret_id", ["db\nERROR forged", "db\x1b[2J", "db\u2028x", "db\r", "\x00"])
def test_no_secret_id_forges_a_log_line(world: World, secret_id: str) -> None:
    """An id with a line break or a control sign is refused, in one printable line."""
    with pytest.raises(InvalidSecretIdError) as caught:
        world.cache().get(secret_id)
    assert str(caught.value).isprintable()
    with pytest.raises(InvalidSecretIdError):
        checked_secret_id(secret_id)


class Corrupted:
    """A client whose HTTP answer is not the text that it says it is."""

    def get_secret_value(self, **_: str) -> dict[str, object]:
        body = CANARY.encode() + b"\xff"
        return {"SecretString": body.decode("utf-8")}


def test_an_answer_that_is_no_text_is_not_quoted() -> None:
    """Flipped bytes make botocore raise `UnicodeDecodeError`, which carries the whole body: not passed on."""
    with pytest.raises(UnavailableError) as caught:
        SecretCache(peers=Peers(source=SecretsManagerSource(Corrupted))).get(NAME)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not [one for one in chain if isinstance(one, UnicodeDecodeError)]
