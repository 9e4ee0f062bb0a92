"""What a wheel holds, and what users do with it."""

from __future__ import annotations

collect_ignore = ["sample"]
"""A project of its own: it runs in an environment of its own."""
