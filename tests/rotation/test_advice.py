"""What errors advise whoever has stored a document that is JSON, though not the one that is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from keyturn import Peers, SecretCache, SecretFormatError, SecretVersion
from keyturn.integrations.arguments import login_fields, user_and_password
from keyturn.integrations.http import Key, Outgoing, basic, bearer
from keyturn.rotation.apikeys import ApiKeys
from keyturn.rotation.postgresql import SingleUser
from keyturn.testing.fakes import FakeClock, FakeSecretsManager


class NoApi:
    """An API that nobody asks."""

    def issue(self, token: str) -> object:
        raise AssertionError(token)

    def test(self, value: str) -> str | None:
        raise AssertionError(value)

    def revoke(self, key_id: str) -> object:
        raise AssertionError(key_id)


def headers(version: SecretVersion) -> object:
    """The headers of a request with a bare key."""
    with SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache:
        key = Key(cache, "app", "https://api.example.com", bearer(field="value"))
        return key.headers(version, Outgoing("GET", "https://api.example.com/", None))


USER = {"username": "app", "password": "p"}
LOGIN = "store the fields of a login as AWS's database secrets have them"
KEY = "store an object with the id and the value of a key, both as texts"


@pytest.mark.parametrize(
    ("call", "value", "advice"),
    [
        (lambda one: SingleUser().renew(one, "n"), {**USER, "host": "a,b"}, LOGIN),
        (lambda one: SingleUser().renew(one, "n"), USER, LOGIN),
        (lambda one: SingleUser().renew(one, "n"), {"username": "app", "host": "db"}, LOGIN),
        (lambda one: login_fields(one, ("username", "password")), {"username": "app"}, LOGIN),
        (user_and_password, {"username": "app"}, LOGIN),
        (lambda one: ApiKeys(NoApi()).test(one), {"value": "v"}, KEY),  # type: ignore[arg-type] # not asked
        (lambda one: ApiKeys(NoApi()).issue(one, "t"), [], KEY),  # type: ignore[arg-type] # not asked
        (
            lambda one: basic()(one, Outgoing("GET", "https://a.example/", None)),
            {"username": "a:b", "password": "p"},
            "store another user name",
        ),
        (headers, {"value": "\u00e9"}, "store the key again, without that character"),
    ],
)
def test_the_advice_fits(call: Callable[[SecretVersion], object], value: object, advice: str) -> None:
    """None of them is told to store a JSON document."""
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app-AbCdEf"
    version = SecretVersion("app", arn, "app", "v1", frozenset({"AWSCURRENT"}), string=json.dumps(value))
    with pytest.raises(SecretFormatError) as caught:
        call(version)
    assert advice == caught.value.advice


@pytest.mark.parametrize("text", ['{"username": "app", "password": "a word"}', "a word"])
def test_a_mark_of_the_byte_order_begins_no_password(text: str) -> None:
    """Neither a document behind it nor the bare password is sent to a server as the default user's."""
    version = SecretVersion("app", "arn", "app", "v1", frozenset({"AWSCURRENT"}), string="\ufeff" + text)
    with pytest.raises(SecretFormatError, match=re.escape("U+FEFF")) as caught:
        user_and_password(version)
    assert "a word" not in str(caught.value)
    assert caught.value.__context__ is None
    assert "store the text without that mark" == caught.value.advice
