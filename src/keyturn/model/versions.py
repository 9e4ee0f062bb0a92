"""A secret's version with its value, and the description of a secret without one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from keyturn.errors import SecretFormatError, SecretKindError
from keyturn.model.concealed import Concealed
from keyturn.runtime.frames import unseen

AWSCURRENT: Final = "AWSCURRENT"
AWSPENDING: Final = "AWSPENDING"
AWSPREVIOUS: Final = "AWSPREVIOUS"


ADVICE_FIELDS: Final = "read it with json(), or store an object of texts, numbers and booleans"

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, init=False)
class SecretVersion:
    """One immutable version of one secret, as Secrets Manager answered it.

    `secret_id` is the name or ARN that the caller used, `arn` is the full ARN, and `created_s` is the
    version's CreatedDate in epoch seconds. Exactly one of `string` and `binary` is set. Neither `repr`, `str`
    and `format` nor `dataclasses.asdict`, serializers and comparisons show the value; a pickle holds it.
    """

    secret_id: str
    arn: str
    name: str
    version_id: str
    stages: frozenset[str]
    created_s: float | None
    concealed: Concealed = field(repr=False)

    def __init__(  # noqa: PLR0917 # as the dataclass would take them
        self,
        secret_id: str,
        arn: str,
        name: str,
        version_id: str,
        stages: frozenset[str],
        created_s: float | None = None,
        string: str | None = None,
        binary: bytes | None = None,
        concealed: Concealed | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "secret_id", secret_id)
        put(self, "arn", arn)
        put(self, "name", name)
        put(self, "version_id", version_id)
        put(self, "stages", stages)
        put(self, "created_s", created_s)
        # `dataclasses.replace` hands the value on as it is.
        put(self, "concealed", concealed or Concealed(binary if string is None else string))

    @property
    def string(self) -> str | None:
        """The value of a text secret; None if the value is binary."""
        content = self.concealed.reveal()
        return content if isinstance(content, str) else None

    @property
    def binary(self) -> bytes | None:
        """The value of a binary secret; None if the value is text."""
        content = self.concealed.reveal()
        return content if isinstance(content, bytes) else None

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

    @unseen
    def json(self) -> Json:
        """Parse the value as JSON, anew at each call. Raises `SecretFormatError` if the value is not JSON."""
        return self._parsed(json.loads)

    @unseen
    def fields(self) -> dict[str, str]:
        """Return the fields of a JSON object as text, parsed anew at each call: `fields()["password"]`.

        A number or a boolean is returned as its JSON text: `5432`, `true`. Raises `SecretFormatError` if the
        value is no JSON object, or if a field is a list, an object or null.
        """
        # Numbers stay as they are written: neither 0.10 nor 1e3 would survive a conversion.
        document = self._parsed(partial(json.loads, parse_int=str, parse_float=str, parse_constant=str))
        if not isinstance(document, dict):
            raise SecretFormatError(self.secret_id, "its JSON is no object", advice=ADVICE_FIELDS)
        texts = {}
        for position, (name, value) in enumerate(document.items(), start=1):
            if value is None or isinstance(value, list | dict):
                # The names of the fields are part of the secret value, so the position has to do.
                kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
                raise SecretFormatError(
                    self.secret_id, f"field {position} of its JSON object is {kind}", advice=ADVICE_FIELDS
                )
            texts[name] = value if isinstance(value, str) else json.dumps(value)
        return texts

    def _parsed(self, parse: Callable[[str], Json]) -> Json:
        """Return what `parse` makes of the text. Raises a `SecretFormatError` that does not show the text."""
        text = self.text()
        try:
            return parse(text)
        except ValueError as error:
            # A JSONDecodeError carries the whole document, so it must be neither cause nor context.
            where = f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
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
