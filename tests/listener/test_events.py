"""What each kind of event says, by the samples and by anything at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.markers.decisions import Hint, ParameterHint
from rotation_listener.events import API_CALLS, SERVICE_EVENTS, Ignored, Parsed, Sweep, parse

EVENTS = Path(__file__).parent / "events"
INDEX: list[dict[str, object]] = json.loads((EVENTS / "INDEX.json").read_text("utf-8"))

ABOUT_PARAMETERS = [row for row in INDEX if str(row["detail_type"]).startswith("Parameter Store")]
ABOUT_SECRETS = [row for row in INDEX if row not in ABOUT_PARAMETERS]
FILES_ABOUT_SECRETS = [str(row["file"]) for row in ABOUT_SECRETS]

CHANGES_NOTHING = {
    "StopReplicationToReplica",
    "SecretVersionDeletion",
    "ReplicationStarted",
    "ReplicationFailed",
}
"""Events of the samples after which every label is where it was."""

ARN = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/app/db-AbCdEf"


def sample(file: object) -> dict[str, object]:
    """One of the sample events."""
    event: dict[str, object] = json.loads((EVENTS / str(file)).read_text("utf-8"))
    return event


def at(event: object, path: object) -> object:
    """The value at a path as the index writes it: `detail.name`, `resources[0]`."""
    if path is None:
        return None
    for step in str(path).replace("[", ".").replace("]", "").split("."):
        if isinstance(event, list):
            event = event[int(step)]
        else:
            assert isinstance(event, dict)
            event = event[step]
    return event


def call(name: str, **request: object) -> Parsed:
    """A CloudTrail event of a call by the secret's ARN."""
    detail = {"eventName": name, "requestParameters": {"secretId": ARN, **request}}
    return parse({"detail-type": "AWS API Call via CloudTrail", "detail": detail})


def test_every_sample_is_in_the_index() -> None:
    """No sample goes untested."""
    assert {path.name for path in EVENTS.glob("*.json")} == {
        "INDEX.json",
        *(str(row["file"]) for row in INDEX),
    }


@pytest.mark.parametrize("row", ABOUT_SECRETS, ids=lambda row: str(row["file"]))
def test_a_sample_names_its_secret_and_version(row: Mapping[str, object]) -> None:
    """The ARN, name and version id are those that the index points at."""
    event = sample(row["file"])
    parsed = parse(event)
    if row["eventName"] in CHANGES_NOTHING:
        assert parsed == Ignored("the call changes no staging label")
        return
    assert isinstance(parsed, Hint)
    assert (at(event, row["arn_at"]), at(event, row["version_at"])) == (parsed.secret_id, parsed.version_id)
    if row["name_at"] is not None:
        assert at(event, row["name_at"]) == parsed.name


@pytest.mark.parametrize("row", ABOUT_SECRETS, ids=lambda row: str(row["file"]))
def test_only_a_change_of_the_value_is_taken_for_a_move_of_awscurrent(row: Mapping[str, object]) -> None:
    """An event vouches for AWSCURRENT on a version only where the sample's value changed."""
    parsed = parse(sample(row["file"]))
    vouches = isinstance(parsed, Hint) and parsed.stage == "AWSCURRENT" and parsed.version_id is not None
    changed = row["value_change"] in (True, "first value")
    expected = changed and row["eventName"] != "RotationSucceeded"
    failed = str(row["eventName"]).endswith("Failed")
    assert vouches == (expected and not failed)


@pytest.mark.parametrize("row", ABOUT_PARAMETERS, ids=lambda row: str(row["file"]))
def test_a_parameter_sample_has_its_key_and_token(row: Mapping[str, object]) -> None:
    """The key is the parameter's ARN with one slash, the token the event's id; Delete and expiry show."""
    event = sample(row["file"])
    parsed = parse(event)
    if row["value_change"] is False:
        assert parsed == Ignored("the policy of the parameter only notifies")
        return
    assert isinstance(parsed, ParameterHint)
    assert (at(event, "resources[0]"), event["id"]) == (parsed.key, parsed.token)
    assert (row["value_change"] == "gone") == parsed.deleted


@pytest.mark.parametrize("row", INDEX, ids=lambda row: str(row["file"]))
def test_no_sample_lets_personal_data_through(row: Mapping[str, object]) -> None:
    """Nothing of who called, from where and with what is in what was parsed."""
    event = sample(row["file"])
    said = repr(parse(event))
    assert not [word for word in ("assumed-role", "198.51.100", "aws-sdk", "AROA") if word in said]


def test_a_failed_call_is_ignored() -> None:
    """CloudTrail reports failures as events too."""
    event = sample("api_put_secret_value_full_arn.json")
    detail = event["detail"]
    assert isinstance(detail, dict)
    assert Ignored("the call failed") == parse({**event, "detail": {**detail, "errorCode": "AccessDenied"}})


@pytest.mark.parametrize(
    "name",
    [
        "GetSecretValue",
        "DescribeSecret",
        "TagResource",
        "UntagResource",
        "PutResourcePolicy",
        "ListSecrets",
        "X",
    ],
)
def test_calls_that_change_no_label_are_ignored(name: str) -> None:
    """Reading, tagging and policies move nothing."""
    assert Ignored("the call changes no staging label") == call(name, clientRequestToken="v2")


@pytest.mark.parametrize(
    ("request_parameters", "expected"),
    [
        ({}, ("v2", "AWSCURRENT")),
        ({"versionStages": None}, ("v2", "AWSCURRENT")),
        ({"versionStages": []}, ("v2", "AWSCURRENT")),
        ({"versionStages": ["blue", "AWSCURRENT"]}, ("v2", "AWSCURRENT")),
        ({"versionStages": ["AWSPENDING"]}, ("v2", "AWSPENDING")),
        ({"versionStages": ["blue"]}, ("v2", "blue")),
        ({"versionStages": [7]}, ("v2", None)),
    ],
)
def test_a_put_names_its_label(
    request_parameters: Mapping[str, object], expected: tuple[str, str | None]
) -> None:
    """PutSecretValue gives AWSCURRENT unless it was told other labels."""
    parsed = call("PutSecretValue", clientRequestToken="v2", **request_parameters)
    assert isinstance(parsed, Hint)
    assert expected == (parsed.version_id, parsed.stage)


def test_a_rotation_that_only_tests_names_no_version() -> None:
    """RotateSecret without RotateImmediately makes a version that is gone at once: nobody waits for it."""
    versions = [
        parsed.version_id
        for immediately in (True, False)
        if isinstance(
            parsed := call("RotateSecret", clientRequestToken="v2", rotateImmediately=immediately), Hint
        )
    ]
    assert ["v2", None] == versions


@pytest.mark.parametrize(
    ("detail", "secret_id"),
    [
        ({"responseElements": {"aRN": "old"}}, "old"),
        ({"responseElements": {"ARN": "loud"}, "requestParameters": {"secretId": "typed"}}, "loud"),
        ({"additionalEventData": {"ARN": "more"}, "responseElements": None}, "more"),
        ({"serviceEventDetails": {"secretId": "claimed"}}, "claimed"),
        ({"requestParameters": {"name": "made"}}, "made"),
        ({"requestParameters": {"secretId": "x" * 2049, "name": "made"}}, "made"),
        ({"name": "friendly"}, "friendly"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_id_is_found_wherever_it_was_seen(detail: Mapping[str, object], secret_id: str) -> None:
    """Answers come before what the caller typed; shapes that are only claimed come last."""
    event = {"detail-type": "AWS Service Event via CloudTrail"}
    parsed = parse({**event, "detail": {"eventName": "RotationSucceeded", **detail}})
    assert isinstance(parsed, Hint)
    assert secret_id == parsed.secret_id


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (None, "no JSON object"),
        ([], "no JSON object"),
        ({}, "of no kind"),
        ({"detail-type": "EC2 Instance State-change Notification"}, "of no kind"),
        ({"detail-type": ["Secret Label Updated"]}, "of no kind"),
        ({"detail-type": "Secret Label Updated"}, "names no secret"),
        (
            {
                "detail-type": "AWS API Call via CloudTrail",
                "detail": {"eventSource": "s3.amazonaws.com", "eventName": "UpdateSecret"},
            },
            "not about Secrets Manager",
        ),
        ({"detail-type": "Parameter Store Change", "detail": {"operation": "Peek"}}, "changes no parameter"),
        ({"detail-type": "Parameter Store Change", "detail": {"operation": "Update"}}, "names no parameter"),
        (
            {
                "detail-type": "Parameter Store Change",
                "detail": {"operation": "Create", "exception": "no AMI"},
            },
            "the change failed",
        ),
        ({"detail-type": "Parameter Store Policy Action", "detail": {}}, "only notifies"),
        (
            {
                "detail-type": "Parameter Store Policy Action",
                "detail": {"policy-type": "NoChangeNotification"},
            },
            "only notifies",
        ),
        (
            {
                "detail-type": "Parameter Store Policy Action",
                "detail": {"policy-type": "Expiration", "action-status": "Failed"},
            },
            "could not act",
        ),
        (
            {"detail-type": "Parameter Store Policy Action", "detail": {"policy-type": "Expiration"}},
            "names no parameter",
        ),
        (
            {
                "id": "1",
                "detail-type": "Parameter Store Change",
                "resources": ["arn:aws:ssm:us-east-1::parameter/aws/service/x"],
                "detail": {"operation": "Update", "name": "/prod/app/db"},
            },
            "names no parameter",
        ),
        ({"keyturn": "announce"}, "names no secret"),
        ({"keyturn": "announce", "secret_id": ""}, "no secret can have"),
        ({"keyturn": "announce", "secret_id": "db", "step": "dance"}, "createSecret"),
        ({"keyturn": "announce", "secret_id": "db", "step": 3}, "step"),
        ({"keyturn": "announce", "secret_id": "db", "version_id": "v" * 65}, "version id"),
    ],
)
def test_what_is_ignored_says_why(event: object, reason: str) -> None:
    """Every other event has a stated reason."""
    parsed = parse(event)
    assert isinstance(parsed, Ignored)
    assert reason in parsed.reason


def test_our_own_requests() -> None:
    """A sweep, and an announcement with and without a step."""
    assert Sweep() == parse({"keyturn": "sweep"})
    asked = {"keyturn": "announce", "secret_id": "db", "version_id": "v2", "step": "setSecret"}
    announced = Hint("db", None, "v2", "AWSPENDING", "setSecret", "announced setSecret")
    assert announced == parse(asked)
    assert Hint("db", stage="AWSPENDING", reason="announced") == parse(
        {"keyturn": "announce", "secret_id": "db"}
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
texts = st.sampled_from(
    [ARN, "prod/db", "arn:aws:ssm:r:a:parameter/x", "AWSCURRENT", "Update", "announce", "sweep", "", "a\nb"]
)
FIELDS = (
    *("secretId", "name", "arn", "aRN", "ARN", "SecretId", "Name", "clientRequestToken", "versionStages"),
    *(
        "versionStage",
        "moveToVersionId",
        "labelUpdated",
        "versionId",
        "eventSource",
        "errorCode",
        "operation",
    ),
    *("policy-type", "action-status", "parameter-name"),
)
anything = json_values | texts | st.lists(texts, max_size=2)
parts = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4) | anything
PARTS = ("requestParameters", "responseElements", "additionalEventData", "serviceEventDetails")
details = st.fixed_dictionaries(
    {},
    optional={
        "eventName": st.sampled_from(sorted(API_CALLS | SERVICE_EVENTS)) | anything,
        **dict.fromkeys(PARTS, parts),
        **dict.fromkeys(FIELDS, anything),
        "policy-type": st.just("Expiration") | anything,
    },
)
DETAIL_TYPES = (
    "Parameter Store Policy Action",
    "Secret Label Updated",
    "AWS API Call via CloudTrail",
    "AWS Service Event via CloudTrail",
    "Parameter Store Change",
)
events = st.fixed_dictionaries(
    {},
    optional={
        "detail-type": st.sampled_from(DETAIL_TYPES) | anything,
        "detail": details | anything,
        "resources": anything,
        "id": anything,
        "keyturn": st.sampled_from(["announce", "sweep"]) | anything,
        **dict.fromkeys(("secret_id", "version_id", "step"), anything),
    },
)


@pytest.mark.parametrize("name", sorted({*FIELDS, "eventName", "policy-type"} - {"operation"}))
@pytest.mark.parametrize("kind", DETAIL_TYPES)
def test_what_is_nested_deeply_is_parsed(kind: str, name: str) -> None:
    """An event at the limit of what Python's JSON parser takes leaves no room for another recursion."""
    nested: list[object] = []
    for _ in range(20_000):
        nested = [nested]
    detail = {"eventName": "PutSecretValue", "operation": "Update", "policy-type": "Expiration", name: nested}
    event = {"detail-type": kind, "id": "1", "detail": {**detail, "requestParameters": detail}}
    assert isinstance(parse(event), Ignored)


@given(events | json_values)
def test_any_json_is_parsed(event: object) -> None:
    """Whatever comes is a hint with bounded, printable texts, a sweep, or has a reason to be ignored."""
    parsed = parse(event)
    assert isinstance(parsed, Hint | ParameterHint | Sweep | Ignored)
    if isinstance(parsed, Hint):
        said = (parsed.secret_id, parsed.name, parsed.version_id, parsed.stage, parsed.step)
        assert all(text is None or (text.isprintable() and 1 <= len(text) <= 2048) for text in said)
        assert parsed.version_id is None or len(parsed.version_id) <= 64
