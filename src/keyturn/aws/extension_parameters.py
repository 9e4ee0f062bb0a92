"""The AWS Parameters and Secrets Lambda Extension as a source of parameters; see `keyturn.aws.extension`."""

from __future__ import annotations

from collections.abc import Callable

from keyturn.aws.extension import ExtensionClient, ExtensionSettings, is_unexplained
from keyturn.aws.parameterstore import read_parameter
from keyturn.errors import ParameterUnavailableError, ParameterVersionNotFoundError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT


class ExtensionParameters:
    """Reads parameters through the extension, one at each request. It reads no paths.

    Threads and forked processes may share it. With `decrypt` it asks for the value of a SecureString in
    clear. The other arguments are those of `ExtensionSource`; the TTL is SSM_PARAMETER_STORE_TTL.
    """

    def __init__(
        self,
        settings: ExtensionSettings,
        *,
        decrypt: bool,
        token: Callable[[], str],
        sleep: Callable[[float], None],
    ) -> None:
        self.ttl_s = settings.parameters_ttl_s
        self._client = ExtensionClient(settings.port, settings.parameters_timeout_s, token=token, sleep=sleep)
        self._decrypt = decrypt

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        """Read a parameter by one request; see `read_parameter`.

        If the extension rejects the request without a reason, a second request tells whether the parameter is
        there and only the version is missing.
        """
        try:
            return self._read(secret_id, stage, version_id)
        except ParameterUnavailableError as error:
            if stage == AWSCURRENT or not is_unexplained(error) or not self._has_latest(secret_id):
                raise
            what = f"the extension rejects {stage} and serves the latest version"
            raise ParameterVersionNotFoundError(secret_id, what) from error

    def _read(self, secret_id: str, stage: str, version_id: str | None) -> Parameter:
        return read_parameter(lambda: self._client, secret_id, stage, version_id, decrypt=self._decrypt)

    def _has_latest(self, secret_id: str) -> bool:
        try:
            self._read(secret_id, AWSCURRENT, None)
        except ParameterUnavailableError:
            return False
        return True
