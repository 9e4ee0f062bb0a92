"""`keyturn serve` runs a local endpoint for code in any language."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli.ending import ending_at_once
from keyturn.errors import AccessDeniedError, ConfigurationError
from keyturn.runtime.dumps import forbid_core_dumps
from keyturn.runtime.host import SYSTEM_CLOCK, environment

if TYPE_CHECKING:
    from keyturn.serve.server import Tcp, Unix

PORT = 2773
"""The port of AWS's Lambda extension and of its agent."""


@click.command
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    envvar="PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
    show_envvar=True,
    help="Port on 127.0.0.1 and ::1. 0 takes a free port.",
)
@click.option(
    "--uds",
    type=click.Path(path_type=Path),
    help="Path of a unix socket to serve on instead of a port. Linux only.",
)
@click.option(
    "--allow-uid",
    type=click.IntRange(0),
    multiple=True,
    help="User id that may call over the unix socket, beside the user of this process; may be repeated.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PATTERN",
    help="Names or ARNs of secrets and parameters that callers may ask for, such as prod/* ; may be "
    "repeated. Default: everything that the role may read.",
)
@click.option(
    "--preload",
    multiple=True,
    metavar="ID",
    help="Name or ARN of a secret to read at the start; may be repeated. /ready answers 503 until each was "
    "read.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=800,
    show_default=True,
    help="Requests with the token that may be at work at the same time. A further request gets status 429.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Reads that wait for AWS at the same time. Further reads queue.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Level of keyturn's own log. Other libraries log warnings and errors alone.",
)
def command(
    *,
    port: int,
    uds: Path | None,
    allow_uid: tuple[int, ...],
    allow: tuple[str, ...],
    preload: tuple[str, ...],
    max_connections: int,
    threads: int,
    log_level: str,
) -> None:
    """Serve secrets on this host, as the AWS Parameters and Secrets Lambda Extension does.

    Callers on the loopback interface send a token. It is read from the first of AWS_TOKEN, AWS_SESSION_TOKEN
    and AWS_CONTAINER_AUTHORIZATION_TOKEN that is set: the token itself, or file://PATH. On a unix socket the
    kernel names the caller, and a token is asked for only if AWS_TOKEN is set. Environment variables set up
    the cache behind the endpoint: above all KEYTURN_MARKER_TABLE, without which rotations are not noticed at
    once, and the others of `keyturn help settings`.
    """
    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise ConfigurationError("keyturn serve needs its extra: pip install 'keyturn[serve]'")
    forbid_core_dumps()
    with ending_at_once():
        from keyturn.serve.allowing import AllowList
        from keyturn.serve.logs import set_up
        from keyturn.serve.server import ConnectionLimits, serve
        from keyturn.settings.environment import KeyturnSettings

        settings = KeyturnSettings(background=True)
    allowed = AllowList(allow)
    for one in preload:
        try:
            allowed.check_secret(one)
        except AccessDeniedError as error:
            raise ConfigurationError(f"--preload {one!r} can never be read: {error}") from error
    written = set_up(log_level, sys.stderr, SYSTEM_CLOCK.monotonic)
    serve(
        _place(port, uds, allow_uid),
        settings,
        ConnectionLimits(connections=max_connections, threads=threads),
        allowed=allowed,
        preload=preload,
        each_tick=written.tell,
    )


def _place(port: int, uds: Path | None, uids: tuple[int, ...]) -> Tcp | Unix:
    from keyturn.serve.server import Tcp, Unix
    from keyturn.serve.tokens import VARIABLES, found_token

    if uds is None:
        if uids:
            raise ConfigurationError("--allow-uid needs --uds: over a port the users of callers are unknown")
        return Tcp(port, found_token(environment(), SYSTEM_CLOCK.monotonic))
    source = click.get_current_context().get_parameter_source("port")
    if source is click.core.ParameterSource.COMMANDLINE:
        raise ConfigurationError("give --port or --uds, not both")
    # The other variables may hold credentials for AWS, of which no caller knows.
    token = None
    if environment().get(VARIABLES[0]):
        token = found_token(environment(), SYSTEM_CLOCK.monotonic)
    return Unix(uds, frozenset({os.geteuid(), *uids}), token)
