"""`keyturn stack` writes the files to deploy into an account. It makes no request and needs no checkout."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click

from keyturn.cli.ending import NO_ROOM
from keyturn.stack import files, function, layer, listener

STDOUT: Final = Path("-")


class Written(NamedTuple):
    """One file that the command writes: its path and its bytes."""

    path: Path
    content: bytes


def _file(
    option: str, parameter: str, name: str, what: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of one file, which has the default name `name` where it is given without a value."""
    return click.option(
        option,
        parameter,
        type=click.Path(path_type=Path, dir_okay=False),
        is_flag=False,
        flag_value=Path(name),
        metavar="[FILE]",
        help=f"{what} Default: {name}.",
    )


@click.command
@_file(
    "--template",
    "template",
    "template.yaml",
    "The CloudFormation template of the marker table and the listener.",
)
@_file("--listener-zip", "listener_zip", "rotation_listener.zip", "The listener's deployment package.")
@_file("--layer", "layer_zip", "keyturn_layer.zip", "The library as a Lambda layer.")
@_file(
    "--rotation-template",
    "rotation_template",
    "rotation.yaml",
    "The CloudFormation template of a rotation function.",
)
@_file(
    "--rotation-zip",
    "rotation_zip",
    "rotation_function.zip",
    "A rotation function's deployment package: the files of --rotation-code, and the library.",
)
@click.option(
    "--rotation-code",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The folder with the handler, and with the packages that it needs.",
)
@click.option(
    "--terraform",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder for the Terraform module. DIR/modules/rotation gets the module of a rotation function.",
)
@click.option("--force", is_flag=True, help="Replace files that exist and differ.")
def command(
    *,
    template: Path | None,
    listener_zip: Path | None,
    layer_zip: Path | None,
    rotation_template: Path | None,
    rotation_zip: Path | None,
    rotation_code: Path | None,
    terraform: Path | None,
    force: bool,
) -> None:
    """Write the files to deploy: templates or Terraform modules, deployment packages, the layer.

    At the same version the project's make targets write the same bytes. FILE may be - for stdout. Without
    --force the command does not replace a file that exists and differs. It writes to a pipe or a device as it
    does to stdout.
    """
    if (rotation_zip is None) != (rotation_code is None):
        raise click.UsageError(
            "--rotation-zip and --rotation-code go together: the package is made from the folder"
        )
    if rotation_zip is not None and rotation_code is not None and _is_inside(rotation_zip, rotation_code):
        raise click.UsageError(
            f"{rotation_zip}: it would be inside of {rotation_code}, and so a part of the next package. "
            "Choose another path."
        )
    wanted = [
        *_copied(template, files.template),
        *_made(listener_zip, listener.build),
        *_made(layer_zip, layer.build),
        *_copied(rotation_template, files.rotation_template),
        *_made(rotation_zip, lambda output: _package(output, rotation_code or Path())),
        *_modules(terraform),
    ]
    if not wanted:
        raise click.UsageError(
            "name what to write: --template, --listener-zip, --layer, --rotation-template, --rotation-zip or "
            "--terraform DIR"
        )
    paths = [str(one.path) if one.path == STDOUT else os.path.realpath(one.path) for one in wanted]
    if len(paths) > len(set(paths)):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise click.UsageError(f"{twice}: it is named for two files. Choose another path for one of them.")
    differing = [one.path for one in wanted if _differs(one)]
    if differing and not force:
        raise click.UsageError(
            f"{', '.join(map(str, differing))}: exists and differs, so nothing was written. "
            "Choose another path, or --force to replace."
        )
    for one in wanted:
        _write(one)


def _copied(path: Path | None, source: Callable[[], Path]) -> Iterator[Written]:
    if path is not None:
        yield Written(path, source().read_bytes())


def _made(path: Path | None, build: Callable[[Path], bytes]) -> Iterator[Written]:
    if path is not None:
        with _temporary() as folder:
            yield Written(path, build(Path(folder, "built.zip")))


def _temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder, which is removed at the end of a `with` block."""
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise click.UsageError(
            f"no temporary folder can be made: {error.strerror}. Name a place for it by TMPDIR."
        ) from error


def _package(output: Path, code: Path) -> bytes:
    """Build a rotation function's package of the caller's files, of which any may be unfit."""
    try:
        return function.build(output, code)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise click.UsageError(
            f"--rotation-code: {error.filename!r} cannot be packed: {error.strerror}"
        ) from error
    except UnicodeEncodeError as error:
        raise click.UsageError(
            f"--rotation-code: {error.object!r} cannot be packed: its name is no text"
        ) from error


def _modules(folder: Path | None) -> Iterator[Written]:
    if folder is not None:
        base = files.terraform()
        yield from (Written(folder / name, (base / name).read_bytes()) for name in files.terraform_files())


def _differs(one: Written) -> bool:
    if one.path == STDOUT:
        return False
    with _usable(one.path):
        try:
            found = one.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
            # A pipe or a device such as /dev/null holds nothing that could be lost, and may never end.
            return False
        if stat.S_ISREG(found.st_mode) and found.st_size == len(one.content):
            return one.path.read_bytes() != one.content
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(one.path))
        return True


def _is_inside(path: Path, folder: Path) -> bool:
    # Unlike `resolve`, it raises nothing for links in a circle.
    return path != STDOUT and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn an error of the system about a file that the caller named into one of usage.

    A full disk and a reader that has gone are none, and end the command as they do with stdout.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (*NO_ROOM, errno.EPIPE):
            raise
        why = f"{error.strerror} ({error.filename})"
        raise click.UsageError(f"{path} cannot be written: {why}. Choose another path.") from error


def _write(one: Written) -> None:
    """Write one file and say on stderr what it is, so that stdout can be the file itself."""
    if one.path == STDOUT:
        click.echo(one.content, nl=False)
        return
    with _usable(one.path):
        one.path.parent.mkdir(parents=True, exist_ok=True)
        one.path.write_bytes(one.content)
    digest = hashlib.sha256(one.content).hexdigest()
    click.echo(f"{one.path}: {len(one.content)} bytes, sha256 {digest}", err=True)
