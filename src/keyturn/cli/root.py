"""The root of the `keyturn` command: which sub-commands there are, and what their errors exit with."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import click

from keyturn import __version__
from keyturn.errors import ConfigurationError, KeyturnError

EXIT_NO = 1
"""Done, and the answer is no."""

EXIT_UNANSWERED = 3
EXIT_DEFECT = 4
EXIT_INTERRUPTED = 130


class Unanswered(click.ClickException):
    """AWS or the marker table refused or did not answer: one line on stderr, and this exit code."""

    exit_code = EXIT_UNANSWERED


class Defect(click.ClickException):
    """What no sub-command foresaw. Its message has no foreign text, which could hold anything."""

    exit_code = EXIT_DEFECT


@dataclass(frozen=True, slots=True)
class Listed:
    """One sub-command: the module that holds it as `command`, and its line in the help."""

    module: str
    help: str


COMMANDS: Mapping[str, Listed] = {
    "announce": Listed("keyturn.cli.announce", "Record what has just happened to a secret in its marker."),
    "demo": Listed(
        "keyturn.cli.demo", "Rotate a fleet's passwords on this machine, and see who notices when."
    ),
    "doctor": Listed(
        "keyturn.cli.doctor.command", "Find what is missing or wrong, and say what to do about it."
    ),
    "policy": Listed("keyturn.cli.policy", "Print the least-privilege IAM policy of a role."),
    "serve": Listed("keyturn.cli.serve", "Serve secrets on this host, to code in any language."),
    "status": Listed(
        "keyturn.cli.status.command", "Show the marker table, and where Secrets Manager says otherwise."
    ),
    "sweep": Listed("keyturn.cli.sweep", "Compare all markers with Secrets Manager, and renew the lease."),
    "watch": Listed("keyturn.cli.watch.command", "Show markers as they change."),
}
"""Name -> sub-command, as listed by `keyturn --help`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when called: the help and each of them start at once."""

    def __init__(self, *, listed: Mapping[str, Listed], help: str) -> None:  # noqa: A002 # click's own name
        debug = click.Option(["--debug"], is_flag=True, help="Show where an error came from.")
        super().__init__("keyturn", help=help, params=[debug], callback=lambda debug: debug)
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
        """Run the sub-command; what it raises becomes one line and an exit code."""
        try:
            result: object = super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise one_line(error) from error
        return result


def one_line(error: Exception) -> click.ClickException:
    """The error as click ends the command with: its message and its exit code."""
    if isinstance(error, ConfigurationError):
        return click.UsageError(str(error))
    if isinstance(error, KeyturnError):
        return Unanswered(str(error))
    return Defect(f"unexpected {type(error).__name__}: run `keyturn --debug` with the same, and report it")


root = click.version_option(__version__, prog_name="keyturn")(
    LazyGroup(listed=COMMANDS, help="Secrets that follow their rotation.")
)
