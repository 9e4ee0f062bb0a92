"""moto's one mistake about staging labels that a rotation meets, corrected in the open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.model.versions import AWSCURRENT

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def mend_moto(client: SecretsManagerClient) -> None:
    """Let moto's default version follow AWSCURRENT before each call of `client` and when it moves a label.

    moto remembers the version of the last plain put as its default and forgets to change that in
    UpdateSecretVersionStage. So, after a rotation, a GetSecretValue without a VersionStage answers an
    old version, and the next plain put leaves AWSCURRENT on two versions. AWS does neither. Whoever
    else moved the label, `client` finds it mended; another client does once `client` was used.
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
