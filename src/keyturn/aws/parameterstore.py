"""Parameter Store as a source: GetParameter, GetParameters and GetParametersByPath, and nothing else.

AWS's API reference for the three calls is the source of every field name here. The latest version of a
parameter is held as AWSCURRENT, a version with a label under that label, and a version that was asked for by
number under its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from keyturn.aws.answers import Call
from keyturn.aws.faults import ADVICE_CREDENTIALS, Fault, FaultKind, asked
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
    """Reads parameters through a client, which is made at the first read. Threads may share it.

    With `decrypt` the source asks for the value of a SecureString in clear, else for its ciphertext.
    """

    def __init__(self, client: Callable[[], ParameterStoreClient], *, decrypt: bool) -> None:
        self._client = client
        self._decrypt = decrypt

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        """Read a parameter by one GetParameter; see `read_parameter`."""
        return read_parameter(self._client, secret_id, stage, version_id, decrypt=self._decrypt)

    def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
        """Read the latest versions of at most `NAMES_MAX` parameters by one GetParameters.

        Returns them by the names that were asked for. A name that Parameter Store does not know, or rejects,
        is left out. Raises `ParameterError`.
        """
        answer = asked(
            ", ".join(names),
            lambda: self._client().get_parameters(Names=list(names), WithDecryption=self._decrypt),
            _failure,
        )
        read = list(_parsed_all(answer, AWSCURRENT))
        by_id = {one.name: one for one in read} | {one.arn: one for one in read}
        return {name: by_id[name] for name in names if name in by_id}

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        """Yield the latest versions of all parameters under `path`, page by page. Raises `ParameterError`."""
        token: dict[str, str] = {}
        while True:
            answer = asked(
                path,
                lambda token=token: self._client().get_parameters_by_path(  # type: ignore[misc] # bound now
                    Path=path,
                    Recursive=recursive,
                    WithDecryption=self._decrypt,
                    MaxResults=NAMES_MAX,
                    **token,
                ),
                _failure,
            )
            yield from _parsed_all(answer, AWSCURRENT)
            following = answer.get("NextToken")
            if not isinstance(following, str) or not following:
                return
            token = {"NextToken": following}


class PlacedParameters:
    """Parameter Store of every account and Region: each parameter is read where its ARN says it is.

    `client` returns the client for a name, an ARN or a path; `decrypt` is as in `ParameterStoreSource`.
    """

    def __init__(self, client: Callable[[str], ParameterStoreClient], *, decrypt: bool) -> None:
        self._client = client
        self._decrypt = decrypt

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        """Read a parameter by one GetParameter; see `read_parameter`."""
        return self._at(secret_id).read(secret_id, stage=stage, version_id=version_id)

    def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
        """Read several parameters of one place; see `ParameterStoreSource.read_many`."""
        return self._at(names[0]).read_many(names)

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        """Yield what is under a path of the place of names; see `ParameterStoreSource.read_path`."""
        return self._at(path).read_path(path, recursive=recursive)

    def _at(self, asked: str) -> ParameterStoreSource:
        return ParameterStoreSource(lambda: self._client(asked), decrypt=self._decrypt)


def read_parameter(
    client: Callable[[], ParameterClient],
    secret_id: str,
    stage: str,
    version_id: str | None,
    *,
    decrypt: bool,
) -> Parameter:
    """Read one parameter by one GetParameter.

    Args:
        client: returns the client to use.
        secret_id: the parameter's name or ARN.
        stage: AWSCURRENT for the latest version, else a label or a version number.
        version_id: the number of a version that was announced. An answer with an earlier version raises
            `ParameterVersionNotFoundError`, because Parameter Store does not show the announced one yet.
        decrypt: whether to ask for the value of a SecureString in clear.

    Raises `ParameterError`.
    """
    name = secret_id if stage == AWSCURRENT else f"{secret_id}:{stage}"
    answer = asked(name, lambda: client().get_parameter(Name=name, WithDecryption=decrypt), _failure)
    found = answer.get("Parameter")
    if not isinstance(found, Mapping):
        raise _unusable(name)
    parameter = _parsed(found, secret_id, stage)
    if version_id is not None and version_id.isdecimal() and parameter.version < int(version_id):
        raise ParameterVersionNotFoundError(name, f"Parameter Store does not show version {version_id} yet")
    return parameter


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
            error = ParameterAccessDeniedError(name, detail, advice=advice or ADVICE_CREDENTIALS)
            error.of_credentials = True
            return error
        case FaultKind.CREDENTIALS_EXPIRED:
            return ParameterUnavailableError(name, detail, advice=advice or ADVICE_CREDENTIALS)
        case FaultKind.ARGUMENT:
            return InvalidParameterNameError(name, detail)
        case FaultKind.REFUSED:
            return _REFUSALS.get(fault.code, ParameterUnavailableError)(name, detail, advice=advice)
        case FaultKind.THROTTLED | FaultKind.UNAVAILABLE | FaultKind.FOREIGN:
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


def _parsed(entry: Mapping[str, object], secret_id: str, stage: str) -> Parameter:
    name, arn, value = entry.get("Name"), entry.get("ARN"), entry.get("Value")
    version, modified = entry.get("Version"), entry.get("LastModifiedDate")
    kind, data_type = entry.get("Type"), entry.get("DataType")
    if not (isinstance(name, str) and isinstance(value, str) and isinstance(version, int)):
        raise _unusable(secret_id)
    return Parameter(
        secret_id=secret_id,
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
    what = "the answer has no Name, Value or Version"
    return ParameterUnavailableError(name, what, advice="try again; look for a proxy that cuts off answers")
