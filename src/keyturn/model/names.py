"""Names and ARNs of secrets and parameters, and the key of a marker.

A secret's ARN is `arn:<partition>:secretsmanager:<region>:<account>:secret:<name>-<6 characters>`.
A name may itself end in a hyphen and six characters. So the suffix is cut off only where an answer of AWS
gave the `Name` as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from keyturn.errors import InvalidParameterNameError, InvalidSecretIdError
from keyturn.model.versions import AWSCURRENT

SECRET_ID_LENGTH_MAX = 2048
"""An id has 1 to 2048 characters (SecretIdType in the service model of Secrets Manager)."""

SUFFIX_LENGTH = len("-AbCdEf")

ACCOUNT_ID = re.compile(r"[0-9]{12}")
"""The number of an account."""

REGION = re.compile(r"(?![0-9]+$)(?!-)[a-z0-9-]{1,63}(?<!-)")
"""The name of a Region, part of a host's name. Which there are is not looked up: there may be new ones."""

PARTITION = re.compile(r"aws(-[a-z-]+)?")
"""The name of a partition: which there are is not looked up, since there may be new ones."""

PARAMETER_LEVELS_MAX = 15
"""A parameter's path has at most so many levels (Parameter Store's user guide, requirements for names)."""

REFERENCE_PREFIX = "/aws/reference/secretsmanager/"
"""Parameter Store passes a read of a name with this prefix on to Secrets Manager."""

PUBLIC_PREFIX = "/aws/service/"
"""Parameters that AWS publishes have names with this prefix, and belong to no account."""

MARKERS_PARAMETER = "/keyturn/marker-table"
CONVERGENCE_PARAMETER = "/keyturn/convergence-table"
"""The parameters in which the stack puts the names of its tables, unless it was told other parameters."""

_PARAMETER_PATH = re.compile(r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_SELECTOR = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Arn(NamedTuple):
    """The fields of an ARN after its prefix `arn`."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """Return the fields of `text`; None if it is no ARN with a partition, a service and a resource."""
        prefix, *fields = text.split(":", 5)
        if prefix != "arn" or len(fields) != len(cls._fields):
            return None
        arn = cls(*fields)
        return arn if arn.partition and arn.service and arn.resource else None

    def __str__(self) -> str:
        return ":".join(("arn", *self))


class Place(NamedTuple):
    """An account and a Region, of a partition: what one marker table speaks of."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, arn: str) -> Place | None:
        """Return where a thing with this ARN, or marker key, is; None for a text that does not say so."""
        fields = arn.split(":", 5)
        if len(fields) <= len(Arn._fields) or fields[0] != "arn":
            return None
        place = cls(fields[1], fields[3], fields[4])
        return place if all(place) else None


def exact_str(text: str) -> str:
    """Return a text of any class as a `str`. Of a member of an Enum, `str()` would write the name."""
    return str.__str__(text)


def checked_secret_id(secret_id: object) -> str:
    """Return `secret_id` if it can be the id of a secret; else raise `InvalidSecretIdError`."""
    if not isinstance(secret_id, str):
        raise InvalidSecretIdError(repr(secret_id)[:80], f"a {type(secret_id).__name__}, not text")
    if not 1 <= len(secret_id) <= SECRET_ID_LENGTH_MAX:
        raise InvalidSecretIdError(secret_id[:80], f"{len(secret_id)} characters long")
    if not secret_id.isprintable():
        raise InvalidSecretIdError(secret_id[:80], "it has a character that cannot be printed")
    if not _has_place(Arn.parse(secret_id)):
        raise InvalidSecretIdError(secret_id, "the Region in its ARN is no Region's name")
    return exact_str(secret_id)


def _has_place(arn: Arn | None) -> bool:
    """Return False for an ARN of a Region that none can be. What is in no Region is asked for at home."""
    return arn is None or not arn.region or REGION.fullmatch(arn.region) is not None


def is_secret_arn(text: str) -> bool:
    """Return True if `text` is the full or the partial ARN of a secret."""
    arn = Arn.parse(text)
    return arn is not None and arn.service == "secretsmanager" and arn.resource.startswith("secret:")


def secret_key(arn: str, name: str) -> str:
    """Return the marker key of a secret: its ARN, cut off after the `Name` of the same answer.

    An ARN that does not end in that name and a suffix is its own key, so nothing is guessed.
    """
    return arn[:-SUFFIX_LENGTH] if arn[:-SUFFIX_LENGTH].endswith(f":secret:{name}") else arn


def name_in(key: str) -> str:
    """Return the name in the marker key of a secret or a parameter.

    The ARN of a parameter omits the leading slash of its path; the returned name has it.
    """
    resource = key.split(":", 5)[-1]
    parameter = resource.removeprefix("parameter/")
    if parameter == resource:
        return resource.removeprefix("secret:")
    return f"/{parameter}" if "/" in parameter else parameter


def parameter_key(arn: Arn, name: str) -> str:
    """Return the marker key of the parameter `name`, where `arn` is any ARN of its account and Region.

    The ARN of `/prod/db` is `…:parameter/prod/db`, with one slash; that of `flat` is `…:parameter/flat`.
    """
    return str(arn._replace(service="ssm", resource="parameter/" + name.removeprefix("/")))


def parameter_key_of(arn: str, _name: str) -> str:
    """Return the marker key of a parameter, which is its ARN."""
    return arn


def is_parameter_key(key: str) -> bool:
    """Return True if `key` is the ARN of a parameter, without a selector, and of a name that one can have.

    Only what AWS publishes belongs to no account.
    """
    arn = Arn.parse(key)
    if arn is None or not (arn.account or arn.resource.startswith("parameter" + PUBLIC_PREFIX)):
        return False
    try:
        return parameter_id(key) == ParameterId(key)
    except InvalidParameterNameError:
        return False


class ParameterId(NamedTuple):
    """A parameter as a caller named it: name or ARN, and the selector, which is a label or a version number.

    Without a selector the caller means the latest version, which is held under AWSCURRENT.
    """

    name: str
    selector: str = AWSCURRENT


def parameter_id(asked: object) -> ParameterId:
    """Return the parts of a parameter's name or ARN, which may end in `:version` or `:label`.

    Raises `InvalidParameterNameError` for a name that no parameter can have. Parameter Store would answer
    such a name with a ValidationException about the prefix "ssm", whatever is wrong with it.
    """
    if not isinstance(asked, str):
        raise InvalidParameterNameError(repr(asked)[:80], f"a {type(asked).__name__}, not text")
    asked = exact_str(asked)
    if not 1 <= len(asked) <= SECRET_ID_LENGTH_MAX:
        raise InvalidParameterNameError(asked[:80], f"{len(asked)} characters long")
    arn = Arn.parse(asked)
    if asked.startswith("arn:") and (arn is None or arn.service != "ssm"):
        raise InvalidParameterNameError(asked, "not the ARN of a parameter")
    if not _has_place(arn):
        raise InvalidParameterNameError(asked, "the Region in its ARN is no Region's name")
    path, colon, selector = (asked if arn is None else arn.resource).partition(":")
    if colon and not _SELECTOR.fullmatch(selector):
        raise InvalidParameterNameError(asked, "what follows the colon is neither a label nor a version")
    if arn is not None and not path.startswith("parameter/"):
        raise InvalidParameterNameError(asked, "not the ARN of a parameter")
    _check_path(asked, path, is_resource=arn is not None)
    return ParameterId(asked.removesuffix(colon + selector), selector or AWSCURRENT)


def parameter_path(asked: object) -> str:
    """Return a path whose parameters can be listed: `/`, or a path with a leading slash.

    A trailing slash is cut off. Raises `InvalidParameterNameError` for any other text.
    """
    if asked == "/":
        return "/"
    name = parameter_id(asked.rstrip("/") if isinstance(asked, str) else asked).name
    if not name.startswith("/"):
        raise InvalidParameterNameError(name, "a path begins with a slash")
    return name


def _check_path(asked: str, path: str, *, is_resource: bool) -> None:
    if path.startswith(REFERENCE_PREFIX) and len(path) > len(REFERENCE_PREFIX):
        # The name of a secret may have characters that a parameter's name has not. Secrets Manager checks it.
        return
    if not _PARAMETER_PATH.fullmatch(path):
        wrong = "an empty part" if "//" in path or path.endswith("/") else "a character that no name has"
        raise InvalidParameterNameError(asked, wrong)
    if "/" in path and not (is_resource or path.startswith("/")):
        raise InvalidParameterNameError(asked, "a path begins with a slash")
    if path.count("/") > PARAMETER_LEVELS_MAX:
        raise InvalidParameterNameError(asked, f"more than {PARAMETER_LEVELS_MAX} levels")
