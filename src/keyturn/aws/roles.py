"""Roles of other accounts: which account each is for, and a session with the role's credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from keyturn.aws.answers import Call, mapping
from keyturn.errors import ConfigurationError
from keyturn.model.names import ACCOUNT_ID, Arn

if TYPE_CHECKING:
    from botocore.credentials import CredentialResolver

SESSION_NAME: Final = "keyturn"
"""The name of the role's session, which the trail of the role's account shows."""


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
        is_role = arn is not None and arn.service == "iam" and arn.resource.startswith("role/")
        if arn is None or not is_role or not ACCOUNT_ID.fullmatch(arn.account):
            raise ConfigurationError(f"{argument}: {role!r} is not the ARN of an IAM role")
        if arn.account in found:
            raise ConfigurationError(
                f"{argument}: {found[arn.account]!r} and {role!r} are of the same account; give one"
            )
        found[arn.account] = role
    return found


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
