"""Write the policies of `keyturn.policies.stack` into the templates and into the Terraform modules.

    python -m tools.stack_policies [--check]

There are two of each: the listener's, and a rotation function's. In a template a policy stands below a key
with the comment `# of keyturn.policies: NAME`. A module's `policies.tf` is made as a whole. With `--check`
nothing is written, and the exit code is 1 if one of them differs from what would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from keyturn.aws.catalog import FILTER_VALUES_MAX
from keyturn.markers.schema import HEAD_KEY
from keyturn.policies.roles import WRITTEN_HEADS
from keyturn.policies.stack import KEY, NAME_PREFIX, RULE, Clause, policies, rotation_policies
from keyturn.policies.statements import Conditions
from tools.generated import ROOT, write_or_check

INFRA: Final = ROOT / "infra"
MADE_BELOW: Final = re.compile(r"^( *(?:- )?)\w+: # of keyturn\.policies: (\w+)$", re.MULTILINE)
VERSION: Final = "2012-10-17"

# CloudFormation

PREFIXES_MAX: Final = FILTER_VALUES_MAX
"""How many prefixes the template takes. CloudFormation cannot make a list of a length that it is not told."""

UNUSED: Final = "#"
"""What stands for a prefix that is not given: no name of a secret has this character."""

RULES: Final[Mapping[str, str]] = {
    "SecretLabelUpdated": "",
    "ParameterChange": "WatchesParameters",
    "CloudTrailEvent": "WatchesCloudTrail",
    "Sweep": "",
    "Count": "Converges",
}
"""The template's rules, each with the condition under which it is there."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A function of CloudFormation in its short form, `!name value`."""

    name: str
    value: object


NO_VALUE: Final = Tag("Ref", "AWS::NoValue")


def in_template(clauses: Iterable[Clause]) -> object:
    """Return a policy document as CloudFormation takes it."""
    return {
        "Version": VERSION,
        "Statement": [
            _if(clause.when, _statement(clause), NO_VALUE) if clause.when else _statement(clause)
            for clause in clauses
        ],
    }


def _statement(clause: Clause) -> object:
    statement = clause.statement.as_json() | {"Resource": _values(clause.statement.resources)}
    if clause.statement.principal_kind:
        statement["Principal"] = {clause.statement.principal_kind: _values(clause.statement.principals)}
    conditions = {
        operator: {key: _values(values) for key, values in tests.items()}
        for operator, tests in clause.statement.conditions.items()
    }
    return statement | ({"Condition": conditions} if conditions else {})


def _values(values: Iterable[str]) -> object:
    every = [one for value in values for one in _expanded(value)]
    return every[0] if len(every) == 1 else every


def _expanded(text: str) -> Iterator[object]:
    if NAME_PREFIX in text:
        padded = Tag("Sub", "${NamePrefixes}" + f",{UNUSED}" * (PREFIXES_MAX - 1))
        for number in range(PREFIXES_MAX):
            chosen = Tag("Select", [number, Tag("Split", [",", padded])])
            yield Tag("Sub", [text, {"NamePrefix": chosen}])
    elif text == RULE:
        for rule, when in RULES.items():
            arn = Tag("GetAtt", f"{rule}.Arn")
            yield _if(when, arn, NO_VALUE) if when else arn
    elif re.fullmatch(r"\$\{\w+\.Arn\}", text):
        yield Tag("GetAtt", text[2:-1])
    elif re.fullmatch(r"\$\{\w+(Arns|Accounts)\}", text):
        yield Tag("Split", [",", Tag("Ref", text[2:-1])])
    elif text == KEY:
        # Its id alone stands for the key of the stack's own account and Region, as the template says.
        named = f"{text}arn:${{AWS::Partition}}:kms:${{AWS::Region}}:${{AWS::AccountId}}:key/{text}"
        rest = Tag("Select", [1, Tag("Split", ["arn:", Tag("Sub", named)])])
        yield Tag("Sub", ["arn:${Rest}", {"Rest": rest}])
    elif re.fullmatch(r"\$\{\w+\}", text):
        yield Tag("Ref", text[2:-1])
    else:
        yield Tag("Sub", text) if "${" in text else text


def _if(condition: str, then: object, otherwise: object) -> Tag:
    return Tag("If", [condition, then, otherwise])


def yaml_lines(node: object) -> Iterator[str]:
    """Yield the lines of a document in YAML, with CloudFormation's short forms."""
    match node:
        case dict():
            for key, value in node.items():
                # Without quotes IAM's operator would be YAML's null.
                yield from _below('"Null":' if key == "Null" else f"{key}:", value)
        case list():
            for value in node:
                yield from _below("-", value)
        case _:
            yield _flow(node)


def _below(head: str, value: object) -> Iterator[str]:
    match value:
        case Tag("If", [condition, dict() as then, otherwise]):
            yield f"{head} !If"
            yield from ("  " + line for line in yaml_lines([condition, then, otherwise]))
        case dict() if head == "-":
            first, *rest = yaml_lines(value)
            yield f"- {first}"
            yield from ("  " + line for line in rest)
        case dict() | list():
            yield head
            yield from ("  " + line for line in yaml_lines(value))
        case _:
            yield f"{head} {_flow(value)}"


PLAIN: Final = re.compile(r"(?!true$|false$)[A-Za-z][\w-]*([.:][\w*-]+)*", re.ASCII)
"""Texts of the policies that YAML takes without quotes."""


def _flow(node: object) -> str:
    match node:
        case Tag("GetAtt" | "Ref" as name, str(value)):
            return f"!{name} {value}"
        case Tag(name, value):
            return f"!{name} {_flow(value)}"
        case list():
            return f"[{', '.join(_flow(one) for one in node)}]"
        case dict():
            return "{ " + ", ".join(f"{key}: {_flow(one)}" for key, one in node.items()) + " }"
        case str() if PLAIN.fullmatch(node):
            return node
    return json.dumps(node)


def with_policies(template: str, policies: Mapping[str, Sequence[Clause]]) -> str:
    """Return the template's text with each policy as it is now. Raises `ValueError` unless all are in it."""
    every = dict(policies)
    lines: list[str] = []
    below = -1
    for line in template.splitlines():
        indent = len(line) - len(line.lstrip())
        if below >= 0 and line.strip() and indent > below:
            continue
        below = -1
        lines.append(line)
        marked = MADE_BELOW.match(line)
        if marked:
            below = len(marked[1])
            made = yaml_lines(in_template(every.pop(marked[2])))
            lines.extend(" " * (below + 2) + one for one in made)
    if every:
        raise ValueError(f"the template has no place for: {', '.join(every)}")
    return "\n".join(lines) + "\n"


# Terraform

CHOICES: Final[Mapping[str, str]] = {
    "SweepsParameters": "length(var.parameter_prefixes) > 0",
    "HasTableKey": "var.table_key_arn != null",
    "HasTableParameter": "var.create_table_parameter",
    "Converges": "var.convergence",
    "ConvergesWithTableKey": "var.convergence && var.table_key_arn != null",
    "CountsReports": 'var.convergence_table != ""',
    "HasAdminKeys": 'var.admin_secret_name != "" && length(var.secret_key_arns) > 0',
    "HasAdminSecret": 'var.admin_secret_name != ""',
    "HasReaderAccounts": "length(var.reader_accounts) > 0",
    "HasReaderOrganization": "var.reader_organization != null",
    "HasSecretKeys": "length(var.secret_key_arns) > 0",
    "InVpc": "length(var.subnet_ids) > 0",
    "ListsVersions": "var.lists_versions",
}
"""The templates' conditions in Terraform."""

REFERENCES: Final[Mapping[str, str]] = {
    "AWS::AccountId": "local.account",
    "AWS::Partition": "local.partition",
    "AWS::Region": "local.region",
    "AdminSecretName": "var.admin_secret_name",
    "ConvergenceTable": "var.convergence_table",
    "CounterLog.Arn": '"${join("", aws_cloudwatch_log_group.counter[*].arn)}:*"',
    "ConvergenceTable.Arn": 'join("", aws_dynamodb_table.convergence[*].arn)',
    "FunctionLog.Arn": '"${aws_cloudwatch_log_group.function.arn}:*"',
    "ListenerLog.Arn": '"${aws_cloudwatch_log_group.listener.arn}:*"',
    "MarkerTable": "var.marker_table",
    "MarkerTable.Arn": "aws_dynamodb_table.markers.arn",
    "NamePrefix": "prefix",
    "ReaderAccounts": "var.reader_accounts",
    "ReaderOrganization": "var.reader_organization",
    "SecretKeyArns": "var.secret_key_arns",
    "SecretName": "var.secret_name",
    "TableKeyArn": "var.table_key_arn",
    "TableParameter": "var.table_parameter",
    "TrailBucket.Arn": 'join("", values(aws_s3_bucket.trail)[*].arn)',
    "Undelivered.Arn": "aws_sqs_queue.undelivered.arn",
}
"""What the templates' names are in Terraform."""

COPIES: Final = WRITTEN_HEADS[1:]
"""The keys of all copies of the head, which Terraform makes of their numbers."""

HEAD: Final = """\
# Every policy of the module. Made by `python -m tools.stack_policies` from keyturn.policies.stack, as those
# of infra/{template} are; `keyturn policy` prints the same statements. Change them there.

locals {{
"""

PREFIXES: Final = """\
  # One empty prefix begins every name.
  watched_prefixes = coalescelist(var.name_prefixes, [""])

"""


def terraform_text(template: str, policies: Mapping[str, Sequence[Clause]]) -> str:
    """Return the text of a module's policies, formatted as `terraform fmt` does."""
    made = "\n".join(_local(name, clauses) for name, clauses in policies.items())
    return (
        HEAD.format(template=template) + (PREFIXES if "local.watched_prefixes" in made else "") + made + "}\n"
    )


def _local(name: str, clauses: Sequence[Clause]) -> str:
    lines = [f"  {name}_policy = jsonencode({{", f'    Version = "{VERSION}"', "    Statement = concat("]
    for when, group in groupby(clauses, lambda clause: clause.when):
        objects = [_object(clause) for clause in group]
        if when:
            for one in objects:
                first, *rest = one
                lines += ["      [", f"        for clause in [{first}"]
                lines += [f"        {line}" for line in rest[:-1]]
                lines += [f"        }}] : clause if {CHOICES[when]}", "      ],"]
        else:
            lines += [
                "      [",
                *(f"        {line}" for one in objects for line in (*one[:-1], "},")),
                "      ],",
            ]
    return "\n".join([*lines, "    )", "  })", ""])


def _object(clause: Clause) -> list[str]:
    """Return the lines of one statement, with its `=` in one column."""
    statement = clause.statement
    fields = {"Sid": json.dumps(statement.sid), "Effect": json.dumps(statement.effect)}
    if statement.principals:
        kind = statement.principal_kind
        fields["Principal"] = f"{{ {kind} = {_list(statement.principals)} }}" if kind else '"*"'
    fields["Action"] = _list(statement.actions)
    fields["Resource"] = _list(statement.resources)
    if statement.conditions:
        fields["Condition"] = _conditions(statement.conditions)
    width = max(map(len, fields))
    return ["{", *(f"  {key:{width}} = {value}" for key, value in fields.items()), "}"]


def _conditions(conditions: Conditions) -> str:
    tested = {
        operator: _pairs({key: _list(values) for key, values in tests.items()})
        for operator, tests in conditions.items()
    }
    return _pairs(tested)


def _pairs(values: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{_key(key)} = {value}' for key, value in values.items())} }}"


def _key(text: str) -> str:
    return text if text.isalpha() else json.dumps(text)


def _list(values: Iterable[str]) -> str:
    """Return an expression for these values: one as it is, some as a list."""
    parts: list[str] = []
    for kind, group in groupby(values, _kind):
        texts = tuple(group)
        if kind == "copies" and texts == COPIES:
            parts.append(f'[for copy in range(1, {len(COPIES) + 1}) : "{HEAD_KEY}#${{copy}}"]')
        else:
            parts += map(_each, texts) if kind == "several" else [f"[{', '.join(map(_expression, texts))}]"]
    if len(parts) > 1:
        return f"concat({', '.join(parts)})"
    alone = parts[0]
    return alone[1:-1] if not alone.startswith("[for ") and ", " not in alone else alone


def _kind(text: str) -> str:
    if NAME_PREFIX in text or text == RULE:
        return "several"
    return "copies" if text in COPIES else "one"


def _each(text: str) -> str:
    if text == RULE:
        rules = "merge(aws_cloudwatch_event_rule.listener, aws_cloudwatch_event_rule.counter)"
        return f"[for rule in {rules} : rule.arn]"
    return f"[for prefix in local.watched_prefixes : {_expression(text)}]"


def _expression(text: str) -> str:
    alone = re.fullmatch(r"\$\{([\w.:]+)\}", text)
    if alone:
        return REFERENCES[alone[1]]
    filled = re.sub(r"\$\{([\w.:]+)\}", lambda name: "${" + REFERENCES[name[1]] + "}", text)
    return f'"{filled}"'


def made_files() -> dict[Path, str]:
    """Return each file with its text as it would be written."""
    made: dict[Path, str] = {}
    for name, module, policies_of in (
        ("template.yaml", "terraform", policies),
        ("rotation.yaml", "terraform/modules/rotation", rotation_policies),
    ):
        template = INFRA / name
        made[template] = with_policies(template.read_text("utf-8"), policies_of())
        made[INFRA / module / "policies.tf"] = terraform_text(name, policies_of())
    return made


def main(arguments: Sequence[str]) -> int:
    """Write all files, or compare them with `--check`. Return the exit code."""
    return write_or_check(made_files(), "keyturn.policies", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
