"""What the endpoint answers about secrets, in either API."""

from __future__ import annotations

import json

import pytest

from keyturn.errors import UnavailableError
from tests.serve.endpoint import Endpoint
from tests.world import NAME

BY_QUERY = f"/secretsmanager/get?secretId={NAME}"
BY_PATH = f"/v1/{NAME}"


@pytest.fixture
def endpoint() -> Endpoint:
    """A server that has read nothing yet."""
    return Endpoint()


def test_a_secret_as_the_extension_answers_it(endpoint: Endpoint) -> None:
    """Every field of the extension's answer, its date in RFC 3339, null for what is absent."""
    endpoint.world.clock.wall_s = 1703775451.359
    endpoint.world.secrets.put(NAME, '{"password": "1"}', "v2")
    answer = endpoint.ask(BY_QUERY)
    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert answer.json() == {
        "ARN": endpoint.world.arn,
        "CreatedDate": "2023-12-28T14:57:31.359Z",
        "Name": NAME,
        "SecretBinary": None,
        "SecretString": '{"password": "1"}',
        "VersionId": "v2",
        "VersionStages": ["AWSCURRENT"],
        "ResultMetadata": {},
    }


def test_a_secret_as_the_agent_answers_it(endpoint: Endpoint) -> None:
    """Every field of the agent's answer, its date as text of epoch seconds, nothing for what is absent."""
    endpoint.world.clock.wall_s = 1569534789.046
    endpoint.world.secrets.put(NAME, "one", "v2")
    assert endpoint.ask(BY_PATH).json() == {
        "ARN": endpoint.world.arn,
        "Name": NAME,
        "VersionId": "v2",
        "SecretString": "one",
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": "1569534789.046",
    }


@pytest.mark.parametrize("target", [BY_QUERY, BY_PATH])
def test_a_value_is_data_in_the_body_and_nowhere_else(endpoint: Endpoint, target: str) -> None:
    """Whatever its characters are, they are in the body alone, as JSON writes them."""
    value = "one\0\r\nX-Injected: yes\x1b[2J\x9b\u202e"
    endpoint.world.secrets.put(NAME, value, "v2")
    answer = endpoint.ask(target)
    assert value == answer.json()["SecretString"]
    assert {"content-length", "content-type"} == set(answer.headers)


@pytest.mark.parametrize("target", [BY_QUERY, BY_PATH])
def test_a_value_that_cannot_be_written_is_told_of(
    endpoint: Endpoint, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a surrogate pair is in no encoding: the answer says so, and neither it nor the log quotes."""
    endpoint.world.secrets.put(NAME, "canary \ud800", "v2")
    answer = endpoint.ask(target)
    assert 500 == answer.status_code
    assert "surrogate" in answer.json()["message"]
    assert "canary" not in answer.text + caplog.text


@pytest.mark.parametrize("target", [BY_QUERY, BY_PATH])
def test_a_binary_secret_is_base64(endpoint: Endpoint, target: str) -> None:
    """Bytes come as base64 in SecretBinary, and no SecretString comes with them."""
    endpoint.world.secrets.put(NAME, b"\x00\xff", "v2")
    body = endpoint.ask(target).json()
    assert ("AP8=", None) == (body["SecretBinary"], body.get("SecretString"))


@pytest.mark.parametrize("whole", [0.0, 1703775451.0, 1703775451.5, 1703775451.9996])
def test_a_date_has_the_digits_it_has(endpoint: Endpoint, whole: float) -> None:
    """No digit of a second is made up, and rounding carries over."""
    endpoint.world.clock.wall_s = whole
    endpoint.world.secrets.put(NAME, "one", "v2")
    dates = {endpoint.ask(target).json()["CreatedDate"] for target in (BY_QUERY, BY_PATH)}
    assert (
        dates
        == {
            0.0: {"1970-01-01T00:00:00Z", "0"},
            1703775451.0: {"2023-12-28T14:57:31Z", "1703775451"},
            1703775451.5: {"2023-12-28T14:57:31.5Z", "1703775451.5"},
            1703775451.9996: {"2023-12-28T14:57:32Z", "1703775452"},
        }[whole]
    )


@pytest.mark.parametrize("name", ["prod/db", "a", "/lead/ing", "b/c d/é", "x_y+=.@-z"])
def test_ids_may_be_encoded_in_any_way(endpoint: Endpoint, name: str) -> None:
    """A name or ARN is found with its slashes encoded or not, in the query and in the path."""
    arn = endpoint.world.secrets.create(name, "found")
    for secret_id in (name, arn):
        encoded = "".join(f"%{byte:02X}" for byte in secret_id.encode())
        kept = "".join(
            char if (char.isalnum() and char.isascii()) or char in "/:" else f"%{byte:02X}"
            for char in secret_id
            for byte in char.encode()
        )
        for written in (encoded, kept):
            by_query = endpoint.ask(f"/secretsmanager/get?secretId={written}")
            by_path = endpoint.ask(f"/v1/{written}")
            assert ["found", "found"] == [by_query.json()["SecretString"], by_path.json()["SecretString"]]


def test_any_stage_can_be_asked_for(endpoint: Endpoint) -> None:
    """versionStage names the label; without one it is AWSCURRENT."""
    endpoint.world.rotate("v2", "two")
    found = [
        endpoint.ask(BY_QUERY + stage).json()["SecretString"] for stage in ("", "&versionStage=AWSPREVIOUS")
    ]
    assert found == ["two", "one"]


def test_a_version_can_be_asked_for(endpoint: Endpoint) -> None:
    """versionId names a version whatever labels it has; with a stage as well it must be both."""
    endpoint.world.rotate("v2", "two")
    for target in (BY_QUERY + "&", BY_PATH + "?"):
        assert endpoint.ask(f"{target}versionId=v1").json()["VersionId"] == "v1"
        assert endpoint.ask(f"{target}versionId=v2&versionStage=AWSCURRENT").json()["VersionId"] == "v2"
        wrong = endpoint.ask(f"{target}versionId=v1&versionStage=AWSCURRENT")
        assert (400, "ResourceNotFoundException") == (wrong.status_code, wrong.json()["__type"])


def test_versions_that_were_asked_for_by_their_ids_are_few(endpoint: Endpoint) -> None:
    """Of 150 versions of one secret 100 are held; the last ones are hits."""
    for number in range(150):
        endpoint.world.secrets.put(NAME, "x", f"version-{number}", "AWSPENDING")
        assert 200 == endpoint.ask(f"{BY_QUERY}&versionId=version-{number}").status_code
    assert 100 == len(endpoint.versions.status().secrets)
    reads = endpoint.world.reads
    assert "version-149" == endpoint.ask(f"{BY_QUERY}&versionId=version-149").json()["VersionId"]
    assert reads == endpoint.world.reads


def test_a_caller_may_know_of_a_rotation_first(endpoint: Endpoint) -> None:
    """Asked for a version under a label that it was not seen under, the endpoint looks before it says no."""
    endpoint.ask(BY_QUERY)
    endpoint.world.rotate("v2", "two", mark=False)
    answer = endpoint.ask(f"{BY_QUERY}&versionId=v2&versionStage=AWSCURRENT")
    assert answer.json()["SecretString"] == "two"


def test_a_hit_asks_nobody(endpoint: Endpoint) -> None:
    """Any number of requests within a check interval are one read of Secrets Manager."""
    endpoint.world.mark()
    for _ in range(20):
        assert endpoint.ask(BY_QUERY).status_code == 200
        assert endpoint.ask(BY_PATH).status_code == 200
    assert endpoint.world.reads == 1


def test_a_rotation_is_served_after_one_check_interval(endpoint: Endpoint) -> None:
    """When the marker has moved, the first request after a check interval gets the new value."""
    endpoint.world.mark()
    assert endpoint.ask(BY_QUERY).json()["SecretString"] == "one"
    endpoint.world.rotate("v2", "two")
    endpoint.world.clock.advance(5)
    assert endpoint.ask(BY_QUERY).json()["SecretString"] == "two"
    assert endpoint.ask(BY_PATH).json()["SecretString"] == "two"


@pytest.mark.parametrize("value", ["true", "TRUE", "1"])
def test_refresh_now_asks_secrets_manager(endpoint: Endpoint, value: str) -> None:
    """refreshNow=true reads at once what no marker tells of."""
    endpoint.ask(BY_QUERY)
    endpoint.world.rotate("v2", "two", mark=False)
    assert endpoint.ask(f"{BY_QUERY}&refreshNow=false").json()["SecretString"] == "one"
    assert endpoint.ask(f"{BY_PATH}?refreshNow={value}").json()["SecretString"] == "two"


def test_refresh_now_is_rate_limited(endpoint: Endpoint) -> None:
    """Twenty of them in one second cost one read beside the first."""
    endpoint.ask(BY_QUERY)
    for _ in range(20):
        assert endpoint.ask(f"{BY_QUERY}&refreshNow=true").status_code == 200
    assert endpoint.world.reads == 2


def test_refresh_now_survives_an_outage(endpoint: Endpoint) -> None:
    """While Secrets Manager does not answer, the known version is served, also to who wants it fresh."""
    endpoint.ask(BY_QUERY)
    endpoint.world.secrets.fail = lambda name: UnavailableError(name, "timed out")
    assert endpoint.ask(f"{BY_QUERY}&refreshNow=true").json()["SecretString"] == "one"


def test_the_body_is_plain_json(endpoint: Endpoint) -> None:
    """Text of any language and kind arrives as it was stored."""
    value = json.dumps({"password": 'ä"\\\u2028\x00😀'}, ensure_ascii=False)
    endpoint.world.secrets.put(NAME, value, "v2")
    assert endpoint.ask(BY_QUERY).json()["SecretString"] == value
