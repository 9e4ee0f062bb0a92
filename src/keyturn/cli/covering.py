"""Which of several marker tables covers a secret, by the account and Region of the secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from keyturn.assembly import roles_of
from keyturn.aws.clients import region_of
from keyturn.aws.organization import IdentityClient, caller
from keyturn.cli.account import TABLE_OPTION, Account
from keyturn.errors import ConfigurationError
from keyturn.model.names import Place
from keyturn.model.table_names import check_tables


def covering(secret_id: str, tables: Sequence[str], home: Account) -> Account:
    """Return the account and Region of a secret, with the one of these tables that covers it.

    A single table covers every secret of `home`, as it always did. Of several tables, that of the secret's
    account and Region does; a table that is given by its name is of the command's own account and Region. A
    secret's name means a secret there. The clients use the role of `KEYTURN_ROLES` for that account, if any.

    Raises `ConfigurationError` if no table covers the secret, and `SecretNotFoundError` if there is no secret
    of that name.
    """
    of_place = check_tables(tables, TABLE_OPTION)
    if len(tables) == 1:
        return replace(home, table=tables[0]).found()
    place = Place.of(secret_id) or Place.of(home.catalog().describe(secret_id).arn)
    if place is not None and place in of_place:
        role = roles_of(None).get(place.account)
        return replace(home, table=of_place[place], region=place.region, role=role).found()
    if None in of_place and place in (None, _place_of(home)):
        return replace(home, table=of_place[None]).found()
    where = f"{place.region} of {place.account}" if place is not None else "its account and Region"
    raise ConfigurationError(
        f"{secret_id}: none of the given marker tables is that of {where}; add the ARN of its table to "
        "KEYTURN_MARKER_TABLES, or give it by --marker-table"
    )


def _place_of(account: Account) -> Place:
    """Return where the command itself is, by one GetCallerIdentity."""
    client = account.client("sts")
    own = caller(cast("IdentityClient", client))
    return Place(own.partition, region_of(client) or "", own.account)
