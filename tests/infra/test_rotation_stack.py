"""infra/rotation.yaml as it is deployed, with IAM enforced, on a real PostgreSQL.

The function does what Secrets Manager asks for, with the role that the template makes, while a fleet logs in.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from keyturn.cli.root import root
from keyturn.markers.table import MarkerTable
from keyturn.testing import TRIALS, RotationError, RotationTrial
from keyturn.testing.embedded import REGION, EmbeddedAws, EmbeddedPostgres
from keyturn.testing.rotation import STEPS
from tests.docs.pages import ROOT, python_blocks
from tests.infra.rotation_stack import (
    ACCOUNT,
    PREFIX,
    TABLE,
    RotationStack,
    User,
    deploying,
    make_table,
    package,
    without_tls,
)
from tests.integrations import fleet
from tests.integrations.fleet import Fleet
from tests.policies.slots import of_any_slot

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

HOLD_S = 0.6
"""Between two steps: time for some logins of every process."""

ADMIN = "prod/admin"
(PROGRAM,) = python_blocks("docs/deploying-rotation.md")
AWSS = ROOT / "tests" / "rotation" / "handlers" / "lambda_function.py"


@pytest.fixture(scope="module")
def table(guarded_aws: EmbeddedAws) -> MarkerTable:
    """The marker table of an account that enforces IAM."""
    return make_table()


@pytest.fixture(scope="module")
def stack(table: MarkerTable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotationStack]:
    """The page's function, for the secrets whose names begin with `prod/orders`."""
    code = package(tmp_path_factory.mktemp("code"), {"app.py": without_tls(PROGRAM)})
    with deploying(code, SecretName=f"{PREFIX}*") as stack:
        yield stack


KEYS = [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}" for name in ("one", "two", "three")]
CHOICES = {
    "alone": ({}, ""),
    "with everything": (
        {
            "AdminSecretName": ADMIN,
            "SecretKeyArns": ",".join(KEYS[:2]),
            "ListsVersions": "true",
            "ConvergenceTable": "convergence",
            "TableKeyArn": KEYS[2],
            "SubnetIds": "subnet-1,subnet-2",
            "SecurityGroupIds": "sg-1",
        },
        (
            f"--admin-secret {ADMIN} --key {KEYS[0]} --key {KEYS[1]} --lists-versions --vpc "
            f"--convergence-table convergence --table-key {KEYS[2]}"
        ),
    ),
}


@pytest.mark.parametrize(("parameters", "options"), CHOICES.values(), ids=CHOICES)
def test_the_role_has_the_policy_that_keyturn_prints(
    table: MarkerTable, tmp_path: Path, parameters: dict[str, str], options: str
) -> None:
    """In the account, with the given names: the statements of `keyturn policy rotation`, slots apart."""
    with deploying(package(tmp_path, {"app.py": ""}), SecretName=PREFIX, **parameters) as stack:
        log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{stack.outputs['FunctionLogName']}:*"
        line = (
            f"policy rotation --secret {PREFIX} --marker-table {TABLE} --log-group {log} {options} "
            f"--region {REGION} --account {ACCOUNT}"
        )
        printed = CliRunner().invoke(root, shlex.split(line), env={"KEYTURN_CONVERGENCE_TABLE": ""})
        assert of_any_slot(json.loads(printed.stdout)) == of_any_slot(stack.policy())


def test_secrets_manager_alone_may_invoke_it_and_for_this_account(stack: RotationStack) -> None:
    """One statement in the function's own policy."""
    answer = boto3.client("lambda").get_policy(FunctionName=stack.outputs["FunctionArn"])
    (statement,) = json.loads(answer["Policy"])["Statement"]
    assert ("Allow", "lambda:InvokeFunction", {"Service": "secretsmanager.amazonaws.com"}) == (
        statement["Effect"],
        statement["Action"],
        statement["Principal"],
    )
    assert {"StringEquals": {"AWS:SourceAccount": ACCOUNT}} == {
        operator: {key.replace("aws:", "AWS:"): value for key, value in tests.items()}
        for operator, tests in statement["Condition"].items()
    }


SOME = [
    trial for trial in TRIALS if trial.__name__ in ("in_one_go", "stopped_after_setSecret", "two_at_once")
]
"""The other trials of the same code are in tests/rotation, where an invocation takes less time."""


@pytest.mark.parametrize("trial", SOME)
def test_the_deployed_function_stands_trials(
    stack: RotationStack, postgres: EmbeddedPostgres, trial: RotationTrial
) -> None:
    """With the template's role, on a real server."""
    trial(User(stack, postgres).subject())


def test_each_step_is_in_the_marker(
    stack: RotationStack, postgres: EmbeddedPostgres, table: MarkerTable
) -> None:
    """The function announced it with its own role, before the invocation ended."""
    user = User(stack, postgres)
    rotation, announced = stack.rotation(user.name), []
    for step in STEPS:
        rotation.run(until=step)
        marker = table.look(user.arn[:-7]).marker
        assert marker is not None
        announced.append(marker.reason.removeprefix("announced "))
    assert ["createSecret", "setSecret", "setSecret", "finishSecret"] == announced
    marker = table.look(user.arn[:-7]).marker
    assert marker is not None
    assert rotation.version_id == marker.stages["AWSCURRENT"]


def test_another_secret_is_out_of_reach(stack: RotationStack, postgres: EmbeddedPostgres) -> None:
    """Its rotation names this function, and the role does not name the secret."""
    stranger = User(stack, postgres, prefix="prod/invoices")
    with pytest.raises(RotationError, match=r"createSecret failed: .*AccessDenied"):
        stack.rotation(stranger.name).run()
    assert stranger.accepts(stranger.current())


def test_a_secret_that_another_function_rotates_is_refused(
    stack: RotationStack, postgres: EmbeddedPostgres
) -> None:
    """Whoever may invoke the function cannot make it rotate a secret that is not its own."""
    user = User(stack, postgres)
    stack.secrets.rotate_secret(
        SecretId=user.name,
        RotationLambdaARN=stack.outputs["FunctionArn"] + "-of-somebody",
        RotationRules={"AutomaticallyAfterDays": 30},
    )
    with pytest.raises(RotationError, match="rotated by another function"):
        stack.rotation(user.name).run()


def with_fleet(user: User) -> None:
    """Two rotations under a fleet: no login of keyturn's fails. What is usual fails, or nothing was tried."""
    stack = user.stack
    usual = [fleet.refresh_and_retry_once(stack.secrets, user.name) for _ in range(2)]
    warm = [fleet.keyturn(stack.cache, user.name) for _ in range(2)]
    cold = [fleet.keyturn_cold(stack.cache, user.name)]
    with Fleet({"usual": usual, "warm": warm, "cold": cold}) as running:
        for _ in range(2):
            rotation = stack.rotation(user.name)
            for step in STEPS:
                rotation.run(until=step)
                time.sleep(HOLD_S)
    for kind in ("warm", "cold", "usual"):
        record = running.of(kind)
        print(f"{kind:6} {len(record.failures):3} of {record.tried:3} logins failed")  # noqa: T201 # the figure
        if kind != "usual":
            assert [] == [str(failure) for failure in record.failures], kind
            assert record.tried > 10
    assert running.of("usual").failures


def test_no_login_fails_while_the_deployed_function_rotates(
    stack: RotationStack, postgres: EmbeddedPostgres
) -> None:
    """The whole chain: template, package, role, function, announcements, caches."""
    with_fleet(User(stack, postgres))


@pytest.fixture(scope="module")
def wrapped(table: MarkerTable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotationStack]:
    """A function in the manner of AWS's templates, behind keyturn's wrapper."""
    code = package(tmp_path_factory.mktemp("awss"), {AWSS.name: AWSS.read_text("utf-8")})
    names = {
        "Handler": "keyturn.rotation.wrapper.handler",
        "WrappedHandler": "lambda_function.lambda_handler",
    }
    with deploying(code, SecretName=f"{PREFIX}*", **names) as stack:
        yield stack


@pytest.mark.parametrize("trial", SOME)
def test_a_wrapped_function_stands_trials(
    wrapped: RotationStack, postgres: EmbeddedPostgres, trial: RotationTrial
) -> None:
    """Its code knows nothing of keyturn."""
    trial(User(wrapped, postgres).subject())


def test_no_login_fails_while_a_wrapped_function_rotates(
    wrapped: RotationStack, postgres: EmbeddedPostgres, table: MarkerTable
) -> None:
    """Its steps are announced, so that readers find each in time."""
    user = User(wrapped, postgres)
    with_fleet(user)
    marker = table.look(user.arn[:-7]).marker
    assert marker is not None
    assert ("announced finishSecret", wrapped.secrets.get_secret_value(SecretId=user.name)["VersionId"]) == (
        marker.reason,
        marker.stages["AWSCURRENT"],
    )
