"""What every HTTP client does with the key of a secret: one contract over all of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from keyturn import ConfigurationError, Peers, SecretCache, SecretFormatError, SecretNotFoundError
from keyturn.integrations.http import BUDGET_S, Key, Outgoing, basic, header
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.integrations.http_server import KeyServer

NAME = "prod/api-key"


class Client(Protocol):
    """A client of one library, with a key."""

    def get(self, url: str) -> tuple[int, str]:
        """The status and the text of the answer."""
        ...

    def post(self, url: str, body: object) -> int:
        """The status; `body` is bytes, a file, or an iterator of bytes."""
        ...


class MakeClient(Protocol):
    """Makes a client; the test closes it."""

    def __call__(self, key: Key) -> Client: ...


@dataclass
class Scene:
    """A server, a secret in memory with the key `one`, and a cache on a clock of its own."""

    server: KeyServer
    make: MakeClient
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.secrets = FakeSecretsManager(self.clock)
        self.secrets.create(NAME, "one", "v1")
        self.cache = SecretCache(peers=Peers(source=self.secrets, clock=self.clock, sleep=self.clock.advance))

    def client(self, **options: object) -> Client:
        """A client with a key for the server."""
        return self.make(Key(self.cache, NAME, self.server.origin, **options))  # type: ignore[arg-type] # any

    def url(self, path: str = "/") -> str:
        return self.server.origin + path

    @property
    def requests(self) -> int:
        return len(self.server.sent)

    def with_pending_key(self) -> Client:
        """A client that has sent the old key; the server takes only the pending one now."""
        client = self.client()
        client.get(self.url())
        self.secrets.put(NAME, "two", "v2", "AWSPENDING")
        self.server.keys = {"two"}
        return client


class HttpContract:
    """Run by a class for each client, which has the fixture `make`."""

    @pytest.fixture
    def scene(self, make: MakeClient) -> Iterator[Scene]:
        with KeyServer().running() as server:
            yield Scene(server, make)

    def test_the_key_is_sent(self, scene: Scene) -> None:
        """As a Bearer token, by one request, and by one read of the secret for many requests."""
        client = scene.client()
        for _ in range(3):
            assert (200, "200 for /") == client.get(scene.url())
        assert ["one"] * 3 == scene.server.sent
        assert 1 == scene.secrets.calls["GetSecretValue"]

    def test_the_pending_key_is_tried(self, scene: Scene) -> None:
        """After setSecret the server takes only the pending key: one request is refused, then none."""
        client = scene.with_pending_key()
        assert [200, 200, 200] == [client.get(scene.url())[0] for _ in range(3)]
        assert ["one", "one", "two", "two", "two"] == scene.server.sent

    def test_a_key_that_was_replaced_unannounced(self, scene: Scene) -> None:
        """A refusal makes the cache look again; the request goes through with the new key."""
        client = scene.client()
        client.get(scene.url())
        scene.secrets.put(NAME, "two", "v2", "AWSCURRENT")
        scene.server.keys = {"two"}
        scene.clock.advance(2)
        assert 200 == client.get(scene.url())[0]
        assert {200: 2, 401: 1} == scene.server.statuses

    def test_a_revoked_key_costs_two_requests_at_most(self, scene: Scene) -> None:
        """The caller gets the server's 401 with its text, and no call waits longer than `budget_s`."""
        client = scene.client()
        client.get(scene.url())
        scene.server.keys = set()
        for _ in range(20):
            before, begun_s = scene.requests, scene.clock.monotonic_s
            assert (401, "401 for /") == client.get(scene.url())
            assert scene.requests - before <= 2
            assert scene.clock.monotonic_s - begun_s <= BUDGET_S + 0.1
        scene.server.keys = {"one"}
        assert 200 == client.get(scene.url())[0]

    def test_a_forbidden_path_never_locks_the_key(self, scene: Scene) -> None:
        """403 says that the key is right; so do other statuses. One request each, and others go on."""
        client = scene.client()
        for path in ("/forbidden", "/busy") * 5:
            client.get(scene.url(path))
            assert 200 == client.get(scene.url())[0]
        assert 20 == scene.requests

    def test_a_forbidden_path_never_locks_the_key_that_is_told_by_403(self, scene: Scene) -> None:
        """Where 403 counts as a refusal by choice, the other paths still go on."""
        client = scene.client(refused=(401, 403))
        for _ in range(10):
            assert 403 == client.get(scene.url("/forbidden"))[0]
            assert 200 == client.get(scene.url())[0]

    @pytest.mark.parametrize("body", [b"text", "file", b""])
    def test_a_body_that_can_be_sent_again(self, scene: Scene, body: bytes | str) -> None:
        """Bytes and files arrive whole with the second key, too."""
        client = scene.with_pending_key()
        sent: object = body
        if body == "file":
            sent = io.BytesIO(b"of a file")
        assert 200 == client.post(scene.url(), sent)
        expected = b"of a file" if body == "file" else body
        assert [expected, expected] == scene.server.bodies[1:]

    def test_a_body_that_cannot_be_sent_again(self, scene: Scene) -> None:
        """A generator is sent once; the caller gets the refusal, and the next request has the right key."""
        client = scene.with_pending_key()
        assert 401 == client.post(scene.url(), iter([b"one", b"two"]))
        assert [b"onetwo"] == scene.server.bodies[1:]
        assert 200 == client.post(scene.url(), iter([b"one", b"two"]))
        assert {200: 2, 401: 1} == scene.server.statuses

    def test_other_origins_get_no_key(self, scene: Scene) -> None:
        """Neither another port, nor where a redirect leads."""
        with KeyServer().running() as other:
            client = scene.client()
            assert 401 == client.get(other.origin + "/")[0]
            scene.server.redirect_to = other.origin + "/there"
            client.get(scene.url("/away"))
            assert {None} == set(other.sent)

    def test_a_redirect_carries_no_header_away(self, scene: Scene) -> None:
        """Clients take `Authorization` out of a request to another host, and no other header."""
        scene.server.header, scene.server.prefix = "X-Api-Key", ""
        with KeyServer().running() as other:
            other.header, other.prefix = "X-Api-Key", ""
            scene.server.redirect_to = other.origin + "/there"
            client = scene.client(authorize=header("X-Api-Key"))
            assert 401 == client.get(scene.url("/away"))[0]
            assert [None] == other.sent
            assert ["one"] == scene.server.sent
            assert 200 == client.get(scene.url())[0]

    def test_a_refusal_by_another_origin_is_none_of_the_key(self, scene: Scene) -> None:
        """The answer to a redirected request is another server's: it is not asked again, and locks no key."""
        with KeyServer().running() as other:
            scene.server.redirect_to = other.origin + "/there"
            client = scene.client()
            for number in range(1, 4):
                assert 401 == client.get(scene.url("/away"))[0]
                assert number == len(other.sent)
            assert ["one"] * 3 == scene.server.sent
            assert 1 == scene.secrets.calls["GetSecretValue"]

    def test_a_header_of_ones_own(self, scene: Scene) -> None:
        """From a field of the JSON value."""
        scene.secrets.put(NAME, '{"key": "json"}', "v2", "AWSCURRENT")
        scene.server.keys, scene.server.header, scene.server.prefix = {"json"}, "X-Api-Key", ""
        assert 200 == scene.client(authorize=header("X-Api-Key", "key")).get(scene.url())[0]

    def test_basic(self, scene: Scene) -> None:
        """User name and password of the JSON value."""
        scene.secrets.put(NAME, '{"username": "app", "password": "word"}', "v2", "AWSCURRENT")
        scene.server.keys, scene.server.prefix = {"YXBwOndvcmQ="}, "Basic "
        assert 200 == scene.client(authorize=basic()).get(scene.url())[0]

    def test_a_signature(self, scene: Scene) -> None:
        """The callable sees method, URL and body, once for each version that is tried."""
        seen: list[Outgoing] = []

        def sign(version: SecretVersion, outgoing: Outgoing) -> dict[str, str]:
            seen.append(outgoing)
            return {"Authorization": f"Bearer signed by {version.text()}"}

        scene.server.keys = {"signed by two"}
        scene.secrets.put(NAME, "two", "v2", "AWSPENDING")
        assert 200 == scene.client(authorize=sign).post(scene.url("/a?b=c"), b"body")
        assert [Outgoing("POST", scene.url("/a?b=c"), b"body")] * 2 == seen

    def test_a_redirected_body_is_signed_and_sent_again(self, scene: Scene) -> None:
        """After 307 a client sends the body once more: a signer sees it, and a refusal has it repeated."""
        bodies = []

        def sign(version: SecretVersion, outgoing: Outgoing) -> dict[str, str]:
            bodies.append(outgoing.body)
            if not outgoing.url.endswith("/moved"):
                scene.server.keys = {"two"}
            return {"Authorization": "Bearer " + version.text()}

        scene.secrets.put(NAME, "two", "v2", "AWSPENDING")
        scene.server.redirect_to = scene.url("/there")
        assert 200 == scene.client(authorize=sign).post(scene.url("/moved"), b"body")
        assert [b"body"] * 3 == bodies == scene.server.bodies
        assert {307: 1, 401: 1, 200: 1} == scene.server.statuses

    @pytest.mark.parametrize("key", ["one\r\nX-Evil: 1", "one\0", "\u00e9", "on\x1be"])
    def test_a_key_that_no_header_may_hold(self, scene: Scene, key: str) -> None:
        """It is refused before anything is sent, and the error has no character of it."""
        scene.secrets.put(NAME, key, "v2", "AWSCURRENT")
        with pytest.raises(SecretFormatError, match="character") as failed:
            scene.client().get(scene.url())
        assert key not in str(failed.value)
        assert [] == scene.server.sent

    def test_the_line_break_of_a_shell(self, scene: Scene) -> None:
        """`echo KEY | aws ...` leaves one behind, which belongs to no key."""
        scene.secrets.put(NAME, "two\n", "v2", "AWSCURRENT")
        scene.server.keys = {"two"}
        assert 200 == scene.client().get(scene.url())[0]

    def test_no_secret(self, scene: Scene) -> None:
        """Nothing is sent without a key, and the error is keyturn's."""
        key = Key(scene.cache, "nowhere", scene.server.origin)
        with pytest.raises(SecretNotFoundError):
            scene.make(key).get(scene.url())
        assert [] == scene.server.sent

    @pytest.mark.parametrize(
        "origin",
        [
            *(
                "api.example.com",
                "ftp://api.example.com",
                "https://",
                "https://a:b",
                "https://bücher.example",
            ),
            *("https://api.example.com:0", "https://api.example.com:00/", None),
        ],
    )
    def test_an_origin_that_is_none(self, scene: Scene, origin: str) -> None:
        """It is refused when the key is made."""
        with pytest.raises(ConfigurationError, match="origin="):
            Key(scene.cache, NAME, origin)

    @pytest.mark.parametrize(
        ("origin", "beside"),
        [
            ("https://api.example.com/word", "a path"),
            ("https://api.example.com//", "a path"),
            ("https://api.example.com/?key=word", "a query"),
            ("https://api.example.com?", "a query"),
            ("https://api.example.com#word", "a fragment"),
            ("https://app:word@api.example.com", "user info"),
            ("app:word@api.example.com", "user info"),
            ("https://app:word@api.example.com:x", "user info"),
        ],
    )
    def test_an_origin_with_more_than_that(self, scene: Scene, origin: str, beside: str) -> None:
        """The key is for the whole host; what stands beside it may be a password, and is not shown."""
        with pytest.raises(ConfigurationError, match=f"^origin= has {beside}: ") as failed:
            Key(scene.cache, NAME, origin)
        assert "word" not in str(failed.value)

    def test_an_origin_with_a_slash(self, scene: Scene) -> None:
        """As browsers show it."""
        assert Key(scene.cache, NAME, "https://api.example.com/").is_for("https://api.example.com/v1")
