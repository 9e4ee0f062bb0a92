"""OpenLDAP, OpenSSH and vsftpd."""

from __future__ import annotations

import asyncio
import ftplib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from tests.servers.others import openldap, openssh, vsftpd
from tests.servers.process import LOCALHOST, debian_version
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent

PEOPLE: Final = "dc=example"
ACCOUNTS: Final = {"app": RIGHT, "locked": RIGHT, "expired": RIGHT}


def _ldap3(door: Door, *, raising: bool) -> None:
    import ldap3  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    server = ldap3.Server(LOCALHOST, door.port, connect_timeout=2, get_info=ldap3.NONE)
    connection = ldap3.Connection(
        server,
        f"cn={door.user},{PEOPLE}",
        door.password,
        auto_bind=not raising,
        raise_exceptions=raising,
        receive_timeout=2,
    )
    if raising:
        connection.bind()
    if door.command:
        connection.modify(f"cn=other,{PEOPLE}", {"sn": [(ldap3.MODIFY_REPLACE, ["x"])]})
    connection.unbind()


def _python_ldap(door: Door) -> None:
    import ldap  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    connection = ldap.initialize(f"ldap://{LOCALHOST}:{door.port}")
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, 2)
    connection.set_option(ldap.OPT_TIMEOUT, 2)
    connection.simple_bind_s(f"cn={door.user},{PEOPLE}", door.password)
    if door.command:
        connection.modify_s(f"cn=other,{PEOPLE}", [(ldap.MOD_REPLACE, "sn", b"x")])
    connection.unbind_s()


def directory() -> Iterator[Server]:
    """Yield OpenLDAP with its password policy."""
    drivers = (
        Driver("ldap3", partial(_ldap3, raising=False)),
        Driver("ldap3", partial(_ldap3, raising=True), "ldap3 (raise_exceptions)"),
        Driver("python-ldap", _python_ldap),
    )
    with openldap(RIGHT) as port, silent() as port_of_silence:
        situations = (
            Situation("wrong password", Door(port, "other", WRONG), refused=True),
            Situation("unknown user", Door(port, "nobody"), refused=True),
            Situation(
                "locked",
                Door(port, "locked"),
                refused=True,
                why="the ppolicy overlay; OpenLDAP says the same for a wrong password",
            ),
            Situation("no right", Door(port, command="modify"), refused=False, without=("ldap3",)),
            Situation("down", Door(1), refused=False),
            Situation("no answer", Door(port_of_silence), refused=False),
        )
        yield Server(
            f"OpenLDAP {debian_version('slapd')}",
            drivers,
            situations,
            {str(port): "389", str(port_of_silence): "389"},
        )


def _paramiko(door: Door) -> None:
    import logging

    import paramiko  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 # a server of the tests on 127.0.0.1
    try:
        client.connect(
            LOCALHOST,
            door.port,
            door.user,
            door.password,
            allow_agent=False,
            look_for_keys=False,
            timeout=2,
            banner_timeout=2,
            auth_timeout=5,
        )
        _, output, _ = client.exec_command("true")
        output.channel.recv_exit_status()
    finally:
        client.close()


def _asyncssh(door: Door) -> None:
    import asyncssh  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        options = {"known_hosts": None, "client_keys": None, "agent_path": None, "config": None}
        async with asyncssh.connect(
            LOCALHOST, door.port, username=door.user, password=door.password, login_timeout=4, **options
        ) as connection:
            await connection.run("true", check=True)

    asyncio.run(run())


def shell() -> Iterator[Server]:
    """Yield OpenSSH with passwords, and one that takes keys alone."""
    drivers = (Driver("paramiko", _paramiko), Driver("asyncssh", _asyncssh))
    with ExitStack() as stack:
        port = stack.enter_context(openssh(ACCOUNTS))
        keys_only = stack.enter_context(openssh(ACCOUNTS, "PasswordAuthentication no"))
        once = stack.enter_context(openssh(ACCOUNTS, "MaxAuthTries 1"))
        port_of_silence = stack.enter_context(silent())
        same = "OpenSSH says the same for a wrong password"
        situations = (
            Situation("wrong password", Door(port, password=WRONG), refused=True),
            Situation(
                "wrong password",
                Door(once, password=WRONG),
                refused=True,
                only=("asyncssh",),
                why="MaxAuthTries 1",
            ),
            Situation(
                "wrong password",
                Door(once, password=WRONG),
                refused=False,
                only=("paramiko",),
                why="MaxAuthTries 1: the server hangs up; paramiko says the same for a broken connection",
            ),
            Situation("unknown user", Door(port, "nobody-here"), refused=True),
            Situation("locked", Door(port, "locked"), refused=True, why=same),
            Situation("expired", Door(port, "expired"), refused=True, why=same),
            Situation(
                "no password wanted",
                Door(keys_only),
                refused=False,
                only=("paramiko",),
                why="the server takes keys alone",
            ),
            Situation(
                "no password wanted",
                Door(keys_only),
                refused=True,
                only=("asyncssh",),
                why="the server takes keys alone; asyncssh says the same for a wrong password",
            ),
            Situation("down", Door(1), refused=False),
            Situation("no answer", Door(port_of_silence), refused=False),
        )
        ports = (port, keys_only, once, port_of_silence)
        yield Server(
            f"OpenSSH {debian_version('openssh-server')}",
            drivers,
            situations,
            {str(one): "22" for one in ports},
        )


def _ftplib(door: Door) -> None:
    with ftplib.FTP(timeout=5) as client:  # noqa: S321 # a server of the tests on 127.0.0.1
        client.connect(LOCALHOST, door.port)
        client.login(door.user, door.password)
        if door.command:
            client.mkd(door.command)


def _aioftp(door: Door) -> None:
    import aioftp  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        async with aioftp.Client.context(
            LOCALHOST, door.port, door.user, door.password, connection_timeout=2, socket_timeout=8
        ) as client:
            if door.command:
                await client.make_directory(door.command, parents=False)

    asyncio.run(run())


def files() -> Iterator[Server]:
    """Yield vsftpd."""
    drivers = (Driver("ftplib", _ftplib), Driver("aioftp", _aioftp))
    with ExitStack() as stack:
        port = stack.enter_context(vsftpd(ACCOUNTS))
        tls = stack.enter_context(vsftpd(ACCOUNTS, "ssl_enable=YES", "force_local_logins_ssl=YES"))
        full = stack.enter_context(vsftpd(ACCOUNTS, "max_clients=1"))
        port_of_silence = stack.enter_context(silent())
        same = "vsftpd says the same for a wrong password"
        situations = (
            Situation("wrong password", Door(port, password=WRONG), refused=True),
            Situation("unknown user", Door(port, "nobody-here"), refused=True),
            Situation("locked", Door(port, "locked"), refused=True, why=same),
            Situation("expired", Door(port, "expired"), refused=True, why=same),
            Situation("too many connections", Door(full), refused=False, during=partial(_taken, full)),
            Situation("no right", Door(port, command="/etc/forbidden"), refused=False),
            Situation("TLS", Door(tls), refused=False),
            Situation("down", Door(1), refused=False),
            Situation("no answer", Door(port_of_silence), refused=False),
        )
        ports = (port, tls, full, port_of_silence)
        yield Server(
            f"vsftpd {debian_version('vsftpd')}", drivers, situations, {str(one): "21" for one in ports}
        )


def _taken(port: int) -> ExitStack:
    import socket

    stack = ExitStack()
    greeting = b""
    while not greeting.startswith(b"220"):
        # The connection of the driver before this one may end only now.
        connection = stack.enter_context(socket.create_connection((LOCALHOST, port), timeout=5))
        greeting = connection.recv(100)
    return stack
