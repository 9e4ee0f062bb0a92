"""Names and ARNs of secrets and parameters, and the key of a marker.

A secret's ARN is `arn:<partition>:secretsmanager:<region>:<account>:secret:<name>-<6 characters>`.
A name may itself end in a hyphen and six characters, so the suffix is only ever cut off after a
`Name` that an answer gave.
"""

from __future__ import annotations

from typing import NamedTuple

from keyturn.errors import InvalidSecretIdError

SECRET_ID_LENGTH_MAX = 2048
"""SecretIdType of the Secrets Manager service model: 1 to 2048 characters."""

SUFFIX_LENGTH = len("-AbCdEf")


class Arn(NamedTuple):
    """The six fields of an ARN."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """The fields of `text`, or None if it is not an ARN with a partition, service and resource."""
        prefix, *fields = text.split(":", 5)
        if prefix != "arn" or len(fields) != len(cls._fields):
            return None
        arn = cls(*fields)
        return arn if arn.partition and arn.service and arn.resource else None

    def __str__(self) -> str:
        return ":".join(("arn", *self))


def checked_secret_id(secret_id: object) -> str:
    """`secret_id` if Secrets Manager could know it, else `InvalidSecretIdError`."""
    if not isinstance(secret_id, str):
        raise InvalidSecretIdError(repr(secret_id)[:80], f"a {type(secret_id).__name__}, not text")
    if not 1 <= len(secret_id) <= SECRET_ID_LENGTH_MAX:
        raise InvalidSecretIdError(secret_id[:80], f"{len(secret_id)} characters long")
    if not secret_id.isprintable():
        raise InvalidSecretIdError(secret_id[:80], "it has a character that cannot be printed")
    return secret_id


def is_secret_arn(text: str) -> bool:
    """Whether `text` is the full or partial ARN of a secret."""
    arn = Arn.parse(text)
    return arn is not None and arn.service == "secretsmanager" and arn.resource.startswith("secret:")


def secret_key(arn: str, name: str) -> str:
    """The marker key of a secret: its ARN, cut after the `Name` of the same answer.

    An ARN that does not end in that name and a suffix is its own key (nothing is guessed).
    """
    return arn[:-SUFFIX_LENGTH] if arn[:-SUFFIX_LENGTH].endswith(f":secret:{name}") else arn


def parameter_key(arn: Arn, name: str) -> str:
    """The marker key of the parameter `name` where `arn` is any ARN of its account and Region.

    The ARN of `/prod/db` is `…:parameter/prod/db`, with one slash; that of `flat` is `…:parameter/flat`.
    """
    return str(arn._replace(service="ssm", resource="parameter/" + name.removeprefix("/")))
