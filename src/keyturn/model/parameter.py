"""The version of a parameter, as `SecretCache.get_parameter` returns it."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.errors import ParameterFormatError
from keyturn.model.concealed import Concealed
from keyturn.model.versions import SecretVersion


@dataclass(frozen=True, slots=True, init=False)
class Parameter(SecretVersion):
    """One version of one parameter of Parameter Store, held like the version of a secret.

    `secret_id` is the name or ARN that the caller used, `version_id` is the version's number as text, and
    `created_s` is the LastModifiedDate in epoch seconds. `stages` has the label that was asked for;
    AWSCURRENT stands for the latest version. `type` is String, StringList or SecureString. Its value shows as
    little as that of a `SecretVersion`.
    """

    type: str
    data_type: str

    _misfit = ParameterFormatError

    def __init__(  # noqa: PLR0917 # as the dataclass would take them
        self,
        secret_id: str,
        arn: str,
        name: str,
        version_id: str,
        stages: frozenset[str],
        created_s: float | None = None,
        string: str | None = None,
        type: str = "String",  # noqa: A002 # AWS's word
        data_type: str = "text",
        *,
        concealed: Concealed | None = None,
    ) -> None:
        # By its name, since a class with slots is made twice, and `super()` would find the first one.
        SecretVersion.__init__(
            self, secret_id, arn, name, version_id, stages, created_s, string, None, concealed
        )
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "data_type", data_type)

    @property
    def value(self) -> str:
        """The value. Of a SecureString that was read with `decrypt=False` it is the ciphertext."""
        return self.text()

    @property
    def values(self) -> tuple[str, ...]:
        """The items of a StringList, which commas separate. A parameter of another type has one item."""
        return tuple(self.value.split(",")) if self.type == "StringList" else (self.value,)

    @property
    def version(self) -> int:
        """The number of the version. A reference to a secret has 0."""
        return int(self.version_id) if self.version_id.isdecimal() else 0
