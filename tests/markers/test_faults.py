"""Every error that botocore can raise for a secret has a type, advice, and never a response body."""

from __future__ import annotations

from collections.abc import Mapping

import botocore.exceptions as boto
import pytest
from botocore.exceptions import ClientError
from botocore.model import StructureShape
from botocore.parsers import ResponseParserError
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from keyturn.aws.faults import FaultKind, fault_of, secret_error
from keyturn.aws.table_calls import TableCalls
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    MarkerTableError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)

ID = "prod/db"
TOO_LONG = "failed to satisfy constraint: Member must have length less than or equal to 256"
SKEW = "20261201T020000Z is now earlier than 20261201T021500Z (20261201T022000Z - 5 min.)"


def client_error(code: object, message: object = "", status: object = 400) -> ClientError:
    """An error as botocore raises it for an answer."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "GetSecretValue")  # type: ignore[arg-type] # shapes of other servers, too


def input_of(service: str, operation: str) -> StructureShape:
    """The arguments of an operation, by AWS's model."""
    shape = get_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    return shape


def unsent(service: str, operation: str, **arguments: object) -> boto.ParamValidationError:
    """An error as botocore raises it for arguments that it does not send."""
    report = ParamValidator().validate(arguments, input_of(service, operation)).generate_report()
    assert report
    return boto.ParamValidationError(report=report)


TOKEN_FILE = {
    "RoleArn": "arn:aws:iam::111122223333:role/app",
    "RoleSessionName": "session",
    "WebIdentityToken": "header.body.signature",
}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            client_error("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
            SecretNotFoundError,
        ),
        (
            client_error(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for staging label: AWSPENDING",
            ),
            StageNotFoundError,
        ),
        (
            client_error(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for VersionId: x",
            ),
            StageNotFoundError,
        ),
        (
            client_error(
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
            ),
            SecretDeletedError,
        ),
        (
            client_error(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            ),
            StageNotFoundError,
        ),
        (client_error("AccessDeniedException", "is not authorized to perform"), AccessDeniedError),
        (client_error("AccessDeniedException", "Access to KMS is not allowed"), AccessDeniedError),
        (client_error("UnrecognizedClientException"), AccessDeniedError),
        (client_error("InvalidSignatureException"), AccessDeniedError),
        (client_error("InvalidSignatureException", "The request signature we calculated"), AccessDeniedError),
        (client_error("InvalidSignatureException", f"Signature expired: {SKEW}"), UnavailableError),
        (client_error("InvalidSignatureException", f"Signature not yet current: {SKEW}"), UnavailableError),
        (client_error("SignatureDoesNotMatch", f"Signature expired: {SKEW}"), UnavailableError),
        (client_error("ExpiredTokenException"), UnavailableError),
        (client_error("DecryptionFailure"), DecryptionError),
        (client_error("InvalidParameterException"), InvalidSecretIdError),
        (client_error("ValidationException"), InvalidSecretIdError),
        (client_error("ValidationException", f"Value at 'secretId' {TOO_LONG}"), InvalidSecretIdError),
        (client_error("ValidationException", f"Value at 'versionStage' {TOO_LONG}"), StageNotFoundError),
        (client_error("ValidationException", f"Value 'x' at 'versionId' {TOO_LONG}"), StageNotFoundError),
        (client_error("ValidationException", "Invalid length of VersionStage"), StageNotFoundError),
        (
            client_error("InvalidParameterException", "Invalid length for parameter VersionId"),
            StageNotFoundError,
        ),
        (client_error("InternalServiceError", status=500), UnavailableError),
        (client_error("ThrottlingException"), UnavailableError),
        (client_error("SomethingNew", status=503), UnavailableError),
        (client_error("SomethingNew", status=403), AccessDeniedError),
        (client_error("SomethingNew"), UnavailableError),
        (client_error("502", status=502), UnavailableError),
        (boto.NoCredentialsError(), UnavailableError),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1"), UnavailableError),
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1"), UnavailableError),
        (boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1"), UnavailableError),
        (unsent("secretsmanager", "GetSecretValue", SecretId=""), InvalidSecretIdError),
        (unsent("secretsmanager", "GetSecretValue", SecretId="x", VersionId="short"), StageNotFoundError),
        (unsent("secretsmanager", "GetSecretValue", SecretId="x", VersionStage=""), StageNotFoundError),
        (unsent("secretsmanager", "GetSecretValue", SecretId="", VersionId="short"), InvalidSecretIdError),
        (
            unsent("sts", "AssumeRoleWithWebIdentity", **TOKEN_FILE | {"WebIdentityToken": ""}),
            AccessDeniedError,
        ),
        (
            unsent("sts", "AssumeRoleWithWebIdentity", **TOKEN_FILE | {"RoleArn": "my-role"}),
            AccessDeniedError,
        ),
        (unsent("sts", "AssumeRole", RoleSessionName="name"), AccessDeniedError),
        (
            unsent("sso", "GetRoleCredentials", roleName=None, accountId="1", accessToken="t"),
            AccessDeniedError,
        ),
        (ResponseParserError("unreadable"), UnavailableError),
    ],
    ids=str,
)
def test_each_failure_has_its_type(error: Exception, kind: type[SecretError]) -> None:
    """AWS's codes, its words where the code is shared, and botocore's own errors map to one type each."""
    found = secret_error(error, ID)
    assert type(found) is kind
    assert ID == found.secret_id


@pytest.mark.parametrize("operation", ["GetSecretValue", "DescribeSecret", "ListSecrets"])
def test_every_modelled_error_has_a_type(operation: str) -> None:
    """No error of Secrets Manager's service model falls through to the refusals that nobody knows."""
    model = get_session().get_service_model("secretsmanager").operation_model(operation)
    codes = [shape.name for shape in model.error_shapes]
    assert codes
    known = {
        "DecryptionFailure",
        "InternalServiceError",
        "InvalidNextTokenException",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
    }
    assert set(codes) <= known


def test_a_wrong_clock_is_named() -> None:
    """A signature of another time is no revocation, and the advice is about the clock."""
    found = secret_error(client_error("InvalidSignatureException", f"Signature expired: {SKEW}"), ID)
    assert "NTP" in found.advice


CREDENTIALS_OF_STS = ["AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"]
CREDENTIALS_CALLS = {
    "GetRoleCredentials": ("ResourceNotFoundException", AccessDeniedError),
    "CreateOAuth2Token": ("ValidationException", AccessDeniedError),
    "AssumeRole": ("ValidationError", AccessDeniedError),
    "AssumeRoleWithWebIdentity": ("IDPCommunicationError", UnavailableError),
}


@pytest.mark.parametrize("operation", CREDENTIALS_CALLS)
def test_a_refusal_of_the_call_for_credentials_says_nothing_of_the_secret(operation: str) -> None:
    """No role, no session: that is not the secret that is missing, nor its id that is wrong."""
    code, kind = CREDENTIALS_CALLS[operation]
    error = ClientError({"Error": {"Code": code, "Message": "It doesn't exist."}}, operation)
    found = secret_error(error, ID)
    assert type(found) is kind
    assert "GetSecretValue" not in found.advice or kind is UnavailableError
    calls = TableCalls("markers", MarkerTableError, if_denied="denied", if_missing="missing")
    assert "missing" not in str(calls.failure(fault_of(error)))


def test_each_argument_of_a_call_for_credentials_is_known() -> None:
    """A client that cannot be given credentials is told of its role, whichever that it needs is refused."""
    calls = {"sts": CREDENTIALS_OF_STS, "sso": ["GetRoleCredentials"], "signin": ["CreateOAuth2Token"]}
    for service, operations in calls.items():
        for operation in operations:
            for name in input_of(service, operation).required_members:
                error = boto.ParamValidationError(report=f"Invalid length for parameter {name}, value: 0")
                assert "AWS_ROLE_ARN" in secret_error(error, ID).advice, name


def test_an_argument_of_keyturns_own_calls_is_none_of_the_credentials() -> None:
    """A wrong name of a table, a parameter or a secret does not blame the role."""
    own = {
        "secretsmanager": ["GetSecretValue", "DescribeSecret"],
        "ssm": ["GetParameter", "GetParameters", "GetParametersByPath"],
        "dynamodb": ["GetItem", "BatchGetItem", "PutItem", "UpdateItem", "TransactWriteItems", "Scan"],
    }
    for service, operations in own.items():
        for operation in operations:
            for name in input_of(service, operation).members:
                error = boto.ParamValidationError(report=f"Invalid length for parameter {name}, value: 0")
                assert fault_of(error).kind is FaultKind.ARGUMENT, name


def test_advice_tells_the_key_from_the_secret_from_the_credentials() -> None:
    """Denied by the key, by the secret, and by bad credentials are three different things to do."""
    errors = (
        client_error("AccessDeniedException", "Access to KMS is not allowed"),
        client_error("AccessDeniedException", "not authorized"),
        client_error("UnrecognizedClientException"),
    )
    advice = [secret_error(error, ID).advice for error in errors]
    assert ["kms:Decrypt", "secretsmanager:GetSecretValue", "credentials"] == [
        word
        for word, text in zip(
            ("kms:Decrypt", "secretsmanager:GetSecretValue", "credentials"), advice, strict=True
        )
        if word in text
    ]


@pytest.mark.parametrize("status", [200, 400, 500, 502])
def test_a_body_is_never_repeated(status: int) -> None:
    """botocore's parser makes an unreadable body the message, under a number for a code."""
    body = '{"SecretString": "hunter2", "Versio'
    for error in (client_error(str(status), body, status), ResponseParserError(body)):
        fault = fault_of(error)
        assert "hunter2" not in f"{fault!r} {fault} {secret_error(error, ID)!r}"


def test_an_error_of_any_class_is_a_fault() -> None:
    """What a client raises that is not botocore's is named by its class; its text may quote anything."""
    fault = fault_of(KeyError("hunter2"))
    assert (FaultKind.FOREIGN, "KeyError") == (fault.kind, str(fault))
    assert isinstance(secret_error(ZeroDivisionError(), ID), UnavailableError)


@given(st.dictionaries(st.sampled_from(["Error", "ResponseMetadata"]), st.none() | st.text() | st.integers()))
def test_any_response_is_a_fault(response: Mapping[str, object]) -> None:
    """A stub or a proxy may put anything into the error; it is a fault all the same."""
    error = ClientError({"Error": {}}, "X")
    error.response = response  # type: ignore[assignment] # what a stub did
    assert fault_of(error).code.startswith("HTTP ") or fault_of(error).code.isidentifier()


@given(st.text(), st.text(), st.integers(0, 999))
def test_any_code_is_a_fault_of_one_line(code: str, message: str, status: int) -> None:
    """A message is one line of bounded length whatever AWS, or somebody in between, said."""
    fault = fault_of(client_error(code, message, status))
    assert isinstance(fault.kind, FaultKind)
    assert len(fault.message) <= 400
    assert "\n" not in fault.message
