"""The AWS clients that keyturn makes itself: their time-outs, attempts and Region."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.errors import ConfigurationError
from keyturn.runtime.host import environment
from keyturn.runtime.process import Once

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a role that was assumed for this run. Its `repr` shows the key's id alone."""

    key_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


class ClientFactory:
    """Makes AWS clients from one botocore session, so that their credentials are resolved once.

    Threads may share it: making a client is not thread-safe in botocore, so they take turns.
    """

    def __init__(self) -> None:
        self._turn = Once(threading.Lock)
        self._session = Once(_new_session)

    def make(
        self,
        service: str,
        timeouts_s: tuple[float, float],
        region: str | None = None,
        *,
        attempts: int = SECRETS_ATTEMPTS,
        agent: str = "keyturn",
        validates: bool = True,
        credentials: Credentials | None = None,
    ) -> object:
        """Make a client for `service`, with these connect and read time-outs in seconds.

        `credentials` are those of an assumed role; by default the client has the session's.
        `agent` is what the client adds to its user agent: readers are told apart from the listener by it.
        `validates`: whether botocore compares the arguments of each call with the service's model, which
        takes a tenth of the CPU of a sweep that writes many items, all made by keyturn itself.

        It is made by botocore alone, since the import of boto3 would cost a cold start 40 to 50 ms more.
        Raises `ConfigurationError` if it cannot be made, for example without a Region.
        """
        try:
            config = _config(timeouts_s, attempts, agent, validates=validates)
            return self._made(service, region, config, credentials)
        except Exception as error:
            raise ConfigurationError(f"no client for {service}: {_said(error)}; {_advice(error)}") from error

    def _made(
        self, service: str, region: str | None, config: Config, credentials: Credentials | None
    ) -> object:
        from botocore.exceptions import NoRegionError

        with self._turn():
            session = self._session()
            # botocore itself reads AWS_DEFAULT_REGION and the profile; every other SDK of AWS this variable.
            known = region or session.get_config_variable("region") or environment().get("AWS_REGION")
            if not known:
                # An empty variable counts as a Region for botocore.
                raise NoRegionError
            client: object = session.create_client(
                service,
                config=config,
                region_name=known,
                aws_access_key_id=credentials.key_id if credentials is not None else None,
                aws_secret_access_key=credentials.secret_key if credentials is not None else None,
                aws_session_token=credentials.token if credentials is not None else None,
            )
        return client


def _config(timeouts_s: tuple[float, float], attempts: int, agent: str, *, validates: bool) -> Config:
    from botocore.config import Config

    connect_s, read_s = timeouts_s
    return Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra=agent,
        tcp_keepalive=True,
        parameter_validation=validates,
    )


_ADVICE: Final = {
    "NoRegionError": "set AWS_REGION or AWS_DEFAULT_REGION",
    "InvalidRegionError": "correct AWS_REGION or AWS_DEFAULT_REGION",
    "ProfileNotFound": "correct AWS_PROFILE, or unset it",
    "ConfigNotFound": "correct AWS_CONFIG_FILE",
    "ConfigParseError": "correct the file that AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE names",
}


def _advice(error: Exception) -> str:
    if str(error).startswith(_WRONG_ENDPOINT):
        return "correct AWS_ENDPOINT_URL, which begins with http:// or https://"
    return _ADVICE.get(type(error).__name__, "correct the variables and files of AWS's SDKs (AWS_...)")


def _said(error: Exception) -> str:
    """Return the error's text if it is botocore's own, else its class: its text may quote anything."""
    is_botocores = type(error).__module__.startswith("botocore.") or str(error).startswith(_WRONG_ENDPOINT)
    return str(error).rstrip(".") if is_botocores else type(error).__name__


_WRONG_ENDPOINT: Final = "Invalid endpoint"


def _new_session() -> Session:
    from botocore.session import get_session

    from keyturn.aws.loading import sparing

    session = get_session()
    session.register_component("data_loader", sparing(session.get_component("data_loader")))
    return session


def make_client(
    service: str,
    timeouts_s: tuple[float, float],
    region: str | None = None,
    *,
    attempts: int = SECRETS_ATTEMPTS,
    agent: str = "keyturn",
    validates: bool = True,
) -> object:
    """Make a client from a session of its own; see `ClientFactory.make`."""
    return ClientFactory().make(
        service, timeouts_s, region, attempts=attempts, agent=agent, validates=validates
    )


def dynamodb(client: object, region: str | None, factory: ClientFactory) -> Callable[[], object]:
    """Return a function that returns `client`, or makes a client at its first call if `client` is None."""
    if client is not None:
        return lambda: client
    return Once(lambda: factory.make("dynamodb", TABLE_TIMEOUTS_S, region, attempts=TABLE_ATTEMPTS))


def region_of(client: object) -> str | None:
    """Return the Region of a botocore client, so that keyturn looks for the table where the secrets are."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return region if isinstance(region, str) else None
