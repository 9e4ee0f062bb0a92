"""The ARNs by which IAM judges a request, made of what people call things.

Each rule is from the service's own documentation of its actions, resources and condition keys:

- A secret's ARN ends in six random characters. `-??????` stands for them, so that a policy outlives a
  re-created secret; `-*` would also match `NAME-anything-AbCdEf`.
- A secret's name is in its ARN as it is, leading slash included; a parameter's is without it.
- GetParametersByPath is judged by the path that was asked for, whatever is below it.
- An alias of a KMS key is no resource that its use is judged by. The ARN of the key is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from keyturn.errors import ConfigurationError
from keyturn.model.names import SUFFIX_LENGTH, Arn

ANY_SUFFIX: Final = "-??????"

PUBLIC_PREFIX: Final = "/aws/service/"
"""Parameters that AWS publishes have names that begin so, and belong to no account."""

_SECRET_NAME = re.compile(r"[\w/+=.@!*-]{1,512}", re.ASCII)
_PARAMETER_NAME = re.compile(r"/?[\w.*-]+(/[\w.*-]+)*", re.ASCII)
_SUFFIX = re.compile(r"-([A-Za-z0-9]{6}|\?{6})")
_TABLE_NAME = re.compile(r"[\w.-]{3,255}|\$\{\w+\}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}|\$\{AWS::AccountId\}")
_ALIAS = re.compile(r"alias/[\w/-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is that is named without an ARN; an empty field is one that nobody told.

    Raises `ConfigurationError` for an account that is not 12 digits.
    """

    region: str = ""
    account: str = ""
    partition: str = "aws"

    def __post_init__(self) -> None:
        if self.account and not _ACCOUNT.fullmatch(self.account):
            raise ConfigurationError(f"account {self.account!r} is not 12 digits")

    @classmethod
    def of_stack(cls) -> Self:
        """Where a CloudFormation stack is, by its pseudo parameters: for `Fn::Sub` in a template."""
        return cls("${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}")

    def arn(self, service: str, resource: str, named: str) -> str:
        """The ARN of what the caller named by name; `ConfigurationError` where that says too little."""
        if not self.account:
            raise ConfigurationError(f"{named!r} is in no account: give its number, or an ARN")
        return str(self._arn(service, self.account, resource, named))

    def public_arn(self, service: str, resource: str, named: str) -> str:
        """The ARN of what AWS itself publishes in each Region, and no account owns."""
        return str(self._arn(service, "", resource, named))

    def _arn(self, service: str, account: str, resource: str, named: str) -> Arn:
        if not self.region:
            raise ConfigurationError(f"{named!r} is in no Region: give its name, or an ARN")
        return Arn(self.partition, service, self.region, account, resource)


def secret_resource(named: str, place: Place) -> str:
    """The resource of a secret: its full ARN as it is, else with `-??????` for the random suffix.

    What ends in `*` stays so. An ARN that ends in a hyphen and six letters or digits is taken for full.
    """
    arn = _parsed(named)
    if arn is None:
        _must_match(
            _SECRET_NAME, named, "a secret's name has letters, digits and /_+=.@-, and ! where AWS manages it"
        )
        return _with_suffix(place.arn("secretsmanager", f"secret:{named}", named))
    if arn.service != "secretsmanager" or not arn.resource.startswith("secret:"):
        raise ConfigurationError(f"{named!r} is not the ARN of a secret")
    return named if _SUFFIX.fullmatch(named[-SUFFIX_LENGTH:]) else _with_suffix(named)


def marker_key(resource: str) -> str:
    """The key of the markers of what `secret_resource` gave: without the suffix."""
    return resource if resource.endswith("*") else resource[:-SUFFIX_LENGTH]


def parameter_resource(named: str, place: Place) -> str:
    """The resource of a parameter: one slash after `parameter`, whether its name begins with one or not."""
    arn = _parsed(named)
    if arn is not None and (arn.service != "ssm" or not arn.resource.startswith("parameter/")):
        raise ConfigurationError(f"{named!r} is not the ARN of a parameter")
    name = named if arn is None else arn.resource.removeprefix("parameter")
    if ":" in name:
        raise ConfigurationError(f"{named!r}: no policy knows versions and labels; name the parameter alone")
    if name.startswith("//"):
        raise ConfigurationError(f"{named!r}: one slash stands between `parameter` and the name, not two")
    _must_match(
        _PARAMETER_NAME, name, "a parameter's name has letters, digits and .-_, parted by single slashes"
    )
    if "/" in name and not name.startswith("/"):
        raise ConfigurationError(f"{named!r}: a name with slashes begins with one")
    if arn is not None:
        return named
    resource = "parameter/" + name.removeprefix("/")
    make = place.public_arn if name.startswith(PUBLIC_PREFIX) else place.arn
    return make("ssm", resource, named)


def path_resource(path: str, place: Place) -> str:
    """The resource that GetParametersByPath is judged by."""
    if path == "/":
        return place.arn("ssm", "parameter/", path)
    if not path.startswith("/"):
        raise ConfigurationError(f"{path!r}: a path begins with a slash")
    return parameter_resource(path.removesuffix("/"), place)


def table_resource(named: str, place: Place) -> str:
    """The resource of a DynamoDB table; `${Name}` is the one that a template's parameter names."""
    if named.startswith("arn:"):
        return resource_of("dynamodb", named, "table")
    _must_match(_TABLE_NAME, named, "a table's name has 3 to 255 letters, digits and .-_")
    return place.arn("dynamodb", f"table/{named}", named)


def key_arn(named: str) -> Arn:
    """The ARN of a KMS key."""
    arn = Arn.parse(named)
    if "alias/" in named:
        raise ConfigurationError(
            f"{named!r} is an alias, by which IAM allows no use of the key: give the ARN of the key itself "
            "(aws kms describe-key), or the alias as a key alias"
        )
    if arn is None or arn.service != "kms" or not arn.resource.startswith("key/"):
        raise ConfigurationError(f"{named!r} is not the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)")
    return arn


def key_alias(alias: str) -> str:
    """An alias of a customer managed key, as it stands in a condition."""
    if alias.startswith("alias/aws/"):
        raise ConfigurationError(
            f"{alias!r} is a key that AWS manages: its own policy lets everybody in the account use it "
            "through its service, so leave it out"
        )
    _must_match(_ALIAS, alias, "an alias is written alias/NAME")
    return alias


def resource_of(service: str, named: str, what: str) -> str:
    """`named`, if it is an ARN of that service."""
    arn = Arn.parse(named)
    if arn is None or arn.service != service:
        raise ConfigurationError(f"{named!r} is not the ARN of a {what}")
    return named


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """The values in their order, each once."""
    return tuple(dict.fromkeys(values))


def _parsed(named: str) -> Arn | None:
    """The ARN, or None for a name."""
    arn = Arn.parse(named)
    if arn is None and named.startswith("arn:"):
        raise ConfigurationError(f"{named!r} is not a whole ARN")
    return arn


def _with_suffix(arn: str) -> str:
    return arn if arn.endswith("*") else arn + ANY_SUFFIX


def _must_match(pattern: re.Pattern[str], named: str, rule: str) -> None:
    if not pattern.fullmatch(named):
        raise ConfigurationError(f"{named!r}: {rule}")
