"""The AWS clients that keyturn makes itself: their time-outs, attempts and Region."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar, cast

from keyturn.errors import ConfigurationError
from keyturn.model.bounded import make_room
from keyturn.runtime.host import environment
from keyturn.runtime.locks import new_lock
from keyturn.runtime.process import Once

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session

    from keyturn.aws.roles import SecurityTokenClient


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

CLIENTS_MAX: Final = 64
"""So many clients of one service are kept; the one made longest ago makes room. Callers name the Regions."""

_T = TypeVar("_T")
_Key = TypeVar("_Key", bound=Hashable)


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
        self._turn = Once(new_lock)
        self.session = Once(_new_session)
        self._assumed: dict[tuple[str, str | None], Once[Session]] = {}

    def make(
        self,
        service: str,
        timeouts_s: tuple[float, float],
        region: str | None = None,
        *,
        attempts: int = SECRETS_ATTEMPTS,
        agent: str = "keyturn",
        validates: bool = True,
        role: str | None = None,
        credentials: Credentials | None = None,
    ) -> object:
        """Make a client for `service`, with these connect and read time-outs in seconds.

        `role`: the ARN of a role whose credentials the client uses and renews; else the session's own.
        `credentials` are those of a role that was assumed already, and end with it. `agent` is what the
        client adds to its user agent: readers are told apart from the listener by it.
        `validates`: whether botocore compares the arguments of each call with the service's model, which
        takes a tenth of the CPU of a sweep that writes many items, all made by keyturn itself.

        It is made by botocore alone, since the import of boto3 would cost a cold start 40 to 50 ms more.
        Raises `ConfigurationError` if it cannot be made, for example without a Region.
        """
        try:
            config = _config(timeouts_s, attempts, agent, validates=validates)
            session = self.session if role is None else self._session_of(role, region)
            return self._made(session, service, region, config, credentials)
        except Exception as error:
            raise ConfigurationError(f"no client for {service}: {_said(error)}; {_advice(error)}") from error

    def region(self) -> str | None:
        """Return the Region that the environment or the profile names, or None."""
        # botocore itself reads AWS_DEFAULT_REGION and the profile; every other SDK of AWS this variable.
        known = self.session().get_config_variable("region") or environment().get("AWS_REGION")
        # An empty variable counts as a Region for botocore.
        return known if isinstance(known, str) and known else None

    def _session_of(self, role: str, region: str | None) -> Once[Session]:
        """Return the session with the credentials of this role, made once for all its clients.

        STS is asked in the Region of the environment, which no caller can misspell. Where that names none, it
        is asked in the Region of the clients, which then share a session with each other only.
        """
        from keyturn.aws.roles import assuming

        asked_in = self.region() or region

        def make() -> Session:
            session = _new_session()
            session.register_component("credential_provider", assuming(role, client))
            return session

        client = Once(lambda: cast("SecurityTokenClient", self.make("sts", SECRETS_TIMEOUTS_S, asked_in)))
        return kept(self._assumed, (role, asked_in), make)

    def _made(
        self,
        session: Once[Session],
        service: str,
        region: str | None,
        config: Config,
        credentials: Credentials | None,
    ) -> object:
        from botocore.exceptions import NoRegionError

        with self._turn():
            known = region or self.region()
            if known is None:
                raise NoRegionError
            client: object = session().create_client(
                service,
                config=config,
                region_name=known,
                aws_access_key_id=credentials.key_id if credentials is not None else None,
                aws_secret_access_key=credentials.secret_key if credentials is not None else None,
                aws_session_token=credentials.token if credentials is not None else None,
            )
        return client


def kept(known: dict[_Key, Once[_T]], key: _Key, make: Callable[[], _T]) -> Once[_T]:
    """Return what is known under this key, or make it known; beyond `CLIENTS_MAX` the oldest makes room."""
    one = known.get(key)
    if one is None:
        one = known.setdefault(key, Once(make))
        make_room(known, CLIENTS_MAX)
    return one


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


def region_of(client: object) -> str | None:
    """Return the Region of a botocore client, so that keyturn looks for the table where the secrets are."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return region if isinstance(region, str) else None
