"""The bodies of answers, with the fields of AWS's own two servers. The OpenAPI document comes from here.

The extension marshals the Go SDK's structures: dates as RFC 3339, null for absent fields, an empty
`ResultMetadata`. The agent leaves out absent fields, and writes dates as text of epoch seconds.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from keyturn.errors import SecretFormatError
from keyturn.model.fields import is_encodable
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion

EPOCH: Final = datetime.fromtimestamp(0, UTC)

_STRICT: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

Rfc3339 = Annotated[str, Field(examples=["2023-12-28T14:57:31.359Z"])]
EpochText = Annotated[str, Field(examples=["1569534789.046"])]
Base64 = Annotated[str, Field(examples=["c2VjcmV0"])]


class Nothing(BaseModel):
    """An empty object."""

    model_config = _STRICT


class ExtensionSecret(BaseModel):
    """A secret in the extension's answer. Exactly one of SecretString and SecretBinary is not null."""

    model_config = _STRICT

    ARN: str
    CreatedDate: Rfc3339 | None
    Name: str
    SecretBinary: Base64 | None = Field(repr=False)
    SecretString: str | None = Field(repr=False)
    VersionId: str
    VersionStages: list[str]
    ResultMetadata: Nothing = Nothing()


class ParameterFields(BaseModel):
    """A parameter. `Selector` is `:version` or `:label` if the caller asked for one."""

    model_config = _STRICT

    ARN: str
    DataType: str
    LastModifiedDate: Rfc3339 | None
    Name: str
    Selector: str | None
    SourceResult: str | None = None
    Type: str
    Value: str = Field(repr=False)
    Version: int


class ExtensionParameter(BaseModel):
    """A parameter in the extension's answer."""

    model_config = _STRICT

    Parameter: ParameterFields
    ResultMetadata: Nothing = Nothing()


class AgentSecret(BaseModel):
    """A secret in the agent's answer. Exactly one of SecretString and SecretBinary is present."""

    model_config = _STRICT

    ARN: str
    Name: str
    VersionId: str
    SecretString: str = Field("", repr=False)
    SecretBinary: Base64 = Field("", repr=False)
    VersionStages: list[str]
    CreatedDate: EpochText | None


class Fault(BaseModel):
    """An error in the form of AWS's services."""

    model_config = _STRICT

    type: Annotated[str, Field(alias="__type", examples=["ResourceNotFoundException"])]
    message: str | None = None


def extension_secret(version: SecretVersion) -> ExtensionSecret:
    """Return the body for the extension's path for secrets."""
    return ExtensionSecret(
        ARN=version.arn,
        CreatedDate=_rfc3339(version.created_s),
        Name=version.name,
        SecretBinary=_base64(version.binary),
        SecretString=_text(version),
        VersionId=version.version_id,
        VersionStages=sorted(version.stages),
    )


def extension_parameter(parameter: Parameter) -> ExtensionParameter:
    """Return the body for the extension's path for parameters."""
    (selector,) = parameter.stages if len(parameter.stages) == 1 else (AWSCURRENT,)
    fields = ParameterFields(
        ARN=parameter.arn,
        DataType=parameter.data_type,
        LastModifiedDate=_rfc3339(parameter.created_s),
        Name=parameter.name,
        Selector=None if selector == AWSCURRENT else f":{selector}",
        Type=parameter.type,
        Value=_text(parameter) or "",
        Version=parameter.version,
    )
    return ExtensionParameter(Parameter=fields)


def agent_secret(version: SecretVersion) -> AgentSecret:
    """Return the body for the agent's path, to be dumped with `exclude_unset`."""
    binary = _base64(version.binary)
    value = {"SecretString": _text(version)} if binary is None else {"SecretBinary": binary}
    return AgentSecret(
        ARN=version.arn,
        Name=version.name,
        VersionId=version.version_id,
        VersionStages=sorted(version.stages),
        CreatedDate=_epoch_text(version.created_s),
        **value,
    )


def _text(version: SecretVersion) -> str | None:
    if version.string is not None and not is_encodable(version.string):
        raise SecretFormatError(
            version.secret_id,
            "it has half of a surrogate pair, which no encoding can write",
            advice="store it anew",
        )
    return version.string


def _base64(binary: bytes | None) -> str | None:
    return None if binary is None else b64encode(binary).decode("ascii")


def _rfc3339(moment_s: float | None) -> str | None:
    """Format a moment as Go does: in UTC, without trailing zeros in the fraction of a second."""
    if moment_s is None:
        return None
    moment = EPOCH + timedelta(milliseconds=round(moment_s * 1000))
    fraction = f".{moment.microsecond // 1000:03d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _epoch_text(moment_s: float | None) -> str | None:
    return None if moment_s is None else f"{moment_s:.3f}".rstrip("0").rstrip(".")
