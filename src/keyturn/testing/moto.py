"""What the kit corrects of moto: labels that a rotation moves, and clients that are older than moto."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from unittest.mock import patch

from keyturn.model.versions import AWSCURRENT

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.httpsession import URLLib3Session
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


def answering_every_client() -> AbstractContextManager[object]:
    """Let moto, in the block, also answer the clients that were made before its import.

    moto adds itself to the sessions that are made after its import. A module under test is mostly imported
    before that, and the client that it makes at its top would call a real account.
    """
    from botocore.httpsession import URLLib3Session
    from moto.core.models import botocore_stubber

    send = URLLib3Session.send

    def answered(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        answer: AWSResponse | None = botocore_stubber("before-send", request)
        return send(session, request) if answer is None else answer

    return patch.object(URLLib3Session, "send", answered)
