"""A key of a secret in HTTP requests: which version is sent, to which origin, and what a refusal leads to.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    client = httpx.Client(transport=KeyTransport(key))

`keyturn.integrations.httpx`, `requests`, `urllib3` and `aiohttp` send requests with a `Key`. A refused
request (401) is sent once more for each other version that can be right. If all are refused, the caller gets
the last response, as without keyturn. The key leaves this process only in requests to its own origin.
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar, Unpack
from urllib.parse import urlsplit

from keyturn.aws.unseen import Unseen
from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError, LoginRefusedError, SecretFormatError
from keyturn.integrations.login import Login
from keyturn.login.policy import LoginOptions
from keyturn.model.fields import ADVICE_FIELDS, Flaw, flaw, parsed
from keyturn.model.plain import plain, ran
from keyturn.model.values import values_of
from keyturn.model.versions import SecretVersion
from keyturn.runtime.frames import without_locals
from keyturn.runtime.quotes import without_values

if TYPE_CHECKING:
    from keyturn.aio.client import AsyncSecretCache

_Response = TypeVar("_Response")
_Text = TypeVar("_Text", str, str | bytes)

BUDGET_S: Final = 1.2
"""A refused request may wait for one more look at the secret, which is allowed once a second."""

_AMBIGUOUS: Final = re.compile(r"[\t\r\n]|^[\x00-\x20]|^[^:]*:/*[^/?#]*[\\\x00-\x20]")
"""A tab or a line break anywhere, or a backslash, a blank or a control character before the path."""

UNAUTHORIZED: Final = 401
"""The status that says that the server does not accept the key."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The request that is about to be sent, for an `Authorize` that signs.

    `body` is None where the body is read from a file or an iterator while it is sent.
    """

    method: str
    url: str
    body: bytes | None


Authorize: TypeAlias = Callable[[SecretVersion, Outgoing], Mapping[str, str]]
"""Returns the headers that authorize a request with a version of the secret."""


def bearer(field: str | None = None) -> Authorize:
    """Authorize by `Authorization: Bearer KEY`. `field` is the field of the JSON value that holds the key.

    Without `field` the whole text of the secret is the key.
    """
    return header("Authorization", field, prefix="Bearer ")


def header(name: str, field: str | None = None, *, prefix: str = "") -> Authorize:
    """Authorize by a header of this name, such as `X-Api-Key`."""

    def authorize(version: SecretVersion, _outgoing: Outgoing) -> Mapping[str, str]:
        return {name: prefix + _key(version, field)}

    return authorize


def basic(username: str = "username", password: str = "password") -> Authorize:  # noqa: S107 # names of fields
    """Authorize by HTTP Basic, with the fields of these names."""

    def authorize(version: SecretVersion, _outgoing: Outgoing) -> Mapping[str, str]:
        if ":" in _field(version, username):
            raise SecretFormatError(
                version.secret_id,
                f"the field {username!r} has a colon, where HTTP Basic begins the password",
                advice="store another user name",
            )
        pair = ":".join(_field(version, name) for name in (username, password))
        return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}

    return authorize


class Key:
    """A secret that authorizes requests to one origin.

    Args:
        cache: the cache that holds the secret, a `SecretCache` or an `AsyncSecretCache`.
        secret_id: the secret.
        origin: scheme, host and port, such as `https://api.example.com`; a slash may follow, but no path.
            Requests to other origins are sent without the key, those of a redirect included.
        authorize: makes the headers of a request; `bearer()` by default.
        refused: the statuses by which the server refuses the key; 401 by default. Add 403 only if the server
            answers a wrong key with it: a right key without a right is answered with 403 by most servers.
        options: `LoginOptions`. `budget_s` is 1.2 by default: a refused request waits for so many seconds at
            most, while a rotation seems to be under way.

    Threads and tasks may share it. Raises `ConfigurationError` for an origin or a status that is none, for
    `is_refused`, and for an `authorize` that is async.
    """

    def __init__(
        self,
        cache: SecretCache | AsyncSecretCache,
        secret_id: str,
        origin: str,
        authorize: Authorize | None = None,
        *,
        refused: Iterable[int] = (UNAUTHORIZED,),
        **options: Unpack[LoginOptions],
    ) -> None:
        beside = _beside(str(origin))
        if beside:
            raise ConfigurationError(
                f"origin= has {beside}: give scheme, host and port alone, such as https://api.example.com"
            )
        self._origin = _origin(origin)
        if self._origin is None:
            raise ConfigurationError(
                f"origin={origin!r}: give scheme and host, such as https://api.example.com"
            )
        if not origin.isascii():
            raise ConfigurationError(
                f"origin={origin!r}: write the host as clients send it, such as https://xn--bcher-kva.example"
            )
        self._secret_id = secret_id
        self._authorize = plain(authorize or bearer(), "authorize")
        self._refused = _statuses(refused)
        if "is_refused" in options:
            raise ConfigurationError("a Key takes no is_refused: name the statuses in refused=")
        chosen: LoginOptions = {"budget_s": BUDGET_S, "server": origin, **options, "is_refused": _is_refusal}
        self._login = Login(cache, secret_id, **chosen)

    def __repr__(self) -> str:
        return f"Key({self._secret_id!r})"

    def is_for(self, url: str) -> bool:
        """Return True if a request to `url` may have the key."""
        return _origin(url) == self._origin

    @contextmanager
    def carried(
        self, headers: MutableMapping[str, _Text], version: SecretVersion, outgoing: Outgoing
    ) -> Iterator[None]:
        """Put what authorizes a request into its `headers` while it is sent, and restore them after that.

        The response and the client's errors carry the request, and may be logged, sent elsewhere or pickled.
        Clients also make the request that follows a redirect of it, and take out `Authorization` at most. A
        request that several callers can send at the same time is copied instead.
        """
        made = self.headers(version, outgoing)
        before = {name: headers[name] for name in made if name in headers}
        headers.update(made)
        try:
            with Unseen():
                yield
        finally:
            for name in made:
                headers.pop(name, None)
            headers.update(before)

    def headers(self, version: SecretVersion, outgoing: Outgoing) -> Mapping[str, str]:
        """Return the headers that authorize a request. Raises `SecretFormatError` if one cannot be sent."""
        made = _judged(ran(self._authorize(version, outgoing), "authorize"))
        if isinstance(made, Flaw):
            raise made.error(version.secret_id)
        return made

    def send(
        self,
        request: Callable[[SecretVersion], _Response],
        status: Callable[[_Response], int],
        drop: Callable[[_Response], object],
        can_repeat: Callable[[], bool],
    ) -> _Response:
        """Return the response to the first version that is accepted, or the last refusal.

        `request` sends the request with a version, `status` reads a response's status, `drop` closes a
        response that nobody will read, and `can_repeat` says whether the body can be sent once more. Raises a
        `SecretError` if there is no version to send; errors of the client pass through.
        """
        tries = _Tries(self._refused, status, can_repeat)

        def attempt(version: SecretVersion) -> _Response:
            for refused in tries.begin():
                drop(refused)
            return tries.judged(request(version))

        try:
            return self._login(attempt)
        except (LoginRefusedError, _CannotRepeatError):
            for refused in tries.left():
                return refused
        except BaseException:
            for refused in tries.left():
                drop(refused)
            raise
        # Each version was refused lately, so none was tried. The caller gets the server's own answer.
        version = self._login.current()
        with _Quoteless(version):
            return request(version)

    async def asend(
        self,
        request: Callable[[SecretVersion], Awaitable[_Response]],
        status: Callable[[_Response], int],
        drop: Callable[[_Response], Awaitable[object]],
        can_repeat: Callable[[], bool],
    ) -> _Response:
        """Return what `send` returns, for a client on an event loop."""
        tries = _Tries(self._refused, status, can_repeat)

        async def attempt(version: SecretVersion) -> _Response:
            for refused in tries.begin():
                await drop(refused)
            return tries.judged(await request(version))

        try:
            return await self._login.awaiting(attempt)
        except (LoginRefusedError, _CannotRepeatError):
            for refused in tries.left():
                return refused
        except BaseException:
            for refused in tries.left():
                await drop(refused)
            raise
        version = await self._login.async_current()
        with _Quoteless(version):
            return await request(version)


def position(file: object) -> int | None:
    """Return where a file stands, for a client that sends it again; None for what cannot be rewound."""
    tell, seekable = getattr(file, "tell", None), getattr(file, "seekable", None)
    if not callable(tell) or not callable(seekable) or not seekable():
        return None
    stands_at: int = tell()
    return stands_at


def whole_body(body: object) -> bytes | None:
    """Return the body, empty if there is none; None if it is read from a file or an iterator."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else None


class _Quoteless:
    """`with _Quoteless(version): …`: errors lose their locals and what they quote, as in a login."""

    def __init__(self, version: SecretVersion) -> None:
        self._version = version

    def __enter__(self) -> None:
        self._around = sys.exception()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            without_locals(error, self._around)
            without_values(error, values_of(self._version), self._around)


class _RefusedError(Exception):
    """The server answered that it does not accept the key."""


class _CannotRepeatError(Exception):
    """The body of the refused request cannot be sent once more."""


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, _RefusedError)


class _Tries(Generic[_Response]):
    """The attempts of one request, and the response that refused the last one."""

    def __init__(
        self, refused: frozenset[int], status: Callable[[_Response], int], can_repeat: Callable[[], bool]
    ) -> None:
        self._refused = refused
        self._status = status
        self._can_repeat = can_repeat
        self._last: list[_Response] = []

    def begin(self) -> list[_Response]:
        """Begin an attempt: return the refusal before it, if there is one, which nobody will read.

        It is closed first: a pool of one connection could not send the next attempt otherwise.
        """
        if self._last and not self._can_repeat():
            raise _CannotRepeatError
        return self.left()

    def judged(self, response: _Response) -> _Response:
        """Return the response unless it is a refusal. That is kept, and raised as an error for the login."""
        if self._status(response) in self._refused:
            self._last = [response]
            raise _RefusedError
        return response

    def left(self) -> list[_Response]:
        """Return the last refusal, once; nothing if there is none."""
        left, self._last = self._last, []
        return left


def _judged(headers: Mapping[str, str]) -> Mapping[str, str] | Flaw:
    """Return the headers, or what is wrong with one."""
    for name, value in headers.items():
        if not (_fits(name) and name and _fits(value)):
            named = name if _fits(name) else "name"
            return Flaw(
                f"the header {named} would have a character that no header may have",
                "store the key again, without that character",
            )
    return headers


def _fits(text: object) -> bool:
    """Return True for a text of printable ASCII, which no header ends before."""
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _key(version: SecretVersion, field: str | None) -> str:
    if field is not None:
        return _field(version, field)
    text = version.text()
    # `echo KEY | aws secretsmanager ...` leaves one behind.
    return text.removesuffix("\n").removesuffix("\r")


def _field(version: SecretVersion, name: str) -> str:
    found = _text_in(version.text(), name)
    if isinstance(found, Flaw):
        raise found.error(version.secret_id)
    return found


def _text_in(text: str, name: str) -> str | Flaw:
    """Return one field of a JSON object as `SecretVersion.fields` does; the others are not looked at."""
    document = parsed(text, as_written=True)
    if isinstance(document, Flaw):
        return document
    if not isinstance(document, dict):
        return Flaw("its JSON is no object", ADVICE_FIELDS)
    value = document.get(name)
    if value is None:
        return Flaw(f"its JSON has no field {name!r}", ADVICE_FIELDS)
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        return Flaw(f"the field {name!r} is {kind}", ADVICE_FIELDS)
    found = flaw(value, name)
    if found is not None:
        return Flaw(f"the field {name!r} {found.detail}", ADVICE_FIELDS)
    return value if isinstance(value, str) else json.dumps(value)


def _statuses(refused: object) -> frozenset[int]:
    """Return the statuses. Raises `ConfigurationError` for what no server answers."""
    several = tuple(refused) if isinstance(refused, Iterable) and not isinstance(refused, str | bytes) else ()
    statuses = [one for one in several if isinstance(one, int) and 100 <= one <= 599]
    if not statuses or len(statuses) != len(several):
        raise ConfigurationError(f"refused={refused!r}: give HTTP statuses, such as (401, 403)")
    return frozenset(statuses)


def _beside(origin: str) -> str:
    """Name what a URL has beside an origin, each of which may be a secret; empty for nothing.

    One slash at its end is none: that is how browsers show an origin.
    """
    path = origin.partition("://")[2].partition("/")[2]
    named = {"user info": "@" in origin, "a query": "?" in origin, "a fragment": "#" in origin}
    found = [name for name, is_there in named.items() if is_there]
    return found[0] if found else "a path" if path else ""


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL; None for a text that is no URL of HTTP, or that has port 0.

    None also where two parsers see two hosts: one of them ends the host at a backslash, another one leaves
    out tabs and line breaks.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or port == 0 or _AMBIGUOUS.search(url):
        return None
    return parts.scheme, host.rstrip("."), port or {"http": 80, "https": 443}[parts.scheme]
