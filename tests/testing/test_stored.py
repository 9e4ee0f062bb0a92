"""`assert_not_stored`: what a durable step, a queue or a job keeps of a secret is found, and never shown."""

from __future__ import annotations

import json
from base64 import b64encode, encodebytes, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import quote, quote_plus

import pytest

from keyturn.model.versions import SecretVersion
from keyturn.testing import assert_not_stored

PASSWORD = 'pa"ss\\wörd'
FIELDS = {"username": "app", "password": PASSWORD, "host": "db.example", "port": 5432, "pin": 1234567}


def secret(string: str | None = None, binary: bytes | None = None) -> SecretVersion:
    """A version of `prod/db` with this value."""
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
    return SecretVersion("prod/db", arn, "prod/db", "v1", frozenset(), string=string, binary=binary)


LONG_AGO = datetime.fromtimestamp(0, UTC)
DATABASE = secret(json.dumps(FIELDS))


class Kind(Enum):
    """The kind of an operation."""

    STEP = "STEP"


@dataclass(frozen=True)
class Error:
    """What a durable execution keeps of an exception."""

    message: str


@dataclass(frozen=True)
class Operation:
    """One operation, as AWS's test runner for durable functions shows it."""

    name: str
    result: str | None = None
    error: Error | None = None
    child_operations: list[Operation] = field(default_factory=list)
    operation_type: Kind = Kind.STEP
    start: datetime = LONG_AGO


@dataclass
class Result:
    """The result of a test run."""

    operations: list[Operation]
    result: str | None = None


class Plain:
    """An object of the user's own, with a way back to itself."""

    def __init__(self, **parts: object) -> None:
        self.itself = self
        self.__dict__.update(parts)


DOCUMENT = json.dumps({"pw": PASSWORD})

LEAKS = {
    "a step returns the fields": Result([Operation("read", json.dumps(FIELDS))]),
    "the whole value as text": Result([Operation("read", json.dumps(json.dumps(FIELDS)))]),
    "in a child of a child": Result(
        [Operation("a", child_operations=[Operation("b", json.dumps(PASSWORD))])]
    ),
    "in an exception's words": Result([Operation("read", error=Error(f"login with {PASSWORD} failed"))]),
    "in an address": Result([], json.dumps({"url": f"postgresql://app:{PASSWORD}@db.example"})),
    "in base64": {"Events": [{"Result": {"Payload": b64encode(PASSWORD.encode()).decode()}}]},
    "as a key": {PASSWORD: 1},
    "below a key": {PASSWORD: PASSWORD},
    "as bytes": [PASSWORD.encode()],
    "in a view of bytes": memoryview(PASSWORD.encode()),
    "JSON as bytes": DOCUMENT.encode(),
    "JSON as bytes below a key": {"Payload": bytearray(DOCUMENT.encode())},
    "JSON in base64": b64encode(DOCUMENT.encode()).decode(),
    "base64 in base64": b64encode(b64encode(DOCUMENT.encode())),
    "JSON after white space": f" \n{DOCUMENT}",
    "in a URL": f"postgresql://app:{quote(PASSWORD)}@db.example",
    "in a form": f"user=app&password={quote_plus(PASSWORD)}",
    "base64 in lines": encodebytes(PASSWORD.encode() * 9).decode(),
    "JSON in base64 in lines": encodebytes(json.dumps([DOCUMENT] * 3).encode()),
    "base64 of URLs": urlsafe_b64encode(b"~~~???" + PASSWORD.encode()).decode(),
    "base64 without its padding": urlsafe_b64encode(DOCUMENT.encode()).decode().rstrip("="),
    "a number": {"pin": 1234567},
    "the version itself": Plain(version=DATABASE),
    "an exception": ValueError("refused", PASSWORD),
}


@pytest.mark.parametrize("stored", LEAKS.values(), ids=LEAKS.keys())
def test_a_secret_that_is_stored_is_found(stored: object) -> None:
    """The error says which secret and field, and has no value."""
    with pytest.raises(AssertionError, match=r"of secret 'prod/db'.*do not return a secret") as caught:
        assert_not_stored(stored, secret("another"), DATABASE)
    assert PASSWORD not in str(caught.value)
    assert "1234567" not in str(caught.value)


def test_the_place_is_named() -> None:
    """With the way through the operations, and the field of the secret."""
    stored = Result([Operation("first"), Operation("read", json.dumps({"login": {"word": PASSWORD}}))])
    place = r"^operations\[1\]\.result\['login'\]\['word'\] holds the field 'password' of secret 'prod/db'"
    with pytest.raises(AssertionError, match=place):
        assert_not_stored(stored, DATABASE)


def test_what_is_not_secret_may_be_stored() -> None:
    """All fields but the password's and the pin's, names, ARNs and ids; and other texts like it."""
    harmless = {name: value for name, value in FIELDS.items() if name in {"username", "host", "port"}}
    stored = Result(
        [Operation("connect", json.dumps(harmless)), Operation(DATABASE.arn, json.dumps("v1"))],
        json.dumps({"rows": [1, 2.5, None, True, "pa", "12345678", "[no JSON", '"', "no", "base64 ="]}),
    )
    assert_not_stored(stored, DATABASE, secret("another"), secret(binary=b"\x00\xff"))
    assert_not_stored(Plain(word=PASSWORD), DATABASE, harmless={"password", *FIELDS})


def test_a_number_that_python_makes_no_text_of_is_no_secret() -> None:
    """A result may hold it; what comes after it is still looked at."""
    assert_not_stored(10**5000, DATABASE)
    with pytest.raises(AssertionError, match="holds the field 'pin'"):
        assert_not_stored([10**5000, 1234567], DATABASE)


@pytest.mark.parametrize("value", ["key-1234", "x", '["list-of-keys"]'])
def test_a_secret_without_fields_is_found(value: str) -> None:
    """A short one where it stands alone, since any text has it as a part."""
    stored = json.loads(value)[0] if value.startswith("[") else value
    with pytest.raises(AssertionError):
        assert_not_stored({"Payload": json.dumps({"key": stored})}, secret(value))
    assert_not_stored("an axle", secret("x"))


def test_a_binary_secret_is_found() -> None:
    """As base64, which is how JSON has it, and as it is."""
    for stored in (json.dumps({"key": b64encode(b"\x00\xffkey").decode()}), b"\x00\xffkey"):
        with pytest.raises(AssertionError):
            assert_not_stored(stored, secret(binary=b"\x00\xffkey"))


@pytest.mark.parametrize("half", [0xD800, 0xDCFF])
def test_a_value_that_is_no_unicode_is_found(half: int) -> None:
    """JSON may hold half of a character: that is no error, and hides nothing."""
    value = f"ab{chr(half)}cd-and-more"
    version = secret(value)
    assert_not_stored({"a": "x"}, version)
    with pytest.raises(AssertionError, match="value"):
        assert_not_stored({"a": f"<{value}>"}, version)
