"""`announce`: a rotation function tells the marker table of its own steps; nobody waits for an event."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from keyturn.assembly import recorder
from keyturn.aws.clients import TABLE_TIMEOUTS_S, ClientFactory, region_of
from keyturn.cache.flights import Flight
from keyturn.errors import MarkerTableError
from keyturn.markers.decisions import Hint, announcement
from keyturn.markers.recorder import Recorded
from keyturn.runtime.host import SYSTEM_CLOCK, marker_table_name
from keyturn.runtime.process import Once

if TYPE_CHECKING:
    from keyturn.aws.parameterstore import ParameterClient

_T = TypeVar("_T")

DEADLINE_S: Final = 1.0
"""How many seconds a caller of `announce` waits, names and connections included: its own work is done."""

CLIENTS_S: Final = 4.0
"""How many seconds more the first caller in a process waits: a small function needs seconds for clients."""

SETTLE_S: Final = 0.5
"""How long DescribeSecret is given to show what was announced: half of what an announcement may take."""

Recording: TypeAlias = Callable[[Hint], Recorded]
"""Records a hint in the marker table."""

_makers: dict[str, int] = {}
"""Table -> the id of the process that has begun to make clients for it."""


def announce(
    secret_id: str,
    *,
    version_id: str | None = None,
    step: str | None = None,
    marker_table: str | None = None,
    client: object = None,
    dynamodb_client: object = None,
) -> Recorded:
    """Record what has just happened to a secret, by the same code as the listener.

    For rotation functions: call it at the end of createSecret, setSecret and finishSecret with the
    event's `SecretId` and `ClientRequestToken`. What is written is what DescribeSecret says, so a
    wrong, doubled or late call does no harm. It takes four DynamoDB requests, one more for each further
    copy of the head, and one DescribeSecret when that already shows the change; else it asks again, for half
    a second. It ends after 1 s in any case, also if a name is not resolved, or if a server or the source of
    the credentials does not answer: the listener finds the change, too. The first call in a process makes
    the clients, for which it waits 4 s more.

    Args:
        secret_id: name or ARN.
        version_id: the version that the step was about.
        step: the step that has just ended: "createSecret", "setSecret", "testSecret" or "finishSecret".
        marker_table: name or ARN of the table, or `ssm:` and the parameter that names it; without one,
            environment variable `KEYTURN_MARKER_TABLE`.
        client, dynamodb_client: clients to use; made from the environment, once, if not given.

    Needs `secretsmanager:DescribeSecret` on the secret, `dynamodb:GetItem`, `PutItem` and `UpdateItem` on
    the table, and `ssm:GetParameter` on the parameter if one names it. Raises `SecretError`,
    `MarkerTableError` (also after that time), and `ConfigurationError` for a step that Secrets Manager does
    not have or without a table. Threads may call it.
    """
    hint = announcement(secret_id, version_id=version_id, step=step)
    table = marker_table_name(marker_table)
    is_default = client is None and dynamodb_client is None
    is_first = is_default and _makers.get(table) != os.getpid()
    if is_first:
        _makers[table] = os.getpid()
    making = (
        default_announcer(table) if is_default else Once(partial(hurried, table, client, dynamodb_client))
    )
    began_s = SYSTEM_CLOCK.monotonic()
    announcer = making.made or _within(CLIENTS_S if is_first else DEADLINE_S, making, table)
    passed_s = 0.0 if is_first else SYSTEM_CLOCK.monotonic() - began_s
    return _within(DEADLINE_S - passed_s, partial(announcer, hint), table)


def _within(seconds: float, call: Callable[[], _T], table: str) -> _T:
    """Return what the call returns. Raises `MarkerTableError` if that takes longer.

    It is made in a thread, since nothing else puts a bound on the resolution of a name, or on that of the
    credentials, which botocore looks for while it makes a client.
    """
    flight = Flight("keyturn-announcement", call)
    flight.begin()
    if not flight.wait(seconds):
        raise MarkerTableError(table, f"the announcement got no answer within {seconds:.0f} s")
    return flight.outcome()


@cache
def default_announcer(table: str) -> Once[Recording]:
    """Return what makes the recording for this table, once in a process: its first call makes the clients."""
    return Once(lambda: hurried(table, None, None))


def hurried(table: str, client: object, dynamodb_client: object) -> Recording:
    """Return what records a hint for a caller that must not wait. A client that is None is made here.

    Such a client tries each call once. What is not visible soon is left to the listener.
    """
    from keyturn.markers.named import NamedTable

    factory = ClientFactory()
    if client is None:
        client = factory.make("secretsmanager", TABLE_TIMEOUTS_S, attempts=1)
    if dynamodb_client is None:
        dynamodb_client = factory.make("dynamodb", TABLE_TIMEOUTS_S, region_of(client), attempts=1)
    region = region_of(dynamodb_client)
    naming = Once(lambda: factory.make("ssm", TABLE_TIMEOUTS_S, region, attempts=1))
    named = NamedTable(
        table,
        lambda: cast("ParameterClient", naming()),
        lambda found: recorder(found, client, dynamodb_client, settle_s=SETTLE_S),
    )
    return lambda hint: named.ask(lambda own: own.record(hint))
