"""A correction of moto's one mistake about staging labels that a rotation meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.model.versions import AWSCURRENT

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def mend_moto(client: SecretsManagerClient) -> None:
    """Keep moto's default version on AWSCURRENT before each call of `client`, and after it moves a label.

    moto remembers the version of the last plain put as its default, and does not change the default in
    UpdateSecretVersionStage. After a rotation, therefore, a GetSecretValue without a VersionStage returns an
    old version, and the next plain put leaves AWSCURRENT on two versions. AWS does neither. `client` sees the
    correct default even if another client moved the label. Another client sees it after a call of `client`.
    """
    from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend, secretsmanager_backends

    def follow(**_call: object) -> None:
        for _account, _region, backend in secretsmanager_backends.iter_backends():
            if isinstance(backend, SecretsManagerBackend):
                for secret in backend.secrets.values():
                    default_to_current(secret)

    def default_to_current(secret: object) -> None:
        if not isinstance(secret, FakeSecret):
            return
        for version_id, version in secret.versions.items():
            if AWSCURRENT in version["version_stages"]:
                secret.default_version_id = version_id

    client.meta.events.register("before-call.secrets-manager.*", follow)
    client.meta.events.register("after-call.secrets-manager.UpdateSecretVersionStage", follow)
