"""The sockets that the server listens on: the loopback interface, or a path that only its users can reach."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from keyturn.errors import ConfigurationError

QUEUE: Final = 2048
"""The number of connections that may wait to be accepted on one socket.

A caller that finds no room there tries again after a second.
"""

ACCEPTED_MAX: Final = 128
"""The number of connections that asyncio accepts in a row on one socket, at most."""

RECEIVED_MAX: Final = 8 * 1024
"""The number of bytes of a connection that wait in the system to be read; Linux doubles it.

Few requests are larger, and a larger one comes in parts. What thousands of connections send at once must not
fill the memory.
"""

_PORT_ATTEMPTS: Final = 20
"""How many free ports of 127.0.0.1 are tried until one is free on ::1, too."""

_NO_IPV6: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def accepted_in_a_row(places: int) -> int:
    """Return the number of connections to accept before those that are open are looked at.

    It is a small part of the places: else the connections of a flood would push each other out, and a caller
    among them, before a first byte was read.
    """
    return max(1, min(ACCEPTED_MAX, places // 8))


def loopback_sockets(port: int) -> list[socket.socket]:
    """Return sockets that listen on 127.0.0.1 and, where there is IPv6, ::1. Port 0 takes a free port.

    Their packets may go one hop, so they cannot leave the host. There is no way to bind to another interface.
    Raises `ConfigurationError` if the port is not available on either: who holds one of the two would get the
    requests, with their token, of the callers that try that address first.
    """
    for _ in range(_PORT_ATTEMPTS - 1 if port == 0 else 0):
        with suppress(ConfigurationError):
            return _both(port)
    return _both(port)


def _both(port: int) -> list[socket.socket]:
    first = _bound(socket.AF_INET, "127.0.0.1", port)
    try:
        second = _bound_if_there(first.getsockname()[1])
    except BaseException:
        first.close()
        raise
    return [first] if second is None else [first, second]


def _bound_if_there(port: int) -> socket.socket | None:
    """Return a socket on ::1; None if the host has no such address."""
    if not socket.has_ipv6:
        return None
    try:
        return _bound(socket.AF_INET6, "::1", port)
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_IPV6:
            return None
        raise


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = None
    try:
        # With this protocol named, asyncio sets TCP_NODELAY. Otherwise each answer waits 40 ms for a delayed
        # ACK.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections have the same. asyncio would take up to 256 KiB from each at a time.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_MAX)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        made.bind((address, port))
        made.listen(QUEUE)
    except OSError as error:
        if made is not None:
            made.close()
        raise ConfigurationError(f"cannot serve on port {port} of {address}: {error.strerror}") from error
    return made


@contextmanager
def unix_socket(path: Path, uids: frozenset[int]) -> Iterator[socket.socket]:
    """Yield a socket that listens at `path`, and remove it at the end.

    Its mode is 0600 if `uids` are those of this process and root alone, else 0666: then the kernel's word on
    each peer decides. Raises `ConfigurationError` if it cannot listen there, or if users other than root and
    this one could put another socket in its place.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise ConfigurationError("--uds needs Linux, whose kernel names the users of callers")
    where = _checked(path)
    _make_room(where)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing(made):
        mode = 0o600 if uids <= {os.geteuid(), 0} else 0o666
        # Nobody can connect between the making of the file and a later chmod.
        before = os.umask(0o777 - mode)
        try:
            made.bind(str(where))
        except OSError as error:
            raise ConfigurationError(f"cannot serve on {str(where)!r}: {error.strerror or error}") from error
        finally:
            os.umask(before)
        own = where.lstat().st_ino
        try:
            made.listen(QUEUE)
            yield made
        finally:
            with suppress(OSError):
                if where.lstat().st_ino == own:
                    where.unlink()


def _checked(path: Path) -> Path:
    """Return the path with its folder's links resolved, if no other user could change what is there."""
    if not str(path).isprintable() or not path.name:
        raise ConfigurationError(f"--uds {str(path)!r} is no path of a socket")
    try:
        given = Path(os.path.abspath(path)).parent  # noqa: PTH100 # without "..", which a link could bend
        # `Path.resolve` would raise a RuntimeError for links in a circle.
        folder = Path(os.path.realpath(given, strict=True))
        for one in (given, *given.parents):
            link = one.lstat()
            if stat.S_ISLNK(link.st_mode):
                _check_owner(one, link)
        for one in (folder, *folder.parents):
            found = one.stat()
            _check_owner(one, found)
            others_may_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            # In a folder such as /tmp others may not replace what is there. They may be there first.
            if others_may_write and (one == folder or not found.st_mode & stat.S_ISVTX):
                raise ConfigurationError(
                    f"--uds: other users may write the folder {str(one)!r}, and so put a socket of theirs "
                    "there: choose a folder that only this user may write (chmod go-w)"
                )
    except OSError as error:
        raise ConfigurationError(f"cannot serve on {str(path)!r}: {error.strerror}") from error
    return folder / path.name


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"--uds: {str(path)!r} belongs to user {found.st_uid}, who could put a socket of theirs there: "
            "choose a folder of root or of this user"
        )


def _make_room(path: Path) -> None:
    """Remove the socket of a server that has ended without doing so."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"cannot serve on {str(path)!r}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError(f"cannot serve on {str(path)!r}: a file that is not a socket is there")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1)
        try:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                return
        except OSError as error:
            raise ConfigurationError(f"cannot serve on {str(path)!r}: {error.strerror or error}") from error
    raise ConfigurationError(f"cannot serve on {str(path)!r}: another process serves there")
