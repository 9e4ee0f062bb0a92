"""infra/terraform: it is valid, and what it makes is what infra/template.yaml makes, also when it runs.

Without terraform these tests are skipped, with KEYTURN_TEST_TERRAFORM set they fail. Where the registry
cannot be reached, TF_CLI_ARGS_init=-plugin-dir=FOLDER says where the AWS provider is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import cast

import boto3
import pytest

from keyturn.convergence.table import ConvergenceTable
from keyturn.model.markers import Report
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import document
from keyturn.testing.embedded import LOCALHOST, REGION, EmbeddedAws
from tests.listener.test_deployed import Stack, everything, stack_of
from tests.listener.test_events import at
from tests.policies.test_stack import Deployed
from tests.servers.fixtures import use
from tests.templates import read_template
from tools.build_listener import ROOT, build

pytestmark = pytest.mark.e2e

MODULE = ROOT / "infra" / "terraform"
ACCOUNT = "000000000000"
READER, ORGANIZATION = "444455556666", "o-a1b2c3d4e5"
PREFIXES = ["prod/", "shared/"]

COUNTERPARTS = {
    "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
    "AWS::CloudWatch::CompositeAlarm": "aws_cloudwatch_composite_alarm",
    "AWS::CloudWatch::Dashboard": "aws_cloudwatch_dashboard",
    "AWS::DynamoDB::Table": "aws_dynamodb_table",
    "AWS::Events::Rule": "aws_cloudwatch_event_rule",
    "AWS::IAM::ManagedPolicy": "aws_iam_policy",
    "AWS::IAM::Role": "aws_iam_role",
    "AWS::Lambda::EventInvokeConfig": "aws_lambda_function_event_invoke_config",
    "AWS::Lambda::Function": "aws_lambda_function",
    "AWS::Lambda::Permission": "aws_lambda_permission",
    "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
    "AWS::Logs::MetricFilter": "aws_cloudwatch_log_metric_filter",
    "AWS::SQS::Queue": "aws_sqs_queue",
    "AWS::SQS::QueuePolicy": "aws_sqs_queue_policy",
    "AWS::SSM::Parameter": "aws_ssm_parameter",
}
"""The resources that a stack without a trail of its own consists of."""

PARTS = {"aws_cloudwatch_event_target", "aws_dynamodb_resource_policy", "aws_iam_role_policy"}
"""What is a property in CloudFormation and a resource in Terraform."""

OWN_VARIABLES = (
    {"name", "tags", "codebucket", "codekey"}
    | {f"listenerzip{part}" for part in ("", "url", "sha256")}
    | {f"create{part}" for part in ("tableparameter", "convergencetableparameter", "tablepolicy")}
)
OWN_PARAMETERS = {"CodeBucket", "CodeKey"}
"""Where the code is, what a stack has anyway (a name and tags), and what an empty text says there."""


def terraform(folder: Path, *arguments: str) -> str:
    """What a command of terraform in this folder prints; it must succeed."""
    found = shutil.which("terraform")
    if found is None:
        missing("terraform is not installed")
    # A configuration file of the caller that is not there would be a warning in every answer.
    settings = {key: value for key, value in os.environ.items() if key != "TF_CLI_CONFIG_FILE"}
    settings |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    command = [str(found), *arguments]
    answer = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if arguments[0] == "init" and answer.returncode and "registry" in answer.stderr:
        missing("the AWS provider cannot be installed: set TF_CLI_ARGS_init=-plugin-dir=FOLDER")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def missing(reason: str) -> None:
    """Skip, unless this run is to try terraform for certain."""
    if os.environ.get("KEYTURN_TEST_TERRAFORM"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module, ready to be used."""
    folder = tmp_path_factory.mktemp("terraform") / "terraform"
    shutil.copytree(MODULE, folder, ignore=shutil.ignore_patterns(".terraform*"))
    terraform(folder, "init", "-no-color", "-backend=false")
    return folder


def test_it_is_formatted() -> None:
    """As `terraform fmt` writes it."""
    assert not terraform(MODULE, "fmt", "-check", "-recursive", "-no-color")


def test_it_is_valid_and_its_own_tests_pass(module: Path) -> None:
    """Every combination that tests/module.tftest.hcl plans, on a provider that makes nothing."""
    assert json.loads(terraform(module, "validate", "-json"))["diagnostics"] == []
    assert "0 failed" in terraform(module, "test", "-no-color")


@pytest.mark.parametrize("name", ["complete", "rotation"])
def test_an_example_is_valid(module: Path, name: str) -> None:
    """With the modules as they are here, from a copy of their folder."""
    example = module / "examples" / name
    terraform(example, "init", "-no-color", "-backend=false")
    assert json.loads(terraform(example, "validate", "-json"))["diagnostics"] == []


FROM_A_URL = """
module "keyturn" {{
  source              = "{source}"
  listener_zip_url    = "{url}"
  listener_zip_sha256 = "{sha256}"
}}
"""


def test_the_code_may_come_from_a_url(tmp_path: Path) -> None:
    """Fetched and deployed if it has the hash that was asked for, else not.

    Later it is not needed, and it is fetched again where another function is to be made.
    """
    (tmp_path / "served").mkdir()
    package = build(tmp_path / "served" / "rotation_listener.zip")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    only = ("-no-color", "-target=module.keyturn.aws_lambda_function.listener")
    with (
        ThreadingHTTPServer((LOCALHOST, 0), handler) as server,
        EmbeddedAws() as aws,
        pytest.MonkeyPatch.context() as patch,
    ):
        use(aws, patch)
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{LOCALHOST}:{server.server_port}/rotation_listener.zip"
        for sha256 in ("0" * 64, hashlib.sha256(package).hexdigest()):
            (tmp_path / "main.tf").write_text(FROM_A_URL.format(source=MODULE, url=url, sha256=sha256))
            terraform(tmp_path, "init", "-no-color")
            if sha256.startswith("00"):
                with pytest.raises(AssertionError, match="it is not deployed"):
                    terraform(tmp_path, "apply", "-auto-approve", *only)
        terraform(tmp_path, "apply", "-auto-approve", *only)
        deployed = boto3.client("lambda").get_function_configuration(FunctionName="keyturn-listener")
        assert base64.b64encode(hashlib.sha256(package).digest()).decode() == deployed["CodeSha256"]
        shutil.rmtree(tmp_path / ".terraform" / "keyturn")
        assert "No changes." in terraform(tmp_path, "plan", *only)
        text = (tmp_path / "main.tf").read_text()
        (tmp_path / "main.tf").write_text(text.replace("{", "{\n  convergence = true", 1))
        terraform(
            tmp_path,
            "apply",
            "-auto-approve",
            "-no-color",
            "-target=module.keyturn.aws_lambda_function.counter",
        )
        counter = boto3.client("lambda").get_function_configuration(FunctionName="keyturn-counter")
        assert deployed["CodeSha256"] == counter["CodeSha256"]
        server.shutdown()


@dataclass(frozen=True)
class Applied:
    """What terraform planned and made, and the account it is in.

    The emulator does not give everything back that was set, so what can be is compared as planned.
    """

    folder: Path
    stack: Stack
    planned: list[dict[str, object]]
    made: list[dict[str, object]]

    def values(self, kind: str) -> dict[str, dict[str, object]]:
        """The planned attributes of the resources of one type, by their keys or names."""
        return values_of(self.planned, kind)


def values_of(resources: list[dict[str, object]], kind: str) -> dict[str, dict[str, object]]:
    """The attributes of the resources of one type, by their keys or names."""
    return {
        str(one.get("index", one["name"])): cast("dict[str, object]", one["values"])
        for one in resources
        if one["type"] == kind and one["mode"] == "managed"
    }


@pytest.fixture(scope="module")
def applied(module: Path) -> Iterator[Applied]:
    """The module, applied to an account that enforces IAM; destroyed at the end, to the last resource."""
    with EmbeddedAws({"AUTH": "true"}) as aws, pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        session = boto3.Session(region_name=REGION)
        before = everything(session)
        build(module / "listener.zip")
        settings = {
            "listener_zip": "listener.zip",
            "name_prefixes": PREFIXES,
            "parameter_prefixes": ["/prod/"],
            "deletion_protection": False,
            "convergence": True,
            "dashboard": True,
            "reader_accounts": [READER],
            "reader_organization": ORGANIZATION,
        }
        (module / "terraform.tfvars.json").write_text(json.dumps(settings))
        terraform(module, "plan", "-no-color", "-out=planned")
        planned = json.loads(terraform(module, "show", "-json", "planned"))["planned_values"]
        try:
            terraform(module, "apply", "-no-color", "-parallelism=30", "planned")
            made = json.loads(terraform(module, "show", "-json"))["values"]
            outputs = {camel(name): str(one["value"]) for name, one in made["outputs"].items()}
            resources = (one["root_module"]["resources"] for one in (planned, made))
            yield Applied(module, stack_of(session, outputs), *resources)
        finally:
            terraform(module, "destroy", "-no-color", "-auto-approve", "-parallelism=30")
        assert before == everything(session)


def camel(name: str) -> str:
    """A name of Terraform's as CloudFormation would write it."""
    return "".join(part.capitalize() for part in name.split("_"))


@pytest.fixture(scope="module")
def template() -> dict[str, object]:
    """The template as JSON."""
    return cast("dict[str, object]", read_template(ROOT / "infra" / "template.yaml"))


def of_type(template: object, kind: str) -> dict[str, dict[str, object]]:
    """The properties of the template's resources of one type."""
    every = cast("Mapping[str, Mapping[str, object]]", at(template, "Resources"))
    return {
        name: cast("dict[str, object]", one["Properties"])
        for name, one in every.items()
        if one["Type"] == kind
    }


def test_it_makes_the_resources_of_the_template(applied: Applied, template: object) -> None:
    """As many of each kind, and nothing besides."""
    every = cast("Mapping[str, Mapping[str, object]]", at(template, "Resources"))
    expected = Counter(
        COUNTERPARTS[str(one["Type"])] for one in every.values() if one.get("Condition") != "HasOwnTrail"
    )
    made = Counter(str(one["type"]) for one in applied.made if one["mode"] == "managed")
    assert expected == {kind: number for kind, number in made.items() if kind not in PARTS}


def test_it_has_the_outputs_and_settings_of_the_template(applied: Applied, template: object) -> None:
    """By the same names, in the way of each language."""
    outputs = cast("Mapping[str, object]", at(template, "Outputs"))
    assert outputs.keys() == applied.stack.outputs.keys()
    text = (MODULE / "variables.tf").read_text("utf-8")
    variables = {name.replace("_", "") for name in re.findall(r'^variable "(\w+)"', text, re.MULTILINE)}
    parameters = cast("Mapping[str, object]", at(template, "Parameters"))
    assert variables - OWN_VARIABLES == {name.lower() for name in parameters.keys() - OWN_PARAMETERS}


def test_its_rules_are_those_of_the_template(applied: Applied, template: object) -> None:
    """The same patterns and schedule, targets, retries and input."""
    rules = applied.values("aws_cloudwatch_event_rule")
    targets = applied.values("aws_cloudwatch_event_target")
    expected = of_type(template, "AWS::Events::Rule")
    assert expected.keys() == rules.keys() == targets.keys()
    deployed = Deployed(chosen={"SweepsParameters": True}, parameters={"ParameterPrefixes": "/prod/"})
    for name, rule in expected.items():
        pattern = rules[name]["event_pattern"]
        assert deployed.resolved(rule.get("EventPattern")) == (json.loads(str(pattern)) if pattern else None)
        assert rule.get("ScheduleExpression") == rules[name]["schedule_expression"]
        assert rule["Description"] == rules[name]["description"]
        target = targets[name]
        assert at(rule, "Targets[0].RetryPolicy") == {
            "MaximumEventAgeInSeconds": at(target, "retry_policy[0].maximum_event_age_in_seconds"),
            "MaximumRetryAttempts": at(target, "retry_policy[0].maximum_retry_attempts"),
        }
        (asked,) = cast("list[dict[str, object]]", rule["Targets"])
        assert asked.get("Input") == target["input"]


def test_its_alarms_are_those_of_the_template(applied: Applied, template: object) -> None:
    """The same metric, threshold, periods and word for what is missing."""
    fields = {
        "AlarmDescription": "alarm_description",
        "MetricName": "metric_name",
        "Statistic": "statistic",
        "Period": "period",
        "EvaluationPeriods": "evaluation_periods",
        "Threshold": "threshold",
        "ComparisonOperator": "comparison_operator",
        "TreatMissingData": "treat_missing_data",
    }
    expected = {
        name: {field: by_default(template, one[field]) for field in fields}
        for name, one in of_type(template, "AWS::CloudWatch::Alarm").items()
    }
    (lost,) = of_type(template, "AWS::CloudWatch::CompositeAlarm").values()
    composite = applied.values("aws_cloudwatch_composite_alarm")["lease_lost"]
    assert lost["AlarmDescription"] == composite["alarm_description"]
    rule = str(at(lost, "AlarmRule.Fn::Sub")).replace("${", "keyturn-").replace("}", "")
    assert (rule, lost["ActionsSuppressorWaitPeriod"], lost["ActionsSuppressorExtensionPeriod"]) == (
        composite["alarm_rule"],
        at(composite, "actions_suppressor[0].wait_period"),
        at(composite, "actions_suppressor[0].extension_period"),
    )
    made = applied.values("aws_cloudwatch_metric_alarm")
    assert expected == {
        name: {field: one[attribute] for field, attribute in fields.items()} for name, one in made.items()
    }
    filters = of_type(template, "AWS::Logs::MetricFilter")
    patterns = {name: one["FilterPattern"] for name, one in filters.items()}
    logged = applied.values("aws_cloudwatch_log_metric_filter")
    assert patterns == {name: one["pattern"] for name, one in logged.items()}


def by_default(template: object, value: object) -> object:
    """The value of a property; of a parameter its default."""
    return at(template, f"Parameters.{value['Ref']}.Default") if isinstance(value, dict) else value


def test_its_dashboard_has_the_names_of_the_stack(applied: Applied) -> None:
    """Each name was filled in; that the text is the template's, `test_dashboard.py` says."""
    (made,) = values_of(applied.made, "aws_cloudwatch_dashboard").values()
    body = str(made["dashboard_body"])
    assert "${" not in body
    lines = [line for one in json.loads(body)["widgets"] for line in one["properties"].get("metrics", [])]
    namespaces = {line[0] for line in lines if isinstance(line[0], str)}
    assert {"AWS/Lambda", "AWS/SQS", "AWS/DynamoDB", "keyturn"} == namespaces


def test_its_counting_works(applied: Applied) -> None:
    """An environment that is behind is counted, with exactly the role that terraform made."""
    stack = applied.stack
    secret = stack.secrets.create_secret(Name="prod/counted", SecretString="one")
    table = ConvergenceTable(stack.session.client("dynamodb"), stack.outputs["ConvergenceTableName"])
    now_s = table.read().answered_at_s
    assert now_s is not None
    table.write(Report("e1", {secret["ARN"][:-7]: "before"}, now_s, now_s + 900))
    line = stack.invoke({"keyturn": "count"}, "CounterArn")
    assert (1, 1, ["prod/counted"]) == (line["environments"], line["behind"], line["secrets_behind"])


def test_its_counter_has_the_policy_that_keyturn_prints(applied: Applied) -> None:
    """`keyturn policy counter --parameters`, and no more."""
    tables, logs, policies = (
        values_of(applied.made, kind)
        for kind in ("aws_dynamodb_table", "aws_cloudwatch_log_group", "aws_iam_role_policy")
    )
    group = next(one for one in logs.values() if str(one["name"]).endswith("-counter"))
    made = roles.counter(
        Place(REGION, ACCOUNT),
        convergence_table=str(tables["0"]["arn"]),
        parameters=True,
        log_group=f"{group['arn']}:*",
    )
    policy = json.loads(str(policies["0"]["policy"]))
    assert document(made) == {**policy, "Statement": [unwrapped(one) for one in policy["Statement"]]}


def test_its_tables_and_queue_are_those_of_the_template(applied: Applied, template: object) -> None:
    """The same recovery, keys, retries, retention, and a queue that the same rules may send to."""
    tables = applied.values("aws_dynamodb_table")
    for name, own in (("MarkerTable", "markers"), ("ConvergenceTable", "0")):
        expected = of_type(template, "AWS::DynamoDB::Table")[name]
        assert at(expected, "BillingMode") == tables[own]["billing_mode"]
        assert at(expected, "KeySchema[0].AttributeName") == tables[own]["hash_key"]
    recovery = "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled"
    expected = of_type(template, "AWS::DynamoDB::Table")["MarkerTable"]
    assert at(expected, recovery) is at(tables["markers"], "point_in_time_recovery[0].enabled") is True
    failures = of_type(template, "AWS::Lambda::EventInvokeConfig")
    invoked = applied.values("aws_lambda_function_event_invoke_config")
    for name, own_name in (("ListenerFailures", "listener"), ("CounterFailures", "0")):
        assert (failures[name]["MaximumRetryAttempts"], failures[name]["MaximumEventAgeInSeconds"]) == (
            invoked[own_name]["maximum_retry_attempts"],
            invoked[own_name]["maximum_event_age_in_seconds"],
        )
    (queue,) = of_type(template, "AWS::SQS::Queue").values()
    made = applied.values("aws_sqs_queue")["undelivered"]
    assert (queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]) == (
        made["message_retention_seconds"],
        made["sqs_managed_sse_enabled"],
    )
    arns = {one["arn"] for one in values_of(applied.made, "aws_cloudwatch_event_rule").values()}
    (policy,) = values_of(applied.made, "aws_sqs_queue_policy").values()
    may_send = at(json.loads(str(policy["policy"])), "Statement[0].Condition.ArnEquals")
    assert {"aws:SourceArn": sorted(str(one) for one in arns)} == {
        key: sorted(some) for key, some in cast("dict[str, list[str]]", may_send).items()
    }


def test_its_settings_have_the_defaults_of_the_template(template: object) -> None:
    """Where a list is the default, the template has it as an empty text."""
    text = (MODULE / "variables.tf").read_text("utf-8")
    found = [
        (name, re.search(r"^  default += (.*)$", body, re.MULTILINE))
        for name, body in re.findall(r'^variable "(\w+)" {$(.*?)^}$', text, re.MULTILINE | re.DOTALL)
    ]
    own = {name.replace("_", ""): default[1].strip('"') for name, default in found if default}
    own = {name: "" if default in ("[]", "null") else default for name, default in own.items()}
    parameters = cast("Mapping[str, Mapping[str, object]]", at(template, "Parameters"))
    expected = {name.lower(): str(one["Default"]) for name, one in parameters.items() if "Default" in one}
    assert {name: default for name, default in own.items() if name not in OWN_VARIABLES} == expected


def test_its_trail_is_that_of_the_template(applied: Applied, template: object) -> None:
    """As planned with `of-own-trail`: the emulator has no trails that a stack could make."""
    folder = applied.folder
    terraform(folder, "plan", "-no-color", "-var=cloudtrail_events=of-own-trail", "-out=with-trail")
    planned = json.loads(terraform(folder, "show", "-json", "with-trail"))["planned_values"]
    resources = planned["root_module"]["resources"]
    (trail,) = values_of(resources, "aws_cloudtrail").values()
    expected = of_type(template, "AWS::CloudTrail::Trail")["Trail"]
    names = {
        "IsLogging": "enable_logging",
        "IsMultiRegionTrail": "is_multi_region_trail",
        "IncludeGlobalServiceEvents": "include_global_service_events",
        "EnableLogFileValidation": "enable_log_file_validation",
    }
    assert {key: expected[key] for key in names} == {key: trail[name] for key, name in names.items()}
    assert at(expected, "EventSelectors[0].ReadWriteType") == at(trail, "event_selector[0].read_write_type")
    bucket = of_type(template, "AWS::S3::Bucket")["TrailBucket"]
    (blocked,) = values_of(resources, "aws_s3_bucket_public_access_block").values()
    assert at(bucket, "PublicAccessBlockConfiguration") == {
        camel(name): blocked[name]
        for name in (
            "block_public_acls",
            "block_public_policy",
            "ignore_public_acls",
            "restrict_public_buckets",
        )
    }
    (ending,) = values_of(resources, "aws_s3_bucket_lifecycle_configuration").values()
    assert at(bucket, "LifecycleConfiguration.Rules[0].ExpirationInDays") == at(
        ending, "rule[0].expiration[0].days"
    )
    (encrypted,) = values_of(resources, "aws_s3_bucket_server_side_encryption_configuration").values()
    asked = at(bucket, "BucketEncryption.ServerSideEncryptionConfiguration[0]")
    assert at(asked, "ServerSideEncryptionByDefault.SSEAlgorithm") == at(
        encrypted, "rule[0].apply_server_side_encryption_by_default[0].sse_algorithm"
    )


@pytest.mark.parametrize(("function", "own"), [("Listener", "listener"), ("Counter", "0")])
def test_its_functions_are_those_of_the_template(
    applied: Applied, template: object, function: str, own: str
) -> None:
    """The same code, runtime, size and settings."""
    expected = of_type(template, "AWS::Lambda::Function")[function]
    made = applied.values("aws_lambda_function")[own]
    names = {"Handler": "handler", "MemorySize": "memory_size", "Timeout": "timeout"}
    names |= {"Architectures": "architectures", "Description": "description"}
    assert {key: expected[key] for key in names} == {key: made[name] for key, name in names.items()}
    assert {"Ref": "Runtime"} == expected["Runtime"]
    variables = cast("Mapping[str, object]", at(expected, "Environment.Variables"))
    assert variables.keys() == cast("Mapping[str, str]", at(made, "environment[0].variables")).keys()


def test_its_listener_has_the_policy_that_keyturn_prints(applied: Applied) -> None:
    """With parameters: what `keyturn policy listener --parameters` says, and no more."""
    log_groups, queues, policies = (
        values_of(applied.made, kind)
        for kind in ("aws_cloudwatch_log_group", "aws_sqs_queue", "aws_iam_role_policy")
    )
    made = roles.listener(
        Place(REGION, ACCOUNT),
        marker_table=applied.stack.outputs["MarkerTableArn"],
        prefixes=PREFIXES,
        parameters=True,
        log_group=f"{log_groups['listener']['arn']}:*",
        queue=str(queues["undelivered"]["arn"]),
    )
    assert document(made) == json.loads(str(policies["listener"]["policy"]))


def test_its_readers_have_the_policy_that_the_stacks_have(applied: Applied) -> None:
    """The head, the markers of the watched secrets and of parameters, and reports."""
    tables = values_of(applied.made, "aws_dynamodb_table")
    made = roles.marker_reader(
        Place(REGION, ACCOUNT),
        marker_table=applied.stack.outputs["MarkerTableArn"],
        prefixes=PREFIXES,
        table_parameters=["/keyturn/marker-table"],
        convergence_table=str(tables["0"]["arn"]),
    )
    policy = json.loads(str(values_of(applied.made, "aws_iam_policy")["reader"]["policy"]))
    assert document(made) == {**policy, "Statement": [unwrapped(one) for one in policy["Statement"]]}


def test_its_table_has_the_policy_that_keyturn_prints(applied: Applied) -> None:
    """For the accounts and the organization that may read it; as the emulator holds it."""
    table = applied.stack.outputs["MarkerTableArn"]
    policy = applied.stack.session.client("dynamodb").get_resource_policy(ResourceArn=table)["Policy"]
    printed = roles.shared_table(
        Place(REGION, ACCOUNT), marker_table=table, accounts=[READER], organization=ORGANIZATION
    )
    own = [replace(one, resources=("*",)) for one in printed]
    made = json.loads(policy)
    (principals,) = made["Statement"][0]["Principal"].values()
    made["Statement"][0]["Principal"] = {"AWS": principals[0] if isinstance(principals, list) else principals}
    assert document(own) == made


def unwrapped(statement: dict[str, object]) -> dict[str, object]:
    """A statement whose lists of one are that one."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in statement.items()
    }


def test_its_convergence_table_ends_what_is_over(applied: Applied, template: object) -> None:
    """By the same attribute."""
    table = applied.values("aws_dynamodb_table")["0"]
    expected = of_type(template, "AWS::DynamoDB::Table")["ConvergenceTable"]
    assert at(expected, "TimeToLiveSpecification.AttributeName") == at(table, "ttl[0].attribute_name")


def test_everything_in_it_is_tagged(applied: Applied) -> None:
    """Each resource that can have tags has the common one."""
    tags = {
        str(one["address"]): at(one, "values.tags")
        for one in applied.planned
        if one["mode"] == "managed" and "tags" in cast("Mapping[str, object]", one.get("values", {}))
    }
    assert len(tags) >= len(COUNTERPARTS)
    assert not [address for address, own in tags.items() if own != {"application": "keyturn"}]


def test_it_works(applied: Applied) -> None:
    """A moved label becomes a marker, and the sweep renews the lease, with the role that terraform made."""
    stack = applied.stack
    arn = stack.secrets.create_secret(Name="prod/db", SecretString="one")["ARN"]
    version_id = stack.secrets.put_secret_value(SecretId="prod/db", SecretString="two")["VersionId"]
    assert arn == stack.marker_with(arn[:-7], version_id).arn
    stack.parameters.put_parameter(Name="/prod/host", Value="one", Type="String")
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    head = stack.table.read_head()
    assert head is not None
    assert head.swept_as_of_s is not None
    assert time.time() - head.swept_as_of_s < 600
