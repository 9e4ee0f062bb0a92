"""Options in seconds. click takes `nan`, which is neither below nor above any limit, and `inf`."""

from __future__ import annotations

import math
from typing import Final

import click

SECONDS_MAX: Final = 86_400.0
"""A day. Of a number that is too large for the system's clock, a sleep would raise an `OverflowError`."""


def finite(_ctx: click.Context, _parameter: click.Parameter, given_s: float | None) -> float | None:
    """Return the seconds that were given, as a click callback. Raises `BadParameter` if they never end."""
    if given_s is not None and not math.isfinite(given_s):
        raise click.BadParameter(f"{given_s} is not a finite number of seconds")
    return given_s
