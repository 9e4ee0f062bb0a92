"""aiohttp: a client middleware whose requests carry the key of a secret.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    session = aiohttp.ClientSession(middlewares=[key_middleware(key)])

A body that is read from an iterator or a stream is sent once only, and so is a form with such a part.
"""

from __future__ import annotations

from aiohttp import (
    BytesPayload,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    MultipartWriter,
)
from aiohttp.payload import IOBasePayload

from keyturn.integrations.http import Key, Outgoing, position
from keyturn.model.versions import SecretVersion

__all__ = ["Key", "key_middleware"]


def key_middleware(key: Key) -> ClientMiddlewareType:
    """Return a middleware for `aiohttp.ClientSession(middlewares=[...])`.

    Its requests raise a `SecretError` if the secret cannot be read.
    """

    async def with_key(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if not key.is_for(str(request.url)):
            return await handler(request)
        outgoing = Outgoing(request.method, str(request.url), _whole(request.body))

        async def send(version: SecretVersion) -> ClientResponse:
            with key.carried(request.headers, version, outgoing):
                return await handler(request)

        return await key.asend(
            send,
            lambda response: response.status,
            _drop,
            lambda: _can_repeat(request.body),
        )

    return with_key


def _can_repeat(body: object) -> bool:
    """Return True for what is known to give the same bytes again: bytes, texts, files and forms of these.

    Before version 3.14 the payload of an iterator counts as consumed only when all of it has been sent. The
    first releases of 3.12 close a file when it has been sent, and do not tell whether it is consumed.
    """
    if isinstance(body, MultipartWriter):
        return all(_can_repeat(part) for part, _encoding, _transfer_encoding in body)
    if isinstance(body, IOBasePayload):
        return not getattr(body, "consumed", True) and position(body._value) is not None  # noqa: SLF001 # the file
    return isinstance(body, bytes | BytesPayload)


async def _drop(response: ClientResponse) -> None:
    response.close()


def _whole(body: object) -> bytes | None:
    """Return the body, where it is bytes or text and no file or iterator."""
    if isinstance(body, bytes):
        return body
    return bytes(body._value) if isinstance(body, BytesPayload) else None  # noqa: SLF001 # no other way
