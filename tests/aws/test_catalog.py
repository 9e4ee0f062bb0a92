"""What is known without reading a value, when it may not be asked for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from keyturn.aws.catalog import ParameterListing, SecretsManagerCatalog
from keyturn.errors import AccessDeniedError, UnavailableError


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
def test_a_throttle_is_said_to_pass(action: str, ask: Callable[[SimpleNamespace], object]) -> None:
    """Anything else is the error that it is of a read."""
    with pytest.raises(UnavailableError, match="ThrottlingException"):
        ask(client_that("ThrottlingException"))
