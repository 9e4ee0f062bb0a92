"""AWS Lambda: secrets through the AWS Parameters and Secrets Lambda Extension, without an AWS SDK.

A cache that reads through it:

    from keyturn import Peers, SecretCache
    from keyturn.integrations.awslambda import extension_source

    cache = SecretCache(peers=Peers(source=extension_source()))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.assembly import extension_settings
from keyturn.aws.extension import ExtensionSource
from keyturn.runtime.host import session_token, system_sleep

if TYPE_CHECKING:
    from keyturn.aws.extension_parameters import ExtensionParameters


def extension_source() -> ExtensionSource:
    """The function's extension as a source of secrets, as the environment variables set it up.

    Loads no botocore. Raises `ConfigurationError` for a variable that AWS does not document so.
    """
    return ExtensionSource(extension_settings(), token=session_token, sleep=system_sleep)


def extension_parameters(decrypt: bool) -> ExtensionParameters:  # noqa: FBT001 # as `parameter_source`
    """The same for parameters, decrypted or not; `get_parameters_by_path` is not to be had this way."""
    # Who reads secrets only has no use for it.
    from keyturn.aws.extension_parameters import ExtensionParameters

    return ExtensionParameters(extension_settings(), decrypt=decrypt, token=session_token, sleep=system_sleep)
