"""What drivers raise on real servers, and whether keyturn takes it for a refusal. See `__main__`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.verdicts import documented, memory, messages, mysql, postgresql, systems, web
from tests.verdicts.cases import Server

SERVERS: Final[Mapping[str, Callable[[], Iterator[Server]]]] = {
    "documented": documented.servers,
    "ftp": systems.files,
    "http": web.http,
    "ldap": systems.directory,
    "mqtt": messages.mqtt,
    "mysql": mysql.servers,
    "postgresql": postgresql.servers,
    "rabbitmq": messages.rabbit,
    "redis": memory.servers,
    "smtp": web.mail,
    "ssh": systems.shell,
}
"""Name of a record -> what starts its servers, one after the other."""
