"""`SecretVersion.fields`: the fields of a JSON object as text, for code that a type checker reads."""

from __future__ import annotations

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
