"""The secrets and parameters that callers may ask for, whatever else the endpoint's role may read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import Final

from keyturn.errors import AccessDeniedError, ConfigurationError, ParameterAccessDeniedError
from keyturn.model.names import SUFFIX_LENGTH, Arn, parameter_id
from keyturn.model.parameter import Parameter
from keyturn.model.versions import SecretVersion

_DETAIL: Final = "the endpoint's --allow does not name it"
_ADVICE: Final = "ask for what it names, or start the endpoint with another --allow"


class AllowList:
    """Names and ARNs with the wildcards of IAM: `*` is any text, `?` one character. None at all allows all.

    A pattern that begins with `arn:` is compared with ARNs, any other with names, of secrets and of
    parameters. What a caller asked for is checked before it is read; the name and the ARN of the answer are
    checked again, since an id that a caller gives may be cut off or a name that ends like an ARN.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        patterns = tuple(patterns)
        for pattern in patterns:
            if not pattern or not pattern.isprintable():
                raise ConfigurationError(f"--allow {pattern!r} is no pattern of a name or an ARN")
        arns = [one for one in patterns if one.startswith("arn:")]
        self._of_arns = [_compiled(one) for one in arns]
        self._of_names = [_compiled(one) for one in patterns if not one.startswith("arn:")]
        # What an ARN's pattern says of the name alone, for callers that give no ARN.
        resources = [_resource(one) for one in arns]
        self._of_resources = [_compiled(one) for one in resources]
        # Callers need not know the suffix of a secret's ARN.
        self._of_beginnings = [
            _compiled(beginning) for one in (*arns, *resources) for beginning in _without_suffix(one)
        ]
        self._allows_all = not patterns

    def check_secret(self, secret_id: str) -> None:
        """Raise `AccessDeniedError` if no secret with this id, name or ARN, can be allowed."""
        if self._allows_all:
            return
        arn = Arn.parse(secret_id)
        if arn is None:
            names, beginning = [secret_id], f"secret:{secret_id}-"
        else:
            name = arn.resource.removeprefix("secret:")
            names, beginning = [name, name[:-SUFFIX_LENGTH]], f"{secret_id}-"
        if not (self._is(secret_id, names) or _fits(self._of_beginnings, [beginning])):
            raise AccessDeniedError(secret_id, _DETAIL, advice=_ADVICE)

    def check_version(self, version: SecretVersion) -> None:
        """Raise `AccessDeniedError` if this secret is not allowed."""
        if not self._allows_all and not self._is(version.arn, [version.name]):
            raise AccessDeniedError(version.secret_id, _DETAIL, advice=_ADVICE)

    def check_parameter_name(self, name: str) -> None:
        """Raise `ParameterAccessDeniedError` if no parameter of this name or ARN can be allowed."""
        if self._allows_all:
            return
        asked = parameter_id(name).name
        resources = [] if asked.startswith("arn:") else [f"parameter/{asked.removeprefix('/')}"]
        if not (self._is(asked, _parameter_names(asked)) or _fits(self._of_resources, resources)):
            raise ParameterAccessDeniedError(name, _DETAIL, advice=_ADVICE)

    def check_parameter(self, parameter: Parameter) -> None:
        """Raise `ParameterAccessDeniedError` if this parameter is not allowed."""
        if not self._allows_all and not self._is(parameter.arn, _parameter_names(parameter.name)):
            raise ParameterAccessDeniedError(parameter.secret_id, _DETAIL, advice=_ADVICE)

    def _is(self, arn: str, names: list[str]) -> bool:
        return _fits(self._of_arns, [arn]) or _fits(self._of_names, names)


def _fits(patterns: list[re.Pattern[str]], texts: list[str]) -> bool:
    return any(pattern.fullmatch(one) for pattern in patterns for one in texts)


def _without_suffix(pattern: str) -> Iterator[str]:
    """Yield what a pattern says of an ARN up to the hyphen of its suffix, however the pattern's end has that.

    The end, which may have wildcards too, has to fit the six characters after the hyphen.
    """
    for at in range(len(pattern), -1, -1):
        beginning, end = pattern[:at], pattern[at:]
        missing = SUFFIX_LENGTH - 1 - len(end.replace("*", ""))
        if missing < 0:
            return
        if missing == 0 or "*" in beginning[-1:] + end:
            yield beginning


def _resource(pattern: str) -> str:
    """Return what the pattern of an ARN says of the resource, or anything if that is not clear."""
    for kind in ("secret:", "parameter/"):
        _, found, rest = pattern.partition(f":{kind}")
        if found:
            return kind + rest
    return "*"


def _parameter_names(name: str) -> list[str]:
    """Return the names that a parameter can have; the ARN of `/flat` is the same as that of `flat`."""
    arn = Arn.parse(name)
    if arn is None:
        return [name]
    rest = arn.resource.removeprefix("parameter/")
    return [f"/{rest}"] if "/" in rest else [rest, f"/{rest}"]


def _compiled(pattern: str) -> re.Pattern[str]:
    # A bracket is a wildcard of `fnmatch`, and a plain character for IAM.
    return re.compile(translate(pattern.replace("[", "[[]")))
