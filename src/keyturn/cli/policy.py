"""`keyturn policy`: the least-privilege IAM policy of a role, ready for `aws iam put-role-policy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from keyturn.cli.output import echo_json
from keyturn.errors import ConfigurationError
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement, document

_F = TypeVar("_F", bound=Callable[..., object])


@click.group("policy")
def command() -> None:
    r"""Print the least-privilege IAM policy of a role.

    What is named by its ARN needs neither Region nor account. Nothing is asked of AWS.

    \b
    Ready to be attached:
      keyturn policy reader --secret prod/db ... > reader.json
      aws iam put-role-policy --role-name ROLE --policy-name keyturn --policy-document file://reader.json
    """


def _several(name: str, help_: str, *, required: bool = False) -> Callable[[_F], _F]:
    return click.option(name, multiple=True, required=required, help=f"{help_} Repeatable.")


_region = click.option(
    "--region",
    default="",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    show_envvar=True,
    help="Of what is named by name.",
)
_account = click.option("--account", default="", help="Of what is named by name: 12 digits.")
_keys = _several("--key", "ARN of a customer managed KMS key.")
_aliases = _several("--key-alias", "Alias of such a key (alias/NAME), where its ARN is not known.")


def _secrets(*, required: bool) -> Callable[[_F], _F]:
    return _several("--secret", "A secret's name or ARN; * stands for any characters.", required=required)


def _marker_table(*, required: bool) -> Callable[[_F], _F]:
    return click.option(
        "--marker-table",
        envvar="KEYTURN_MARKER_TABLE",
        show_envvar=True,
        required=required,
        help="Name or ARN of the marker table.",
    )


@command.command
@_secrets(required=False)
@_several("--stage", "The only staging label that may be read; any, if not given.")
@_several("--parameter", "A parameter's name or ARN.")
@_several("--path", "A path for get_parameters_by_path.")
@_keys
@_aliases
@_marker_table(required=False)
@_region
@_account
def reader(
    *,
    secret: Sequence[str],
    stage: Sequence[str],
    parameter: Sequence[str],
    path: Sequence[str],
    key: Sequence[str],
    key_alias: Sequence[str],
    marker_table: str | None,
    region: str,
    account: str,
) -> None:
    """A process that reads secrets and parameters."""
    _echo(
        roles.reader(
            _place(region, account),
            secrets=secret,
            stages=stage,
            parameters=parameter,
            paths=path,
            keys=key,
            key_aliases=key_alias,
            marker_table=marker_table,
        )
    )


@command.command
@_marker_table(required=True)
@_several("--prefix", "How the names of the watched secrets begin; all, if not given.")
@click.option("--parameters", is_flag=True, help="Its sweep lists parameters as well.")
@click.option("--log-group", help="ARN of its log group, ending in :*")
@click.option("--queue", help="ARN of the queue for events that it could not handle.")
@_region
@_account
def listener(
    *,
    marker_table: str,
    prefix: Sequence[str],
    log_group: str | None,
    queue: str | None,
    region: str,
    account: str,
    parameters: bool,
) -> None:
    """The rotation listener; infra/template.yaml has this policy."""
    _echo(
        roles.listener(
            _place(region, account),
            marker_table=marker_table,
            prefixes=prefix,
            parameters=parameters,
            log_group=log_group,
            queue=queue,
        )
    )


@command.command
@_secrets(required=True)
@_marker_table(required=True)
@_region
@_account
def announcer(secret: Sequence[str], marker_table: str, region: str, account: str) -> None:
    """Whoever calls keyturn.announce."""
    _echo(roles.announcer(_place(region, account), secrets=secret, marker_table=marker_table))


@command.command
@_secrets(required=True)
@_several("--admin-secret", "The secret of a user who changes others' passwords; only read.")
@_keys
@_aliases
@_marker_table(required=False)
@_region
@_account
def rotation(
    *,
    secret: Sequence[str],
    admin_secret: Sequence[str],
    key: Sequence[str],
    key_alias: Sequence[str],
    marker_table: str | None,
    region: str,
    account: str,
) -> None:
    """A rotation function that announces its steps."""
    _echo(
        roles.rotation(
            _place(region, account),
            secrets=secret,
            admin_secrets=admin_secret,
            keys=key,
            key_aliases=key_alias,
            marker_table=marker_table,
        )
    )


def _place(region: str, account: str) -> Place:
    return Place(region, account, _partition(region)) if region else Place(account=account)


def _partition(region: str) -> str:
    """The partition that a Region is in, as botocore knows it."""
    from botocore.exceptions import UnknownRegionError
    from botocore.session import get_session

    try:
        return str(get_session().get_partition_for_region(region))
    except UnknownRegionError as error:
        raise ConfigurationError(f"{region!r} is not a Region") from error


def _echo(statements: Sequence[Statement]) -> None:
    echo_json(document(statements))
