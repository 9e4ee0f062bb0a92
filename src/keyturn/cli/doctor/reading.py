"""Checks of the rest that a reader needs: its Region, its account, and its right to read each secret."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.aws.faults import FaultKind
from keyturn.cli.doctor.finding import Cause, Check, Finding, Level, RefusedCallError, Subject, wrong
from keyturn.model.names import Arn
from keyturn.model.versions import AWSCURRENT

NO_VERSION = "keyturn-doctor-there-is-no-such-version"
"""A version id that no secret has. Asking for it shows the right to read, and reads nothing."""


def named(subject: Subject) -> tuple[str, ...]:
    """Return everything that is examined by its name or ARN: the tables and the secrets."""
    reports = () if subject.convergence is None else (subject.convergence,)
    return (subject.table, *reports, *subject.secrets)


def region(subject: Subject) -> Finding:
    """Check that everything named by its ARN is in the clients' Region."""
    for one in named(subject):
        arn = Arn.parse(one)
        if arn is not None and arn.region != subject.region:
            what = f"{one} is in {arn.region}, and these clients are in {subject.region}"
            fix = "set --region or AWS_REGION; each Region has its own table"
            return wrong("region", Cause.OTHER_REGION, what, fix)
    return Finding("region", Level.OK, f"the clients are in {subject.region}")


def account(subject: Subject) -> Finding:
    """Check whether everything named by its ARN is of this role's own account.

    It may be of another account, which is worth knowing: only a role of that account can look at its rules.
    """
    arns = [(one, arn) for one in named(subject) if (arn := Arn.parse(one)) is not None]
    if not arns:
        return Finding("account", Level.OK, "everything is named without an account, so it is of this role's")
    own = own_account(subject)
    for one, arn in arns:
        if arn.account != own:
            what = f"{one} is of account {arn.account}, and this role is of account {own}"
            fix = "if that is intended, also run keyturn doctor with a role of that account"
            return Finding("account", Level.NOTE, what, fix, Cause.OTHER_ACCOUNT)
    return Finding("account", Level.OK, f"everything is of this role's account {own}")


def own_account(subject: Subject) -> str:
    """Return the account of the credentials, which needs no permission."""
    return str(subject.aws.call("sts", "GetCallerIdentity").get("Account"))


def secrets(subject: Subject) -> Finding:
    """Check that Secrets Manager answers and lists secrets."""
    subject.aws.call("secretsmanager", "ListSecrets", MaxResults=1)
    return Finding("secrets", Level.OK, "Secrets Manager answers")


def may_read(secret_id: str) -> Check:
    """Return the check that this role may read the secret. It asks for a version that does not exist."""
    name = f"secret {secret_id}"

    def check(subject: Subject) -> Finding:
        try:
            subject.aws.call(
                "secretsmanager",
                "GetSecretValue",
                SecretId=secret_id,
                VersionId=NO_VERSION,
                VersionStage=AWSCURRENT,
            )
        except RefusedCallError as refused:
            if refused.fault.code != "ResourceNotFoundException":
                raise
        try:
            subject.aws.call("secretsmanager", "DescribeSecret", SecretId=secret_id)
        except RefusedCallError as refused:
            if refused.fault.code == "ResourceNotFoundException":
                what = f"there is no such secret in {subject.region}"
                return wrong(name, Cause.MISSING_SECRET, what, "check its name, the account and the Region")
            # Readers need no DescribeSecret; this check is about the right to read.
            if refused.fault.kind is not FaultKind.DENIED:
                raise
        return Finding(name, Level.OK, "this role may call GetSecretValue on it")

    return check


CHECKS: Mapping[str, Check] = {"region": region, "account": account, "secrets": secrets}
