"""The real pause of a task on an event loop. It is apart from `host`, since a cold start loads no asyncio."""

from __future__ import annotations

import asyncio

loop_sleep = asyncio.sleep
"""Waits so many seconds, and lets the loop go on."""
