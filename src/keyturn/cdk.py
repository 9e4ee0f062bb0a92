"""The marker table and the listener as a construct of AWS's CDK.

It includes the template that `keyturn stack --template` writes, with the listener's code of this version, so
that it makes the same resources. It needs the extra `cdk`, and Node, which the CDK itself needs.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from aws_cdk import CfnParameter, Fn, Stack, Token
from aws_cdk.aws_iam import IManagedPolicy, ManagedPolicy
from aws_cdk.aws_kms import IKey
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_s3_assets import Asset
from aws_cdk.aws_sns import ITopic
from aws_cdk.cloudformation_include import CfnInclude
from constructs import Construct

from keyturn.errors import ConfigurationError
from keyturn.stack import files, listener

Value: TypeAlias = str | int | bool

_CONDITIONS: Final = {
    "AlarmTopicArn": "HasAlarmTopic",
    "PermissionsBoundary": "HasBoundary",
    "TableKeyArn": "HasTableKey",
}
"""Parameter -> the condition that it is given. CloudFormation compares nothing that it has yet to make."""

_LEFT_OUT: Final = {"CodeS3ObjectVersion": "", "ReservedConcurrency": "-1"}
"""Parameter -> the default with which the template leaves the property out.

The CDK's own rules judge a default as if it were the property, whatever the condition says. A value that is
given, the same though it be, decides the condition.
"""

_WITHOUT_CONDITION: Final = frozenset({"CodeBucket", "CodeKey"})

_HERE: Final = "keyturn-is-here"
"""The id of a construct without resources, which marks the stack that has keyturn."""


class Keyturn(Construct):
    """The marker table, the listener that keeps it, its rules and its alarms.

        keyturn = Keyturn(stack, "Keyturn", {"NamePrefixes": "orders/"}, alarm_topic=topic)
        keyturn.grant_read(function)

    Args:
        scope: the stack, or a construct in it.
        id: the construct's id.
        parameters: values of the template's parameters, by their names in docs/operations.md. The rest have
            their defaults, and so have those that are None. With `CodeBucket` and `CodeKey` the listener's
            code is that object, and otherwise an asset that is built from this version of keyturn.
        alarm_topic: the topic that the alarms tell.
        table_key: the key that encrypts the tables.
        permissions_boundary: the policy that limits the listener's role.

    A stack has one: the names of its exports and its metrics begin with the stack's name. Raises
    `ConfigurationError` for a second one, for a parameter that there is not, and for a value that the
    template refuses.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 # as every construct has it
        parameters: Mapping[str, Value | None] | None = None,
        *,
        alarm_topic: ITopic | None = None,
        table_key: IKey | None = None,
        permissions_boundary: IManagedPolicy | None = None,
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        if stack.node.try_find_child(_HERE) is not None:
            raise ConfigurationError("a stack has one Keyturn at most: put the second one into another stack")
        made = _values(alarm_topic, table_key, permissions_boundary)
        given = _texts(parameters or {}) | made
        _check(given)
        if not _has_code(given):
            given |= self._code()
        self._template = CfnInclude(
            self,
            "Template",
            template_file=str(files.template()),
            parameters={**_LEFT_OUT, **given},
            preserve_logical_ids=False,
        )
        Construct(stack, _HERE)
        for name in _CONDITIONS.keys() & given.keys():
            if Token.is_unresolved(given[name]):
                self._template.get_condition(_CONDITIONS[name]).expression = Fn.condition_equals(1, 1)
        self._reader_policy = ManagedPolicy.from_managed_policy_arn(
            self, "ReaderPolicy", self._template.get_resource("ReaderPolicy").ref
        )

    @property
    def marker_table_name(self) -> str:
        """The name of the marker table: `KEYTURN_MARKER_TABLE` of the readers."""
        return self._template.get_resource("MarkerTable").ref

    @property
    def marker_table_arn(self) -> str:
        """The ARN of the marker table."""
        return self._arn("MarkerTable")

    @property
    def listener_arn(self) -> str:
        """The ARN of the listener function."""
        return self._arn("Listener")

    @property
    def reader_policy(self) -> IManagedPolicy:
        """The policy of roles that read secrets through keyturn, beside the right to read the secrets."""
        return self._reader_policy

    def grant_read(self, function: Function) -> None:
        """Let a function read the markers, and tell it the table's name.

        The right to read a secret itself comes by `secret.grant_read(function)`. Raises `ConfigurationError`
        for a function whose role the CDK does not know, or whose environment it cannot change: an imported
        one, an alias or a version. Then nothing is attached.
        """
        role = function.role
        if role is None:
            raise ConfigurationError(
                "the CDK does not know the role of this function: attach reader_policy to the role, and set "
                "KEYTURN_MARKER_TABLE of the function to marker_table_name"
            )
        if not hasattr(function, "add_environment"):
            raise ConfigurationError(
                "the CDK cannot change the environment of this function: give the function itself, not its "
                "alias or version. For an imported one attach reader_policy to the role, and set "
                "KEYTURN_MARKER_TABLE of the function to marker_table_name"
            )
        role.add_managed_policy(self._reader_policy)
        function.add_environment("KEYTURN_MARKER_TABLE", self.marker_table_name)

    def _arn(self, name: str) -> str:
        return Token.as_string(self._template.get_resource(name).get_att("Arn"))

    def _code(self) -> Mapping[str, str]:
        """Return the values for the listener's code: an asset, which is copied as soon as it is made."""
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "rotation_listener.zip")
            listener.build(package)
            asset = Asset(self, "Code", path=str(package))
        return {"CodeBucket": asset.s3_bucket_name, "CodeKey": asset.s3_object_key}


def _values(
    alarm_topic: ITopic | None, table_key: IKey | None, permissions_boundary: IManagedPolicy | None
) -> dict[str, str]:
    """Return the values of the parameters for which the app has things of its own."""
    values: dict[str, str] = {}
    if alarm_topic is not None:
        values["AlarmTopicArn"] = alarm_topic.topic_arn
    if table_key is not None:
        if hasattr(table_key, "alias_name"):
            raise ConfigurationError("table_key is an alias, and IAM allows no key by it: give the key")
        values["TableKeyArn"] = table_key.key_arn
    if permissions_boundary is not None:
        values["PermissionsBoundary"] = permissions_boundary.managed_policy_arn
    return values


def _has_code(given: Mapping[str, str]) -> bool:
    """Return whether the listener's code is given. Raises `ConfigurationError` if it is given in part."""
    missing = sorted(_WITHOUT_CONDITION - given.keys())
    if missing and given.keys() & {*_WITHOUT_CONDITION, "CodeS3ObjectVersion"}:
        raise ConfigurationError(
            f"{', '.join(missing)} is missing: the listener's code has a bucket and a key"
        )
    return not missing


def _texts(parameters: Mapping[str, object]) -> dict[str, str]:
    """Return those values that are given, as CloudFormation takes them."""
    return {name: _text(name, value) for name, value in parameters.items() if value is not None}


def _text(name: str, value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            # Of a member of an Enum, too.
            return str.__str__(value)
        case int():
            return str(int(value))
        case float() if Token.is_unresolved(value):
            return Token.as_string(value)
        case _ if hasattr(type(value), "creation_stack"):
            # What the CDK calls resolvable, such as a reference. Asked for itself, it may fail.
            return Token.as_string(value)
    raise ConfigurationError(f"{name} is a {type(value).__name__}: give a text, a whole number or a bool")


def _check(given: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` for what CloudFormation would refuse.

    An included template loses the parameters that are given, and what they take with them.
    """
    template = CfnInclude(Stack(), "Template", template_file=str(files.template()))
    for name, value in given.items():
        try:
            parameter = template.get_parameter(name)
        except RuntimeError as error:
            raise ConfigurationError(f"{name}: keyturn's template has no such parameter") from error
        if Token.is_unresolved(value):
            if name not in _CONDITIONS and name not in _WITHOUT_CONDITION:
                raise ConfigurationError(
                    f"{name} is made by the deployment itself: give a value that is known before"
                )
        elif not all(_tests(parameter, value)):
            raise ConfigurationError(f"{name} is {value!r}: {parameter.constraint_description}")


def _tests(parameter: CfnParameter, value: str) -> Iterator[bool]:
    """Yield for each constraint of a parameter whether the value keeps it."""
    if parameter.allowed_pattern is not None:
        yield re.fullmatch(parameter.allowed_pattern, value) is not None
    if parameter.allowed_values is not None:
        yield value in map(str, parameter.allowed_values)
    if parameter.max_length is not None:
        yield len(value) <= parameter.max_length
    if parameter.min_value is not None and parameter.max_value is not None:
        is_number = value.isascii() and value.isdecimal() and len(value) < 9
        yield is_number and parameter.min_value <= int(value) <= parameter.max_value
