"""`keyturn policy` prints the least-privilege IAM policy of a role, ready for `aws iam put-role-policy`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from keyturn.aws.answers import mapping, mappings
from keyturn.cli.output import echo_json
from keyturn.errors import ConfigurationError
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import OF_KEY, OF_ROLE, OF_TABLE, Limit, Statement, document
from keyturn.runtime.host import CONVERGENCE_TABLE_VARIABLE, MARKER_TABLE_VARIABLE, environment

_F = TypeVar("_F", bound=Callable[..., object])


@click.group("policy")
def command() -> None:
    """Print the least-privilege IAM policy of a role.

    If you give ARNs instead of names, --region and --account are not needed. The command calls no AWS API.
    With --template the table may be ${Name}, for a template parameter of that name.

    \b
    To attach a policy:
      keyturn policy reader --secret prod/db ... > reader.json
      aws iam put-role-policy --role-name ROLE --policy-name keyturn --policy-document file://reader.json
    """  # noqa: D301 # click needs the backspace: it keeps the lines after it as they are


def _several(name: str, help_: str, *, required: bool = False) -> Callable[[_F], _F]:
    return click.option(name, multiple=True, required=required, help=f"{help_} Repeatable.")


def _placed(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where everything is, passed as `place`."""

    @click.option(
        "--region",
        default="",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        show_envvar=True,
        help="Region of everything that is not named by its ARN.",
    )
    @click.option(
        "--account", default="", help="Account of everything that is not named by its ARN: 12 digits."
    )
    @click.option(
        "--template",
        is_flag=True,
        help="Print the policy for a CloudFormation or SAM template, with the stack's Region and account.",
    )
    @functools.wraps(function)
    def placed(*, region: str, account: str, template: bool, **options: object) -> None:
        function(place=Place.of_stack() if template else _place(region, account), **options)

    return placed


_keys = _several("--key", "ARN of a customer managed KMS key.")
_aliases = _several("--key-alias", "Alias of such a key (alias/NAME), if its ARN is not known.")


def _secrets(*, required: bool) -> Callable[[_F], _F]:
    return _several("--secret", "A secret's name or ARN; * stands for any characters.", required=required)


def _marker_table(*, required: bool) -> Callable[[_F], _F]:
    return click.option(
        "--marker-table",
        envvar=MARKER_TABLE_VARIABLE,
        show_envvar=True,
        required=required,
        help="Name or ARN of the marker table.",
    )


def _convergence_table(help_: str, *, required: bool = False) -> Callable[[_F], _F]:
    return click.option(
        "--convergence-table",
        envvar=CONVERGENCE_TABLE_VARIABLE,
        show_envvar=True,
        required=required,
        help=f"Name or ARN of the convergence table, {help_}",
    )


_prefix = _several("--prefix", "Prefix of the watched secrets' names. Default: all names.")
_table_key = click.option("--table-key", help="ARN of the customer managed KMS key that encrypts the tables.")


@command.command
@_secrets(required=False)
@_several("--stage", "The only staging label that may be read. Default: any label.")
@_several("--parameter", "A parameter's name or ARN.")
@_several("--path", "A path for get_parameters_by_path.")
@_keys
@_aliases
@_marker_table(required=False)
@_several("--other-table", "ARN of the marker table of another account or Region.")
@_several(
    "--table-parameter", "Name or ARN of the parameter by which the process finds its table (ssm:NAME)."
)
@_convergence_table("if the process reports its versions.")
@_table_key
@_several("--role", "ARN of a role of another account that the process reads with.")
@_placed
def reader(
    *,
    place: Place,
    secret: Sequence[str],
    stage: Sequence[str],
    parameter: Sequence[str],
    path: Sequence[str],
    key: Sequence[str],
    key_alias: Sequence[str],
    marker_table: str | None,
    other_table: Sequence[str],
    table_parameter: Sequence[str],
    convergence_table: str | None,
    table_key: str | None,
    role: Sequence[str],
) -> None:
    """Print the policy for reads of secrets and parameters.

    A table of another account needs a policy of its own, which names this account: keyturn policy table.
    """
    _echo(
        roles.reader(
            place,
            secrets=secret,
            stages=stage,
            parameters=parameter,
            paths=path,
            keys=key,
            key_aliases=key_alias,
            marker_table=marker_table,
            other_tables=other_table,
            table_parameters=table_parameter,
            convergence_table=convergence_table,
            table_key=table_key,
            assumed=role,
        )
    )


_reader_accounts = _several("--reader-account", "Number of an account whose processes read the table.")
_organization = click.option(
    "--organization", help="Id of an organization (o-...) whose accounts read the table."
)


@command.command(short_help="Print the policy of a table that others read.")
@_marker_table(required=True)
@_reader_accounts
@_organization
@_placed
def table(
    *, place: Place, marker_table: str, reader_account: Sequence[str], organization: str | None
) -> None:
    """Print the policy of a marker table that other accounts read: aws dynamodb put-resource-policy.

    The stack attaches it by its parameters ReaderAccounts and ReaderOrganization. It is one side: the roles
    of the readers also need what keyturn policy reader prints.
    """
    _echo(
        roles.shared_table(
            place, marker_table=marker_table, accounts=reader_account, organization=organization
        ),
        OF_TABLE,
    )


@command.command("table-key", short_help="Print the KMS statements for such a table.")
@click.option("--table-key", required=True, help="ARN of the customer managed KMS key of the table.")
@_reader_accounts
@_organization
def table_key_(*, table_key: str, reader_account: Sequence[str], organization: str | None) -> None:
    """Print the statements that the KMS key of such a table needs in its policy.

    Add them to the policy that the key has: PutKeyPolicy replaces all of it.
    """
    _echo(
        roles.shared_table_key(
            Place(), table_key=table_key, accounts=reader_account, organization=organization
        ),
        OF_KEY,
    )


@command.command
@_marker_table(required=True)
@_prefix
@click.option("--parameters", is_flag=True, help="The sweep lists parameters as well.")
@click.option("--log-group", help="ARN of the listener's log group, ending in :*")
@click.option("--queue", help="ARN of the queue for events that the listener could not handle.")
@_table_key
@_placed
def listener(
    *,
    place: Place,
    marker_table: str,
    prefix: Sequence[str],
    log_group: str | None,
    queue: str | None,
    parameters: bool,
    table_key: str | None,
) -> None:
    """Print the rotation listener's policy.

    The template and the Terraform module of `keyturn stack` have the same policy.
    """
    _echo(
        roles.listener(
            place,
            marker_table=marker_table,
            prefixes=prefix,
            parameters=parameters,
            log_group=log_group,
            queue=queue,
            table_key=table_key,
        )
    )


@command.command(short_help="Print the policy of the counting function.")
@_convergence_table("whose reports are counted.", required=True)
@click.option("--parameters", is_flag=True, help="Parameters are counted as well.")
@click.option("--log-group", help="ARN of the function's log group, ending in :*")
@_table_key
@_placed
def counter(
    *,
    place: Place,
    convergence_table: str,
    parameters: bool,
    log_group: str | None,
    table_key: str | None,
) -> None:
    """Print the policy of the function that counts which environments are behind.

    The template and the Terraform module of `keyturn stack` have the same policy.
    """
    _echo(
        roles.counter(
            place,
            convergence_table=convergence_table,
            parameters=parameters,
            log_group=log_group,
            table_key=table_key,
        )
    )


@command.command
@_secrets(required=True)
@_marker_table(required=True)
@_table_key
@_placed
def announcer(place: Place, secret: Sequence[str], marker_table: str, table_key: str | None) -> None:
    """Print the policy for calls of keyturn.announce."""
    _echo(roles.announcer(place, secrets=secret, marker_table=marker_table, table_key=table_key))


@command.command
@_secrets(required=True)
@_several("--admin-secret", "The secret of a user that changes other users' passwords. It is only read.")
@_keys
@_aliases
@_marker_table(required=False)
@_convergence_table("if the function counts the environments that hold a version.")
@_table_key
@click.option("--lists-versions", is_flag=True, help="Find keys and passwords without a label.")
@click.option("--log-group", help="ARN of the function's log group, ending in :*")
@click.option("--vpc", is_flag=True, help="The function is attached to a VPC.")
@_placed
def rotation(
    *,
    place: Place,
    secret: Sequence[str],
    admin_secret: Sequence[str],
    key: Sequence[str],
    key_alias: Sequence[str],
    marker_table: str | None,
    convergence_table: str | None,
    table_key: str | None,
    lists_versions: bool,
    log_group: str | None,
    vpc: bool,
) -> None:
    """Print the policy of a rotation function.

    With --marker-table the function may announce its steps. The template and the Terraform module for
    rotation functions, which `keyturn stack` writes, have the same policy.
    """
    used = roles.rotation(
        place,
        secrets=secret,
        admin_secrets=admin_secret,
        keys=key,
        key_aliases=key_alias,
        marker_table=marker_table,
        convergence_table=convergence_table,
        table_key=table_key,
        lists_versions=lists_versions,
    )
    _echo((*used, *roles.function(log_group=log_group, in_vpc=vpc)))


@command.command
@_marker_table(required=True)
@_prefix
@_convergence_table("if there is one.")
@_table_key
@_placed
def operator(
    *,
    place: Place,
    marker_table: str,
    prefix: Sequence[str],
    convergence_table: str | None,
    table_key: str | None,
) -> None:
    """Print the policy for keyturn status, watch and doctor.

    These commands only look. The policy allows no read of a value.
    """
    _echo(
        roles.operator(
            place,
            marker_table=marker_table,
            prefixes=prefix,
            convergence_table=convergence_table,
            table_key=table_key,
        )
    )


def _place(region: str, account: str) -> Place:
    return Place(region, account, _partition(region)) if region else Place(account=account)


def _partition(region: str) -> str:
    """Return the partition that a Region is in.

    botocore itself guesses it from the form of the name, so that it takes `eu-west-99` for a Region. Nothing
    but its data is read: a profile or a configuration that is not right is no matter here.
    """
    from botocore.loaders import create_loader

    data: object = create_loader(environment().get("AWS_DATA_PATH")).load_data("partitions")
    for one in mappings(mapping(data).get("partitions")):
        if region in mapping(one.get("regions")) and not region.endswith("-global"):
            return str(one.get("id"))
    raise ConfigurationError(
        f"{region!r} is no Region that this botocore knows: correct it, install a newer botocore, or "
        "name all by ARNs"
    )


def _echo(statements: Sequence[Statement], limit: Limit = OF_ROLE) -> None:
    echo_json(document(statements, limit))
