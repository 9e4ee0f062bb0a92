"""Parameter Store as a source: GetParameter, GetParameters and GetParametersByPath, and nothing else.

AWS's API reference for the three is the source of every field name here. A parameter's latest
version is held as AWSCURRENT, a labelled one under its label, a numbered one under its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from keyturn.aws.clients import Call
from keyturn.aws.faults import Fault, FaultKind, fault_of, quotes_the_body
from keyturn.errors import (
    InvalidParameterNameError,
    ParameterAccessDeniedError,
    ParameterDecryptionError,
    ParameterError,
    ParameterNotFoundError,
    ParameterUnavailableError,
    ParameterVersionNotFoundError,
)
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import NAMES_MAX
from keyturn.model.versions import AWSCURRENT

_ADVICE_CREDENTIALS: Final = (
    "check the role or the credentials of the client (missing, expired or revoked) and the host's clock"
)


class ParameterClient(Protocol):
    """The operation that reads one parameter, of a boto3 or botocore client for Systems Manager."""

    @property
    def get_parameter(self) -> Call: ...


class ParameterStoreClient(ParameterClient, Protocol):
    """The operations that keyturn uses of a boto3 or botocore client for Systems Manager."""

    @property
    def get_parameters(self) -> Call: ...

    @property
    def get_parameters_by_path(self) -> Call: ...


class ParameterStoreSource:
    """Reads parameters through a client that is made at the first read. Threads may share it.

    `decrypt`: whether the value of a SecureString is asked for in clear.
    """

    def __init__(self, client: Callable[[], ParameterStoreClient], *, decrypt: bool) -> None:
        self._client = client
        self._decrypt = decrypt

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        """One GetParameter; see `read_parameter`."""
        return read_parameter(self._client, secret_id, stage, version_id, decrypt=self._decrypt)

    def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
        """The latest versions of at most `NAMES_MAX` parameters, by the names asked for, by one call.

        What Parameter Store does not know, or refuses for its name, is not among them.
        """
        answer = _asked(
            ", ".join(names),
            lambda: self._client().get_parameters(Names=list(names), WithDecryption=self._decrypt),
        )
        read = list(_parsed_all(answer, AWSCURRENT))
        by_id = {one.name: one for one in read} | {one.arn: one for one in read}
        return {name: by_id[name] for name in names if name in by_id}

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        """The latest versions of all parameters under `path`, page by page."""
        token: dict[str, str] = {}
        while True:
            answer = _asked(
                path,
                lambda token=token: self._client().get_parameters_by_path(  # type: ignore[misc] # bound now
                    Path=path,
                    Recursive=recursive,
                    WithDecryption=self._decrypt,
                    MaxResults=NAMES_MAX,
                    **token,
                ),
            )
            yield from _parsed_all(answer, AWSCURRENT)
            following = answer.get("NextToken")
            if not isinstance(following, str) or not following:
                return
            token = {"NextToken": following}


def read_parameter(
    client: Callable[[], ParameterClient],
    secret_id: str,
    stage: str,
    version_id: str | None,
    *,
    decrypt: bool,
) -> Parameter:
    """One GetParameter of the latest version (AWSCURRENT), or of the label or number `stage`.

    With `version_id`, what is answered is that version or a later one; else
    `ParameterVersionNotFoundError`: it is announced, and not to be seen yet.
    """
    name = secret_id if stage == AWSCURRENT else f"{secret_id}:{stage}"
    answer = _asked(name, lambda: client().get_parameter(Name=name, WithDecryption=decrypt))
    found = answer.get("Parameter")
    if not isinstance(found, Mapping):
        raise _unusable(name)
    parameter = _parsed(found, secret_id, stage)
    if version_id is not None and version_id.isdecimal() and parameter.version < int(version_id):
        raise ParameterVersionNotFoundError(name, f"version {version_id} is not to be seen yet")
    return parameter


def _asked(name: str, call: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    """The answer of a call about `name`; its failure as a `ParameterError`."""
    try:
        return call()
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        failure = _failure(fault, name)
        if not quotes_the_body(error):
            raise failure from error
    # Neither cause nor context: the unreadable body may hold the value, and the error quotes it.
    raise failure


def _failure(fault: Fault, name: str) -> ParameterError:
    detail, advice = str(fault), fault.advice
    match fault.kind:
        case FaultKind.DENIED if "KMS" not in fault.message:
            return ParameterAccessDeniedError(name, detail, advice=advice)
        case FaultKind.DENIED:
            return ParameterAccessDeniedError(
                name, detail, advice="allow kms:Decrypt on the parameter's KMS key"
            )
        case FaultKind.CREDENTIALS_WRONG:
            return ParameterAccessDeniedError(name, detail, advice=advice or _ADVICE_CREDENTIALS)
        case FaultKind.CREDENTIALS_EXPIRED:
            return ParameterUnavailableError(name, detail, advice=advice or _ADVICE_CREDENTIALS)
        case FaultKind.ARGUMENT:
            return InvalidParameterNameError(name, detail)
        case FaultKind.REFUSED:
            return _REFUSALS.get(fault.code, ParameterUnavailableError)(name, detail, advice=advice)
        case FaultKind.THROTTLED | FaultKind.UNAVAILABLE:
            return ParameterUnavailableError(name, detail, advice=advice)


_REFUSALS: Final[Mapping[str, type[ParameterError]]] = {
    "InvalidKeyId": ParameterDecryptionError,
    "KMSDisabledException": ParameterDecryptionError,
    "KMSInvalidStateException": ParameterDecryptionError,
    "KMSNotFoundException": ParameterDecryptionError,
    "ParameterNotFound": ParameterNotFoundError,
    "ParameterVersionNotFound": ParameterVersionNotFoundError,
    "ValidationException": InvalidParameterNameError,
}


def _parsed_all(answer: Mapping[str, object], stage: str) -> Iterator[Parameter]:
    entries = answer.get("Parameters")
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("Name") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str):
            raise _unusable("*")
        yield _parsed(entry, name, stage)


def _parsed(entry: Mapping[str, object], asked: str, stage: str) -> Parameter:
    name, arn, value = entry.get("Name"), entry.get("ARN"), entry.get("Value")
    version, modified = entry.get("Version"), entry.get("LastModifiedDate")
    kind, data_type = entry.get("Type"), entry.get("DataType")
    if not (isinstance(name, str) and isinstance(value, str) and isinstance(version, int)):
        raise _unusable(asked)
    return Parameter(
        secret_id=asked,
        arn=arn if isinstance(arn, str) else name,
        name=name,
        version_id=str(version),
        stages=frozenset({stage}),
        created_s=modified.timestamp() if isinstance(modified, datetime) else None,
        string=value,
        type=kind if isinstance(kind, str) else "String",
        data_type=data_type if isinstance(data_type, str) else "text",
    )


def _unusable(name: str) -> ParameterUnavailableError:
    what = "no Name, Value and Version in the answer"
    return ParameterUnavailableError(name, what, advice="try again; look for a proxy that cuts answers")
