"""httpx: a transport, sync or async, whose requests carry the key of a secret.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    client = httpx.Client(transport=KeyTransport(key))

By httpx's rule a client with `transport=` ignores `verify`, `cert`, `http2`, `limits` and the proxies of the
environment, and with `proxy=` it goes past the transport, without a key. So give these to the transport
below:

    below = httpx.HTTPTransport(proxy="http://proxy.internal:3128", verify=context)
    client = httpx.Client(transport=KeyTransport(key, below))

A body that is an iterator is sent once only; a file is rewound where that can be.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from keyturn.aws.unseen import Unseen
from keyturn.integrations.http import Key, Outgoing, position
from keyturn.model.versions import SecretVersion

__all__ = ["AsyncKeyTransport", "Key", "KeyTransport"]


class KeyTransport(httpx.BaseTransport):
    """Sends requests through `transport`, by default a new `httpx.HTTPTransport`, with the key.

    Raises a `SecretError` if the secret cannot be read.
    """

    def __init__(self, key: Key, transport: httpx.BaseTransport | None = None) -> None:
        self._key = key
        self._transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request with the version that the server takes."""
        if not self._key.is_for(str(request.url)):
            return self._transport.handle_request(request)
        body = _Body(request)

        def send(version: SecretVersion) -> httpx.Response:
            body.rewind()
            keyed = _with(request, self._key.headers(version, body.outgoing()))
            with Unseen():
                return self._transport.handle_request(keyed)

        return self._key.send(send, _status, httpx.Response.close, body.can_repeat)

    def close(self) -> None:
        """Close the transport below."""
        self._transport.close()


class AsyncKeyTransport(httpx.AsyncBaseTransport):
    """Sends requests through `transport`, by default a new `httpx.AsyncHTTPTransport`, with the key."""

    def __init__(self, key: Key, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._key = key
        self._transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request with the version that the server takes."""
        if not self._key.is_for(str(request.url)):
            return await self._transport.handle_async_request(request)
        body = _Body(request)

        async def send(version: SecretVersion) -> httpx.Response:
            body.rewind()
            keyed = _with(request, self._key.headers(version, body.outgoing()))
            with Unseen():
                return await self._transport.handle_async_request(keyed)

        return await self._key.asend(send, _status, httpx.Response.aclose, body.can_repeat)

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._transport.aclose()


def _with(request: httpx.Request, headers: Mapping[str, str]) -> httpx.Request:
    """Return the request with these headers, as another one.

    A caller may send one request from several threads. It follows redirects with its own, and shows that in
    responses and errors.
    """
    keyed = httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )
    keyed.headers.update(headers)
    return keyed


def _status(response: httpx.Response) -> int:
    return response.status_code


class _Body:
    """The body of a request: whether it can be sent once more, and from where."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._whole = _whole(request)
        # httpx keeps a file in its stream and does not rewind it. What has no such file cannot be repeated.
        file = getattr(request.stream, "_stream", None)
        self._seek = getattr(file, "seek", None)
        self._start = position(file)
        # The parts of a form are files, which httpx rewinds itself where they can be rewound.
        fields = getattr(request.stream, "fields", None)
        files = [getattr(one, "file", None) for one in fields] if isinstance(fields, list) else None
        self._is_form = files is not None and all(
            one is None or isinstance(one, str | bytes) or position(one) is not None for one in files
        )

    def outgoing(self) -> Outgoing:
        return Outgoing(self._request.method, str(self._request.url), self._whole)

    def can_repeat(self) -> bool:
        return self._whole is not None or self._start is not None or self._is_form

    def rewind(self) -> None:
        """Go back to where the file stood before the first attempt."""
        if self._start is not None and callable(self._seek):
            self._seek(self._start)


def _whole(request: httpx.Request) -> bytes | None:
    # httpx makes the request after a redirect of the stream alone, as `_with` does for a transport below.
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    try:
        return request.content
    except httpx.RequestNotRead:
        return None
