"""The clients of one service by account and Region: what has an ARN is asked for where that says it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from keyturn.aws.clients import (
    SECRETS_ATTEMPTS,
    SECRETS_TIMEOUTS_S,
    TABLE_ATTEMPTS,
    TABLE_TIMEOUTS_S,
    ClientFactory,
    kept,
    region_of,
)
from keyturn.model.names import Place
from keyturn.runtime.process import Once


class CallPolicy(NamedTuple):
    """How a service is called: its name, the time-outs to connect and to read, and how often it is tried."""

    service: str
    timeouts_s: tuple[float, float]
    attempts: int


class PlacedClients:
    """Clients of one service, each made from one session when it is first needed. Threads may share it.

    Args:
        given: the caller's own client, for all that is in its Region and has no role; None for none.
        make: makes a client for a Region (None: that of the environment) with the credentials of a role
            (None: those of the environment).
        home: returns the Region of what has no ARN, where no client was given.
        roles: the role of each account that has one.
    """

    def __init__(
        self,
        given: object,
        make: Callable[[str | None, str | None], object],
        home: Callable[[], str | None],
        roles: Mapping[str, str],
    ) -> None:
        self._given = given
        self._make = make
        self._home = Once(home, survives_fork=True)
        self._roles = roles
        self._made: dict[tuple[str | None, str | None], Once[object]] = {}

    def at(self, arn: str) -> object:
        """Return the client for what has this ARN, or another id. Raises `ConfigurationError`."""
        place = Place.of(arn)
        role = self._roles.get(place.account) if place is not None else None
        if self._given is not None and role is None:
            home = region_of(self._given)
            # A client that names no Region is a stub: it is asked about everything.
            if place is None or home in (None, place.region):
                return self._given
        return self._of(place.region if place is not None else self._home(), role)

    def _of(self, region: str | None, role: str | None) -> object:
        return kept(self._made, (region, role), partial(self._make, region, role))()


def secrets_clients(given: object, factory: ClientFactory, roles: Mapping[str, str]) -> PlacedClients:
    """Return the clients for Secrets Manager."""
    return _placed(
        CallPolicy("secretsmanager", SECRETS_TIMEOUTS_S, SECRETS_ATTEMPTS), given, None, factory, roles
    )


def parameter_clients(
    given: object, region: str | None, factory: ClientFactory, roles: Mapping[str, str]
) -> PlacedClients:
    """Return the clients for Systems Manager; a parameter without an ARN is in this `region`, if given."""
    return _placed(CallPolicy("ssm", SECRETS_TIMEOUTS_S, SECRETS_ATTEMPTS), given, region, factory, roles)


def table_clients(
    given: object, region: str | None, factory: ClientFactory, roles: Mapping[str, str]
) -> PlacedClients:
    """Return the clients for DynamoDB; a table that is named without an ARN is in this `region`, if given."""
    return _placed(CallPolicy("dynamodb", TABLE_TIMEOUTS_S, TABLE_ATTEMPTS), given, region, factory, roles)


def naming_clients(
    given: object, region: str | None, factory: ClientFactory, roles: Mapping[str, str]
) -> PlacedClients:
    """Return the clients for the parameters that name tables, with the time-outs of a table's check."""
    return _placed(CallPolicy("ssm", TABLE_TIMEOUTS_S, TABLE_ATTEMPTS), given, region, factory, roles)


def _placed(
    policy: CallPolicy, given: object, home: str | None, factory: ClientFactory, roles: Mapping[str, str]
) -> PlacedClients:
    def make(region: str | None, role: str | None) -> object:
        return factory.make(policy.service, policy.timeouts_s, region, attempts=policy.attempts, role=role)

    return PlacedClients(given, make, lambda: home or _known_region(factory), roles)


def _known_region(factory: ClientFactory) -> str | None:
    try:
        return factory.region()
    except Exception:  # noqa: BLE001 # a profile that is missing, say: making the client says so
        return None
