"""The AWS clients that keyturn makes itself: their time-outs, retries and Region."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from keyturn.runtime.process import Once

if TYPE_CHECKING:
    from botocore.config import Config

Call: TypeAlias = Callable[..., Mapping[str, object]]
"""One operation of an AWS client: keyword arguments to an answer."""

SECRETS_TIMEOUTS_S = (2.0, 5.0)
"""Connect and read time-outs of the Secrets Manager client that keyturn makes. botocore's own are 60 s."""


SECRETS_ATTEMPTS, TABLE_ATTEMPTS = 3, 2
"""Tries of one call, botocore's own retries included: a check that failed comes again by itself."""


TABLE_TIMEOUTS_S = (1.0, 1.0)
"""The same for the marker table: a check rides on a request, and missing one costs little."""


def make_client(
    service: str,
    timeouts_s: tuple[float, float],
    region: str | None = None,
    *,
    attempts: int = SECRETS_ATTEMPTS,
) -> object:
    """Make a client from botocore alone: importing boto3 as well would cost a cold start 40 to 50 ms.

    All clients of a process share one session, so that credentials are resolved once.
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
    """Gives `client`, or one made at the first call if it is None."""
    if client is not None:
        return lambda: client
    return Once(lambda: make_client("dynamodb", TABLE_TIMEOUTS_S, region, attempts=TABLE_ATTEMPTS))


def region_of(client: object) -> str | None:
    """The Region of a botocore client, so that the table is looked for where the secrets are."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return region if isinstance(region, str) else None
