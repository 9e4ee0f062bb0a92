"""The AWS clients that keyturn makes itself: their time-outs, attempts and Region."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from keyturn.runtime.process import Once

if TYPE_CHECKING:
    from botocore.config import Config


SECRETS_TIMEOUTS_S = (2.0, 5.0)
"""Connect and read time-outs of the clients for Secrets Manager and Parameter Store. botocore's are 60 s."""

SECRETS_ATTEMPTS = 3
"""How often these clients try one call in all, botocore's retries included."""

TABLE_TIMEOUTS_S = (1.0, 1.0)
"""Connect and read time-outs of the clients for the tables.

They are short, because a check makes a request wait and a missed check costs little.
"""

TABLE_ATTEMPTS = 2
"""How often a client tries one call on a table in all: after a failed check the next one comes by itself."""


def make_client(
    service: str,
    timeouts_s: tuple[float, float],
    region: str | None = None,
    *,
    attempts: int = SECRETS_ATTEMPTS,
) -> object:
    """Make a client for `service`, with these connect and read time-outs in seconds.

    It is made by botocore alone, since the import of boto3 would cost a cold start 40 to 50 ms more. All
    clients of a process share one session, so that credentials are resolved once. Raises what botocore
    raises, for example without a Region.
    """
    from botocore.config import Config

    connect_s, read_s = timeouts_s
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra="keyturn",
        tcp_keepalive=True,
    )
    return _session().create_client(service, config, region)


class _Session:
    """One botocore session. Making a client from it is not thread-safe, so threads take turns."""

    def __init__(self) -> None:
        from botocore.session import get_session

        self._session = get_session()
        self._lock = threading.Lock()

    def create_client(self, service: str, config: Config, region: str | None) -> object:
        with self._lock:
            client: object = self._session.create_client(service, config=config, region_name=region)
        return client


_session: Once[_Session] = Once(_Session)
"""Made anew in a forked child, where another thread of the parent may have held its lock."""


def dynamodb(client: object, region: str | None) -> Callable[[], object]:
    """Return a function that returns `client`, or makes a client at its first call if `client` is None."""
    if client is not None:
        return lambda: client
    return Once(lambda: make_client("dynamodb", TABLE_TIMEOUTS_S, region, attempts=TABLE_ATTEMPTS))


def region_of(client: object) -> str | None:
    """Return the Region of a botocore client, so that keyturn looks for the table where the secrets are."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return region if isinstance(region, str) else None
