"""The ARNs that IAM checks a request against, made from the names that people use.

Each rule comes from the service's own documentation of its actions, resources and condition keys:

- A secret's ARN ends in six random characters. `-??????` stands for them, so that a policy outlives a
  re-created secret; `-*` would also match `NAME-anything-AbCdEf`.
- A secret's ARN has its name unchanged, with a leading slash. A parameter's ARN has its name without it.
- IAM checks GetParametersByPath against the path in the request, whatever is below that path.
- IAM checks the use of a KMS key against the ARN of the key, never against an alias.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from keyturn.errors import ConfigurationError
from keyturn.model.names import PUBLIC_PREFIX, SUFFIX_LENGTH, Arn
from keyturn.model.table_names import parameter_of_table

ANY_SUFFIX: Final = "-??????"

# A template may give the beginning of a name, a table's name or an ARN: `${Name}`, `${Resource.Arn}`.
_SECRET_NAME = re.compile(r"[\w/+=.@!*-]{1,512}|\$\{\w+\}[\w/+=.@!*-]{0,512}", re.ASCII)
_PARAMETER_NAME = re.compile(r"/?[\w.*-]+(/[\w.*-]+)*", re.ASCII)
_SUFFIX = re.compile(r"-([A-Za-z0-9]{6}|\?{6})")
_TABLE_NAME = re.compile(r"[\w.-]{3,255}|\$\{\w+\}", re.ASCII)
_OF_TEMPLATE = re.compile(r"\$\{\w+\}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}|\$\{AWS::AccountId\}")
_ACCOUNTS = re.compile(r"[0-9?]{12}|[0-9?]*\*[0-9?*]*|\$\{[\w:]+\}", re.ASCII)
_ARN_OF_STACK = re.compile(r"\$\{\w+(\.Arn)?\}", re.ASCII)
_ALIAS = re.compile(r"alias/[\w/-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """The Region, account and partition of everything that is not named by an ARN.

    An empty field is unknown. Raises `ConfigurationError` for an account that is not 12 digits.
    """

    region: str = ""
    account: str = ""
    partition: str = "aws"

    def __post_init__(self) -> None:
        if self.account and not _ACCOUNT.fullmatch(self.account):
            raise ConfigurationError(f"account {self.account!r} is not 12 digits")

    @classmethod
    def of_stack(cls) -> Self:
        """Return the place of a CloudFormation stack as pseudo parameters, for `Fn::Sub` in a template."""
        return cls("${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}")

    def arn(self, service: str, resource: str, named: str) -> str:
        """Return the ARN of what the caller named.

        Raises `ConfigurationError` if account or Region is missing.
        """
        if not self.account:
            raise ConfigurationError(f"the account of {named!r} is not known: give its number, or an ARN")
        return str(self._arn(service, self.account, resource, named))

    def public_arn(self, service: str, resource: str, named: str) -> str:
        """Return the ARN of what AWS itself publishes in each Region and no account owns."""
        return str(self._arn(service, "", resource, named))

    def _arn(self, service: str, account: str, resource: str, named: str) -> Arn:
        if not self.region:
            raise ConfigurationError(f"the Region of {named!r} is not known: give its name, or an ARN")
        return Arn(self.partition, service, self.region, account, resource)


def secret_resource(named: str, place: Place) -> str:
    """Return a secret's resource: its full ARN unchanged, otherwise with `-??????` for the random suffix.

    A name or ARN that ends in `*` is not changed. An ARN that ends in a hyphen and six letters or digits
    counts as full.
    """
    arn = _parsed(named)
    if arn is not None and (arn.service != "secretsmanager" or not arn.resource.startswith("secret:")):
        raise ConfigurationError(f"{named!r} is not the ARN of a secret")
    if arn is not None:
        _must_have_a_place(named, arn)
    name = named if arn is None else arn.resource.removeprefix("secret:")
    has_suffix = arn is not None and _SUFFIX.fullmatch(name[-SUFFIX_LENGTH:]) is not None
    _must_match(
        _SECRET_NAME,
        name[:-SUFFIX_LENGTH] if has_suffix else name,
        "a secret's name has letters, digits and /_+=.@-, and ! if AWS manages the secret",
    )
    if arn is None:
        return _with_suffix(place.arn("secretsmanager", f"secret:{named}", named))
    return named if has_suffix else _with_suffix(named)


def marker_keys(resource: str) -> tuple[str, ...]:
    """Return the keys of the markers of a secret, given its resource: the resource without its suffix.

    A resource `NAME-*` is that of the secret NAME, too, whose suffix begins with that hyphen.
    """
    if not resource.endswith("*"):
        return (resource[:-SUFFIX_LENGTH],)
    own = resource.removesuffix("-*")
    return (resource,) if own == resource else (own, resource)


def is_of_template(named: str) -> bool:
    """Return whether this is nothing but a reference to a template's parameter: `${Name}`."""
    return _OF_TEMPLATE.fullmatch(named) is not None


def parameter_resource(named: str, place: Place) -> str:
    """Return a parameter's resource.

    It has one slash after `parameter`, with or without a slash in the name. `${Name}` stands for a path, with
    its slash, that a template's parameter has.
    """
    if is_of_template(named):
        return place.arn("ssm", f"parameter{named}", named)
    arn = _parsed(named)
    if arn is not None and (arn.service != "ssm" or not arn.resource.startswith("parameter/")):
        raise ConfigurationError(f"{named!r} is not the ARN of a parameter")
    name = named if arn is None else arn.resource.removeprefix("parameter")
    if ":" in name:
        raise ConfigurationError(f"{named!r}: policies have no versions and labels; give the name alone")
    if name.startswith("//"):
        raise ConfigurationError(f"{named!r}: the ARN has two slashes after `parameter`, and needs one")
    _must_match(
        _PARAMETER_NAME, name, "a parameter's name has letters, digits and .-_, separated by single slashes"
    )
    if "/" in name and not name.startswith("/"):
        raise ConfigurationError(f"{named!r}: a name with slashes begins with a slash")
    if arn is not None:
        _must_have_a_place(named, arn, of_account=not (arn.account == "" and _is_public(name)))
        return named
    resource = "parameter/" + name.removeprefix("/")
    make = place.public_arn if name.startswith(PUBLIC_PREFIX) else place.arn
    return make("ssm", resource, named)


def path_resource(path: str, place: Place) -> str:
    """Return the resource that IAM checks GetParametersByPath against."""
    if path == "/":
        return place.arn("ssm", "parameter/", path)
    if not path.startswith("/"):
        raise ConfigurationError(f"{path!r}: a path begins with a slash")
    return parameter_resource(path.removesuffix("/"), place)


def table_resource(named: str, place: Place) -> str:
    """Return a DynamoDB table's resource.

    `${Name}` stands for the table that a template's parameter names, `${Table.Arn}` for one of its resources.
    """
    if named.startswith("arn:") or named.endswith(".Arn}"):
        return table_arn(named)
    if parameter_of_table(named) is not None:
        raise ConfigurationError(
            f"{named!r} names a parameter, which no policy can follow: give the table's own name or ARN, and "
            "the parameter as --table-parameter"
        )
    _must_match(_TABLE_NAME, named, "a table's name has 3 to 255 letters, digits and .-_")
    return place.arn("dynamodb", f"table/{named}", named)


def table_arn(named: str) -> str:
    """Return the ARN of a DynamoDB table, or `${Table.Arn}`. Raises `ConfigurationError` for a name."""
    arn = Arn.parse(resource_of("dynamodb", "table/", named, "table"))
    if arn is not None and "/" in arn.resource.removeprefix("table/"):
        raise ConfigurationError(f"{named!r} is not the ARN of a table, but of something that belongs to it")
    return named


def log_group_arn(named: str) -> str:
    """Return the ARN of a log group as CloudFormation gives it, or `${Group.Arn}`: that of its streams."""
    resource_of("logs", "log-group:", named, "log group")
    has_streams = named.endswith("*") or ":log-stream:" in named or _ARN_OF_STACK.fullmatch(named)
    if not has_streams:
        raise ConfigurationError(f"{named!r}: end the ARN in :*, since lines go into the group's streams")
    return named


def key_arn(named: str) -> Arn:
    """Return the ARN of a KMS key."""
    arn = Arn.parse(named)
    if "alias/" in named:
        raise ConfigurationError(
            f"{named!r} is an alias, and IAM allows no key by its alias: give the ARN of the key itself "
            "(aws kms describe-key), or the alias as a key alias"
        )
    if arn is None or arn.service != "kms" or not _is_below("key/", arn):
        raise ConfigurationError(f"{named!r} is not the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)")
    _must_have_a_place(named, arn)
    return arn


def key_alias(alias: str) -> str:
    """Return an alias of a customer managed key, in the form that a condition needs."""
    if alias.startswith("alias/aws/"):
        raise ConfigurationError(
            f"{alias!r} is a key that AWS manages. Its own policy lets the whole account use it "
            "through its service, so leave it out"
        )
    _must_match(_ALIAS, alias, "an alias is written alias/NAME")
    return alias


def resource_of(service: str, prefix: str, named: str, what: str) -> str:
    """Return `named`, an ARN of that service and this kind of its resources, or `${…}`.

    Raises `ConfigurationError` for anything else.
    """
    arn = Arn.parse(named)
    if _ARN_OF_STACK.fullmatch(named):
        return named
    if arn is None or arn.service != service or not _is_below(prefix, arn):
        raise ConfigurationError(f"{named!r} is not the ARN of a {what}")
    _must_have_a_place(named, arn)
    return named


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """Return the values in their order, each once."""
    return tuple(dict.fromkeys(values))


def _parsed(named: str) -> Arn | None:
    """Return the ARN, or None for a name."""
    arn = Arn.parse(named)
    if arn is None and named.startswith("arn:"):
        raise ConfigurationError(f"{named!r} is not a whole ARN")
    return arn


def _must_have_a_place(named: str, arn: Arn, *, of_account: bool = True) -> None:
    """Raise `ConfigurationError` for an ARN that matches nothing. `*` may stand for Regions and accounts."""
    if not arn.region or (of_account and not _ACCOUNTS.fullmatch(arn.account)):
        raise ConfigurationError(
            f"{named!r} is not a whole ARN: it needs a Region and an account of 12 digits"
        )


def _is_public(name: str) -> bool:
    """Return whether a name, in which `*` stands for any characters, can be that of what AWS publishes."""
    begins, star, _ = name.partition("*")
    return begins.startswith(PUBLIC_PREFIX) or (bool(star) and PUBLIC_PREFIX.startswith(begins))


def _is_below(prefix: str, arn: Arn) -> bool:
    return arn.resource.startswith(prefix) and arn.resource != prefix


def _with_suffix(arn: str) -> str:
    return arn if arn.endswith("*") else arn + ANY_SUFFIX


def _must_match(pattern: re.Pattern[str], named: str, rule: str) -> None:
    if not pattern.fullmatch(named):
        raise ConfigurationError(f"{named!r}: {rule}")
