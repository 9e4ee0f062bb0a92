"""Roles of other accounts: which account each is for, and a session with the role's credentials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from keyturn.aws.answers import Call, mapping
from keyturn.errors import ConfigurationError
from keyturn.model.names import ACCOUNT_ID, PARTITION, Arn

if TYPE_CHECKING:
    from botocore.credentials import CredentialResolver

SESSION_NAME: Final = "keyturn"
"""The name of the role's session, which the trail of the role's account shows."""

_ROLE: Final = re.compile(r"role/(?:[!-9<-~]+/)?[A-Za-z0-9_+=,.@-]+")
"""A role may have a path before its name. A colon in it would be that of another ARN."""


class SecurityTokenClient(Protocol):
    """The operation of a client for STS that assumes a role."""

    @property
    def assume_role(self) -> Call: ...


def roles_by_account(roles: Iterable[str], argument: str) -> dict[str, str]:
    """Return the roles by the accounts in their ARNs.

    Raises `ConfigurationError`, which names the `argument` that gave them, for what is no ARN of a role, and
    for two roles of one account.
    """
    found = dict[str, str]()
    for role in roles:
        arn = Arn.parse(role) if isinstance(role, str) else None
        if arn is None or not _is_role(arn):
            raise ConfigurationError(f"{argument}: {role!r} is not the ARN of an IAM role")
        if arn.account in found:
            raise ConfigurationError(
                f"{argument}: {found[arn.account]!r} and {role!r} are of the same account; give one"
            )
        found[arn.account] = role
    return found


def _is_role(arn: Arn) -> bool:
    # IAM is in no Region. A list whose separator is no comma is one text, and no role's name.
    return (
        PARTITION.fullmatch(arn.partition) is not None
        and (arn.service, arn.region) == ("iam", "")
        and ACCOUNT_ID.fullmatch(arn.account) is not None
        and _ROLE.fullmatch(arn.resource) is not None
    )


def assuming(role: str, client: Callable[[], SecurityTokenClient]) -> CredentialResolver:
    """Return what gives a session the role's credentials, which are renewed before they expire.

    The role is assumed at the first request that needs it. Threads may share the credentials.
    """
    from botocore.credentials import CredentialProvider, CredentialResolver, DeferredRefreshableCredentials

    def assumed() -> Mapping[str, str]:
        answer = client().assume_role(RoleArn=role, RoleSessionName=SESSION_NAME)
        credentials = mapping(answer.get("Credentials"))
        expiration = credentials.get("Expiration")
        return {
            "access_key": str(credentials.get("AccessKeyId")),
            "secret_key": str(credentials.get("SecretAccessKey")),
            "token": str(credentials.get("SessionToken")),
            "expiry_time": expiration.isoformat() if isinstance(expiration, datetime) else "",
        }

    class Assumed(CredentialProvider):
        METHOD = "assume-role"

        def load(self) -> DeferredRefreshableCredentials:
            return credentials

    credentials = DeferredRefreshableCredentials(refresh_using=assumed, method=Assumed.METHOD)
    return CredentialResolver([Assumed()])
