"""Parameters through the AWS Parameters and Secrets Lambda Extension; see `keyturn.aws.extension`."""

from __future__ import annotations

from collections.abc import Callable

from keyturn.aws.extension import ExtensionClient, ExtensionSettings, is_unexplained
from keyturn.aws.parameterstore import read_parameter
from keyturn.errors import ParameterUnavailableError, ParameterVersionNotFoundError
from keyturn.model.parameter import Parameter
from keyturn.model.versions import AWSCURRENT


class ExtensionParameters:
    """Reads parameters through the extension, one a request, and no paths. Threads and forks may share it.

    `decrypt`: whether the value of a SecureString is asked for in clear. All else is as for
    `ExtensionSource`; the TTL is SSM_PARAMETER_STORE_TTL.
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
        """One request; see `read_parameter`. A second one when the first is refused without a reason."""
        try:
            return self._read(secret_id, stage, version_id)
        except ParameterUnavailableError as error:
            if stage == AWSCURRENT or not is_unexplained(error) or not self._has_latest(secret_id):
                raise
            what = f"{stage} is refused and the latest version is not"
            raise ParameterVersionNotFoundError(secret_id, what) from error

    def _read(self, secret_id: str, stage: str, version_id: str | None) -> Parameter:
        return read_parameter(lambda: self._client, secret_id, stage, version_id, decrypt=self._decrypt)

    def _has_latest(self, secret_id: str) -> bool:
        try:
            self._read(secret_id, AWSCURRENT, None)
        except ParameterUnavailableError:
            return False
        return True
