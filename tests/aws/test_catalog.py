"""What is known without reading a value, when it may not be asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from keyturn.aws.catalog import ParameterListing, SecretsManagerCatalog
from keyturn.errors import AccessDeniedError, ConfigurationError, UnavailableError


def client_that(code: str) -> SimpleNamespace:
    """A client whose every call fails with this code."""

    def fail(**request: object) -> None:
        error = {"Code": code, "Message": "as AWS says"}
        raise ClientError({"Error": error}, "Any")  # type: ignore[typeddict-item] # as botocore makes it

    return SimpleNamespace(describe_secret=fail, list_secrets=fail, describe_parameters=fail)


ASKS: list[tuple[str, Callable[[SimpleNamespace], object]]] = [
    ("secretsmanager:DescribeSecret", lambda client: SecretsManagerCatalog(client).describe("prod/db")),
    ("secretsmanager:ListSecrets", lambda client: list(SecretsManagerCatalog(client).list())),
    ("ssm:DescribeParameters", lambda client: list(ParameterListing(client, ["/"]).list())),
]


@pytest.mark.parametrize(("action", "ask"), ASKS)
def test_a_denial_names_the_right_that_is_missing(
    action: str, ask: Callable[[SimpleNamespace], object]
) -> None:
    """Not that of reading values, which nobody needs who describes or lists."""
    with pytest.raises(AccessDeniedError, match=f"allow {action} to this role") as caught:
        ask(client_that("AccessDeniedException"))
    assert "GetSecretValue" not in str(caught.value)


@pytest.mark.parametrize(("action", "ask"), ASKS)
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServiceError", "AnyOther"])
def test_a_throttle_is_said_to_pass(action: str, ask: Callable[[SimpleNamespace], object], code: str) -> None:
    """Anything else is the error that it is of a read, and names the quota of this call."""
    with pytest.raises(UnavailableError, match=f"{code}.* the quota of {action}") as caught:
        ask(client_that(code))
    assert "GetSecretValue" not in str(caught.value)


@pytest.mark.parametrize(("action", "ask"), ASKS[1:])
@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "SlowDown"]
)
def test_an_error_of_a_list_is_about_the_list(
    action: str, ask: Callable[[SimpleNamespace], object], code: str
) -> None:
    """And about no secret; also after a pickle, and under another name."""
    with pytest.raises((AccessDeniedError, UnavailableError)) as caught:
        ask(client_that(code))
    what = "secrets" if "Secrets" in action else "parameters"
    assert str(caught.value).startswith(f"the list of '{what}' ")
    assert "secret '" not in str(caught.value)
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301 # our own
    assert str(caught.value) == str(caught.value.about(what))


@pytest.mark.parametrize(("action", "ask"), ASKS[1:])
@pytest.mark.parametrize("code", ["InvalidParameterException", "ValidationException", "InvalidFilterValue"])
def test_a_filter_that_is_refused_is_one_of_the_configuration(
    action: str, ask: Callable[[SimpleNamespace], object], code: str
) -> None:
    """What is wrong are prefixes or a tag, and no id of a secret."""
    with pytest.raises(
        ConfigurationError, match=rf"{action} refused the filter .*{code}.* correct the prefi"
    ):
        ask(client_that(code))


def test_a_filter_that_is_not_sent_is_one_of_the_configuration() -> None:
    """botocore itself refuses an empty prefix."""
    client = boto3.client("ssm", region_name="eu-west-1")
    with pytest.raises(
        ConfigurationError, match="ssm:DescribeParameters refused the filter of the list of p"
    ):
        list(ParameterListing(client, [""]).list())
