"""The HTTP clients keep their contract, on real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeAlias, cast

import aiohttp
import aiohttp.abc
import httpx
import pytest
import requests
import urllib3
from aiohttp.payload import BytesIOPayload

from benchmarks.httpkeys import CALLERS, WAYS, replaced
from keyturn import ConfigurationError, Peers, SecretCache, SecretFormatError, SecretVersion
from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Key, Outgoing, bearer, header
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.requests import KeyAdapter
from keyturn.integrations.urllib3 import with_key
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.docs.checkers import mypy
from tests.docs.pages import python_blocks
from tests.integrations.http_contract import Client, HttpContract, MakeClient, Scene
from tests.integrations.http_server import KeyServer

TIMEOUT_S = 10.0


class HttpxClient:
    """httpx, with a pool of one connection: a refusal that is left open would block the next attempt."""

    def __init__(self, key: Key) -> None:
        pool = httpx.HTTPTransport(limits=httpx.Limits(max_connections=1))
        self.client = httpx.Client(
            transport=KeyTransport(key, pool), timeout=TIMEOUT_S, follow_redirects=True
        )

    def get(self, url: str) -> tuple[int, str]:
        response = self.client.get(url)
        return response.status_code, response.text

    def post(self, url: str, body: object) -> int:
        return self.client.post(url, content=cast("bytes", body)).status_code

    def close(self) -> None:
        self.client.close()


async def asynchronous(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, for an asynchronous client."""
    for chunk in chunks:
        yield chunk


def for_async(body: object) -> object:
    """An iterator as an asynchronous one; other bodies as they are."""
    is_iterator = isinstance(body, Iterator) and not hasattr(body, "read")
    return asynchronous(cast("Iterator[bytes]", body)) if is_iterator else body


class AsyncHttpxClient:
    """httpx on an event loop."""

    def __init__(self, key: Key) -> None:
        self.runner = asyncio.Runner()
        pool = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
        self.client = httpx.AsyncClient(
            transport=AsyncKeyTransport(key, pool), timeout=TIMEOUT_S, follow_redirects=True
        )

    def get(self, url: str) -> tuple[int, str]:
        response = self.runner.run(self.client.get(url))
        return response.status_code, response.text

    def post(self, url: str, body: object) -> int:
        content = for_async(body)
        if hasattr(content, "read") and not isinstance(content, bytes):
            # An asynchronous client of httpx takes a file in a form only.
            response = self.runner.run(self.client.post(url, content=cast("IO[bytes]", content).read()))
        else:
            response = self.runner.run(self.client.post(url, content=cast("bytes", content)))
        return response.status_code

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


class RequestsClient:
    """requests, with the adapter mounted for everything: the key alone says which origin gets it."""

    def __init__(self, key: Key) -> None:
        self.session = requests.Session()
        self.session.mount("http://", KeyAdapter(key))

    def get(self, url: str) -> tuple[int, str]:
        response = self.session.get(url, timeout=TIMEOUT_S)
        return response.status_code, response.text

    def post(self, url: str, body: object) -> int:
        return self.session.post(url, data=cast("bytes", body), timeout=TIMEOUT_S).status_code

    def close(self) -> None:
        self.session.close()


class Urllib3Client:
    """urllib3, with a pool of one connection that blocks until it is given back."""

    def __init__(self, key: Key) -> None:
        manager = urllib3.PoolManager(maxsize=1, block=True, timeout=TIMEOUT_S, retries=urllib3.Retry(2))
        self.client = with_key(manager, key)

    def get(self, url: str) -> tuple[int, str]:
        response = self.client.request("GET", url)
        return response.status, response.data.decode()

    def post(self, url: str, body: object) -> int:
        response = self.client.request("POST", url, body=cast("bytes", body), preload_content=False)
        response.drain_conn()
        response.release_conn()
        return response.status

    def close(self) -> None:
        self.client.clear()


class AiohttpClient:
    """aiohttp."""

    def __init__(self, key: Key) -> None:
        self.runner = asyncio.Runner()
        self.session = self.runner.run(self._session(key))

    async def _session(self, key: Key) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=1)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, middlewares=[key_middleware(key)], trust_env=False
        )

    def get(self, url: str) -> tuple[int, str]:
        async def got() -> tuple[int, str]:
            async with self.session.get(url) as response:
                return response.status, await response.text()

        return self.runner.run(got())

    def post(self, url: str, body: object) -> int:
        async def posted() -> int:
            async with self.session.post(url, data=for_async(body)) as response:
                return response.status

        return self.runner.run(posted())

    def close(self) -> None:
        self.runner.run(self.session.close())
        self.runner.close()


AnyClient: TypeAlias = HttpxClient | AsyncHttpxClient | RequestsClient | Urllib3Client | AiohttpClient


def making(
    kind: type[AnyClient],
) -> Iterator[MakeClient]:
    """A function that makes clients, which are closed at the end."""
    made: list[AnyClient] = []

    def make(key: Key) -> Client:
        made.append(kind(key))
        return made[-1]

    yield make
    for one in made:
        one.close()


class TestHttpx(HttpContract):
    @pytest.fixture
    def make(self) -> Iterator[MakeClient]:
        yield from making(HttpxClient)


class TestAsyncHttpx(HttpContract):
    @pytest.fixture
    def make(self) -> Iterator[MakeClient]:
        yield from making(AsyncHttpxClient)


class TestRequests(HttpContract):
    @pytest.fixture
    def make(self) -> Iterator[MakeClient]:
        yield from making(RequestsClient)

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_bytes_of_other_kinds_are_sent_again(self, scene: Scene, kind: Callable[[bytes], object]) -> None:
        """As urllib3 below takes them."""
        client = scene.with_pending_key()
        assert 200 == client.post(scene.url(), kind(b"bytes"))
        assert [b"bytes", b"bytes"] == scene.server.bodies[1:]

    def test_a_download_that_is_sent_on(self, scene: Scene) -> None:
        """It tells where it stands and cannot go back: it is sent once, and the caller gets the refusal."""
        client = scene.with_pending_key()
        download = urllib3.HTTPResponse(io.BytesIO(b"of another server"), preload_content=False)
        assert 401 == client.post(scene.url(), download)
        assert [b"of another server"] == scene.server.bodies[1:]
        assert 200 == client.get(scene.url())[0]


class TestUrllib3(HttpContract):
    @pytest.fixture
    def make(self) -> Iterator[MakeClient]:
        yield from making(Urllib3Client)


class OncePayload(aiohttp.Payload):
    """A body that can be written once, and does not say so."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        for part in cast("Iterator[bytes]", self._value):
            await writer.write(part)


class EarlyPayload(BytesIOPayload):
    """The file of an early release of aiohttp 3.12, which does not tell whether it is consumed."""

    @property
    def consumed(self) -> bool:
        raise AttributeError


def once() -> OncePayload:
    """A new one."""
    return OncePayload(iter([b"one", b"two"]))


def early() -> EarlyPayload:
    """A new one."""
    return EarlyPayload(io.BytesIO(b"onetwo"))


def form(*parts: object) -> aiohttp.MultipartWriter:
    """A form with these parts."""
    made = aiohttp.MultipartWriter("form-data", boundary="line")
    for part in parts:
        made.append(part)
    return made


class TestAiohttp(HttpContract):
    @pytest.fixture
    def make(self) -> Iterator[MakeClient]:
        yield from making(AiohttpClient)

    @pytest.mark.parametrize(
        "body",
        [once, lambda: form(b"first", once()), lambda: form(form(once())), early, lambda: form(early())],
    )
    def test_a_body_that_hides_that_it_is_spent(self, scene: Scene, body: Callable[[], object]) -> None:
        """Of one that is not known to give the same bytes again, no second and shorter one is sent."""
        client = scene.with_pending_key()
        assert 401 == client.post(scene.url(), body())
        assert b"onetwo" in scene.server.bodies[-1]
        assert {200: 1, 401: 1} == scene.server.statuses

    def test_a_form_that_can_be_sent_again(self, scene: Scene) -> None:
        """Texts, bytes and files arrive whole with the second key."""
        client = scene.with_pending_key()
        assert 200 == client.post(scene.url(), form("text", b"bytes", io.BytesIO(b"of a file")))
        first, second = scene.server.bodies[1:]
        assert first == second
        assert all(part in second for part in (b"text", b"bytes", b"of a file"))


@pytest.mark.e2e
@pytest.mark.proof
@pytest.mark.parametrize("way", WAYS)
def test_no_request_fails_while_a_key_is_replaced(way: str) -> None:
    """0 of 1,000 requests fail through a rotation and an unannounced change; `cache.get` alone loses many."""
    outcome = replaced(way, 1_000)
    assert outcome.requests >= 1_000
    if way == "`cache.get` for each request":
        assert outcome.failed > 100
    else:
        assert (0, True) == (outcome.failed, outcome.refused <= 3 * CALLERS)


def test_the_page() -> None:
    """The examples of docs/http-keys.md run as they stand, and sign as they say."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("prod/signing-key", "key", "v1")
    with SecretCache(peers=Peers(source=secrets)) as cache:
        names: dict[str, object] = {"cache": cache}
        for example in python_blocks("docs/http-keys.md"):
            exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
        signed, client = names["signed"], names["client"]
        assert isinstance(signed, Key)
        assert isinstance(client, httpx.Client)
        client.close()
        made = signed.headers(
            cache.get("prod/signing-key"), Outgoing("POST", "https://api.example.com", b"body")
        )
    expected = hmac.new(b"key", b"body", hashlib.sha256).hexdigest()
    assert {"X-Signature": expected, "X-Key-Version": "v1"} == made


@pytest.mark.proof
def test_the_page_passes_a_strict_check(tmp_path: Path) -> None:
    """mypy --strict has nothing to say of the page's programs, as a user writes them; a wrong one is seen."""
    given = "from keyturn import SecretCache\n\ncache = SecretCache()\n"
    page = "\n".join((given, *python_blocks("docs/http-keys.md")))
    said = mypy(tmp_path, {"page.py": page})
    assert 0 == said.returncode, said.stdout
    wrong = page.replace("with_key(urllib3.PoolManager(), key)", "with_key(key, urllib3.PoolManager())")
    assert "arg-type" in mypy(tmp_path, {"wrong.py": wrong}).stdout


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example\\@api.example.com/",
        "https://evil.example\\@api.example.com/",
        "https://evil.example\\.api.example.com/",
        "https://api.example.com\\@evil.example/",
        "https://api.example.com@evil.example/",
        "https://api.example.com:443@evil.example/",
        "https://api.exa\tmple.com/",
        "https://api.example.com/\r\nHost: evil.example",
        " https://api.example.com/",
        "\x00https://api.example.com/",
        "https://api.example.com .evil.example/",
        "https://api.example.com.evil.example/",
        "https://evil.example/https://api.example.com/",
        "https://evil.example?@api.example.com/",
        "https://evil.example#@api.example.com/",
        "https:/api.example.com/",
        "https:api.example.com/",
        "//api.example.com/",
        "https://api.example.com:0/",
        "https://api.example.com:80/",
        "https://api.example.com:x/",
        "https://api.example.com:99999/",
        "https://api.example.com%2eevil.example/",
        "https://api\uff0eexample.com/",
        "ftp://api.example.com/",
        "http://api.example.com/",
        "https://[api.example.com]/",
        "",
    ],
)
def test_no_other_url_has_the_key(url: str) -> None:
    """Where the client's parser could see another host than Python's, there is no key either."""
    with SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache:
        assert not Key(cache, "prod/api-key", "https://api.example.com").is_for(url)


@pytest.mark.parametrize(
    "path", ["", "/", ":443/a", "./a", "/a?b=c d", "/a\\b", "?a=\\", "#\\ ", "/\u00e9", "/a@b:c"]
)
def test_every_url_of_the_origin_has_the_key(path: str) -> None:
    """With its port or the dot at its end, and with anything after the host."""
    with SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache:
        assert Key(cache, "prod/api-key", "https://api.example.com").is_for("https://API.example.com" + path)


class Overlapping:
    """Two requests that are under way at the same time; the first ends before the second."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._both = threading.Barrier(2)
        self._first_ended = threading.Event()

    def handle(self, key: str) -> None:
        """What the server gets; returns when it answers."""
        number = self._both.wait(TIMEOUT_S)
        self.sent.append(key)
        if number:
            assert self._first_ended.wait(TIMEOUT_S)

    def run(self, send: Callable[[], object]) -> None:
        """Send twice."""

        def sent() -> None:
            send()
            self._first_ended.set()

        with ThreadPoolExecutor(2) as threads:
            for one in [threads.submit(sent) for _ in range(2)]:
                one.result()


@pytest.fixture
def example_key() -> Iterator[Key]:
    """The key `one` for an origin that nobody serves."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("prod/api-key", "one", "v1")
    with SecretCache(peers=Peers(source=secrets)) as cache:
        yield Key(cache, "prod/api-key", "https://api.example.com", header("X-Api-Key"))


def test_a_proxy_of_httpx_belongs_below() -> None:
    """With `proxy=` a client goes past the transport and sends no key, so the page says where it belongs."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("prod/api-key", "one", "v1")
    with SecretCache(peers=Peers(source=secrets)) as cache, KeyServer().running() as proxy:
        key = Key(cache, "prod/api-key", "http://api.example.com")
        below = httpx.HTTPTransport(proxy=proxy.origin)
        for client in (
            httpx.Client(proxy=proxy.origin, transport=KeyTransport(key)),
            httpx.Client(transport=KeyTransport(key, below)),
        ):
            with client:
                client.get("http://api.example.com/a")
    assert [None, "one"] == proxy.sent


@pytest.mark.parametrize("refused", [401, "401", ("401",), (), (401.0,), (0,), None])
def test_statuses_that_are_none(refused: object) -> None:
    """They are refused when the key is made: with them no answer would move on to the next version."""
    with (
        SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache,
        pytest.raises(ConfigurationError, match=r"^refused=.*: give HTTP statuses, such as \(401, 403\)"),
    ):
        Key(cache, "prod/api-key", "https://api.example.com", refused=refused)  # type: ignore[arg-type] # tried


def test_a_judge_of_errors_is_no_judge_of_answers() -> None:
    """`is_refused` had no effect, without a word."""
    with (
        SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache,
        pytest.raises(ConfigurationError, match="name the statuses in refused="),
    ):
        Key(cache, "prod/api-key", "https://api.example.com", is_refused=lambda _: True)


def test_an_async_authorize_makes_no_headers() -> None:
    """It is refused when the key is made, or where only its call shows it, before a request is sent."""

    async def authorize(_version: SecretVersion, _outgoing: Outgoing) -> dict[str, str]:
        raise AssertionError("nobody runs this")

    def hidden(version: SecretVersion, outgoing: Outgoing) -> object:
        return authorize(version, outgoing)

    secrets = FakeSecretsManager(FakeClock())
    secrets.create("prod/api-key", "one", "v1")
    with SecretCache(peers=Peers(source=secrets)) as cache:
        for one in (authorize, hidden):
            with pytest.raises(ConfigurationError, match="authorize is async"):
                Key(cache, "prod/api-key", "https://api.example.com", one).headers(  # type: ignore[arg-type] # tried
                    cache.get("prod/api-key"), Outgoing("GET", "https://api.example.com/", None)
                )


def test_threads_may_send_one_request_of_httpx(example_key: Key) -> None:
    """Afterwards it has no key, which a redirect would carry to another host."""
    both = Overlapping()

    def answer(request: httpx.Request) -> httpx.Response:
        both.handle(request.headers["X-Api-Key"])
        return httpx.Response(200)

    with httpx.Client(transport=KeyTransport(example_key, httpx.MockTransport(answer))) as client:
        request = client.build_request("POST", "https://api.example.com", content=b"body")
        both.run(lambda: client.send(request))
    assert ["one", "one"] == both.sent
    assert "X-Api-Key" not in request.headers


def test_threads_may_send_one_request_of_requests(example_key: Key) -> None:
    """Afterwards it has no key, which a redirect would carry to another host."""
    both = Overlapping()

    class Answering(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *_args: object) -> requests.Response:
            both.handle(str(request.headers["X-Api-Key"]))
            response = requests.Response()
            response.status_code, response.request, response.raw = 200, request, io.BytesIO()
            return response

    with requests.Session() as session:
        session.mount("https://", KeyAdapter(example_key, Answering()))
        request = session.prepare_request(requests.Request("GET", "https://api.example.com"))
        answers: list[requests.Response] = []
        both.run(lambda: answers.append(session.send(request)))
    assert ["one", "one"] == both.sent
    assert "X-Api-Key" not in request.headers
    assert all(answer.request is request for answer in answers)


@pytest.mark.parametrize(
    "made",
    [{"X-Key": b"one"}, {"X-Key": None}, {"X-Key\r\nX-Evil: 1": "one"}, {"": "one"}, {b"X-Key": "one"}],
)
def test_headers_that_cannot_be_sent(made: dict[str, str]) -> None:
    """An `Authorize` of a user may make anything: the error is keyturn's, and shows no value."""
    with SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache:
        key = Key(cache, "prod/api-key", "https://api.example.com", lambda _version, _outgoing: made)
        version = SecretVersion("prod/api-key", "arn", "prod/api-key", "v1", frozenset(), string="ke-y")
        with pytest.raises(SecretFormatError, match="no header may have") as raised:
            key.headers(version, Outgoing("GET", "https://api.example.com", b""))
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.filename.endswith("integrations/http.py")]
    assert frames
    assert not any("ke-y" in value for frame in frames for value in (frame.locals or {}).values())


ANY_OTHERS = '"scopes": ["read"], "note": null, "more": {"port": 0}, "password": "\\u0000"'


@pytest.mark.parametrize(
    ("field", "expected"),
    [('"ke-y"', "ke-y"), ("1.50", "1.50"), ("12345678901234567890", None), ("true", "true")],
)
def test_only_the_field_of_the_key_is_looked_at(field: str, expected: str | None) -> None:
    """Whatever else is in the secret; numbers to the last digit, as `fields()` has them."""
    value = f'{{"value": {field}, {ANY_OTHERS}}}'
    version = SecretVersion("prod/api-key", "arn", "prod/api-key", "v1", frozenset(), string=value)
    outgoing = Outgoing("GET", "https://api.example.com", b"")
    sent = header("X-Api-Key", "value")(version, outgoing)
    assert {"X-Api-Key": expected or field} == sent


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scopes", "the field 'scopes' is a list"),
        ("note", "its JSON has no field 'note'"),
        ("more", "the field 'more' is an object"),
        ("password", "the field 'password' has a control character"),
        ("absent", "its JSON has no field 'absent'"),
    ],
)
def test_a_field_that_is_no_key(name: str, said: str) -> None:
    """The error names the field, and has no value, nor have its frames."""
    value = f'{{"value": "ke-y", {ANY_OTHERS}}}'
    version = SecretVersion("prod/api-key", "arn", "prod/api-key", "v1", frozenset(), string=value)
    with pytest.raises(SecretFormatError, match=said + ".*What to do: .* store an object of") as raised:
        bearer(name)(version, Outgoing("GET", "https://api.example.com", b""))
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert not any("ke-y" in text for frame in shown.stack[1:] for text in (frame.locals or {}).values())


def test_a_key_shows_no_value() -> None:
    """Its repr names the secret alone."""
    with SecretCache(peers=Peers(source=FakeSecretsManager(FakeClock()))) as cache:
        assert "Key('prod/api-key')" == repr(Key(cache, "prod/api-key", "https://api.example.com"))
