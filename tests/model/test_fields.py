"""`SecretVersion.fields`: the fields of a JSON object as text, for code that a type checker reads."""

from __future__ import annotations

import json
import time

import pytest

from keyturn import Parameter, SecretFormatError, SecretKindError, SecretVersion
from tests.cache.test_secrecy import shown

CANARY = "canary-9f2"


def version(text: str) -> SecretVersion:
    """A version of a secret with this text."""
    return SecretVersion("prod/db", "arn", "prod/db", "v1", frozenset(), string=text)


def test_fields_are_text() -> None:
    """A text is itself; a number and a boolean are as the JSON has them, to the last digit."""
    value = (
        '{"user": "ann", "port": 5432, "share": 0.10, "rate": 1e3, "tls": true, "old": false, "": "\\u00e9"}'
    )
    expected = {
        "user": "ann",
        "port": "5432",
        "share": "0.10",
        "rate": "1e3",
        "tls": "true",
        "old": "false",
        "": "é",
    }
    assert expected == version(value).fields()
    assert {} == version("{}").fields()


def test_a_number_of_any_length_is_its_text() -> None:
    """Python refuses to convert an integer of more than 4300 digits; no field is converted."""
    assert {"n": "9" * 5000} == version('{"n": %s}' % ("9" * 5000)).fields()


def test_each_call_gives_a_new_dictionary() -> None:
    """A caller may change what it got: the next one gets the fields of the value."""
    one = version('{"password": "x"}')
    one.fields()["password"] = "changed"
    assert {"password": "x"} == one.fields()


def test_a_parameter_has_fields_too() -> None:
    """The value of a parameter may be a JSON object as well."""
    parameter = Parameter("/db", "arn", "/db", "1", frozenset(), string='{"host": "db-1"}')
    assert {"host": "db-1"} == parameter.fields()


@pytest.mark.parametrize("value", [f'["{CANARY}"]', f'"{CANARY}"', "5", "null", "true"])
def test_what_is_no_object_is_an_error(value: str) -> None:
    """A list, text, number, null or boolean has no fields; the error does not quote it."""
    with pytest.raises(SecretFormatError, match=r"'prod/db'.*its JSON is no object.*json\(\)") as caught:
        version(value).fields()
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    ("field", "kind"),
    [(f'["{CANARY}"]', "a list"), (f'{{"{CANARY}": 1}}', "an object"), ("null", "null")],
)
def test_a_field_that_is_no_text_is_an_error(field: str, kind: str) -> None:
    """A list, an object and null have no text: the error counts the field, and names no field or value."""
    value = f'{{"user": "{CANARY}", "{CANARY}": {field}}}'
    with pytest.raises(SecretFormatError, match=f"field 2 of its JSON object is {kind}") as caught:
        version(value).fields()
    assert CANARY not in shown(caught.value)


def test_what_is_not_json_is_an_error() -> None:
    """As of `json()`: the place where the JSON breaks, and nothing of the document in the whole chain."""
    with pytest.raises(SecretFormatError, match="not JSON at character 12") as caught:
        version('{"user": "a"' + f"{CANARY}}}").fields()
    assert CANARY not in shown(caught.value)


def test_a_binary_secret_has_no_fields() -> None:
    """As of `text()`: `SecretKindError`."""
    blob = SecretVersion("prod/db", "arn", "prod/db", "v1", frozenset(), binary=b"{}")
    with pytest.raises(SecretKindError):
        blob.fields()


def nested(depth: int) -> str:
    """A JSON list in a list in a list."""
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("[" * 60_000, "inside each other"),
        ('{"a":' * 40_000, "inside each other"),
        (nested(65), "inside each other"),
        ("[" * 65 + '"\\"' * 1000, "inside each other"),
        (" " * 262_145, "longer than 262144 characters"),
        ("9" * 5000, "too many digits"),
        ('{"a": -1e400}', "too large"),
        ('{"a": NaN}', "NaN"),
        ('[{"a": -Infinity}]', "NaN"),
        ('[{"a": 1, "b": 2, "a": 1}]', "a name twice"),
        ('["\\ud83d"]', "surrogate"),
        ('{"\\udd11": 1}', "surrogate"),
        ("\ufeff{}", "at character 0"),
        ("", "at character 0"),
    ],
)
def test_json_that_is_two_things_or_too_much_is_an_error(value: str, wrong: str) -> None:
    """It is never a RecursionError, and nothing is passed on that another reader takes for something else."""
    with pytest.raises(SecretFormatError, match=wrong) as caught:
        version(value).json()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "value", [nested(64), f'["{"[" * 200}", "\\"{"{" * 200}"]', '["\\ud83d\\udd11", "\\u0000"]']
)
def test_json_that_is_odd_and_allowed(value: str) -> None:
    """64 levels, brackets in a text, a whole pair, and any character: `json()` is for all that is JSON."""
    assert json.loads(value) == version(value).json()


def test_a_stack_that_is_nearly_used_up_is_told_of() -> None:
    """A document that Python's stack has no room for is not a RecursionError either."""

    def deeper(value: str) -> None:
        try:
            deeper(value)
        except RecursionError:
            version(value).json()

    with pytest.raises((SecretFormatError, RecursionError)) as caught:
        deeper(nested(64))
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "value", ["[" * 65 + '"' + '\\"' * 60_000, "[" * 65 + '"\\' * 60_000, '{"a": "' + "[" * 200_000]
)
def test_the_depth_is_counted_in_one_pass(value: str) -> None:
    """Twice the text takes about twice the time: a text without an end is not looked for from each quote."""
    took_s = []
    for text in (value, value * 2):
        started_s = time.process_time()
        with pytest.raises(SecretFormatError):
            version(text[:262_144]).json()
        took_s.append(time.process_time() - started_s)
    assert took_s[1] < 0.5


@pytest.mark.parametrize("field", ["username", "password", "host", "dbname"])
@pytest.mark.parametrize("character", ["\0", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b"])
def test_a_field_of_a_login_has_no_control_character(field: str, character: str) -> None:
    """A driver, a header or a terminal would take it for an end or a command. The error names the field."""
    value = json.dumps({"note": CANARY, field: f"{CANARY}{character}"})
    with pytest.raises(SecretFormatError, match=f"the field {field} has a control character") as caught:
        version(value).fields()
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("field", ["username", "host", "dbname"])
@pytest.mark.parametrize("character", ["\u202e", "\u2028", "\u2029", "\u200f", "\u2066", "\u00a0", "\ufeff"])
def test_a_name_is_printable_and_a_password_may_be_odd(field: str, character: str) -> None:
    """What turns the direction of writing, or is a blank that looks like another, is in no name."""
    odd = f'it\'s {character} "p\\w" \N{KEY} é'
    with pytest.raises(SecretFormatError, match=f"the field {field} has"):
        version(json.dumps({field: odd})).fields()
    assert {"password": odd} == version(json.dumps({"password": odd})).fields()


def test_any_other_field_may_have_lines() -> None:
    """A certificate has. Other control characters are in no field, and in no name of one."""
    value = {"certificate": "-----BEGIN\r\n\tabc\n-----END", "": ""}
    assert value == version(json.dumps(value)).fields()
    for character in "\0\x1b\x08\x0b\x7f\x80\x9b":
        with pytest.raises(SecretFormatError, match="field 2 of its JSON object has a control character"):
            version(json.dumps({"a": "b", "certificate": f"x{character}"})).fields()
        with pytest.raises(SecretFormatError, match="the name of field 1 has a control character"):
            version(json.dumps({f"x{character}": "b"})).fields()


@pytest.mark.parametrize("port", ["5432", '"5432"', "5432.0", '"5432.0"', "5.432e3"])
def test_a_port_is_a_whole_number(port: str) -> None:
    """However a tool has written it."""
    assert {"port": "5432"} == version(f'{{"port": {port}}}').fields()


@pytest.mark.parametrize(
    "port",
    ["0", "-1", "65536", "1e9", "5432.5", "true", '"abc"', '" 5432"', '"5432,5433"', '"\\u0665"', "9" * 5000],
)
def test_what_is_no_port_is_an_error(port: str) -> None:
    """A driver would take it for a default, for several, or for a Python error of its own."""
    with pytest.raises(SecretFormatError, match="the field port is no whole number from 1 to 65535"):
        version(f'{{"port": {port}}}').fields()
