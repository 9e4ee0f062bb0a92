"""What sub-commands share when they answer: the option `--json`, and how JSON is written."""

from __future__ import annotations

import json

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
"""Adds `--json`, passed to the command as `as_json`."""


def echo_json(document: object) -> None:
    """Write `document`, made of what JSON knows, to stdout: indented, in the order given."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
