"""`keyturn stack` writes what is to be deployed into an account. It asks nobody and needs no checkout."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from keyturn.stack import files, layer, listener

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
@click.option(
    "--terraform",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The Terraform module, written into DIR.",
)
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
def command(
    *,
    template: Path | None,
    listener_zip: Path | None,
    layer_zip: Path | None,
    terraform: Path | None,
    force: bool,
) -> None:
    """Write what is to be deployed: the template or the Terraform module, the listener's zip, the layer.

    The files are the same bytes as those of the project's make targets at this version. FILE may be - for
    stdout. A file that is there and differs is not replaced without --force.
    """
    wanted = list(_wanted(template, listener_zip, layer_zip, terraform))
    if not wanted:
        raise click.UsageError("name what to write: --template, --listener-zip, --layer or --terraform DIR")
    differing = [one.path for one in wanted if _differs(one)]
    if differing and not force:
        raise click.UsageError(
            f"{', '.join(map(str, differing))}: there already, and different; nothing was written. "
            "Choose another path, or --force to replace."
        )
    for one in wanted:
        _write(one)


def _wanted(
    template: Path | None, listener_zip: Path | None, layer_zip: Path | None, terraform: Path | None
) -> Iterator[Written]:
    if template is not None:
        yield Written(template, files.template().read_bytes())
    if listener_zip is not None:
        yield Written(listener_zip, _built(listener.build))
    if layer_zip is not None:
        yield Written(layer_zip, _built(layer.build))
    if terraform is not None:
        base = files.terraform()
        yield from (Written(terraform / name, (base / name).read_bytes()) for name in files.terraform_files())


def _built(build: Callable[[Path], bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder, "built.zip"))


def _differs(one: Written) -> bool:
    return one.path != STDOUT and one.path.exists() and one.path.read_bytes() != one.content


def _write(one: Written) -> None:
    """Write one file and say on stderr what it is, so that stdout can be the file itself."""
    if one.path == STDOUT:
        click.echo(one.content, nl=False)
        return
    one.path.parent.mkdir(parents=True, exist_ok=True)
    one.path.write_bytes(one.content)
    digest = hashlib.sha256(one.content).hexdigest()
    click.echo(f"{one.path}: {len(one.content)} bytes, sha256 {digest}", err=True)
