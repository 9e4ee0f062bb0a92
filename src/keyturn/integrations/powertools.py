"""Powertools for AWS Lambda: `get_secret` and `get_parameter` that follow rotations.

    follow_rotations(SecretCache(marker_table="keyturn-markers"))

After this one line, Powertools' own functions `get_secret`, `get_parameter` and `get_parameters` read from
the cache: `max_age` no longer matters, since the cache knows when a copy is old. What writes (`set_secret`,
`set_parameter`) and what keyturn has no cache for (`get_secrets_by_name`, `get_parameters_by_name`) stays
Powertools' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools.utilities.parameters import (
    GetParameterError,
    SecretsProvider,
    SSMProvider,
    TransformParameterError,
)
from aws_lambda_powertools.utilities.parameters.base import transform_value
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS

from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError, KeyturnError, SecretKindError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT, SecretVersion

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters.types import TransformOptions
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

_T = TypeVar("_T")


def follow_rotations(cache: SecretCache) -> None:
    """Let Powertools' functions for secrets and parameters read from `cache`, in the whole process.

    Powertools' `clear_caches` takes that back, so call this again after it.
    """
    DEFAULT_PROVIDERS["secrets"] = CachedSecrets(cache)
    DEFAULT_PROVIDERS["ssm"] = CachedParameters(cache)


class CachedSecrets(SecretsProvider):
    """A provider of secrets whose `get` reads from a cache. Raises Powertools' `GetParameterError`.

    `VersionStage` is the one option of the call that it knows; `force_fetch` reads the secret anew, at most
    once a second.
    """

    def __init__(self, cache: SecretCache, boto3_client: SecretsManagerClient | None = None) -> None:
        super().__init__(boto3_client=boto3_client)
        self._cache = cache

    def get(
        self,
        name: str,
        max_age: int | None = None,  # noqa: ARG002 # the cache knows how long a copy is good
        transform: TransformOptions = None,
        force_fetch: bool = False,  # noqa: FBT001, FBT002 # Powertools' own signature
        **sdk_options: object,
    ) -> str | bytes | dict[str, object] | None:
        """Return the value of the secret, transformed as Powertools does it."""
        stage = _stage(name, sdk_options)
        if force_fetch:
            self._cache.invalidate(name)
        return _transformed(name, _value(_read(lambda: self._cache.get(name, stage=stage))), transform)


class CachedParameters(SSMProvider):
    """A provider of parameters whose `get` and `get_multiple` read from a cache.

    Raises Powertools' `GetParameterError`.
    """

    def __init__(self, cache: SecretCache, boto3_client: SSMClient | None = None) -> None:
        super().__init__(boto3_client=boto3_client)
        self._cache = cache

    def get(  # type: ignore[override] # as above
        self,
        name: str,
        max_age: int | None = None,  # noqa: ARG002
        transform: TransformOptions = None,
        decrypt: bool | None = None,  # noqa: FBT001
        force_fetch: bool = False,  # noqa: FBT001, FBT002
        **sdk_options: object,
    ) -> str | bytes | dict[str, object] | None:
        """Return the value of the parameter, transformed as Powertools does it."""
        _refuse(name, sdk_options)
        if force_fetch:
            self._cache.invalidate(name)
        parameter = _read(lambda: self._cache.get_parameter(name, decrypt=bool(decrypt)))
        return _transformed(name, parameter.value, transform)

    def get_multiple(  # type: ignore[override] # noqa: PLR0917 # as above
        self,
        path: str,
        max_age: int | None = None,  # noqa: ARG002
        transform: TransformOptions = None,
        raise_on_transform_error: bool = False,  # noqa: FBT001, FBT002
        decrypt: bool | None = None,  # noqa: FBT001
        force_fetch: bool = False,  # noqa: FBT001, FBT002
        recursive: bool = False,  # noqa: FBT001, FBT002
        **sdk_options: object,
    ) -> dict[str, str] | dict[str, bytes] | dict[str, dict[str, object]]:
        """Return the values below a path, by their names relative to the path, as Powertools does it.

        `force_fetch` reads each value anew. New names are found as `get_parameters_by_path` says.
        """
        _refuse(path, sdk_options)

        def read() -> dict[str, Parameter]:
            return self._cache.get_parameters_by_path(path, recursive=recursive, decrypt=bool(decrypt))

        found = _read(read)
        if force_fetch:
            for name in found:
                self._cache.invalidate(name)
            found = _read(read)
        values: dict[str, object] = {
            name.removeprefix(path).lstrip("/"): parameter.value for name, parameter in found.items()
        }
        if not transform:
            return values  # type: ignore[return-value] # of text
        try:
            made = transform_value(
                value=values, transform=transform, raise_on_transform_error=raise_on_transform_error
            )
        except TransformParameterError:
            # As in `_transformed`: neither this frame nor the cause may keep the values.
            del values, found
        else:
            return made
        raise TransformParameterError(f"the values below {path!r} could not be transformed as {transform}")


def _read(read: Callable[[], _T]) -> _T:
    """Read from the cache. Users of Powertools catch its own error."""
    try:
        return read()
    except KeyturnError as error:
        raise GetParameterError(str(error)) from error


def _value(version: SecretVersion) -> str | bytes:
    try:
        return version.text()
    except SecretKindError:
        return version.blob()


def _transformed(
    name: str, value: str | bytes, transform: TransformOptions
) -> str | bytes | dict[str, object] | None:
    if not transform:
        return value
    try:
        made: str | bytes | dict[str, object] | None = transform_value(
            key=name, value=value, transform=transform, raise_on_transform_error=True
        )
    except (TransformParameterError, ValueError):
        # Powertools' own error comes from a JSONDecodeError, which has the whole document. So has the
        # UnicodeDecodeError that it passes on of a binary secret.
        del value
    else:
        return made
    raise TransformParameterError(f"{name!r} could not be transformed as {transform}")


def _stage(name: str, options: Mapping[str, object]) -> str:
    _refuse(name, {option: value for option, value in options.items() if option != "VersionStage"})
    return str(options.get("VersionStage", AWSCURRENT))


def _refuse(name: str, options: Mapping[str, object]) -> None:
    if options:
        raise ConfigurationError(
            f"{name!r}: {', '.join(sorted(options))} cannot be passed on, the answer is keyturn's"
        )
