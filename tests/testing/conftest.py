"""The fixtures of keyturn's own plugin, also where it is not installed with its entry point."""

from __future__ import annotations

from keyturn.testing.plugin import (
    keyturn_aws,
    keyturn_cache,
    keyturn_clock,
    keyturn_listener,
    keyturn_marker_table,
    keyturn_rotating_secret,
)

__all__ = [
    "keyturn_aws",
    "keyturn_cache",
    "keyturn_clock",
    "keyturn_listener",
    "keyturn_marker_table",
    "keyturn_rotating_secret",
]
