"""Answers of Secrets Manager: whatever a service, a stub or a proxy says, it is parsed or a typed error."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from hypothesis import example, given
from hypothesis import strategies as st

from keyturn import SecretError
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.model.versions import Described, SecretVersion

CANARY = "c4n4ry-Pa55w0rd"
ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
WHOLE: dict[str, object] = {
    "ARN": ARN,
    "Name": "prod/db",
    "VersionId": "v1",
    "VersionStages": ["AWSCURRENT"],
    "SecretString": CANARY,
    "CreatedDate": datetime(2026, 1, 1, tzinfo=UTC),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
moments = st.floats(0, 2**37).map(lambda created_s: datetime.fromtimestamp(created_s, UTC))
values = json_values | st.binary(max_size=8) | moments
fields = st.sampled_from([*WHOLE, "SecretBinary", "ResponseMetadata", "message"])
answers = st.dictionaries(fields, values) | st.dictionaries(fields, values).map(lambda some: WHOLE | some)


class Client:
    """A client that answers, or raises, always the same."""

    def __init__(self, answer: Mapping[str, object] | Exception) -> None:
        self._answer = answer

    def get_secret_value(self, **_: str) -> Mapping[str, object]:
        return self._said()

    def describe_secret(self, **_: object) -> Mapping[str, object]:
        return self._said()

    def list_secrets(self, **_: object) -> Mapping[str, object]:
        return self._said()

    def _said(self) -> Mapping[str, object]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def read(answer: Mapping[str, object] | Exception) -> SecretVersion | str:
    """The version in an answer, or all that an error of keyturn's shows with its whole chain."""
    client = Client(answer)
    try:
        return SecretsManagerSource(lambda: client).read("prod/db", stage="AWSCURRENT")
    except SecretError as error:
        return "".join(traceback.format_exception(error)) + repr(vars(error))


@given(answers)
@example(WHOLE | {"VersionStages": None})
@example(WHOLE | {"SecretString": None, "SecretBinary": CANARY.encode()})
def test_any_answer_is_a_version_or_an_error_without_its_content(answer: dict[str, object]) -> None:
    """A version has all that a version needs and shows no value; an error quotes nothing of the answer."""
    got = read(answer)
    if isinstance(got, str):
        assert CANARY not in got
        return
    assert (got.string is None) != (got.binary is None)
    assert (answer["ARN"], answer["VersionId"]) == got.identity
    assert all(isinstance(label, str) for label in got.stages)
    # What is no secret may by chance be the same text, and is shown.
    shown = repr(replace(got, arn="", name="", version_id="", stages=frozenset()))
    assert got.string is None or len(got.string) < 8 or got.string not in shown


@given(answers.map(lambda answer: {"Error": answer, **answer}) | st.dictionaries(st.text(), json_values))
def test_any_refusal_is_a_typed_error(response: dict[str, object]) -> None:
    """A `ClientError` around anything becomes one of keyturn's errors."""
    error = ClientError({"Error": {"Code": "Odd", "Message": "odd"}}, "GetSecretValue")
    error.response = response  # type: ignore[assignment] # botocore's stubs allow what they know only
    assert isinstance(read(error), str)


@given(st.text(max_size=20))
def test_an_answer_that_cannot_be_parsed_is_not_quoted(around: str) -> None:
    """botocore's parser error holds the body; nothing that keyturn raises does."""
    got = read(ResponseParserError(f"Unable to parse response: {around}{CANARY}{around}"))
    assert isinstance(got, str)
    assert CANARY not in got


described = st.sampled_from(["ARN", "Name", "VersionIdsToStages", "SecretVersionsToStages", "DeletedDate"])
descriptions = st.dictionaries(described, values).map(lambda some: {"ARN": ARN, "Name": "prod/db"} | some)
labelled = st.dictionaries(st.text(max_size=4), st.lists(st.text(max_size=4), max_size=3), max_size=4)


def test_a_creation_date_out_of_range_is_none() -> None:
    """A version whose CreatedDate is no epoch second is served, without one."""
    got = read(WHOLE | {"CreatedDate": datetime(1, 1, 1)})  # noqa: DTZ001 # a parser may well give one
    assert isinstance(got, SecretVersion)
    assert got.created_s is None


@given(descriptions, labelled)
def test_any_description_is_one_or_a_typed_error(answer: dict[str, object], labels: object) -> None:
    """DescribeSecret's answer is parsed the same way: text to text, or `UnavailableError`."""
    try:
        got = SecretsManagerCatalog(Client(answer | {"VersionIdsToStages": labels})).describe("prod/db")
    except SecretError:
        return
    assert isinstance(got, Described)
    assert all(isinstance(one, str) for pair in got.stages.items() for one in pair)


@pytest.mark.parametrize("labels", [["AWSCURRENT", 7], ["AWSCURRENT", ["x"]]])
def test_a_label_that_is_no_text_is_skipped(labels: list[object]) -> None:
    """What is not text in a list of labels does not keep the others from being read."""
    answer = {"ARN": ARN, "Name": "prod/db", "VersionIdsToStages": {"v1": labels}}
    assert {"AWSCURRENT": "v1"} == SecretsManagerCatalog(Client(answer)).describe("prod/db").stages


@given(st.lists(descriptions | values, max_size=3) | values)
def test_any_list_gives_what_is_usable(listed: object) -> None:
    """ListSecrets' answer gives the entries that name a secret, and skips the others."""
    found = list(SecretsManagerCatalog(Client({"SecretList": listed})).list())
    assert all(isinstance(one.arn, str) and isinstance(one.name, str) for one in found)
