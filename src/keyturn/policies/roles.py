"""The permissions of each role: reader, listener, counter, announcer, rotation function and operator.

They are the one source of what `keyturn policy` prints and of what the stack and the Terraform module deploy
(`keyturn.policies.stack`). A test compares the actions with the calls that each role's code makes.

- ListSecrets, DescribeParameters, GetRandomPassword, ListRules, ListRuleNamesByTarget, ListFunctions and
  DescribeTrails have no resources: they are allowed on `*`.
- DynamoDB compares `dynamodb:LeadingKeys` with the keys of a request, and lets a request without keys pass.
  The condition therefore guards reads and writes by key. Only the listener may Scan.
- `dynamodb:Attributes` has the attributes that an update names: the key, and those of its condition, too. An
  update without any would pass as well, and changes nothing.
- The keys that AWS manages (`aws/secretsmanager`, `aws/ssm`) need no statement. Other keys are allowed only
  through the service, and only for what the service encrypts with them: their encryption context.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keyturn.aws.roles import roles_by_account
from keyturn.errors import ConfigurationError
from keyturn.markers.schema import COPIES_MAX, HEAD_KEY, count_name, entry_name, head_key
from keyturn.model.names import CONVERGENCE_PARAMETER, MARKERS_PARAMETER, PUBLIC_PREFIX, REFERENCE_PREFIX
from keyturn.model.slots import SLOTS, key_hash, slot_of
from keyturn.policies.resources import (
    Place,
    is_of_template,
    key_alias,
    key_arn,
    log_group_arn,
    marker_keys,
    parameter_resource,
    path_resource,
    resource_of,
    secret_resource,
    table_arn,
    table_resource,
    unique,
)
from keyturn.policies.statements import Conditions, Statement

READS: Final = ("BatchGetItem", "GetItem")
WRITES: Final = ("PutItem", "UpdateItem")
KEEPS: Final = ("GetItem", "PutItem", "Scan", "UpdateItem")
LOOKS: Final = ("BatchGetItem", "DescribeTable", "GetItem", "Scan")
DECRYPTS: Final = ("Decrypt", "DescribeKey")
ENCRYPTS: Final = ("Encrypt", "GenerateDataKey*", "ReEncrypt*")
"""What a client needs on the key of a table to read items, and to write them (DynamoDB's developer guide)."""

_ORGANIZATION: Final = re.compile(r"o-[a-z0-9]{10,32}|\$\{\w+\}", re.ASCII)

HEADS: Final = (HEAD_KEY, f"{HEAD_KEY}#*")
"""The keys of the head and of its copies, for who reads them."""

WRITTEN_HEADS: Final = tuple(map(head_key, range(COPIES_MAX)))
"""The same for who writes them: with a pattern a role could fill the table with items of such keys."""

ROTATES: Final = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
LISTS: Final = ("secretsmanager:ListSecretVersionIds",)

FINDS: Final = (
    "cloudtrail:DescribeTrails",
    "events:ListRuleNamesByTarget",
    "events:ListRules",
    "lambda:ListFunctions",
)
"""What names the listener, its rules and the trails. These actions have no resources."""

ATTACHES: Final = (
    "AssignPrivateIpAddresses",
    "CreateNetworkInterface",
    "DeleteNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "UnassignPrivateIpAddresses",
)
"""What Lambda needs of a function's role to attach the function to a VPC (Lambda's developer guide)."""


def reader(
    place: Place,
    *,
    secrets: Sequence[str] = (),
    stages: Sequence[str] = (),
    parameters: Sequence[str] = (),
    paths: Sequence[str] = (),
    keys: Sequence[str] = (),
    key_aliases: Sequence[str] = (),
    marker_table: str | None = None,
    other_tables: Sequence[str] = (),
    table_parameters: Sequence[str] = (),
    convergence_table: str | None = None,
    table_key: str | None = None,
    assumed: Sequence[str] = (),
) -> tuple[Statement, ...]:
    """Return the permissions of a process that reads these through a `SecretCache`.

    Args:
        place: the Region and account of everything that is given by name.
        secrets: names or ARNs. `*` in a name stands for any characters.
        stages: the only staging labels that may be read. Empty means any label.
        parameters: names or ARNs, in the same way. A reference to a secret counts as that secret.
        paths: the paths for `get_parameters_by_path`.
        keys: ARNs of the customer managed KMS keys that encrypt them.
        key_aliases: aliases ("alias/my-app") of such keys in `place`, instead of their ARNs.
        marker_table: name or ARN.
        other_tables: ARNs of the marker tables of other accounts and Regions.
        table_parameters: names or ARNs of the parameters by which the process finds its marker tables.
        convergence_table: name or ARN, if the process reports which versions it holds.
        table_key: ARN of the customer managed KMS key that encrypts the tables.
        assumed: ARNs of the roles of other accounts that the process reads with.

    Raises `ConfigurationError` for arguments that cannot be right.
    """
    own = [name for name in parameters if not name.startswith(REFERENCE_PREFIX)]
    referred = [_referred(name) for name in parameters if name.startswith(REFERENCE_PREFIX)]
    secret_arns = unique(secret_resource(name, place) for name in (*secrets, *referred))
    path_arns = unique(path_resource(path, place) for path in paths)
    below = [arn.rstrip("/") + "/*" for arn in path_arns]
    parameter_arns = unique([*(parameter_resource(name, place) for name in own), *below])
    used = _keys(keys, key_aliases, place)
    if stages and not secret_arns:
        raise ConfigurationError("a staging label is given, but no secret that has it")
    reads = marker_table is not None or bool(other_tables)
    _must_encrypt(table_key, has_table=reads or convergence_table is not None)
    return (
        *_read_secrets(secret_arns, stages),
        *_read_parameters(parameter_arns, path_arns),
        *_use_keys(used, ("kms:Decrypt",), secret_arns, parameter_arns),
        *_use_markers("ReadMarkers", READS, marker_table, place, [*_markers(secret_arns), *parameter_arns]),
        *_use_other_tables(other_tables, [*_markers(secret_arns), *parameter_arns]),
        *_find_tables(table_parameters, place),
        *_report(convergence_table, place),
        *_use_tables(table_key if reads else None, place),
        *_use_table_to_report(table_key if convergence_table is not None else None, place),
        *_assume(assumed),
    )


def shared_table(
    place: Place, *, marker_table: str, accounts: Sequence[str] = (), organization: str | None = None
) -> tuple[Statement, ...]:
    """Return the policy of a marker table that processes of other accounts read.

    It lets these accounts, and every account of the organization, give the rights of a reader to their roles.

    Args:
        place: the Region and account of the table if it is given by name.
        marker_table: name or ARN.
        accounts: numbers of accounts, or a parameter of a template that lists them.
        organization: the id of an organization ("o-..."), or a parameter of a template that is the id.

    Raises `ConfigurationError` for arguments that cannot be right.
    """
    table, reads = (table_resource(marker_table, place),), _on("dynamodb", READS)
    return tuple(
        Statement(f"ReadFrom{of}", reads, table, only, principals=principals)
        for of, principals, only in _readers(accounts, organization)
    )


def shared_table_key(
    place: Place, *, table_key: str, accounts: Sequence[str] = (), organization: str | None = None
) -> tuple[Statement, ...]:
    """Return what the policy of a marker table's KMS key needs for the readers of `shared_table`.

    It is added to the key's own policy, which lets its owners manage the key. The arguments are as there;
    `table_key` is the ARN of the key.
    """
    through = _via_dynamodb(str(key_arn(table_key)), place)
    return tuple(
        Statement(f"UseFrom{of}", _on("kms", DECRYPTS), ("*",), _all_of(through, only), principals=principals)
        for of, principals, only in _readers(accounts, organization)
    )


def _readers(
    accounts: Sequence[str], organization: str | None
) -> Iterator[tuple[str, Sequence[str], Conditions]]:
    """Yield the principals of the accounts, and those of the organization: a name, them, a condition."""
    if not accounts and organization is None:
        raise ConfigurationError("a table's policy would allow nobody: name an account or an organization")
    for account in accounts:
        if not is_of_template(account):
            Place(account=account or "none")
    if accounts:
        yield "Accounts", unique(accounts), {}
    if organization is not None:
        if not _ORGANIZATION.fullmatch(organization):
            raise ConfigurationError(
                f"{organization!r} is not the id of an organization, such as o-a1b2c3d4e5"
            )
        yield "Organization", ("*",), {"StringEquals": {"aws:PrincipalOrgID": [organization]}}


def marker_reader(
    place: Place,
    *,
    marker_table: str,
    prefixes: Sequence[str] = (),
    table_parameters: Sequence[str] = (),
    convergence_table: str | None = None,
    table_key: str | None = None,
) -> tuple[Statement, ...]:
    """Return what a reader needs of the tables, whatever secrets it reads: `reader` less the reads of values.

    It may read the head and the markers of the secrets whose names begin with one of `prefixes` (empty means
    all) and of every parameter. The other arguments are as for `reader`.
    """
    keys = [*_beginning(prefixes, place), parameter_resource("*", place)]
    public = parameter_resource(f"{PUBLIC_PREFIX}*", place)
    return (
        *_use_markers("ReadMarkers", READS, marker_table, place, [*keys, public]),
        *_find_tables(table_parameters, place),
        *_report(convergence_table, place),
        *_use_tables(table_key, place),
        *_use_table_to_report(table_key if convergence_table is not None else None, place),
    )


def listener(
    place: Place,
    *,
    marker_table: str,
    prefixes: Sequence[str] = (),
    parameters: bool = False,
    log_group: str | None = None,
    queue: str | None = None,
    table_key: str | None = None,
) -> tuple[Statement, ...]:
    """Return the permissions of the rotation listener. They allow no read of a value.

    Args:
        place: the Region and account.
        marker_table: name or ARN.
        prefixes: prefixes of the watched secrets' names. Empty means all secrets.
        parameters: whether the listener's sweep lists parameters as well.
        log_group: ARN of the listener's log group, ending in `:*` as in CloudFormation.
        queue: ARN of the queue for events that the listener could not handle.
        table_key: ARN of the customer managed KMS key that encrypts the table.

    Raises `ConfigurationError` for arguments that cannot be right.
    """
    watched = _beginning(prefixes, place)
    statements = [
        Statement("LookAtSecrets", ("secretsmanager:DescribeSecret",), watched),
        Statement("ListSecrets", ("secretsmanager:ListSecrets",), ("*",)),
        Statement("KeepMarkers", _on("dynamodb", KEEPS), (table_resource(marker_table, place),)),
    ]
    if parameters:
        statements.append(Statement("ListParameters", ("ssm:DescribeParameters",), ("*",)))
    if log_group is not None:
        statements += function(log_group=log_group)
    if queue is not None:
        arn = resource_of("sqs", "", queue, "queue")
        statements.append(Statement("SetFailuresAside", ("sqs:SendMessage",), (arn,)))
    return (*statements, *_use_tables(table_key, place, writes=True))


def counter(
    place: Place,
    *,
    convergence_table: str,
    parameters: bool = False,
    log_group: str | None = None,
    table_key: str | None = None,
) -> tuple[Statement, ...]:
    """Return the permissions of the function that counts which environments are behind.

    It only looks, and may read no value. It may describe every secret of the place: ListSecrets, which has no
    resources, tells it the same of each. The other arguments are as for `listener`.
    """
    return (
        Statement("LookAtSecrets", ("secretsmanager:DescribeSecret",), (secret_resource("*", place),)),
        Statement("ListSecrets", ("secretsmanager:ListSecrets",), ("*",)),
        *_count(convergence_table, place),
        *([Statement("ListParameters", ("ssm:DescribeParameters",), ("*",))] if parameters else ()),
        *function(log_group=log_group),
        *_use_tables(table_key, place),
    )


def announcer(
    place: Place, *, secrets: Sequence[str], marker_table: str, table_key: str | None = None
) -> tuple[Statement, ...]:
    """Return the permissions that `keyturn.announce` needs for these secrets. They allow no read of a value.

    They allow writes to the markers of these secrets, and of the heads to the counter and the slots of these
    markers. A name with `*`, or a place of a stack, leaves the slots open, so all are allowed. `table_key` is
    as for `listener`. Raises `ConfigurationError` for arguments that cannot be right.
    """
    arns = _some_secrets(secrets, place)
    return (
        Statement("LookAtSecrets", ("secretsmanager:DescribeSecret",), arns),
        *_announce(marker_table, place, _markers(arns)),
        *_use_tables(table_key, place, writes=True),
    )


def rotation(
    place: Place,
    *,
    secrets: Sequence[str],
    admin_secrets: Sequence[str] = (),
    keys: Sequence[str] = (),
    key_aliases: Sequence[str] = (),
    marker_table: str | None = None,
    convergence_table: str | None = None,
    table_key: str | None = None,
    lists_versions: bool = False,
) -> tuple[Statement, ...]:
    """Return the permissions of a rotation function for these secrets, which announces its steps.

    Args:
        place, secrets, keys, key_aliases: as for `reader`.
        admin_secrets: secrets of users that change other users' passwords (`masterarn`). They are only read.
        marker_table: name or ARN. Without a table the steps are not announced.
        convergence_table: name or ARN, if the function counts who still holds a version.
        table_key: as for `listener`.
        lists_versions: whether the function lists the versions of its secrets. `ApiKeys` needs that. Others
            find the password that the server has, where no version with a label names it.

    Raises `ConfigurationError` for arguments that cannot be right.
    """
    arns = _some_secrets(secrets, place)
    admins = unique(secret_resource(name, place) for name in admin_secrets)
    used = _keys(keys, key_aliases, place)
    _must_encrypt(table_key, has_table=marker_table is not None or convergence_table is not None)
    return (
        Statement("RotateSecrets", _on("secretsmanager", ROTATES), arns),
        *([Statement("ListVersions", LISTS, arns)] if lists_versions else ()),
        Statement("MakePasswords", ("secretsmanager:GetRandomPassword",), ("*",)),
        *_read_secrets(admins, ()),
        *_use_keys(used, ("kms:Decrypt", "kms:GenerateDataKey"), arns, ()),
        *(_use_keys(used, ("kms:Decrypt",), admins, (), "UseAdmin") if admins else ()),
        *_announce(marker_table, place, _markers(arns)),
        *_count(convergence_table, place),
        *_use_tables(table_key, place, writes=marker_table is not None),
    )


def function(*, log_group: str | None = None, in_vpc: bool = False) -> tuple[Statement, ...]:
    """Return what Lambda needs of a function's role, beside what the function's own code needs.

    Args:
        log_group: ARN of the function's log group, ending in `:*` as in CloudFormation.
        in_vpc: whether the function is attached to a VPC. Lambda makes network interfaces with the role; the
            function's code is refused that.

    https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    """
    statements: list[Statement] = []
    if log_group is not None:
        arn = log_group_arn(log_group)
        statements.append(Statement("WriteItsLog", _on("logs", ("CreateLogStream", "PutLogEvents")), (arn,)))
    if in_vpc:
        attach = _on("ec2", ATTACHES)
        from_code = {"Null": {"lambda:SourceFunctionArn": ["false"]}}
        statements.append(Statement("AttachToNetwork", attach, ("*",)))
        statements.append(Statement("RefuseNetworkToCode", attach, ("*",), from_code, effect="Deny"))
    return tuple(statements)


def operator(
    place: Place,
    *,
    marker_table: str,
    prefixes: Sequence[str] = (),
    convergence_table: str | None = None,
    table_key: str | None = None,
) -> tuple[Statement, ...]:
    """Return the permissions of whoever runs `keyturn status`, `watch` and `doctor`.

    They only look, and allow no read of a secret's value; of the parameters they read those that name the
    tables. The arguments are as for `reader` and `listener`.
    """
    watched = _beginning(prefixes, place)
    tables = [
        table_resource(table, place) for table in (marker_table, convergence_table) if table is not None
    ]
    fleet = () if convergence_table is None else (table_resource(convergence_table, place),)
    functions = (place.arn("lambda", "function:*", "the listener"),)
    rules = (place.arn("events", "rule/*", "the listener's rules"),)
    trails = (place.arn("cloudtrail", "trail/*", "the trails"),)
    names = [parameter_resource(name, place) for name in (MARKERS_PARAMETER, CONVERGENCE_PARAMETER)]
    return (
        Statement("LookAtSecrets", ("secretsmanager:DescribeSecret",), watched),
        Statement("ListSecrets", ("secretsmanager:ListSecrets",), ("*",)),
        Statement("FindTables", ("ssm:GetParameter",), names),
        Statement("LookAtTables", _on("dynamodb", LOOKS), tables),
        *((Statement("LookAtExpiry", ("dynamodb:DescribeTimeToLive",), fleet),) if fleet else ()),
        Statement("FindListener", FINDS, ("*",)),
        Statement("LookAtRules", ("events:ListTargetsByRule",), rules),
        Statement("LookAtListener", _on("lambda", ("GetFunctionConfiguration", "GetPolicy")), functions),
        Statement("LookAtTrails", ("cloudtrail:GetTrailStatus",), trails),
        *_use_tables(table_key, place),
    )


def _beginning(prefixes: Sequence[str], place: Place) -> list[str]:
    """Return the resources of the secrets whose names begin so; of all secrets without a prefix."""
    if "" in prefixes:
        raise ConfigurationError("a prefix is empty: give the beginning of the names, or none for all names")
    return [secret_resource(f"{prefix}*", place) for prefix in prefixes or ("",)]


def _some_secrets(secrets: Sequence[str], place: Place) -> tuple[str, ...]:
    if not secrets:
        raise ConfigurationError("no secret is given")
    return unique(secret_resource(name, place) for name in secrets)


def _referred(name: str) -> str:
    """Return the secret that a parameter's name refers to, without the stage or version id."""
    return name.removeprefix(REFERENCE_PREFIX).partition(":")[0]


def _on(service: str, actions: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{service}:{action}" for action in actions)


def _read_secrets(arns: Sequence[str], stages: Sequence[str]) -> Iterator[Statement]:
    if "" in stages:
        raise ConfigurationError("a staging label is empty: give one, such as 'AWSCURRENT', or none for any")
    labels = unique(stages)
    only: Conditions = {_comparing(labels): {"secretsmanager:VersionStage": [*labels]}} if stages else {}
    if arns:
        yield Statement("ReadSecrets", ("secretsmanager:GetSecretValue",), arns, only)


def _read_parameters(arns: Sequence[str], path_arns: Sequence[str]) -> Iterator[Statement]:
    if arns:
        yield Statement("ReadParameters", ("ssm:GetParameter", "ssm:GetParameters"), arns)
    if path_arns:
        yield Statement("ReadPaths", ("ssm:GetParametersByPath",), path_arns)


@dataclass(frozen=True, slots=True)
class _Keys:
    """KMS keys for a statement: their ARNs, their Regions, and the condition that selects them."""

    sid: str
    arns: Sequence[str]
    regions: Sequence[str]
    conditions: Conditions = field(default_factory=dict)


def _keys(keys: Sequence[str], aliases: Sequence[str], place: Place) -> list[_Keys]:
    used: list[_Keys] = []
    if keys:
        used.append(_Keys("Keys", [*map(_key, keys)], unique(_key_region(key, place) for key in keys)))
    if aliases:
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [*map(key_alias, aliases)]}}
        used.append(_Keys("KeysByAlias", [place.arn("kms", "key/*", aliases[0])], [place.region], condition))
    return used


def _use_keys(
    keys: Sequence[_Keys],
    actions: Sequence[str],
    secret_arns: Sequence[str],
    parameter_arns: Sequence[str],
    sid: str = "UseSecret",
) -> Iterator[Statement]:
    """Yield statements that allow the keys' use through each service, for what the service encrypts."""
    if keys and not secret_arns and not parameter_arns:
        raise ConfigurationError("a key is given, but no secret and no parameter that it encrypts")
    services = (
        (sid, "secretsmanager", "SecretARN", secret_arns),
        ("UseParameter", "ssm", "PARAMETER_ARN", parameter_arns),
    )
    for key in keys:
        for use, service, context, arns in services:
            if arns:
                encrypts = {"StringLike": {f"kms:EncryptionContext:{context}": arns}}
                conditions = _all_of(_via(service, key.regions), encrypts, key.conditions)
                yield Statement(use + key.sid, actions, key.arns, conditions)


def _use_markers(
    sid: str, actions: Sequence[str], table: str | None, place: Place, markers: Iterable[str]
) -> Iterator[Statement]:
    """Yield the statement that allows the use of the table's heads and of these markers."""
    if table is not None:
        yield _by_key(sid, actions, table_resource(table, place), (*HEADS, *unique(markers)))


def _use_other_tables(tables: Sequence[str], markers: Sequence[str]) -> Iterator[Statement]:
    """Yield the statement that allows the reads of markers in tables of other accounts and Regions."""
    if tables:
        resources = unique(table_arn(table) for table in tables)
        read = _by_key("ReadOtherMarkers", READS, "", (*HEADS, *unique(markers)))
        yield replace(read, resources=resources)


def _find_tables(parameters: Sequence[str], place: Place) -> Iterator[Statement]:
    """Yield the statement that allows to read the parameters which name marker tables."""
    if parameters:
        named = unique(parameter_resource(name, place) for name in parameters)
        yield Statement("FindTable", ("ssm:GetParameter",), named)


def _assume(roles: Sequence[str]) -> Iterator[Statement]:
    """Yield the statement that allows to assume these roles."""
    if roles:
        yield Statement(
            "AssumeReaders", ("sts:AssumeRole",), unique(roles_by_account(roles, "--role").values())
        )


def _announce(table: str | None, place: Place, markers: Sequence[str]) -> Iterator[Statement]:
    """Yield the statements that allow to write these markers, and to tell the heads of them.

    A role that announces one secret must not speak for others. So it may change of the heads what `announce`
    changes: the counter, and the slots of its markers. It can neither make nor replace a head, nor change its
    lease, its epoch, its pace or how many copies there are. Nor can it make items beyond the keys of copies.
    """
    if table is None:
        return
    resource = table_resource(table, place)
    yield _by_key("LookAtMarkers", ("GetItem",), resource, (*HEADS, *markers))
    yield _by_key("AnnounceSteps", WRITES, resource, markers)
    told = _by_key("TellHeads", ("UpdateItem",), resource, WRITTEN_HEADS)
    named = {"dynamodb:Attributes": _told_attributes(markers)}
    yield replace(told, conditions={**told.conditions, "ForAllValues:StringEquals": named})


def _by_key(sid: str, actions: Sequence[str], table: str, keys: Sequence[str]) -> Statement:
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}
    return Statement(sid, _on("dynamodb", actions), (table,), condition)


def _told_attributes(markers: Sequence[str]) -> tuple[str, ...]:
    """Return the attributes of a head that writers of these markers update or name in a condition."""
    slots = {slot_of(key_hash(key), SLOTS) for key in markers}
    if any(sign in key for key in markers for sign in "*?$"):
        # The key stands for others, or is known only when a stack is deployed.
        slots = set(range(SLOTS))
    return ("pk", "counter", *(make(slot) for slot in sorted(slots) for make in (count_name, entry_name)))


def _report(table: str | None, place: Place) -> Iterator[Statement]:
    """Yield the statement that allows a process to report the versions it holds.

    A report is an item with a random key, so IAM cannot tell which process may write it. No process acts on a
    report.
    """
    if table is not None:
        yield Statement("ReportVersions", ("dynamodb:PutItem",), (table_resource(table, place),))


def _count(table: str | None, place: Place) -> Iterator[Statement]:
    """Yield the statement that allows to read all reports of the convergence table, which needs a Scan."""
    if table is not None:
        yield Statement("CountReports", ("dynamodb:Scan",), (table_resource(table, place),))


def _must_encrypt(key: str | None, *, has_table: bool) -> None:
    if key is not None and not has_table:
        raise ConfigurationError("the key of the tables is given, but no table that it encrypts")


def _use_tables(key: str | None, place: Place, *, writes: bool = False) -> Iterator[Statement]:
    """Yield the statement that allows the use of the tables' KMS key, through DynamoDB alone."""
    if key is not None:
        actions = (*DECRYPTS, *ENCRYPTS) if writes else DECRYPTS
        yield Statement("UseTableKey", _on("kms", actions), (_key(key),), _via_dynamodb(key, place))


def _use_table_to_report(key: str | None, place: Place) -> Iterator[Statement]:
    """Yield the statement that allows to write reports into a table that this key encrypts."""
    if key is not None:
        yield Statement("UseTableKeyToReport", _on("kms", ENCRYPTS), (_key(key),), _via_dynamodb(key, place))


def _key(key: str) -> str:
    return key if key.startswith("${") else str(key_arn(key))


def _key_region(key: str, place: Place) -> str:
    return place.region if key.startswith("${") else key_arn(key).region


def _via_dynamodb(key: str, place: Place) -> Conditions:
    return _via("dynamodb", [_key_region(key, place)])


def _via(service: str, regions: Iterable[str]) -> Conditions:
    """Return the condition that a key is used through this service, in the Regions of the keys' ARNs.

    A key with replicas may be named for several Regions by a wildcard.
    """
    names = [f"{service}.{region}.amazonaws.com" for region in regions]
    return {_comparing(names): {"kms:ViaService": names}}


def _comparing(values: Sequence[str]) -> str:
    """Return the operator for these: StringEquals takes a wildcard for a character, which no request has."""
    return "StringLike" if any(sign in value for value in values for sign in "*?") else "StringEquals"


def _all_of(*conditions: Conditions) -> Conditions:
    """Return the conditions of one statement that needs all of these."""
    operators = dict.fromkeys(operator for one in conditions for operator in one)
    return {
        operator: {key: values for one in conditions for key, values in one.get(operator, {}).items()}
        for operator in operators
    }


def _markers(secret_arns: Iterable[str]) -> list[str]:
    return [key for arn in secret_arns for key in marker_keys(arn)]
