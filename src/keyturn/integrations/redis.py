"""redis-py: every new connection authenticates through keyturn's login.

    pool = redis.ConnectionPool(connection_class=connection_class(login), host="cache.internal")
    client = redis.Redis.from_pool(pool)

A `CredentialProvider` cannot go on to the next version, since redis-py never tells it of a refusal. A class
of connections can. Host and port are the caller's. For TLS give the `SSLConnection` of `redis` or
`redis.asyncio` as the base, behind Sentinel `SentinelManagedConnection`. `RedisCluster` takes the class by
`from_url("redis://...", connection_class=...)`; that of `redis.asyncio` takes none: see `CurrentCredentials`.

The secret is an object with a password, and with a username where the server has users, or the bare password:
that of `requirepass`, or ElastiCache's AUTH token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import isawaitable
from types import MethodType
from typing import Literal, TypeAlias
from weakref import WeakMethod

from redis.asyncio import connection as aio
from redis.auth.token import SimpleToken, TokenInterface
from redis.connection import AbstractConnection, Connection
from redis.credentials import StreamingCredentialProvider, UsernamePasswordCredentialProvider

from keyturn.errors import ConfigurationError
from keyturn.integrations.arguments import server_of, user_and_password
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion

Superseded: TypeAlias = Literal["keep", "reconnect", "reauthenticate"]
"""What happens at a check-out to a pooled connection once AWSCURRENT has moved since its login.

`keep`: nothing, since it works on. `reconnect`: it is closed, and opened by a new login. `reauthenticate`: it
stays open and logs in anew by AUTH; only if the server refuses that is it closed and opened.
"""

_Callback: TypeAlias = Callable[[TokenInterface], object]


def connection_class(
    login: Login, base: type[AbstractConnection] = Connection, *, superseded: Superseded = "keep"
) -> type[AbstractConnection]:
    """Return a class for `redis.ConnectionPool(connection_class=...)`. It raises `LoginRefusedError`.

    Raises `ConfigurationError` for a base that would not log in by it, such as a class of redis-py before
    6.2 or of valkey-py.
    """
    _check(base)

    class LoginConnection(base):  # type: ignore[valid-type, misc] # chosen by the caller
        _opened: Opened | None = None

        # redis-py calls this at every check-out. An open connection does not log in again, and would count as
        # a success of a version that the server never saw.
        def connect_check_health(self, *args: object, **kwargs: object) -> None:
            def attempt(version: SecretVersion) -> None:
                if self._sock is not None:
                    self._authenticate(version)
                    return
                self.credential_provider = _credentials(version)
                super(LoginConnection, self).connect_check_health(*args, **kwargs)

            if self._sock is not None and superseded != "keep" and self._is_superseded():
                self._opened = None
                if superseded == "reconnect":
                    self.disconnect()
            if self._sock is None or self._opened is None:
                _, self._opened = login.open(attempt, server=_server(self))

        def _is_superseded(self) -> bool:
            return self._opened is None or login.is_superseded(self._opened)

        def _authenticate(self, version: SecretVersion) -> None:
            # redis-py disconnects if the answer is a refusal, so the next version gets a new connection.
            self.send_command("AUTH", *_words(version), check_health=False)
            self.read_response()

    return LoginConnection


def async_connection_class(
    login: Login, base: type[aio.AbstractConnection] = aio.Connection, *, superseded: Superseded = "keep"
) -> type[aio.AbstractConnection]:
    """Return a class for `redis.asyncio.ConnectionPool(connection_class=...)`. See `connection_class`."""
    _check(base)

    class AsyncLoginConnection(base):  # type: ignore[valid-type, misc] # chosen by the caller
        _opened: Opened | None = None

        async def connect_check_health(self, *args: object, **kwargs: object) -> None:
            async def attempt(version: SecretVersion) -> None:
                if self.is_connected:
                    await self._authenticate(version)
                    return
                self.credential_provider = _credentials(version)
                await super(AsyncLoginConnection, self).connect_check_health(*args, **kwargs)

            if self.is_connected and superseded != "keep" and await self._is_superseded():
                self._opened = None
                if superseded == "reconnect":
                    await self.disconnect()
            if not self.is_connected or self._opened is None:
                _, self._opened = await login.async_open(attempt, server=_server(self))

        async def _is_superseded(self) -> bool:
            return self._opened is None or await login.async_is_superseded(self._opened)

        async def _authenticate(self, version: SecretVersion) -> None:
            await self.send_command("AUTH", *_words(version), check_health=False)
            await self.read_response()

    return AsyncLoginConnection


class CurrentCredentials(StreamingCredentialProvider):
    """The user name and password of AWSCURRENT, for clients that take no class of connections.

    redis-py asks at each new connection, and does not tell of a refusal. So a login cannot go on to the next
    version: let the server accept two passwords during a rotation (ACL SETUSER adds the new one before
    AWSCURRENT moves). `renew` makes live connections authenticate anew, and drops none. Threads may share it.
    It keeps no client and no pool. A pool is renewed as long as it lives, whatever became of its client.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._handed_on: tuple[str, str] | None = None
        # What returns a callback, or None once its object is gone, by the ids of its object and function.
        self._callbacks: dict[tuple[int, int], Callable[[], _Callback | None]] = {}

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH is given: the password, or user name and password.

        Raises what `SecretCache.get` raises.
        """
        return self._handed(self._login.current())

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same. The loop does not wait for what is no hit of the cache."""
        return self._handed(await self._login.async_current())

    def _handed(self, version: SecretVersion) -> tuple[str] | tuple[str, str]:
        if self._handed_on is None:
            self._handed_on = version.identity
        return _words(version)

    def on_next(self, callback: _Callback) -> None:
        """Remember what is to be done with new credentials: each client's pool registers itself.

        A method is remembered as long as its object lives, and any other function for good.
        """
        of_pools = _of_pools(callback)
        for one in [callback] if of_pools is None else of_pools:
            self._remember(one)

    def _remember(self, callback: _Callback) -> None:
        if not isinstance(callback, MethodType):
            self._callbacks[id(callback), 0] = lambda: callback
            return
        key = id(callback.__self__), id(callback.__func__)

        def forget(gone: object) -> None:
            # The id may be another object's by now.
            if self._callbacks.get(key) is gone:
                self._callbacks.pop(key, None)

        try:
            self._callbacks[key] = WeakMethod(callback, forget)
        except TypeError:
            # An object with slots, of which there is no weak reference.
            self._callbacks[key] = lambda: callback

    def _live(self) -> Iterator[_Callback]:
        """Yield the callbacks of all clients that there are. One may be made or dropped meanwhile."""
        for held in tuple(self._callbacks.values()):
            callback = held()
            if callback is not None:
                yield callback

    def on_error(self, callback: Callable[[Exception], object]) -> None:
        """Ignore it: `renew` raises its errors where it is called."""

    def is_streaming(self) -> bool:
        """Return True: clients may register at once."""
        return True

    def renew(self) -> None:
        """Let live connections authenticate anew if AWSCURRENT has moved. Call it now and then.

        Connections in use do so when they are given back. A client that fails keeps no other client from its
        turn. Raises the first failure, and then the next call hands the credentials on to all once more.
        """
        version = self._login.current()
        failures: list[Exception] = []
        for token in self._new(version):
            for callback in self._live():
                try:
                    callback(token)
                except Exception as error:  # noqa: BLE001 # raised below, after the others had their turn
                    failures.append(error)
        self._end(version, failures)

    async def async_renew(self) -> None:
        """Do what `renew` does for clients of `redis.asyncio`."""
        version = await self._login.async_current()
        failures: list[Exception] = []
        for token in self._new(version):
            for callback in self._live():
                try:
                    done = callback(token)
                    if isawaitable(done):
                        await done
                except Exception as error:  # noqa: BLE001 # raised below, after the others had their turn
                    failures.append(error)
        self._end(version, failures)

    def _new(self, version: SecretVersion) -> list[TokenInterface]:
        """Return the credentials to hand on: none while AWSCURRENT is as it was."""
        if self._handed_on is None or self._handed_on == version.identity:
            return []
        *user, password = _words(version)
        return [SimpleToken(password, -1, 0, {"oid": user[0] if user else "default"})]

    def _end(self, version: SecretVersion, failures: list[Exception]) -> None:
        """Remember that all clients have the version, or raise the first failure."""
        if failures:
            raise failures[0]
        self._handed_on = version.identity


def _of_pools(callback: _Callback) -> list[_Callback] | None:
    """Return what a listener of redis-py's calls, a method of each of its pools; None for other callbacks.

    The listener is its client's, and a pool may outlive that: another client, or a pipeline, has it as well.
    """
    event = getattr(getattr(callback, "__self__", None), "_event", None)
    pools: list[object] | None = getattr(event, "connection_pools", None)
    if not isinstance(pools, list):
        return None
    methods = [getattr(pool, "re_auth_callback", None) for pool in pools]
    found: list[_Callback] = [method for method in methods if isinstance(method, MethodType)]
    return found if len(found) == len(pools) else None


def _check(base: type) -> None:
    """Raise `ConfigurationError` unless the class opens its connections by the method that is replaced."""
    if not callable(getattr(base, "connect_check_health", None)):
        raise ConfigurationError(
            f"{base.__module__}.{base.__qualname__} would connect without the secret, as the server's "
            "default user. Use redis-py 6.2 or newer, and one of its own classes of connections as the base"
        )


def _server(connection: object) -> str:
    """Name the server of a connection of redis-py, by its socket's path or its host and port."""
    told = {name: getattr(connection, name, None) for name in ("path", "host", "port")}
    return str(told["path"]) if told["path"] else server_of(told)


def _words(version: SecretVersion) -> tuple[str] | tuple[str, str]:
    user, password = user_and_password(version)
    return (password,) if user is None else (user, password)


def _credentials(version: SecretVersion) -> UsernamePasswordCredentialProvider:
    return UsernamePasswordCredentialProvider(*user_and_password(version))
