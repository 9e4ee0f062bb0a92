"""`assert_not_stored`: what a durable step, a queue or a job keeps of a secret is found, and never shown."""

from __future__ import annotations

import json
import random
import re
import string
import time
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections import UserList, UserString, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, ConfigDict

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


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("empty", "password")

    def __init__(self, password: str) -> None:
        self.password = password


class Deeper(Slotted):
    """Its slots are those of the class above."""

    __slots__ = ()


class Hidden:
    """An object whose slot has another name than the one it is written by."""

    __slots__ = ("__password",)

    def __init__(self, password: str) -> None:
        self.__password = password


class Loose(BaseModel):
    """A model that keeps what it has no field for."""

    model_config = ConfigDict(extra="allow")


def extended() -> Error:
    """A data class with an attribute more than its fields."""
    error = Error("refused")
    error.__dict__["more"] = PASSWORD
    return error


def chained(first: Exception, *, is_cause: bool) -> Exception:
    """An exception that was raised from another, or while another was handled."""
    try:
        try:
            raise first
        except ValueError as error:
            if is_cause:
                raise KeyError("later") from error
            raise KeyError("later")  # noqa: B904 # its context is what the test is about
    except KeyError as error:
        return error


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
    "in a URL with small letters": "x?" + re.sub("%..", lambda one: one[0].lower(), quote(PASSWORD)),
    "in lines of JSON": f'{{"n": 1}}\n{DOCUMENT}\n',
    "a number in lines of JSON": '{"n": 1}\r\n{"pin": 1234567}',
    "in JSON within a text": f"result: {DOCUMENT}",
    "in JSON in JSON within a text": f"result: {json.dumps(DOCUMENT)}",
    "JSON of another kind": 'result: "pa\\u0022ss\\\\w\\u00F6rd"',
    "in a list's words": f"no login with {['app', PASSWORD]}",
    "JSON after a mark of the byte order": f"\ufeff{DOCUMENT}",
    "JSON with a name twice": f'{{"a": {json.dumps(PASSWORD)}, "a": 1}}',
    "JSON in a URL": f"https://api/?state={quote(DOCUMENT)}",
    "in HTML": f"<b>{escape(PASSWORD)}</b>",
    "in HTML by numbers": "<b>pa&#34;ss&#x5c;w&#246;rd</b>",
    "in a header": "Basic " + b64encode(f"app:{PASSWORD}".encode()).decode(),
    "in a token": f"Bearer aGk.{urlsafe_b64encode(DOCUMENT.encode()).decode()}.Z28",
    "in base64 in a URL": f"/a/b?{quote(b64encode(b'~~~' + PASSWORD.encode()).decode())}",
    "in base64 in lines in a text": f"-----\n{encodebytes(b'-' * 55 + PASSWORD.encode()).decode()}-----",
    "in slots": Slotted(PASSWORD),
    "in slots of a class above": Deeper(PASSWORD),
    "in a private slot": Hidden(PASSWORD),
    "in an attribute of a data class that is no field": extended(),
    "in a deque": deque([PASSWORD]),
    "in values": {"a": PASSWORD}.values(),
    "in keys": {PASSWORD: 1}.keys(),
    "in items": {"a": PASSWORD}.items(),
    "in a sequence of the user's own": UserList([PASSWORD]),
    "in a text of the user's own": UserString(PASSWORD),
    "in a path": PurePosixPath("/run", PASSWORD),
    "as a Decimal": Decimal(1234567),
    "in what a model has beside its fields": Loose.model_validate({"more": PASSWORD}),
    "in the cause of an exception": chained(ValueError(PASSWORD), is_cause=True),
    "in what an exception came after": chained(ValueError(PASSWORD), is_cause=False),
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


USUAL = ("kL+9(x)#Qw", "kL/9xQw&w", 'kL"9xQw', "kL9xQw", "a b+c%41d", "\N{KEY}-kéy's", "new\nline\tand\\n")


@pytest.mark.parametrize("password", USUAL)
@pytest.mark.parametrize(
    "write",
    [
        lambda password: f"postgresql://app:{quote(password, safe=' +')}@db.example",
        lambda password: "https://api/?key=" + quote(password),
        quote_plus,
        lambda password: json.dumps({"a": password}, ensure_ascii=False) + "\n{}",
        lambda password: "result: " + json.dumps(password),
        lambda password: f"result: {[password]}",
        lambda password: f"<td>{escape(password)}</td>",
        lambda password: "Basic " + b64encode(f"app:{password}".encode()).decode(),
        lambda password: "Token " + b64encode(json.dumps([password]).encode()).decode(),
    ],
)
def test_a_password_is_found_as_it_is_usually_written(password: str, write: Callable[[str], str]) -> None:
    """Whatever characters it has."""
    database = secret(json.dumps({"username": "app", "password": password}))
    with pytest.raises(AssertionError, match="holds the field 'password' of secret 'prod/db'"):
        assert_not_stored([write(password)], database)


def test_a_key_that_is_a_secret_is_never_shown() -> None:
    """Neither where another secret is below it, nor as it is written there."""
    others = secret(json.dumps({"a": "first-word", "b": PASSWORD, "c": "xyz", "d": "last-word"}))
    for key in ("first-word", PASSWORD, quote(PASSWORD), "xyz", b64encode(b"-first-word").decode()):
        with pytest.raises(AssertionError, match="a place below it holds the field 'd'") as caught:
            assert_not_stored({key: "last-word"}, others)
        assert key not in str(caught.value)
        assert repr(key) not in str(caught.value)


def test_what_an_exception_hides_is_not_looked_at() -> None:
    """`from None` takes it out of every traceback."""
    hidden = chained(ValueError(PASSWORD), is_cause=False)
    hidden.__suppress_context__ = True
    assert_not_stored(hidden, DATABASE)


def test_random_text_is_no_secret() -> None:
    """Short values and common ones are not found in it, whichever way it is read, nor in a range."""
    chance = random.Random(7)
    text = "".join(chance.choices(string.printable, k=20_000))
    short = secret(json.dumps({"a": "x", "b": "12", "c": "abc", "d": 7, "e": "Zq3!", "f": "", "g": "+"}))
    assert_not_stored([text, text.encode(), b64encode(text.encode()), range(10**12)], short)


def test_the_time_grows_with_the_size() -> None:
    """Objects at many places, layers of escapes and what only begins like JSON take no longer than others."""
    shared: list[object] = ["x"]
    for _ in range(60):
        shared = [shared, shared]
    deep: object = "x"
    for _ in range(5_000):
        deep = [deep]
    escapes = [
        "%25" * 20_000,
        "\\" * 60_000,
        "&amp;" * 20_000,
        '{"a":' * 20_000,
        "[\n" * 20_000,
        "a+%5c" * 9_999,
    ]
    begin_s = time.perf_counter()
    assert_not_stored([shared, deep, escapes, "&#" + "9" * 5_000], DATABASE)
    assert time.perf_counter() - begin_s < 10


def test_the_time_grows_with_the_size_of_logs() -> None:
    """Lines of JSON that have lines of JSON in them, and many lines, each with more than one reading."""
    inner = "GET /a%20b?q=1+2 <p>a &amp; b</p> \\u0041\n"
    nested = inner
    for _ in range(9):
        nested = inner + json.dumps({"message": nested}) + "\n"
    lines = "\n".join(
        json.dumps({"at": at, "level": "INFO", "message": f"{inner}{at}"}) for at in range(1000)
    )
    begin_s = time.process_time()
    assert_not_stored([nested, lines], DATABASE)
    assert time.process_time() - begin_s < 10
    for stored in (nested + quote(PASSWORD), f"{lines}\n{DOCUMENT}", nested.replace("q=1", quote(DOCUMENT))):
        with pytest.raises(AssertionError, match="holds the field"):
            assert_not_stored(stored, DATABASE)


def test_each_place_is_named() -> None:
    """Also where two places have the same text, or one place has it in several ways."""
    text = f"x?{quote(DOCUMENT)}&amp;\n{DOCUMENT}"
    with pytest.raises(AssertionError) as caught:
        assert_not_stored({"first": text, "second": text}, DATABASE)
    for place in ("['first']", "['first']['pw']", "['second']", "['second']['pw']"):
        assert 1 == str(caught.value).count(f"{place} holds the field 'password'")


def test_json_over_lines_in_a_url_is_read() -> None:
    """A number in it, which counts only where it stands alone."""
    with pytest.raises(AssertionError, match="holds the field 'pin'"):
        assert_not_stored(quote(json.dumps({"pin": 1234567}, indent=1)), DATABASE)
