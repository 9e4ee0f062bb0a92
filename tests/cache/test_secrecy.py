"""No secret value leaves: the canary is looked for wherever a value could show."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest

from keyturn import (
    MarkerConflictError,
    SecretFormatError,
    SecretKindError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.model.parameter import Parameter
from keyturn.model.versions import SecretVersion
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"


def shown(error: BaseException) -> str:
    """All that a traceback, a log or a debugger's first look shows of an error and its chain."""
    texts, chain = [], [error]
    while chain:
        one = chain.pop()
        texts += [repr(one), str(one), repr(vars(one)), *traceback.format_exception(one)]
        chain += [link for link in (one.__cause__, one.__context__) if link is not None]
    return "\n".join(texts)


def test_a_version_shows_everything_but_its_value() -> None:
    """repr, str, format and f-strings of text and binary versions hold no value."""
    text = SecretVersion("id", "arn", "name", "v1", frozenset(), string=CANARY)
    blob = SecretVersion("id", "arn", "name", "v1", frozenset(), binary=CANARY.encode())
    for version in (text, blob, copy.copy(text)):
        assert CANARY not in f"{version} {version!r} {version!s} {[version]}"
    assert "v1" in repr(text)


def test_a_version_is_replaced_with_its_value_or_a_new_one() -> None:
    """`dataclasses.replace` keeps the value, unless it is given another one."""
    version = SecretVersion("id", "arn", "name", "v1", frozenset(), string="old")
    parameter = Parameter("id", "arn", "name", "1", frozenset(), string="old")
    assert "old" == replace(version, version_id="v2").string == replace(parameter, version_id="2").value
    # Type checkers refuse a value here, which is no field; Python takes it.
    changed: Callable[..., SecretVersion] = replace
    assert "new" == changed(version, string="new").string == changed(parameter, string="new").string
    assert b"new" == changed(version, binary=b"new").binary


@pytest.mark.parametrize("value", [f'{{"password": "{CANARY}"', CANARY, f'"{CANARY}" x'])
def test_a_value_that_is_not_json_is_not_quoted(value: str) -> None:
    """The error says where the JSON breaks; neither it nor its chain holds the document."""
    version = SecretVersion(NAME, "arn", NAME, "v1", frozenset(), string=value)
    with pytest.raises(SecretFormatError, match="prod/db") as caught:
        version.json()
    assert CANARY not in shown(caught.value)


def test_json_of_a_json_secret() -> None:
    """A JSON value is parsed, anew for every caller."""
    version = SecretVersion(NAME, "arn", NAME, "v1", frozenset(), string='{"password": "x"}')
    assert {"password": "x"} == version.json()
    assert version.json() is not version.json()


def test_the_other_kind_is_a_typed_error(world: World) -> None:
    """Text of a binary secret and binary of a text secret: an error that names the right method."""
    world.secrets.create("blob", CANARY.encode())
    cache = world.cache()
    with pytest.raises(SecretKindError, match="get_secret_binary") as caught:
        cache.get_secret_string("blob")
    assert CANARY not in shown(caught.value)
    with pytest.raises(SecretKindError):
        cache.get_secret_binary(NAME)
    with pytest.raises(SecretKindError):
        cache.get("blob").json()
    assert CANARY.encode() == cache.get_secret_binary("blob")


def test_logs_status_and_errors_hold_no_value(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A life with rotations, failures and a deletion: the canary appears in no record and no status."""
    stream = io.StringIO()
    caplog.set_level(logging.DEBUG)
    world.secrets.put(NAME, CANARY, "v2")
    cache = world.covered()
    world.rotate("v3", CANARY + "3")
    world.pass_time(cache, 60)
    world.secrets.fail = UnavailableError
    world.pass_time(cache, 4000)
    world.secrets.fail = lambda secret_id: None
    stream.write(f"{cache.status()!r} {cache!r} {vars(cache)!r}")
    world.secrets.purge(NAME)
    cache.invalidate(NAME)
    with pytest.raises(SecretNotFoundError) as caught:
        cache.get(NAME)
    stream.write(shown(caught.value))
    assert CANARY not in stream.getvalue() + caplog.text
    assert "UnavailableError" in stream.getvalue() + caplog.text


def test_an_unreadable_answer_is_not_quoted() -> None:
    """A body that botocore cannot parse is quoted by its error, but not by the one that users get."""
    from botocore.parsers import ResponseParserError

    class Client:
        def get_secret_value(self, **_: str) -> dict[str, object]:
            raise ResponseParserError(f"invalid body: {CANARY}")

    with pytest.raises(UnavailableError) as caught:
        SecretsManagerSource(Client).read(NAME, stage="AWSCURRENT")
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ARN": "a", "Name": "n", "VersionId": "v"},
        {"ARN": "a", "Name": "n", "SecretString": CANARY},
        {"ARN": "a", "Name": "n", "VersionId": "v", "SecretString": CANARY, "SecretBinary": b"x"},
        {"message": CANARY},
    ],
)
def test_a_cut_answer_is_an_error_without_its_content(answer: dict[str, object]) -> None:
    """An answer that lacks what every answer has is 'unavailable', and not quoted."""

    class Client:
        def get_secret_value(self, **_: str) -> dict[str, object]:
            return answer

    with pytest.raises(UnavailableError) as caught:
        SecretsManagerSource(Client).read(NAME, stage="AWSCURRENT")
    assert CANARY not in shown(caught.value)


def test_errors_survive_pickling() -> None:
    """An error that crosses a process boundary keeps its kind, id, detail and advice."""
    error = pickle.loads(pickle.dumps(UnavailableError(NAME, "throttled")))  # noqa: S301 # our own
    assert (NAME, "throttled") == (error.secret_id, error.detail)
    assert json.dumps(str(error)) == json.dumps(str(UnavailableError(NAME, "throttled")))
    table = pickle.loads(pickle.dumps(MarkerConflictError("markers", "moved")))  # noqa: S301 # our own
    assert (MarkerConflictError, "markers", "moved") == (type(table), table.table, table.detail)
