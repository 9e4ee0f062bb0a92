"""requests: an adapter whose requests carry the key of a secret.

    key = Key(cache, "prod/api-key", "https://api.example.com")
    session = requests.Session()
    session.mount("https://api.example.com/", KeyAdapter(key))

A body that is an iterator is sent once only; a file is rewound where that can be.
"""

from __future__ import annotations

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from keyturn.aws.unseen import Unseen
from keyturn.integrations.http import Key, Outgoing, whole_body
from keyturn.model.versions import SecretVersion

__all__ = ["Key", "KeyAdapter"]


class KeyAdapter(BaseAdapter):
    """Sends requests through `adapter`, by default a new `HTTPAdapter`, with the key.

    Raises a `SecretError` if the secret cannot be read.
    """

    def __init__(self, key: Key, adapter: BaseAdapter | None = None) -> None:
        super().__init__()
        self._key = key
        self._adapter = adapter or HTTPAdapter()

    def send(  # noqa: PLR0917 # requests' own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send the request with the version that the server takes."""
        url = request.url or ""

        def sent(one: requests.PreparedRequest) -> requests.Response:
            return self._adapter.send(one, stream, timeout, verify, cert, proxies)

        if not self._key.is_for(url):
            return sent(request)
        body = whole_body(request.body or None)
        is_whole = body is not None
        outgoing = Outgoing(request.method or "GET", url, body)

        def send_with(version: SecretVersion) -> requests.Response:
            # A copy: the caller's may be sent from several threads, follows redirects and is shown in errors.
            keyed = request.copy()
            keyed.headers.update(self._key.headers(version, outgoing))
            try:
                with Unseen():
                    response = sent(keyed)
            except requests.RequestException as error:
                error.request = request
                raise
            response.request = request
            return response

        return self._key.send(
            send_with,
            lambda response: response.status_code,
            requests.Response.close,
            lambda: is_whole or _is_rewound(request),
        )

    def close(self) -> None:
        """Close the adapter below."""
        self._adapter.close()


def _is_rewound(request: requests.PreparedRequest) -> bool:
    """Go back to where the body's file stood. Return False if that cannot be, as for an iterator.

    requests notes where a file stood also if the file cannot go back: a download that is sent on can tell.
    """
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True
