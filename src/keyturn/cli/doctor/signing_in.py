"""The code of an MFA device, for which botocore asks a person at the first call that needs credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.aws.answers import mapping
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, ClientFactory
from keyturn.aws.unseen import Unseen

if TYPE_CHECKING:
    from botocore.session import Session


def sign_in(factory: ClientFactory) -> bool:
    """Let botocore ask for the code in this thread, if the profile names a device. Return whether it does.

    A person may take any time to type. The call of STS after it takes a few seconds at most. Raises whatever
    a call would raise that gets no credentials.
    """
    from botocore.config import Config

    session = factory.session()
    if not _has_device(session):
        return False
    connect_s, read_s = SECRETS_TIMEOUTS_S
    # By botocore's defaults an STS that hangs would take five minutes. The factory's clients override these.
    session.set_default_client_config(
        Config(connect_timeout=connect_s, read_timeout=read_s, retries={"total_max_attempts": 1})
    )
    with Unseen():
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
    return True


def _has_device(session: Session) -> bool:
    """Return True if the profile, or one that its role is assumed with, names an MFA device."""
    profiles: object = session.full_config.get("profiles")
    named: object = session.profile or "default"
    for _ in mapping(profiles):
        profile = mapping(mapping(profiles).get(str(named)))
        if "mfa_serial" in profile:
            return True
        named = profile.get("source_profile")
    return False
