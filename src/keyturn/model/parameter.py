"""A parameter's version, as `SecretCache.get_parameter` gives it."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.model.versions import SecretVersion


@dataclass(frozen=True, slots=True)
class Parameter(SecretVersion):
    """One version of one parameter of Parameter Store, held as a version of a secret is.

    `secret_id` is the name or ARN that the caller used, `version_id` the number as text, `created_s`
    the LastModifiedDate (epoch seconds), `stages` the label that was asked for; AWSCURRENT stands for
    the latest version. `type` is String, StringList or SecureString. No representation shows the value.
    """

    type: str = "String"
    data_type: str = "text"

    @property
    def value(self) -> str:
        """The value; of a SecureString read with `decrypt=False`, the ciphertext."""
        return self.text()

    @property
    def values(self) -> tuple[str, ...]:
        """The items of a StringList, which are parted by commas; another type is one item."""
        return tuple(self.value.split(",")) if self.type == "StringList" else (self.value,)

    @property
    def version(self) -> int:
        """The version's number; 0 for a reference to a secret."""
        return int(self.version_id) if self.version_id.isdecimal() else 0
