"""Which account and Region each of the marker tables covers that a cache was told to use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeVar

from keyturn.errors import ConfigurationError, InvalidParameterNameError
from keyturn.model.names import ACCOUNT_ID, REGION, Arn, Place, parameter_id

T = TypeVar("T")

_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")

PARAMETER_PREFIX: Final = "ssm:"
"""A table is given by this and the name or ARN of a parameter, whose text is the table's name."""


def parameter_of_table(table: str) -> str | None:
    """Return the name or ARN of the parameter that names this table; None for a table's own name or ARN."""
    return table.removeprefix(PARAMETER_PREFIX) if table.startswith(PARAMETER_PREFIX) else None


def place_of_table(table: str) -> Place | None:
    """Return the account and Region in the ARN of a DynamoDB table, or of the parameter that names a table.

    Return None for any other text. No secret is in an account or Region of a form that none has, so a table
    of such a place would cover none. Which Regions there are is not looked up: there may be new ones.
    """
    parameter = parameter_of_table(table)
    arn = Arn.parse(table if parameter is None else parameter)
    if arn is None or (parameter is None and not _is_table(arn)):
        return None
    is_place = ACCOUNT_ID.fullmatch(arn.account) and REGION.fullmatch(arn.region)
    return Place.of(str(arn)) if is_place else None


def _is_table(arn: Arn) -> bool:
    kind, _, name = arn.resource.partition("/")
    return (arn.service, kind) == ("dynamodb", "table") and is_table_name(name)


def is_table_name(text: str) -> bool:
    """Return True if a DynamoDB table can have this name. An ARN is none."""
    return _TABLE_NAME.fullmatch(text) is not None


def by_place(tables: Iterable[tuple[str, T]], argument: str = "marker_table") -> dict[Place | None, T]:
    """Return what belongs to each table, by the account and Region that the table covers.

    A single table covers everything (None), whatever it is called. Of several tables the first may be a
    name: it covers what no other covers. Each of the others is an ARN. A table may also be `ssm:` and the
    name or ARN of a parameter that names it. Raises `ConfigurationError`, which names the `argument` that
    gave the tables.
    """
    given = list(tables)
    for table, _ in given:
        _check_parameter(table, argument)
    if len(given) == 1:
        return {None: given[0][1]}
    found, named = dict[Place | None, T](), dict[Place | None, str]()
    for table, belongs in given:
        place = place_of_table(table)
        if place is None and (found or table.startswith("arn:")):
            raise ConfigurationError(
                f"{argument}: {table!r} is not the ARN of a DynamoDB table; of several tables only the first "
                "may be a name, or a parameter's name"
            )
        if place in named:
            raise ConfigurationError(
                f"{argument}: {named[place]!r} and {table!r} are of the same account and Region; give one"
            )
        found[place], named[place] = belongs, table
    return found


def check_tables(tables: Iterable[str], argument: str) -> dict[Place | None, str]:
    """Return the tables by what they cover. Raises as `check_table` for one of them, and as `by_place`."""
    found = by_place(((table, table) for table in tables), argument)
    for table in found.values():
        check_table(table, argument)
    return found


def check_table(table: str, argument: str) -> None:
    """Raise `ConfigurationError`, which names the `argument`, if no DynamoDB table can be called like this.

    A table is its name, its ARN, or `ssm:` and the name or ARN of a parameter that names it.
    """
    _check_parameter(table, argument)
    is_table = parameter_of_table(table) is not None or place_of_table(table) is not None
    if not is_table and not is_table_name(table):
        raise ConfigurationError(
            f"{argument}: {table!r} is neither the name nor the ARN of a DynamoDB table; a name has 3 to 255 "
            "letters, digits and .-_, an ARN is arn:aws:dynamodb:REGION:ACCOUNT:table/NAME"
        )


def _check_parameter(table: str, argument: str) -> None:
    parameter = parameter_of_table(table)
    try:
        is_whole = parameter is None or parameter_id(parameter).name == parameter
    except InvalidParameterNameError as error:
        raise ConfigurationError(f"{argument}: {table!r} is not ssm: and a parameter: {error}") from error
    if not is_whole:
        raise ConfigurationError(f"{argument}: {table!r} asks for one version of a parameter; give its name")
