"""`keyturn serve` runs a local endpoint for code in any language."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import click

from keyturn.errors import ConfigurationError
from keyturn.runtime.host import environment

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
    "--max-connections",
    type=click.IntRange(1),
    default=800,
    show_default=True,
    help="Connections at the same time. A further connection gets status 429.",
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
)
def command(
    *,
    port: int,
    max_connections: int,
    threads: int,
    log_level: str,
) -> None:
    """Serve secrets on the loopback interface, as the AWS Parameters and Secrets Lambda Extension does.

    Callers send a token. It is read at the start from the first of AWS_TOKEN, AWS_SESSION_TOKEN and
    AWS_CONTAINER_AUTHORIZATION_TOKEN that is set: the token itself, or file://PATH. Environment variables set
    up the cache behind the endpoint: above all KEYTURN_MARKER_TABLE, without which rotations are not noticed
    at once, and the others of `keyturn help settings`.
    """
    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise ConfigurationError("keyturn serve needs its extra: pip install 'keyturn[serve]'")
    from keyturn.serve.server import ConnectionLimits, serve
    from keyturn.serve.tokens import found_token
    from keyturn.settings.environment import KeyturnSettings

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    token = found_token(environment(), lambda path: Path(path).read_text("utf-8"))
    serve(
        port,
        token,
        KeyturnSettings(background=True),
        ConnectionLimits(connections=max_connections, threads=threads),
    )
