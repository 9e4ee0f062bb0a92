"""AWS Lambda: secrets through the AWS Parameters and Secrets Lambda Extension, without an AWS SDK.

A cache that reads through it:

    from keyturn import Peers, SecretCache
    from keyturn.integrations.awslambda import extension_source

    cache = SecretCache(peers=Peers(source=extension_source()))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.aws.extension import ExtensionSettings, ExtensionSource
from keyturn.runtime.host import environment, session_token, system_sleep

if TYPE_CHECKING:
    from keyturn.aws.extension_parameters import ExtensionParameters


def extension_source() -> ExtensionSource:
    """Return the function's extension as a source of secrets, set up by the environment variables.

    Loads no botocore. Raises `ConfigurationError` for a variable with a value that AWS does not document.
    """
    return ExtensionSource(_settings(), token=session_token, sleep=system_sleep)


def extension_parameters(decrypt: bool) -> ExtensionParameters:  # noqa: FBT001 # as `parameter_source`
    """Return the same source for parameters, decrypted or not. It cannot do `get_parameters_by_path`."""
    # Functions that read only secrets do not need this import.
    from keyturn.aws.extension_parameters import ExtensionParameters

    return ExtensionParameters(_settings(), decrypt=decrypt, token=session_token, sleep=system_sleep)


def _settings() -> ExtensionSettings:
    return ExtensionSettings.from_environment(environment())
