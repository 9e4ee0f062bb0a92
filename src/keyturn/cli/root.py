"""The root of the `keyturn` command: which sub-commands there are, and what their errors exit with."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

from keyturn import __version__
from keyturn.errors import ConfigurationError, KeyturnError

EXIT_INTERRUPTED = 130


class Unanswered(click.ClickException):
    """AWS or the marker table refused or did not answer: one line on stderr, and this exit code."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """One sub-command: the module that holds it as `command`, and its line in the help."""

    module: str
    help: str


COMMANDS: Mapping[str, Listed] = {
    "policy": Listed("keyturn.cli.policy", "Print the least-privilege IAM policy of a role."),
    "serve": Listed("keyturn.cli.serve", "Serve secrets on this host, to code in any language."),
}
"""Name -> sub-command, as listed by `keyturn --help`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when called: the help and each of them start at once."""

    def __init__(self, *, listed: Mapping[str, Listed], help: str) -> None:  # noqa: A002 # click's own name
        super().__init__("keyturn", help=help)
        self._listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """All names, in order; imports nothing."""
        return sorted(self._listed)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name, imported; None if there is none."""
        if cmd_name not in self._listed:
            return None
        command: object = importlib.import_module(self._listed[cmd_name].module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._listed[cmd_name].module}.command is no click.Command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, from the one-line texts here rather than from the commands."""
        rows = [(name, self._listed[name].help) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command; keyturn's own errors become one line and an exit code."""
        try:
            result: object = super().invoke(ctx)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from error
        except KeyturnError as error:
            raise Unanswered(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        return result


root = click.version_option(__version__, prog_name="keyturn")(
    LazyGroup(listed=COMMANDS, help="Secrets that follow their rotation.")
)
