"""Every policy that the two stacks deploy, in CloudFormation and in Terraform alike.

`tools/stack_policies.py` writes them into the templates and modules of `infra`, and a test fails if one of
them differs. Names in `${...}` are the template's resources and parameters. A text with
`${NamePrefix}` stands for one text for each prefix of NamePrefixes, and one with `${Rule.Arn}` for one text
for each rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement

PLACE: Final = Place.of_stack()
NAME_PREFIX: Final = "${NamePrefix}"
RULE: Final = "${Rule.Arn}"
TABLE: Final = "${MarkerTable.Arn}"
FLEET: Final = "${ConvergenceTable.Arn}"
KEY: Final = "${TableKeyArn}"
QUEUE: Final = "${Undelivered.Arn}"
BUCKET: Final = "${TrailBucket.Arn}"
READERS: Final = "${ReaderAccounts}"
ORGANIZATION: Final = "${ReaderOrganization}"

WHEN: Final[Mapping[str, str]] = {
    "AttachToNetwork": "InVpc",
    "CountReports": "CountsReports",
    "FindTable": "HasTableParameter",
    "ListParameters": "SweepsParameters",
    "ListVersions": "ListsVersions",
    "ReadFromAccounts": "HasReaderAccounts",
    "ReadFromOrganization": "HasReaderOrganization",
    "ReadSecrets": "HasAdminSecret",
    "RefuseNetworkToCode": "InVpc",
    "ReportVersions": "Converges",
    "UseAdminKeys": "HasAdminKeys",
    "UseSecretKeys": "HasSecretKeys",
    "UseTableKey": "HasTableKey",
    "UseTableKeyToReport": "ConvergesWithTableKey",
}
"""Statement -> the template's condition without which it is left out."""


WHEN_COUNTING: Final[Mapping[str, str]] = {"ListParameters": "SweepsParameters", "UseTableKey": "HasTableKey"}
"""The same for the counting function, which is there only if there are reports to count."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A statement, and the condition of the template under which it is there; empty means always."""

    statement: Statement
    when: str = ""


def policies() -> Mapping[str, tuple[Clause, ...]]:
    """Return the clauses of each policy of the listener's stack, by the name that its template gives it."""
    listener = roles.listener(
        PLACE,
        marker_table=TABLE,
        prefixes=[NAME_PREFIX],
        parameters=True,
        log_group="${ListenerLog.Arn}",
        queue=QUEUE,
        table_key=KEY,
    )
    counter = roles.counter(
        PLACE,
        convergence_table=FLEET,
        parameters=True,
        log_group="${CounterLog.Arn}",
        table_key=KEY,
    )
    reader = roles.marker_reader(
        PLACE,
        marker_table=TABLE,
        prefixes=[NAME_PREFIX],
        table_parameters=["${TableParameter}"],
        convergence_table=FLEET,
        table_key=KEY,
    )
    return {
        "listener": _clauses(listener),
        "counter": tuple(Clause(one, WHEN_COUNTING.get(one.sid, "")) for one in counter),
        "reader": _clauses(reader),
        "table": _clauses(_shared_table()),
        "undelivered": _clauses(_undelivered()),
        "trail": _clauses(_trail()),
    }


def rotation_policies() -> Mapping[str, tuple[Clause, ...]]:
    """Return the clauses of the one policy of a rotation function's stack, by its name in the template."""
    rotation = roles.rotation(
        PLACE,
        secrets=["${SecretName}"],
        admin_secrets=["${AdminSecretName}"],
        keys=["${SecretKeyArns}"],
        marker_table="${MarkerTable}",
        convergence_table="${ConvergenceTable}",
        table_key=KEY,
        lists_versions=True,
    )
    return {"rotation": _clauses((*rotation, *roles.function(log_group="${FunctionLog.Arn}", in_vpc=True)))}


def _clauses(statements: Iterable[Statement]) -> tuple[Clause, ...]:
    return tuple(Clause(one, WHEN.get(one.sid, "")) for one in statements)


def _shared_table() -> tuple[Statement, ...]:
    """Return the policy of the marker table.

    A table's own policy cannot name the table's ARN in CloudFormation: it would need the table before the
    table is made. `*` means the table that the policy is attached to.
    """
    statements = roles.shared_table(PLACE, marker_table=TABLE, accounts=[READERS], organization=ORGANIZATION)
    return tuple(replace(one, resources=("*",)) for one in statements)


def _undelivered() -> tuple[Statement, ...]:
    """Return the policy of the queue for events that did not become markers.

    EventBridge may send for these rules alone, so that nobody can use it as a deputy: the ARN of a rule has
    the account in it. The listener sends with its own role.
    """
    from_rules = {"ArnEquals": {"aws:SourceArn": [RULE]}}
    rules = ("events.amazonaws.com",)
    return (
        Statement("TakeEvents", ("sqs:SendMessage",), (QUEUE,), from_rules, principals=rules),
        _over_tls("sqs:*", (QUEUE,)),
    )


def _trail() -> tuple[Statement, ...]:
    """Return the policy of the bucket of the stack's own trail."""
    own = {"ArnLike": {"aws:SourceArn": [PLACE.arn("cloudtrail", "trail/*", "the trail")]}}
    whole = {**own, "StringEquals": {"s3:x-amz-acl": ["bucket-owner-full-control"]}}
    service = ("cloudtrail.amazonaws.com",)
    logs = f"{BUCKET}/AWSLogs/${{AWS::AccountId}}/*"
    return (
        Statement("LookAtBucket", ("s3:GetBucketAcl",), (BUCKET,), own, principals=service),
        Statement("WriteLog", ("s3:PutObject",), (logs,), whole, principals=service),
        _over_tls("s3:*", (BUCKET, f"{BUCKET}/*")),
    )


def _over_tls(actions: str, resources: tuple[str, ...]) -> Statement:
    """Deny everything that does not come over TLS."""
    plain = {"Bool": {"aws:SecureTransport": ["false"]}}
    return Statement("RefuseWithoutTLS", (actions,), resources, plain, effect="Deny", principals=("*",))
