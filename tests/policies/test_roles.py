"""Each role's policy: what it allows, and under which conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from keyturn.errors import ConfigurationError
from keyturn.model.fields import Json
from keyturn.model.slots import SLOTS, key_hash, slot_of
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import OF_KEY, OF_TABLE, Limit, Statement, document

PLACE = Place("eu-west-1", "111122223333")
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
PARAMETERS = "arn:aws:ssm:eu-west-1:111122223333:parameter"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"


def by_sid(statements: Sequence[Statement]) -> Mapping[str, Statement]:
    """The statements by their names."""
    found = {statement.sid: statement for statement in statements}
    assert len(found) == len(statements)
    return found


def allowed(statements: Sequence[Statement]) -> list[str]:
    """All actions, in order of the alphabet."""
    return sorted(action for statement in statements for action in statement.actions)


def test_a_reader_of_one_secret_may_read_it_and_its_marker() -> None:
    """One action on one secret, and the head and one marker of the table, by key."""
    statements = roles.reader(PLACE, secrets=["prod/db"], marker_table="markers")
    keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ("head", "head#*", SECRET)}}
    assert (
        Statement("ReadSecrets", ("secretsmanager:GetSecretValue",), (f"{SECRET}-??????",)),
        Statement("ReadMarkers", ("dynamodb:BatchGetItem", "dynamodb:GetItem"), (TABLE,), keys),
    ) == statements


def test_a_reader_that_reports_may_put_items_into_that_table_only() -> None:
    """One action on one table: no marker can be written with it, and no report read or removed."""
    statements = roles.reader(
        PLACE, secrets=["prod/db"], marker_table="markers", convergence_table="convergence"
    )
    assert roles.reader(PLACE, secrets=["prod/db"], marker_table="markers") == statements[:-1]
    table = TABLE.replace("markers", "convergence")
    assert Statement("ReportVersions", ("dynamodb:PutItem",), (table,)) == statements[-1]


def test_a_group_of_secrets_has_a_group_of_markers() -> None:
    """With `*` in a name the keys are compared as patterns: StringEquals would take `*` as a character."""
    markers = by_sid(roles.reader(PLACE, secrets=["prod/*"], marker_table="markers"))["ReadMarkers"]
    (operator,) = markers.conditions
    assert "ForAllValues:StringLike" == operator


def test_parameters_are_read_singly_and_by_path() -> None:
    """A path is allowed as such, and what was found below it to be read again by name."""
    statements = by_sid(roles.reader(PLACE, parameters=["/prod/db"], paths=["/prod/app"]))
    assert (f"{PARAMETERS}/prod/db", f"{PARAMETERS}/prod/app/*") == statements["ReadParameters"].resources
    assert (f"{PARAMETERS}/prod/app",) == statements["ReadPaths"].resources
    assert ("ssm:GetParametersByPath",) == statements["ReadPaths"].actions


def test_a_reference_to_a_secret_is_that_secret() -> None:
    """Parameter Store passes it through; it is read from Secrets Manager, whatever its stage."""
    referred = "/aws/reference/secretsmanager/prod/db:AWSPENDING"
    expected = roles.reader(PLACE, secrets=["prod/db"], marker_table="markers")
    assert expected == roles.reader(PLACE, parameters=[referred], marker_table="markers")


def test_a_key_is_used_through_its_service_for_what_it_encrypts() -> None:
    """Neither another service nor another secret's ciphertext: both are conditions."""
    statements = by_sid(roles.reader(PLACE, secrets=["prod/db"], parameters=["/prod/db"], keys=[KEY]))
    secrets, parameters = statements["UseSecretKeys"], statements["UseParameterKeys"]
    assert (("kms:Decrypt",), [KEY]) == (secrets.actions, secrets.resources)
    assert {
        "StringEquals": {"kms:ViaService": ["secretsmanager.eu-west-1.amazonaws.com"]},
        "StringLike": {"kms:EncryptionContext:SecretARN": (f"{SECRET}-??????",)},
    } == secrets.conditions
    assert {
        "StringEquals": {"kms:ViaService": ["ssm.eu-west-1.amazonaws.com"]},
        "StringLike": {"kms:EncryptionContext:PARAMETER_ARN": (f"{PARAMETERS}/prod/db",)},
    } == parameters.conditions


@pytest.mark.parametrize("region", ["*", "eu-*", "eu-west-?"])
@pytest.mark.parametrize(
    ("service", "statements"),
    [
        ("secretsmanager", lambda key: roles.reader(PLACE, secrets=["prod/db"], keys=[key])),
        ("ssm", lambda key: roles.reader(PLACE, parameters=["/prod/db"], keys=[key])),
        ("secretsmanager", lambda key: roles.rotation(PLACE, secrets=["prod/db"], keys=[key])),
        (
            "dynamodb",
            lambda key: roles.announcer(PLACE, secrets=["a"], marker_table="markers", table_key=key),
        ),
        ("dynamodb", lambda key: roles.shared_table_key(Place(), table_key=key, accounts=["1" * 12])),
        ("dynamodb", lambda key: roles.shared_table_key(Place(), table_key=key, organization="o-a1b2c3d4e5")),
    ],
)
def test_a_key_of_several_regions_is_used_in_each(
    region: str, service: str, statements: Callable[[str], Sequence[Statement]]
) -> None:
    """A wildcard for the Regions of a key is one: StringEquals would refuse every use of the key.

    The conditions beside that one stay.
    """
    plain = [one.conditions for one in statements(KEY) if "kms:" in one.actions[0]]
    spread = statements(KEY.replace("eu-west-1", region))
    found = [one.conditions for one in spread if "kms:" in one.actions[0]]
    assert found
    for before, after in zip(plain, found, strict=True):
        assert [f"{service}.{region}.amazonaws.com"] == after["StringLike"]["kms:ViaService"]
        assert "kms:ViaService" not in after.get("StringEquals", {})
        assert {name for tests in before.values() for name in tests} == {
            name for tests in after.values() for name in tests
        }


def test_a_key_by_alias_is_any_key_with_that_alias() -> None:
    """The alias is in a condition, never in the resource."""
    used = by_sid(roles.reader(PLACE, secrets=["prod/db"], key_aliases=["alias/my-app"]))
    statement = used["UseSecretKeysByAlias"]
    assert ["arn:aws:kms:eu-west-1:111122223333:key/*"] == statement.resources
    assert {"kms:ResourceAliases": ["alias/my-app"]} == statement.conditions["ForAnyValue:StringEquals"]
    assert "kms:EncryptionContext:SecretARN" in statement.conditions["StringLike"]


def test_a_reader_of_one_stage() -> None:
    """`stages` limits what may be asked for."""
    (statement,) = roles.reader(PLACE, secrets=["prod/db"], stages=["AWSCURRENT"])
    assert {"StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT"]}} == statement.conditions


def test_a_wildcard_in_a_stage_is_a_wildcard() -> None:
    """As in a secret's name: StringEquals would allow no read at all."""
    (statement,) = roles.reader(PLACE, secrets=["prod/db"], stages=["AWSCURRENT", "AWSP*"])
    assert {"StringLike": {"secretsmanager:VersionStage": ["AWSCURRENT", "AWSP*"]}} == statement.conditions


def test_only_readers_and_rotation_functions_may_read_a_value() -> None:
    """Neither the listener nor an announcer may read a secret, use a key, or read any value."""
    listener = roles.listener(PLACE, marker_table="markers", parameters=True)
    announcer = roles.announcer(PLACE, secrets=["prod/db"], marker_table="markers")
    operator = roles.operator(PLACE, marker_table="markers", convergence_table="fleet")
    stacks = roles.marker_reader(PLACE, marker_table="markers", convergence_table="fleet")
    readers = {"secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "kms:Decrypt"}
    readers |= {"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}
    finds, *looks = sorted(operator, key=lambda one: one.sid != "FindTables")
    assert ["/keyturn/marker-table", "/keyturn/convergence-table"] == [
        one.partition(":parameter")[2] for one in finds.resources
    ]
    counter = roles.counter(PLACE, convergence_table="fleet", parameters=True)
    others = (listener, counter, announcer, looks, stacks)
    assert not readers.intersection(action for statements in others for action in allowed(statements))


def test_an_operator_only_looks() -> None:
    """No action of the operator's role writes, invokes, deletes or changes anything."""
    statements = roles.operator(PLACE, marker_table="markers", convergence_table="fleet")
    verbs = ("BatchGet", "Describe", "Get", "List", "Scan")
    assert [] == [one for one in allowed(statements) if not one.partition(":")[2].startswith(verbs)]


def test_a_stacks_reader_may_read_the_markers_of_the_watched_secrets_and_of_parameters() -> None:
    """By key, as what `reader` allows; what AWS publishes has no account in its ARN."""
    statements = by_sid(roles.marker_reader(PLACE, marker_table="markers", prefixes=["prod/", "shared/"]))
    assert {"ReadMarkers"} == statements.keys()
    secrets = SECRET.removesuffix("prod/db")
    assert {
        "ForAllValues:StringLike": {
            "dynamodb:LeadingKeys": (
                "head",
                "head#*",
                f"{secrets}prod/*",
                f"{secrets}shared/*",
                f"{PARAMETERS}/*",
                "arn:aws:ssm:eu-west-1::parameter/aws/service/*",
            )
        }
    } == statements["ReadMarkers"].conditions


WITH_KEY: Mapping[str, tuple[Statement, ...]] = {
    "reader": roles.reader(PLACE, secrets=["a"], marker_table="markers", table_key=KEY),
    "reporting": roles.reader(PLACE, secrets=["a"], convergence_table="fleet", table_key=KEY),
    "stack": roles.marker_reader(PLACE, marker_table="markers", convergence_table="fleet", table_key=KEY),
    "listener": roles.listener(PLACE, marker_table="markers", table_key=KEY),
    "announcer": roles.announcer(PLACE, secrets=["a"], marker_table="markers", table_key=KEY),
    "rotation": roles.rotation(PLACE, secrets=["a"], marker_table="markers", table_key=KEY),
    "operator": roles.operator(PLACE, marker_table="markers", table_key=KEY),
}


@pytest.mark.parametrize("role", WITH_KEY)
def test_the_tables_key_is_used_through_dynamodb_alone_and_as_the_role_needs_it(role: str) -> None:
    """Who writes may encrypt, who only reads may decrypt; nobody may use the key through another service."""
    used = [one for one in WITH_KEY[role] if one.sid.startswith("UseTableKey")]
    for statement in used:
        assert [KEY] == list(statement.resources)
        assert {
            "StringEquals": {"kms:ViaService": ["dynamodb.eu-west-1.amazonaws.com"]}
        } == statement.conditions
    may = {action.partition(":")[2] for one in used for action in one.actions}
    writes = role in ("reporting", "stack", "listener", "announcer", "rotation")
    assert (role != "reporting", writes) == ("Decrypt" in may, "Encrypt" in may)
    assert may <= {"Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey*", "ReEncrypt*"}


def test_an_announcer_may_write_its_own_markers_only() -> None:
    """The marker of each secret that it announces for; no Scan, no delete, and no head but by its slot.

    Each head is named: a pattern would let it fill the table with items of such keys.
    """
    statements = by_sid(roles.announcer(PLACE, secrets=["prod/db"], marker_table=TABLE))
    look, write, tell = (statements[sid] for sid in ("LookAtMarkers", "AnnounceSteps", "TellHeads"))
    assert {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ("head", "head#*", SECRET)}
    } == look.conditions
    assert ("dynamodb:PutItem", "dynamodb:UpdateItem") == write.actions
    assert {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [SECRET]}} == write.conditions
    assert (("dynamodb:GetItem",), ("dynamodb:UpdateItem",)) == (look.actions, tell.actions)
    slot = slot_of(key_hash(SECRET), SLOTS)
    heads = ("head", *(f"head#{copy}" for copy in range(1, 32)))
    assert {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": heads},
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ("pk", "counter", f"n{slot}", f"e{slot}")},
    } == tell.conditions


def test_a_rotation_function_may_rotate_its_secret_and_read_the_admins() -> None:
    """Four calls on its secret, one on the other user's, a new password, and its announcements."""
    statements = by_sid(
        roles.rotation(
            PLACE, secrets=["prod/db"], admin_secrets=["admin"], keys=[KEY], marker_table="markers"
        )
    )
    assert ("secretsmanager:GetSecretValue",) == statements["ReadSecrets"].actions
    assert (f"{SECRET}-??????",) == statements["RotateSecrets"].resources
    assert ("kms:Decrypt", "kms:GenerateDataKey") == statements["UseSecretKeys"].actions
    assert ("kms:Decrypt",) == statements["UseAdminKeys"].actions
    for sid, secret in (("UseSecretKeys", SECRET), ("UseAdminKeys", SECRET.replace("prod/db", "admin"))):
        context = statements[sid].conditions["StringLike"]
        assert {"kms:EncryptionContext:SecretARN": (f"{secret}-??????",)} == context
    stars = [one.sid for one in statements.values() if "*" in one.resources]
    assert ["MakePasswords"] == stars


def test_the_code_of_a_function_in_a_vpc_may_not_use_the_network_interfaces() -> None:
    """Lambda's own calls have no lambda:SourceFunctionArn: all others are denied what Lambda is allowed."""
    allow, deny = roles.function(in_vpc=True)
    assert ("Allow", "Deny") == (allow.effect, deny.effect)
    assert allow.actions == deny.actions
    assert {"Null": {"lambda:SourceFunctionArn": ["false"]}} == deny.conditions
    assert all(action.startswith("ec2:") for action in allow.actions)
    assert () == roles.function()


def test_only_what_knows_no_resource_is_allowed_on_all() -> None:
    """ListSecrets and DescribeParameters: the rest of the listener's policy names what it is about."""
    statements = roles.listener(PLACE, marker_table="markers", prefixes=["prod/"], parameters=True)
    assert ["ListSecrets", "ListParameters"] == [one.sid for one in statements if "*" in one.resources]
    assert by_sid(statements)["LookAtSecrets"].resources[0].endswith(":secret:prod/*")


def test_a_document_is_what_iam_takes() -> None:
    """The version that knows variables and conditions, one statement each, a single value unwrapped."""
    expected: Json = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadSecrets",
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": f"{SECRET}-??????",
            }
        ],
    }
    assert expected == document(roles.reader(PLACE, secrets=["prod/db"]))


def test_an_empty_policy_and_one_that_is_too_long_are_refused() -> None:
    """IAM would refuse both, with less advice."""
    with pytest.raises(ConfigurationError, match="would allow nothing"):
        document(roles.reader(PLACE, marker_table=None))
    with pytest.raises(ConfigurationError, match=r"10240.*name groups"):
        document(roles.reader(PLACE, secrets=[f"prod/{number}" for number in range(200)]))


@pytest.mark.parametrize(("limit", "accounts_max"), [(OF_TABLE, 750), (OF_KEY, 1100)])
def test_the_policy_of_a_resource_has_its_own_limit(limit: Limit, accounts_max: int) -> None:
    """It is longer than that of a role's, and the advice is about what this policy names."""

    def made(accounts: int) -> object:
        numbers = [str(10**11 + number) for number in range(accounts)]
        key = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
        if limit is OF_TABLE:
            return document(roles.shared_table(PLACE, marker_table="markers", accounts=numbers), limit)
        return document(roles.shared_table_key(Place(), table_key=key, accounts=numbers), limit)

    assert made(accounts_max)
    with pytest.raises(ConfigurationError, match=f"at most {limit.length_max}: name the organization"):
        made(accounts_max + 200)


OTHER = "arn:aws:dynamodb:us-east-1:444455556666:table/markers"


def test_a_reader_of_several_tables_reads_them_alike() -> None:
    """The same reads of the same keys, each of the others by its ARN; and it may assume the roles named."""
    role = "arn:aws:iam::444455556666:role/reader"
    secret = "arn:aws:secretsmanager:us-east-1:444455556666:secret:a-AbCdEf"
    statements = by_sid(
        roles.reader(PLACE, secrets=[secret], marker_table="markers", other_tables=[OTHER], assumed=[role])
    )
    own, other = statements["ReadMarkers"], statements["ReadOtherMarkers"]
    assert (own.actions, own.conditions) == (other.actions, other.conditions)
    assert [OTHER] == list(other.resources)
    assert ["sts:AssumeRole"] == list(statements["AssumeReaders"].actions)
    assert [role] == list(statements["AssumeReaders"].resources)


def test_a_shared_table_lets_the_accounts_and_the_organization_read() -> None:
    """What a reader reads, each account once, and of everybody those of the organization alone."""
    statements = by_sid(
        roles.shared_table(
            PLACE, marker_table=OTHER, accounts=["1" * 12, "2" * 12, "1" * 12], organization="o-a1b2c3d4e5"
        )
    )
    accounts, organization = statements["ReadFromAccounts"], statements["ReadFromOrganization"]
    assert {"AWS": ["1" * 12, "2" * 12]} == accounts.as_json()["Principal"]
    assert ("*", {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}) == (
        organization.as_json()["Principal"],
        organization.as_json()["Condition"],
    )
    assert {roles.READS} == {
        tuple(one.removeprefix("dynamodb:") for one in own.actions) for own in statements.values()
    }
    assert [[OTHER], [OTHER]] == [list(one.resources) for one in (accounts, organization)]


def test_the_key_of_a_shared_table_is_used_through_dynamodb_alone() -> None:
    """By the same accounts and organization as the table is read by, to decrypt and not to encrypt."""
    statements = by_sid(
        roles.shared_table_key(Place(), table_key=KEY, accounts=["1" * 12], organization="o-a1b2c3d4e5")
    )
    through = {"kms:ViaService": ["dynamodb.eu-west-1.amazonaws.com"]}
    accounts, organization = statements["UseFromAccounts"], statements["UseFromOrganization"]
    assert (["1" * 12], {"StringEquals": through}) == (list(accounts.principals), accounts.conditions)
    of_organization = {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}
    assert {"StringEquals": through | of_organization} == organization.conditions
    for one in statements.values():
        assert (["kms:Decrypt", "kms:DescribeKey"], ["*"]) == (list(one.actions), list(one.resources))


def test_a_reader_of_another_accounts_table_may_use_its_key() -> None:
    """Also where it reads no table of its own account."""
    statements = by_sid(roles.reader(PLACE, secrets=["a"], other_tables=[OTHER], table_key=KEY))
    assert [KEY] == list(statements["UseTableKey"].resources)


@pytest.mark.parametrize(
    ("accounts", "organization", "said"),
    [
        ((), None, "would allow nobody"),
        (("12",), None, "not 12 digits"),
        ((), "mine", "the id of an org"),
    ],
)
def test_a_policy_for_nobody_in_particular_is_refused(
    accounts: tuple[str, ...], organization: str | None, said: str
) -> None:
    """No mistake makes a table's policy that lets everybody in, or nobody."""
    with pytest.raises(ConfigurationError, match=said):
        roles.shared_table(PLACE, marker_table="markers", accounts=accounts, organization=organization)
