"""Clock, sleep, chance and environment are arguments; only the outermost modules read the real ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Module, imports, shipped_modules

MAY_READ = re.compile(
    r"keyturn\.(runtime|assembly|settings|testing|demo)(\..*)?|rotation_listener\.(handler|counter)"
)

AMBIENT = re.compile(
    r"""
    time\.(time|monotonic|perf_counter|process_time|thread_time|clock_gettime)(_ns)?
    | time\.(sleep|localtime|gmtime|ctime|asctime)
    | datetime\.(datetime|date)\.(now|utcnow|today)
    | (random|secrets)\..+
    | uuid\.uuid[14]
    | os\.(environb?|getenvb?|putenv|urandom|getrandom)
    | asyncio\.sleep
    """,
    re.VERBOSE,
)


def ambient_reads(module: Module) -> Iterator[str]:
    """Each mention of the world's clock, chance or environment, as `module:line name`.

    A mention counts, not only a call: a default argument would read it as well.
    """
    bound = {one.bound_as: one.target for one in imports(module)}
    for node in ast.walk(module.tree):
        name = _dotted(node, bound)
        if name is not None and AMBIENT.fullmatch(name):
            yield f"{module.name}:{node.lineno} {name}"  # type: ignore[attr-defined]


def _dotted(node: ast.AST, bound: dict[str, str]) -> str | None:
    """The full name that an expression spells, through the module's imports."""
    match node:
        case ast.Name(id=name):
            return bound.get(name)
        case ast.Attribute(value=value, attr=attr):
            owner = _dotted(value, bound)
            return owner and f"{owner}.{attr}"
    return None


def test_only_the_outermost_modules_read_the_world() -> None:
    """Only runtime, assembly, settings, the handlers, testing and demo read clock, chance and environment."""
    inner = (module for name, module in shipped_modules().items() if not MAY_READ.fullmatch(name))
    assert [read for module in inner for read in ambient_reads(module)] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import time\nx = time.time()", "time.time"),
        ("import time as t\nx = t.monotonic_ns()", "time.monotonic_ns"),
        ("from time import sleep as nap\nnap(1)", "time.sleep"),
        ("import time\ndef f(clock=\n    time.monotonic): ...", "time.monotonic"),
        ("import datetime\nx = datetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime\nx = datetime.now()", "datetime.datetime.now"),
        ("import random\nx = random.Random()", "random.Random"),
        ("def f():\n    from random import uniform\n    return uniform(0, 1)", "random.uniform"),
        ("import uuid\nx = uuid.uuid4()", "uuid.uuid4"),
        ("import secrets\nx = secrets.token_hex()", "secrets.token_hex"),
        ("import os\nx = os.environ['A']", "os.environ"),
        ("from os import getenv\nx = getenv('A')", "os.getenv"),
        ("import os.path\nx = os.urandom(8)", "os.urandom"),
    ],
)
def test_a_read_of_the_world_is_seen(text: str, name: str) -> None:
    """Every spelling of such a read is reported under its full name."""
    (read,) = ambient_reads(Module("keyturn.cache", text))
    assert read.endswith(f" {name}")


@pytest.mark.parametrize(
    "text",
    [
        "def f(clock, random, time):\n    return clock.monotonic() + random.uniform(0, 1) + time.time()",
        "import uuid\nx = uuid.UUID('0' * 32)",
        "import datetime\nx = datetime.datetime.fromtimestamp(0, datetime.UTC)",
        "import os\nx = os.path.join('a', 'b')",
    ],
)
def test_arguments_and_pure_functions_are_no_reads(text: str) -> None:
    """A clock that was handed in, and what only converts, may be used anywhere."""
    assert list(ambient_reads(Module("keyturn.cache", text))) == []


STARTS_THREADS = {"keyturn.runtime.threads", "keyturn.cache.background", "keyturn.testing.guard"}
"""The poller is asked whether it is alive, and `testing` runs in no user's process."""


def test_threads_are_started_where_an_interruption_does_no_harm() -> None:
    """All but the poller are begun by `start_thread`, which an exception of a signal handler cannot stop."""
    starting = set()
    for name, module in shipped_modules().items():
        bound = {each.bound_as: each.target for each in imports(module)}
        if any(_dotted(node, bound) == "threading.Thread" for node in ast.walk(module.tree)):
            starting.add(name)
    assert starting <= STARTS_THREADS
