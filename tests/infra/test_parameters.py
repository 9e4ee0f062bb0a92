"""What the templates and modules take: a value that cannot work is refused before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import pytest

from tests.templates import read_template
from tools.build_listener import ROOT

INFRA = ROOT / "infra"
MODULES = {"template.yaml": "terraform", "rotation.yaml": "terraform/modules/rotation"}
FREE = {"tags", "environment", "listener_zip", "function_zip"}
"""Variables that take what Terraform itself or the provider checks: maps, and files that it reads."""

KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"
LAYER = "arn:aws-cn:lambda:cn-north-1:111122223333:layer:keyturn:1"
BOUNDARY = "arn:aws:iam::111122223333:policy/boundary"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
VALUES: Mapping[str, tuple[list[str], list[str]]] = {
    "CodeBucket": (
        ["code", "my.code-1", "code-{region}"],
        ["", "s3://code", "code/keyturn", "code.", "{region}", "code-{region}-1", "code-{account}"],
    ),
    "CodeKey": (["a.zip", "keyturn/1f.zip"], ["", "/a.zip", "s3://code/a.zip", "folder/"]),
    "CodeS3ObjectVersion": (["", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dI", "null"], ["a version"]),
    "ParameterPrefixes": (
        ["", "/prod/", "/prod/,db"],
        ["/prod/, /shared/", "/prod/*", ",", ",".join("abcdefghijk")],
    ),
    "TableParameter": (["", "/keyturn/marker-table"], ["marker-table", "/keyturn/", "/a b"]),
    "TableKeyArn": (
        ["", KEY, KEY.replace("key/", "key/mrk-"), KEY.rpartition("/")[2], f"mrk-{'1' * 32}"],
        ["alias/x", KEY.replace("key/", "alias/"), "1-2", "key/1"],
    ),
    "ReaderAccounts": (
        ["", "1" * 12, f"{'1' * 12},{'2' * 12}", ",".join(["1" * 12] * 100)],
        ["1" * 11, "1" * 13, f"{'1' * 12}, {'2' * 12}", "*", "o-a1b2c3d4e5", ",".join(["1" * 12] * 101)],
    ),
    "ReaderOrganization": (["", "o-a1b2c3d4e5"], ["a1b2c3d4e5", "o-1", "o-A1B2C3D4E5", "*", "1" * 12]),
    "AlarmTopicArn": (["", TOPIC, f"{TOPIC}.fifo", "alarms"], ["a larm", f"{TOPIC}:subscription", KEY]),
    "PermissionsBoundary": (
        ["", "boundary", "org/boundary", BOUNDARY, BOUNDARY.replace("111122223333", "aws")],
        ["a boundary", BOUNDARY.replace("policy", "role"), f"{BOUNDARY}:1"],
    ),
    "ReservedConcurrency": (["-1", "1", "100"], ["0", "-2", "1.5", "00", ""]),
    "Handler": (["app.handler", "in_folder/app.handler", "a.b.c"], ["", "app", "app.", ".handler", "a b"]),
    "WrappedHandler": (["", "lambda_function.lambda_handler"], ["app"]),
    "Layers": (
        ["", LAYER, f"{LAYER},{LAYER}"],
        ["keyturn", LAYER[:-2], f"{LAYER}, {LAYER}", ",".join([LAYER] * 6)],
    ),
    "SecretKeyArns": (["", KEY, f"{KEY},{KEY}"], ["alias/x", f"{KEY}, {KEY}"]),
    "MarkerTable": (
        ["keyturn-MarkerTable-1X"],
        ["", "ab", "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"],
    ),
    "ConvergenceTable": (["", "reports"], [TABLE]),
    "SubnetIds": (["", "subnet-0a1b,subnet-2"], ["subnet-1, subnet-2", "vpc-1"]),
    "SecurityGroupIds": (["", "sg-0a1b"], ["default"]),
}
"""Parameter -> values that it takes, and values that it refuses."""


def parameters_of(template: str) -> Mapping[str, Mapping[str, object]]:
    """The parameters of a template."""
    content = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", read_template(INFRA / template))
    return content["Parameters"]


@pytest.mark.parametrize("template", MODULES)
def test_every_parameter_says_what_it_takes(template: str) -> None:
    """By a pattern, by a list or by both bounds, and in words: a bare pattern tells nobody what is wrong."""
    for name, one in parameters_of(template).items():
        bounded = {"MinValue", "MaxValue"} <= one.keys()
        assert bounded or one.keys() & {"AllowedPattern", "AllowedValues"}, name
        assert one.get("ConstraintDescription"), name


@pytest.mark.parametrize("template", MODULES)
def test_what_cannot_work_is_refused(template: str) -> None:
    """A concurrency of 0, an alias for a key, a list with spaces; and what does work is taken."""
    tried = 0
    for name, one in parameters_of(template).items():
        if name not in VALUES:
            continue
        taken, refused = VALUES[name]
        fits = re.compile(str(one["AllowedPattern"])).fullmatch
        assert [] == [value for value in taken if not fits(value)], name
        assert [] == [value for value in refused if fits(value)], name
        tried += 1
    assert tried >= 7


@pytest.mark.parametrize("template", MODULES)
def test_every_output_is_exported(template: str) -> None:
    """Under the stack's name and the output's, for `Fn::ImportValue` in the stacks of readers."""
    content = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", read_template(INFRA / template))
    for name, one in content["Outputs"].items():
        assert {"Name": {"Fn::Sub": f"${{AWS::StackName}}-{name}"}} == one.get("Export")


@pytest.mark.parametrize("module", MODULES.values())
def test_every_variable_is_validated(module: str) -> None:
    """As the parameters of the template are; a bool is checked by its type."""
    text = (INFRA / module / "variables.tf").read_text("utf-8")
    variables = dict(re.findall(r'^variable "(\w+)" {$(.*?)^}$', text, re.MULTILINE | re.DOTALL))
    unchecked = {name for name, body in variables.items() if "validation {" not in body}
    assert {name for name in unchecked - FREE if "= bool" not in variables[name]} == set()
