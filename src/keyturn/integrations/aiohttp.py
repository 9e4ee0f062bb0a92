"""aiohttp: a client middleware whose requests carry the key of a secret.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    session = aiohttp.ClientSession(middlewares=[key_middleware(key)])

A body that is an asynchronous iterator is sent once only.
"""

from __future__ import annotations

from aiohttp import BytesPayload, ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from keyturn.integrations.http import Key, Outgoing
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
            lambda: not getattr(request.body, "consumed", False),
        )

    return with_key


async def _drop(response: ClientResponse) -> None:
    response.close()


def _whole(body: object) -> bytes | None:
    """Return the body, where it is bytes or text and no file or iterator."""
    if isinstance(body, bytes):
        return body
    return bytes(body._value) if isinstance(body, BytesPayload) else None  # noqa: SLF001 # no other way
