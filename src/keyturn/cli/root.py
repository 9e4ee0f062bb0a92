"""The root of the `keyturn` command: the list of sub-commands, and the exit codes of their errors."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import click

from keyturn import __version__
from keyturn.cli.ending import EXIT_INTERRUPTED, NO_ROOM, ending_at_once
from keyturn.errors import (
    ConfigurationError,
    InvalidSecretIdError,
    KeyturnError,
    SecretDeletedError,
    SecretNotFoundError,
)

EXIT_NO = 1
"""The exit code of a command that did its work and whose answer is no."""

EXIT_UNANSWERED = 3
EXIT_DEFECT = 4


class Unanswered(click.ClickException):
    """AWS or the marker table refused or did not answer. The command prints one line on stderr."""

    exit_code = EXIT_UNANSWERED


class Missing(click.ClickException):
    """A secret that was named does not exist, or not any more. The command prints one line on stderr."""

    exit_code = EXIT_NO


class Defect(click.ClickException):
    """An error that no sub-command expects. Its message has no foreign text, which could hold a secret."""

    exit_code = EXIT_DEFECT


@dataclass(frozen=True, slots=True)
class Listed:
    """One sub-command: the module that holds it as `command`, and its line in the help."""

    module: str
    help: str


COMMANDS: Mapping[str, Listed] = {
    "announce": Listed("keyturn.cli.announce", "Write the present state of a secret into its marker."),
    "demo": Listed(
        "keyturn.cli.demo", "Rotate a password on this machine, and see when each process of a fleet notices."
    ),
    "doctor": Listed(
        "keyturn.cli.doctor.command", "Find what is missing or wrong, and say what to do about it."
    ),
    "help": Listed("keyturn.cli.pages", "Print a page of the documentation."),
    "policy": Listed("keyturn.cli.policy", "Print the least-privilege IAM policy of a role."),
    "serve": Listed("keyturn.cli.serve", "Serve secrets on this host, to code in any language."),
    "stack": Listed("keyturn.cli.stack", "Write the files to deploy: template, zips, Terraform module."),
    "status": Listed(
        "keyturn.cli.status.command", "Show the marker table, and where it differs from Secrets Manager."
    ),
    "sweep": Listed("keyturn.cli.sweep", "Compare all markers with Secrets Manager, and renew the lease."),
    "watch": Listed("keyturn.cli.watch.command", "Show markers as they change."),
}
"""Name -> sub-command, in the order of `keyturn --help`."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that the help and each command start at once."""

    def __init__(self, *, listed: Mapping[str, Listed], help: str) -> None:  # noqa: A002 # click's own name
        debug = click.Option(["--debug"], is_flag=True, help="Print the traceback of an error.")
        super().__init__("keyturn", help=help, params=[debug], callback=lambda debug: debug)
        self._listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Return all names, in order. Imports nothing."""
        return sorted(self._listed)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return the command of that name; None if there is none."""
        if cmd_name not in self._listed:
            return None
        with ending_at_once():
            command: object = importlib.import_module(self._listed[cmd_name].module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._listed[cmd_name].module}.command is not a click.Command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant. click itself suggests only commands that are imported already."""
        meant = " or ".join(get_close_matches(args[0], self._listed)) if args[0] not in self._listed else ""
        if meant:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list in the help from the one-line texts here, without importing the commands."""
        rows = [(name, self._listed[name].help) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command, and turn an error into one line and an exit code.

        Where the sub-command was asked for JSON, stdout gets a document about the error as well.
        """
        wants_json = "--json" in ctx.args
        try:
            result: object = super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except (click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except click.ClickException as error:
            if wants_json:
                _echo_error(error, error)
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            told = one_line(error)
            if wants_json:
                _echo_error(error, told)
            raise told from error
        return result


def _echo_error(error: Exception, told: click.ClickException) -> None:
    from keyturn.cli.output import echo_json_line

    echo_json_line({"error": error_document(error, told)})


def error_document(error: Exception, told: click.ClickException) -> dict[str, object]:
    """Return an error for JSON: its kind, the text that people are told, and the exit code."""
    return {"kind": type(error).__name__, "message": told.format_message(), "exit_code": told.exit_code}


def one_line(error: Exception) -> click.ClickException:
    """Return the error with which click ends the command: it has the message and the exit code."""
    from keyturn.cli.output import printable

    # A message may quote what AWS answered, or a name from the table.
    if isinstance(error, ConfigurationError | InvalidSecretIdError):
        return click.UsageError(printable(str(error)))
    if isinstance(error, SecretNotFoundError | SecretDeletedError):
        return Missing(printable(str(error)))
    if isinstance(error, KeyturnError):
        return Unanswered(printable(str(error)))
    return Defect(
        f"unexpected {type(error).__name__}: run `keyturn --debug` with the same arguments and report it"
    )


root = click.version_option(__version__, prog_name="keyturn")(
    LazyGroup(listed=COMMANDS, help="Secrets that follow their rotation.")
)
