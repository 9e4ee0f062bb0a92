"""A secret's version with its value, and the description of a secret without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from keyturn.errors import SecretFormatError, SecretKindError
from keyturn.model.concealed import Concealed
from keyturn.runtime.frames import errors_without_locals

if TYPE_CHECKING:
    from keyturn.model.fields import Json

AWSCURRENT: Final = "AWSCURRENT"
AWSPENDING: Final = "AWSPENDING"
AWSPREVIOUS: Final = "AWSPREVIOUS"


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

    _misfit: ClassVar[type[SecretFormatError]] = SecretFormatError

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
        # `dataclasses.replace` hands the value on as it is, also beside a new one.
        content = binary if string is None else string
        put(self, "concealed", Concealed(content) if concealed is None or content is not None else concealed)

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
        content = self.concealed.reveal()
        if isinstance(content, str):
            return content
        del content  # A traceback holds what its frames hold.
        raise SecretKindError(self.secret_id, "the value is binary, but text was asked for")

    def blob(self) -> bytes:
        """Return the value of a binary secret. Raises `SecretKindError` if the value is text."""
        content = self.concealed.reveal()
        if isinstance(content, bytes):
            return content
        del content
        raise SecretKindError(self.secret_id, "the value is text, but binary was asked for")

    @errors_without_locals
    def json(self) -> Json:
        """Parse the value as JSON, anew at each call.

        Raises `SecretFormatError` if the value is not JSON, or is JSON that two readers could take for two
        things: nested more than 64 deep, with a name twice in one object, with NaN, with half of a surrogate
        pair, or with a number that Python cannot hold. Its texts may have any other character, NUL too.
        """
        from keyturn.model.fields import Flaw, parsed

        found = parsed(self.text())
        if isinstance(found, Flaw):
            raise found.error(self.secret_id, self._misfit)
        return found

    @errors_without_locals
    def fields(self) -> dict[str, str]:
        """Return the fields of a JSON object as text, parsed anew at each call: `fields()["password"]`.

        A number or a boolean is returned as its JSON text: `5432`, `true`. A field may have lines and tabs,
        and no other control character. `username`, `password`, `host` and `dbname` have none at all, and all
        of them but the password are printable; `port` is a whole number from 1 to 65535.

        Raises `SecretFormatError` for all else, and if the value is no JSON object, if a field is a list, an
        object or null, and as `json` does.
        """
        from keyturn.model.fields import Flaw, texts

        found = texts(self.text())
        if isinstance(found, Flaw):
            raise found.error(self.secret_id, self._misfit)
        return found


class Described(NamedTuple):
    """The description of a secret by DescribeSecret or ListSecrets, which has no value.

    `stages` maps each staging label to the id of the version that carries it. A secret that is not `wanted`
    gets no new marker; a marker that it has already is kept up to date. `changed_s` is the moment of its last
    change of any kind in epoch seconds (LastChangedDate), so no label has moved since; None if AWS says none.
    """

    arn: str
    name: str
    stages: Mapping[str, str]
    deleted: bool = False
    wanted: bool = True
    changed_s: float | None = None
