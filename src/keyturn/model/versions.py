"""The values that travel between keyturn's parts: a secret's version, a marker, the head, a moment."""

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

    `secret_id` is the name or ARN that the caller used, `arn` the full ARN, `created_s` the
    version's CreatedDate (epoch seconds). Exactly one of `string` and `binary` is set. Neither
    `repr`, `str` nor `format` shows the value.
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
        """ARN and version id: what makes it this version and no other."""
        return self.arn, self.version_id

    def text(self) -> str:
        """The value of a text secret; `SecretKindError` if it is binary."""
        if self.string is None:
            raise SecretKindError(self.secret_id, "it is binary, text was asked for")
        return self.string

    def blob(self) -> bytes:
        """The value of a binary secret; `SecretKindError` if it is text."""
        if self.binary is None:
            raise SecretKindError(self.secret_id, "it is text, binary was asked for")
        return self.binary

    def json(self) -> Json:
        """The value parsed as JSON, anew at each call; `SecretFormatError` if it is not JSON."""
        text = self.text()
        try:
            value: Json = json.loads(text)
        except ValueError as error:
            # JSONDecodeError carries the whole document: it must be neither cause nor context.
            where = f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        else:
            return value
        raise SecretFormatError(self.secret_id, f"not JSON {where}".rstrip())


class Described(NamedTuple):
    """What DescribeSecret or ListSecrets says of a secret: never a value.

    `stages` maps each staging label to the id of the version that carries it. A secret that is not
    `wanted` gets no marker; one that it has already is kept right.
    """

    arn: str
    name: str
    stages: Mapping[str, str]
    deleted: bool = False
    wanted: bool = True
