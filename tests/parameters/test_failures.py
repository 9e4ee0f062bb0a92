"""What Parameter Store's failures become."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.parsers import ResponseParserError

from keyturn import (
    InvalidParameterNameError,
    Parameter,
    ParameterAccessDeniedError,
    ParameterDecryptionError,
    ParameterError,
    ParameterFormatError,
    ParameterNotFoundError,
    ParameterUnavailableError,
    ParameterVersionNotFoundError,
    SecretError,
    SecretFormatError,
)
from keyturn.aws.parameterstore import ParameterStoreSource
from keyturn.model.versions import AWSCURRENT
from tests.parameters.conftest import NAME, World


def answered(code: str, message: str = "as AWS says", status: int = 400) -> ClientError:
    """An error as botocore raises it."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetParameter")  # type: ignore[arg-type] # as botocore makes it


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (answered("ParameterNotFound"), ParameterNotFoundError, "leading slash"),
        (answered("ParameterVersionNotFound"), ParameterVersionNotFoundError, "GetParameterHistory"),
        (
            answered("ValidationException", 'can\'t be prefixed with "ssm"'),
            InvalidParameterNameError,
            "full path",
        ),
        (answered("AccessDeniedException"), ParameterAccessDeniedError, "one slash"),
        (
            answered("AccessDeniedException", "KMS key is not accessible"),
            ParameterAccessDeniedError,
            "kms:Decrypt",
        ),
        (answered("UnrecognizedClientException"), ParameterAccessDeniedError, "credentials"),
        (answered("InvalidKeyId"), ParameterDecryptionError, "enabled"),
        (answered("ExpiredTokenException"), ParameterUnavailableError, "credentials"),
        (answered("ThrottlingException"), ParameterUnavailableError, "40 reads a second"),
        (answered("InternalServerError", status=500), ParameterUnavailableError, "try again"),
        (answered("SomethingNew"), ParameterUnavailableError, "try again"),
        (NoCredentialsError(), ParameterUnavailableError, "credentials"),
        (EndpointConnectionError(endpoint_url="https://x"), ParameterUnavailableError, "VPC endpoint"),
    ],
)
def test_each_failure_is_a_typed_error_with_advice(
    world: World, error: Exception, kind: type[ParameterError], advice: str
) -> None:
    """It names the parameter, says what to do, has the cause, and survives pickling."""
    world.fail = lambda _: error
    with pytest.raises(kind, match=f"parameter '{NAME}'") as caught:
        world.cache().get_parameter(NAME)
    assert advice in caught.value.advice
    assert error in (caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None))
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301 # our own


def test_every_parameter_error_is_a_secrets_error_of_its_kind() -> None:
    """Who catches the secret's error catches the parameter's; `ParameterError` tells them apart."""
    kinds = [one for one in ParameterError.__subclasses__() if one.__module__ == "keyturn.errors"]
    assert len(kinds) >= 6
    for kind in kinds:
        twin = kind.__mro__[2]
        assert issubclass(kind, SecretError)
        assert twin not in (ParameterError, SecretError)


@pytest.mark.parametrize("read", [Parameter.json, Parameter.fields])
def test_a_value_that_is_no_json_is_a_parameters_error(
    world: World, read: Callable[[Parameter], object]
) -> None:
    """It speaks of a parameter, whose value `get_secret_string` does not read, and is a secret's, too."""
    world.put("a,b", "/prod/zones")
    with pytest.raises(
        ParameterFormatError, match=r"^parameter '/prod/zones' is not the JSON .*`value`"
    ) as told:
        read(world.cache().get_parameter("/prod/zones"))
    assert isinstance(told.value, ParameterError)
    assert isinstance(told.value, SecretFormatError)


def test_an_answer_that_cannot_be_parsed_is_not_quoted(world: World) -> None:
    """botocore quotes the body, which may hold the value: its error is neither cause nor context."""
    world.fail = lambda _: ResponseParserError("Unable to parse response: canary-5e1f")
    with pytest.raises(ParameterUnavailableError) as caught:
        world.cache().get_parameter(NAME)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_an_outage_is_bridged_with_the_known_version(world: World) -> None:
    """Up to `max_stale_s`; then the error. A revoked permission ends sooner."""
    cache = world.cache(max_stale_s=1000.0, max_denied_s=100.0)
    cache.get_parameter(NAME)
    world.fail = lambda _: answered("ThrottlingException")
    world.clock.advance(900)
    assert "one" == cache.get_parameter(NAME).value
    world.clock.advance(200)
    with pytest.raises(ParameterUnavailableError):
        cache.get_parameter(NAME)
    world.fail = lambda _: None
    world.clock.advance(60)
    cache.get_parameter(NAME)
    world.fail = lambda _: answered("AccessDeniedException")
    world.clock.advance(301)
    assert "one" == cache.get_parameter(NAME).value
    world.clock.advance(101)
    with pytest.raises(ParameterAccessDeniedError):
        cache.get_parameter(NAME)


def test_a_version_that_is_announced_and_not_there_yet_is_said_to_be_missing(world: World) -> None:
    """A read pinned to a version gives that one or a later one, never an earlier one for it."""
    source = ParameterStoreSource(lambda: world.ssm, decrypt=True)
    assert "1" == source.read(NAME, stage=AWSCURRENT, version_id="1").version_id
    with pytest.raises(ParameterVersionNotFoundError, match="does not show version"):
        source.read(NAME, stage=AWSCURRENT, version_id="2")
    world.put("two")
    assert "2" == source.read(NAME, stage=AWSCURRENT, version_id="1").version_id
