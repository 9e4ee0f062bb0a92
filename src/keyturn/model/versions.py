"""A secret's version with its value, and the description of a secret without one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from keyturn.errors import SecretFormatError, SecretKindError

AWSCURRENT: Final = "AWSCURRENT"
AWSPENDING: Final = "AWSPENDING"
AWSPREVIOUS: Final = "AWSPREVIOUS"


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One immutable version of one secret, as Secrets Manager answered it.

    `secret_id` is the name or ARN that the caller used, `arn` is the full ARN, and `created_s` is the
    version's CreatedDate in epoch seconds. Exactly one of `string` and `binary` is set. Neither `repr`, `str`
    nor `format` shows the value.
    """

    secret_id: str
    arn: str
    name: str
    version_id: str
    stages: frozenset[str]
    created_s: float | None = None
    string: str | None = field(default=None, repr=False)
    binary: bytes | None = field(default=None, repr=False)

    @property
    def identity(self) -> tuple[str, str]:
        """The ARN and the version id, which together identify the version."""
        return self.arn, self.version_id

    def text(self) -> str:
        """Return the value of a text secret. Raises `SecretKindError` if the value is binary."""
        if self.string is None:
            raise SecretKindError(self.secret_id, "the value is binary, but text was asked for")
        return self.string

    def blob(self) -> bytes:
        """Return the value of a binary secret. Raises `SecretKindError` if the value is text."""
        if self.binary is None:
            raise SecretKindError(self.secret_id, "the value is text, but binary was asked for")
        return self.binary

    def json(self) -> Json:
        """Parse the value as JSON, anew at each call. Raises `SecretFormatError` if the value is not JSON."""
        text = self.text()
        try:
            value: Json = json.loads(text)
        except ValueError as error:
            # A JSONDecodeError carries the whole document, so it must be neither cause nor context.
            where = f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        else:
            return value
        raise SecretFormatError(self.secret_id, f"not JSON {where}".rstrip())


class Described(NamedTuple):
    """The description of a secret by DescribeSecret or ListSecrets, which has no value.

    `stages` maps each staging label to the id of the version that carries it. A secret that is not `wanted`
    gets no new marker; a marker that it has already is kept up to date.
    """

    arn: str
    name: str
    stages: Mapping[str, str]
    deleted: bool = False
    wanted: bool = True
