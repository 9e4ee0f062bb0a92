"""Other accounts: which ones an organization has, who asks, and the credentials of a role in each.

The calls are GetCallerIdentity, AssumeRole and ListAccounts. AWS's API references are the source of every
field name here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from keyturn.aws.answers import Call, mapping, mappings
from keyturn.aws.clients import Credentials
from keyturn.aws.faults import called, fault_of
from keyturn.errors import KeyturnError
from keyturn.model.names import Arn

SESSION: Final = "keyturn-status"
"""The name of the sessions, which CloudTrail in the other account shows."""


class IdentityClient(Protocol):
    """The operations of a boto3 or botocore client for STS that are used here."""

    @property
    def get_caller_identity(self) -> Call: ...

    @property
    def assume_role(self) -> Call: ...


class OrganizationClient(Protocol):
    """The operation of a boto3 or botocore client for Organizations that is used here."""

    @property
    def list_accounts(self) -> Call: ...


class Caller(NamedTuple):
    """The account and the partition of the credentials that this process has."""

    account: str
    partition: str


def caller(client: IdentityClient) -> Caller:
    """Return whose credentials the client has. Raises `KeyturnError`."""
    answer = _asked("sts:GetCallerIdentity", client.get_caller_identity)
    arn = Arn.parse(str(answer.get("Arn")))
    account = answer.get("Account")
    if arn is None or not isinstance(account, str):
        raise KeyturnError("sts:GetCallerIdentity: the answer has no account")
    return Caller(account, arn.partition)


def active_accounts(client: OrganizationClient) -> Iterator[str]:
    """Yield the accounts of the organization that are active. Raises `KeyturnError`."""
    request: dict[str, object] = {}
    while True:
        answer = _asked("organizations:ListAccounts", client.list_accounts, **request)
        for entry in mappings(answer.get("Accounts")):
            # AWS replaced Status by State in 2026; an older botocore knows only the first.
            if (entry.get("State") or entry.get("Status")) == "ACTIVE":
                yield str(entry.get("Id"))
        if not answer.get("NextToken"):
            return
        request = {"NextToken": answer["NextToken"]}


def assumed(client: IdentityClient, role_arn: str) -> Credentials:
    """Return the credentials of this role, which last an hour. Raises `KeyturnError`."""
    asked = {"RoleArn": role_arn, "RoleSessionName": SESSION}
    given = mapping(_asked(f"sts:AssumeRole of {role_arn}", client.assume_role, **asked).get("Credentials"))
    parts = [given.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    key_id, secret_key, token = (part if isinstance(part, str) else "" for part in parts)
    if not (key_id and secret_key and token):
        raise KeyturnError(f"sts:AssumeRole of {role_arn}: the answer has no credentials")
    return Credentials(key_id, secret_key, token)


def _asked(what: str, call: Call, **request: object) -> Mapping[str, object]:
    def failure(error: Exception) -> KeyturnError:
        fault = fault_of(error)
        return KeyturnError(f"{what} failed: {fault}; {fault.advice or fault.kind.value}")

    return called(lambda: call(**request), failure)
