"""urllib3: a pool manager whose requests carry the key of a secret.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    http = with_key(urllib3.PoolManager(), key)

A body that is an iterator is sent once only; a file is rewound where that can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Signature, signature
from typing import Protocol, Self, TypeVar, cast

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPHeaderDict, PoolManager
from urllib3.util import Url, parse_url

from keyturn.aws.unseen import Unseen
from keyturn.integrations.http import Key, Outgoing, position, whole_body
from keyturn.model.versions import SecretVersion

__all__ = ["Key", "with_key"]

_Manager = TypeVar("_Manager", bound=PoolManager)

_MORE = Signature([*signature(HTTPConnectionPool.urlopen).parameters.values()][5:])
"""What `urlopen` takes by position or name after `self`, method, url, body and headers."""


class _Pool(Protocol):
    """A pool of connections to one host, or to a proxy."""

    scheme: str
    host: str
    port: int | None
    proxy: Url | None
    headers: Mapping[str, str]

    def urlopen(self, method: str, url: str, **options: object) -> BaseHTTPResponse: ...

    def close(self) -> None: ...


def with_key(manager: _Manager, key: Key) -> _Manager:
    """Let a `PoolManager`, or a `ProxyManager`, put the key into its requests to the key's origin; return it.

    A manager may have several keys of several origins. Pools that it has made before are dropped. Requests
    raise a `SecretError` if the secret cannot be read.
    """
    manager.pool_classes_by_scheme = {
        scheme: cast("type[HTTPConnectionPool]", _keyed(cast("Callable[..., _Pool]", pool), key))
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    manager.clear()
    return manager


def _keyed(pool: Callable[..., _Pool], key: Key) -> Callable[..., _KeyPool]:
    """Return what makes pools, as a class of pools does."""
    return lambda *where, **options: _KeyPool(pool(*where, **options), key)


class _KeyPool:
    """Sends requests through `pool` with the key.

    The pool retries inside of one attempt, and the manager follows redirects outside of it. So a retry has
    the key, and the request that a redirect leads to is judged by its own origin.
    """

    def __init__(self, pool: _Pool, key: Key) -> None:
        self._pool = pool
        self._key = key

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.close()

    # What is asked of the pool itself goes the same way; these end in `urlopen`.
    request = HTTPConnectionPool.request
    request_encode_url = HTTPConnectionPool.request_encode_url
    request_encode_body = HTTPConnectionPool.request_encode_body

    def urlopen(
        self,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *more: object,
        **options: object,
    ) -> BaseHTTPResponse:
        """Send the request with the version that the server takes."""
        if more:
            # By their names, which a pool of any class takes.
            options = dict(_MORE.bind(*more, **options).arguments)
            options.update(cast("dict[str, object]", options.pop("response_kw", {})))
        given = self._pool.headers if headers is None else headers
        target = self._absolute(url)
        if not self._key.is_for(target):
            return self._pool.urlopen(method, url, body=body, headers=given, **options)
        if self._pool.proxy is not None:
            # The pool would follow a redirect to any host, with the key. A manager follows it by itself.
            options["redirect"] = False
        whole, start = whole_body(body), options.pop("body_pos", None)
        start = position(body) if start is None else start
        outgoing = Outgoing(method, target, whole)

        def send(version: SecretVersion) -> BaseHTTPResponse:
            # A copy: a redirect is followed with the caller's own headers.
            sent = HTTPHeaderDict(given)
            sent.update(self._key.headers(version, outgoing))
            with Unseen():
                # A pool that is told the position goes back to it.
                return self._pool.urlopen(method, url, body=body, headers=sent, body_pos=start, **options)

        can_repeat = whole is not None or isinstance(start, int)
        return self._key.send(send, lambda response: response.status, _drop, lambda: can_repeat)

    def _absolute(self, url: str) -> str:
        """Return the whole URL, as urllib3 reads it. A proxy's pool is given one, others a path.

        A pool without a proxy sends all to its own host, whatever host is in the URL.
        """
        if not url.startswith("/"):
            if self._pool.proxy is not None:
                return parse_url(url).url
            url = parse_url(url).request_uri
        host = f"[{self._pool.host}]" if ":" in self._pool.host else self._pool.host
        default = {"http": 80, "https": 443}.get(self._pool.scheme)
        port = None if self._pool.port == default else self._pool.port
        return Url(scheme=self._pool.scheme, host=host, port=port).url + url


def _drop(response: BaseHTTPResponse) -> None:
    """Close the connection of a response that nobody will read, and give it back: pools may be full."""
    response.close()
    response.release_conn()
