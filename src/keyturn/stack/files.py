"""Where the sources of a deployment are: in a wheel beside the modules, in a checkout in `infra`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
_CHECKOUT: Final = Path(__file__).parents[3]


def packages() -> Mapping[str, Path]:
    """Return package -> the folder that has it.

    The listener is found by its place and not by its name, since a program may have a folder
    `rotation_listener` of its own.
    """
    installed = _PACKAGE.parent
    has_listener = (installed / "rotation_listener" / "handler.py").is_file()
    return {"keyturn": installed, "rotation_listener": installed if has_listener else _CHECKOUT}


def template() -> Path:
    """Return the path of the CloudFormation template of the marker table and the listener."""
    return _found("template.yaml")


def rotation_template() -> Path:
    """Return the path of the CloudFormation template of a rotation function."""
    return _found("rotation.yaml")


def terraform() -> Path:
    """Return the path of the folder with the Terraform module, and with that of a rotation function in it."""
    return _found("terraform")


def terraform_files() -> Iterator[Path]:
    """Yield the files of the Terraform module, relative to its folder, in order."""
    base = terraform()
    for file in sorted(base.rglob("*")):
        name = file.relative_to(base)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name


def _found(name: str) -> Path:
    packaged = _PACKAGE / "stack" / name
    return packaged if packaged.exists() else _CHECKOUT / "infra" / name
