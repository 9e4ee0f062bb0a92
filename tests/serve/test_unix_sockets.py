"""The unix socket: who can reach it, where it may be, and what is left of it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.errors import ConfigurationError
from keyturn.serve.connection import factory, peer_uid
from keyturn.serve.gate import Gate, Patience
from keyturn.serve.guard import Guard
from keyturn.serve.server import config
from keyturn.serve.sockets import unix_socket
from tests.serve.endpoint import Endpoint
from tests.serve.wire import TARGET, status

OWN = os.geteuid()
OTHER = OWN + 1
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that only this user may write."""
    tmp_path.chmod(0o755)
    made = tmp_path / "run"
    made.mkdir(mode=0o755)
    yield made
    made.chmod(0o755)


@pytest.mark.parametrize(("uids", "mode"), [({OWN}, 0o600), ({0, OWN}, 0o600), ({OWN, OTHER}, 0o666)])
def test_only_its_user_can_reach_it(folder: Path, uids: set[int], mode: int) -> None:
    """0600 unless other users were named; then the kernel tells the server who calls."""
    before = os.umask(0)
    try:
        with unix_socket(folder / "sock", frozenset(uids)):
            assert mode == stat.S_IMODE((folder / "sock").lstat().st_mode)
    finally:
        assert 0 == os.umask(before)
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777, 0o1775])
def test_a_folder_that_others_may_write_is_refused(folder: Path, mode: int) -> None:
    """They could put a socket of theirs there, before or after, and collect what callers send."""
    folder.chmod(mode)
    with (
        pytest.raises(ConfigurationError, match="other users may write the folder"),
        unix_socket(folder / "sock", frozenset({OWN})),
    ):
        pass
    (folder / "below").mkdir(mode=0o755)
    if mode & stat.S_ISVTX:
        with unix_socket(folder / "below" / "sock", frozenset({OWN})):
            pass
    else:
        with (
            pytest.raises(ConfigurationError, match="other users may write the folder"),
            unix_socket(folder / "below" / "sock", frozenset({OWN})),
        ):
            pass


@pytest.mark.skipif(OWN != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    """Also where it is a link, or above the folder."""
    (folder / "theirs" / "below").mkdir(parents=True)
    os.chown(folder / "theirs", NOBODY, NOBODY)
    (folder / "ours").mkdir()
    (folder / "link").symlink_to(folder / "ours")
    with unix_socket(folder / "link" / "sock", frozenset({OWN})) as bound:
        assert str(folder / "ours" / "sock") == bound.getsockname()
    os.chown(folder / "link", NOBODY, NOBODY, follow_symlinks=False)
    for path in ("theirs/sock", "theirs/below/sock", "ours/../theirs/sock", "link/sock"):
        with (
            pytest.raises(ConfigurationError, match=f"belongs to user {NOBODY}"),
            unix_socket(folder / path, frozenset({OWN})),
        ):
            pass


@pytest.mark.parametrize(
    "path", ["none/sock", "file/sock", "a" * 200, "loop/sock", "nul\0", "line\nbreak", "."]
)
def test_a_path_that_cannot_be_is_an_error(folder: Path, path: str) -> None:
    """A `ConfigurationError` that names it, never another error."""
    (folder / "file").touch()
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(ConfigurationError), unix_socket(folder / path, frozenset({OWN})):
        pass


def test_a_dead_socket_makes_room_and_a_living_one_does_not(folder: Path) -> None:
    """What a killed server left is removed; nobody takes the place of one that serves, or of a file."""
    path = folder / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with unix_socket(path, frozenset({OWN})):
        with (
            pytest.raises(ConfigurationError, match="another process serves there"),
            unix_socket(path, frozenset({OWN})),
        ):
            pass
        assert path.is_socket()
    path.write_text("kept")
    with (
        pytest.raises(ConfigurationError, match="a file that is not a socket"),
        unix_socket(path, frozenset({OWN})),
    ):
        pass
    assert "kept" == path.read_text()


def test_a_dead_socket_that_cannot_be_removed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the path and what the system says, as for every other path that cannot be served on."""

    def refuse(_path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), missing_ok)

    path = folder / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(ConfigurationError, match=f"cannot serve on '{path}': Permission denied"),
        unix_socket(path, frozenset({OWN})),
    ):
        pass


def test_the_socket_of_a_successor_is_left_alone(folder: Path) -> None:
    """At its end a server removes its own socket only."""
    path = folder / "sock"
    with unix_socket(path, frozenset({OWN})), socket.socket(socket.AF_UNIX) as next_one:
        path.rename(folder / "old")
        next_one.bind(str(path))
    assert path.is_socket()


@pytest.mark.parametrize(("uids", "expected"), [({OWN}, 200), ({OTHER}, 0), (set(), 0)])
def test_the_kernel_says_who_calls(folder: Path, uids: set[int], expected: int) -> None:
    """Without a token: a user of the list is answered, another one's connection is closed unheard."""
    endpoint = Endpoint()
    guard = Guard(endpoint.app, token=None, max_requests=10, has_hosts=False)
    gate = Gate(10, Patience(), endpoint.world.clock.monotonic)
    settings = config(guard, gate, frozenset(uids))
    settings.load()

    async def story() -> bytes:
        from uvicorn.server import ServerState

        state = ServerState()
        make = factory(gate, frozenset(uids))
        loop = asyncio.get_running_loop()
        with unix_socket(folder / "sock", frozenset({OWN})) as bound:
            server = await loop.create_server(lambda: make(settings, state, {}), sock=bound)
            reader, writer = await asyncio.open_unix_connection(folder / "sock")
            writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n".encode())
            try:
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()
                server.close()

    answer = asyncio.run(story())
    assert expected == status(answer)
    assert (1 if expected else 0) == endpoint.world.reads


def test_the_user_of_a_peer_is_known() -> None:
    """Of this process: this process's."""

    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return ours if name == "socket" else default

    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert OWN == peer_uid(Transport())


def test_a_user_with_a_large_number_is_known() -> None:
    """Directories give out numbers from 2^31 on: they are not below zero."""
    large = 2**31 + 5

    class Peer(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return self if name == "socket" else default

        def getsockopt(self, *_asked: int) -> bytes:
            return struct.pack("=iII", 1, large, large)

    assert large == peer_uid(Peer())
