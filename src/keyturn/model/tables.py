"""Which account and Region each of the marker tables covers that a cache was told to use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from keyturn.errors import ConfigurationError
from keyturn.model.names import ACCOUNT_ID, Arn, Place

T = TypeVar("T")

_REGION = re.compile(r"[a-z0-9-]+")
_TABLE = re.compile(r"table/[A-Za-z0-9_.-]{3,255}")


def place_of_table(table: str) -> Place | None:
    """Return the account and Region in the ARN of a DynamoDB table; None for any other text.

    No secret is where a misspelt account or Region is, so a table of such a place would cover none.
    """
    arn = Arn.parse(table)
    if arn is None or arn.service != "dynamodb" or not _TABLE.fullmatch(arn.resource):
        return None
    is_place = ACCOUNT_ID.fullmatch(arn.account) and _REGION.fullmatch(arn.region)
    return Place.of(table) if is_place else None


def by_place(tables: Iterable[tuple[str, T]], argument: str = "marker_table") -> dict[Place | None, T]:
    """Return what belongs to each table, by the account and Region that the table covers.

    A single table covers everything (None), whatever it is called. Of several tables the first may be a
    name: it covers what no other covers. Each of the others is an ARN. Raises `ConfigurationError`, which
    names the `argument` that gave the tables.
    """
    given = list(tables)
    if len(given) == 1:
        return {None: given[0][1]}
    found, named = dict[Place | None, T](), dict[Place | None, str]()
    for table, belongs in given:
        place = place_of_table(table)
        if place is None and (found or table.startswith("arn:")):
            raise ConfigurationError(
                f"{argument}: {table!r} is not the ARN of a DynamoDB table; of several tables only the first "
                "may be a name"
            )
        if place in named:
            raise ConfigurationError(
                f"{argument}: {named[place]!r} and {table!r} are of the same account and Region; give one"
            )
        found[place], named[place] = belongs, table
    return found
