"""What the endpoint answers about parameters, as the extension does; Parameter Store is moto's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_ssm import SSMClient

from keyturn import SecretCache
from tests.serve.endpoint import Endpoint

GET = "/systemsmanager/parameters/get"
NAME = "/prod/db/password"
TARGET = f"{GET}?name=%2Fprod%2Fdb%2Fpassword&withDecryption=true"


@pytest.fixture
def ssm() -> Iterator[SSMClient]:
    """Parameter Store with one SecureString in two versions; the first has the label `good`."""
    with mock_aws():
        client = boto3.client("ssm", region_name="eu-west-1")
        client.put_parameter(Name=NAME, Value="one", Type="SecureString")
        client.label_parameter_version(Name=NAME, ParameterVersion=1, Labels=["good"])
        client.put_parameter(Name=NAME, Value="two", Type="SecureString", Overwrite=True)
        yield client


@pytest.fixture
def calls(ssm: SSMClient) -> Counter[str]:
    """How often each operation was sent to Parameter Store."""
    counted: Counter[str] = Counter()

    def count(event_name: str, **_request: object) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    ssm.meta.events.register("before-send", count)
    return counted


@pytest.fixture
def endpoint(ssm: SSMClient) -> Endpoint:
    """A server over it."""
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    secrets.create_secret(Name="prod/db", SecretString="from-a-secret")
    return Endpoint(given_cache=SecretCache(secrets, ssm_client=ssm))


def test_a_parameter_as_the_extension_answers_it(endpoint: Endpoint, ssm: SSMClient) -> None:
    """Every field of the extension's answer, null for what is absent."""
    answer = endpoint.ask(TARGET)
    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    body = answer.json()
    modified = datetime.fromisoformat(body["Parameter"].pop("LastModifiedDate"))
    expected = ssm.get_parameter(Name=NAME)["Parameter"]
    assert abs((modified - expected["LastModifiedDate"]).total_seconds()) < 0.001
    assert body == {
        "Parameter": {
            "ARN": expected["ARN"],
            "DataType": "text",
            "Name": NAME,
            "Selector": None,
            "SourceResult": None,
            "Type": "SecureString",
            "Value": "two",
            "Version": 2,
        },
        "ResultMetadata": {},
    }


def test_decryption_must_be_asked_for(endpoint: Endpoint) -> None:
    """Without withDecryption=true the value of a SecureString is its ciphertext, as AWS's default is."""
    values = [
        endpoint.ask(f"{GET}?name={NAME}{asked}").json()["Parameter"]["Value"]
        for asked in ("", "&withDecryption=false", "&withDecryption=TRUE")
    ]
    assert "two" not in values[:2]
    assert values[2] == "two"


@pytest.mark.parametrize(
    ("query", "value", "selector"),
    [
        ("&version=1", "one", ":1"),
        ("&label=good", "one", ":good"),
        ("&version=2&label=good", "two", ":2"),
        ("&label=good&version=2", "one", ":good"),
        ("&version=2&label=", "two", ":2"),
    ],
)
def test_a_version_or_a_label_can_be_asked_for(
    endpoint: Endpoint, query: str, value: str, selector: str
) -> None:
    """Of a version and a label the first in the URL counts, whatever the other is."""
    found = endpoint.ask(TARGET + query).json()["Parameter"]
    assert (value, selector) == (found["Value"], found["Selector"])


def test_names_may_be_written_in_any_way(endpoint: Endpoint, ssm: SSMClient) -> None:
    """With its slashes encoded or not, as an ARN, with a selector, and with a slash after `get`."""
    arn = ssm.get_parameter(Name=NAME)["Parameter"]["ARN"]
    for name in (NAME, "%2Fprod%2Fdb%2Fpassword", arn, f"{NAME}:2", f"{NAME}%3A2"):
        for path in (GET, f"{GET}/"):
            answer = endpoint.ask(f"{path}?name={name}&withDecryption=true")
            assert answer.json()["Parameter"]["Value"] == "two", name


def test_a_string_list_is_one_text(endpoint: Endpoint, ssm: SSMClient) -> None:
    """Its items come as they are stored, parted by commas."""
    ssm.put_parameter(Name="list", Value="a,b", Type="StringList")
    found = endpoint.ask(f"{GET}?name=list").json()["Parameter"]
    assert ("StringList", "a,b") == (found["Type"], found["Value"])


def test_a_reference_leads_to_the_secret(endpoint: Endpoint) -> None:
    """/aws/reference/secretsmanager/<name> is answered with the secret's value."""
    answer = endpoint.ask(f"{GET}?name=/aws/reference/secretsmanager/prod/db&withDecryption=true")
    assert answer.json()["Parameter"]["Value"] == "from-a-secret"


def test_a_hit_asks_nobody(endpoint: Endpoint, calls: Counter[str]) -> None:
    """Any number of requests within a check interval are one read, for each kind of value and selector."""
    for _ in range(10):
        endpoint.ask(TARGET)
        endpoint.ask(f"{TARGET}&label=good")
        endpoint.ask(f"{GET}?name={NAME}")
    assert calls == {"GetParameter": 3}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("name=/prod/nothing", "ParameterNotFound"),
        (f"name={NAME}&version=9", "ParameterVersionNotFound"),
        ("name=a/b?c", "ValidationException"),
        (f"name={NAME}:1&version=2", "ValidationException"),
    ],
)
def test_each_mistake_has_its_error(endpoint: Endpoint, query: str, code: str) -> None:
    """400 with AWS's name of the error, and what to do in the message."""
    answer = endpoint.ask(f"{GET}?{query}")
    assert (400, code) == (answer.status_code, answer.json()["__type"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "missing parameter name"),
        ("?name=", "missing parameter name"),
        (f"?name={NAME}&version=a", "invalid version value"),
        (f"?name={NAME}&version=0", "invalid version value"),
        (f"?name={NAME}&withDecryption=yes", "invalid withDecryption value"),
        (f"?name={NAME}&secretId=a", "unknown parameter: secretId"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    endpoint: Endpoint, calls: Counter[str], query: str, words: str
) -> None:
    """400 and the parameter's name; Parameter Store is not asked."""
    answer = endpoint.ask(GET + query)
    assert (400, words) == (answer.status_code, answer.text)
    assert not calls


def test_the_token_is_needed_here_too(endpoint: Endpoint) -> None:
    """401 without it."""
    assert endpoint.ask(TARGET, {}).status_code == 401
