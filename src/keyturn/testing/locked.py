"""Run ministack so that it answers only to whoever knows its session token.

    python -P locked.py        (as `EmbeddedAws` starts it; AWS_SESSION_TOKEN is the token)

ministack believes every credential, and its Lambda functions run code. So without this any user of the
machine could run code as the user who started it. Every request must carry the token of this server, in the
header that SDKs send AWS_SESSION_TOKEN in, or credentials that this server has given out itself: those of an
assumed role or of an IAM user. The functions that the server runs inherit the token. A web socket is refused,
since no SDK of the tests opens one.

To policies such a request came over TLS, as requests to AWS do, unless it has an X-Forwarded-Proto itself.

The credentials that ministack gives to a function are made from the function's and the role's names if
AUTH=true, so there somebody who can guess both names can do what that role may.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Final, cast
from urllib.parse import parse_qsl

import ministack.app  # type: ignore[import-untyped]
from ministack.core.iam_evaluator import (  # type: ignore[import-untyped]
    find_iam_access_key_account,
)
from ministack.core.router import extract_access_key_id  # type: ignore[import-untyped]
from ministack.services import sts  # type: ignore[import-untyped]

TOKEN_VARIABLE: Final = "AWS_SESSION_TOKEN"  # noqa: S105 # the name of a variable
TOKEN_HEADER: Final = "x-amz-security-token"  # noqa: S105 # the name of a header
PROTOCOL_HEADER: Final = b"x-forwarded-proto"
REFUSAL: Final = {
    "__type": "UnrecognizedClientException",
    "message": "This embedded AWS answers only with the credentials in EmbeddedAws.environment.",
}

Message = MutableMapping[str, object]
Scope = Mapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def locked(application: Application, token: str) -> Application:
    """Return `application`, which now sees only requests with `token` or with credentials of its own."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_known(scope, token)):
            await application(_over_tls(scope), receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(REFUSAL).encode()})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return checked


def _over_tls(scope: Scope) -> Scope:
    """Return the scope of a request with the header of a proxy that ends TLS, unless it has one."""
    if scope["type"] == "lifespan":
        return scope
    given = tuple(cast("Iterable[tuple[bytes, bytes]]", scope["headers"]))
    if any(name.lower() == PROTOCOL_HEADER for name, _ in given):
        return scope
    return {**scope, "headers": [*given, (PROTOCOL_HEADER, b"https")]}


def _is_known(scope: Scope, token: str) -> bool:
    given = cast("Iterable[tuple[bytes, bytes]]", scope["headers"])
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in given}
    query = dict(parse_qsl(cast("bytes", scope["query_string"]).decode("latin-1")))
    shown = headers.get(TOKEN_HEADER) or query.get("X-Amz-Security-Token", "")
    key = extract_access_key_id(headers, {name: [value] for name, value in query.items()})
    session = sts._sessions.get(key) if key else None  # noqa: SLF001 # ministack has no public look-up
    if session is not None:
        return _agree(shown, str(session.get("SessionToken", "")))
    return _agree(shown, token) or bool(key and find_iam_access_key_account(key))


def _agree(shown: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(shown.encode(), expected.encode())


if __name__ == "__main__":
    ministack.app.app = locked(ministack.app.app, os.environ[TOKEN_VARIABLE])
    ministack.app.main()
