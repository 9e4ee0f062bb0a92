"""The two clients have the same names and signatures, but for a short list."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

import pytest

from keyturn import AsyncSecretCache, SecretCache
from keyturn.aio.keys import AsyncKeys
from keyturn.verifying.keys import Keys

PAIRS = {"cache": (SecretCache, AsyncSecretCache), "keys": (Keys, AsyncKeys)}

ONLY_FOR_THREADS = {"cache": {"close", "__enter__", "__exit__"}, "keys": {"__iter__"}}
ONLY_FOR_TASKS = {"cache": {"aclose", "__aenter__", "__aexit__"}, "keys": set[str]()}
"""If a method is missing on one side, add it there; only if it makes no sense there, add its name here."""

NEVER_WAIT = {
    "cache": {
        "after_fork",
        "checks_first",
        "forget",
        "keys",
        "login_attempts",
        "logs_in",
        "peek",
        "peek_parameter",
    },
    "keys": set[str](),
}
"""The methods that are not awaited: they make no request, or return what is awaited."""


def methods(kind: type) -> dict[str, inspect.Signature]:
    """The public methods of a class, and its own protocol methods but for the constructor."""
    found = inspect.getmembers(kind, inspect.isfunction)
    own = {"__iter__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
    return {name: inspect.signature(one) for name, one in found if name in own or not name.startswith("_")}


def shape(signature: inspect.Signature) -> list[tuple[str, object, object]]:
    """What a caller writes: names, kinds and defaults. The types differ where something is awaited."""
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]


def differences(sync: type, tasks: type) -> Iterator[str]:
    """The methods that both have, with other arguments."""
    ours, theirs = methods(sync), methods(tasks)
    yield from (name for name in ours.keys() & theirs.keys() if shape(ours[name]) != shape(theirs[name]))


@pytest.mark.parametrize("pair", PAIRS)
def test_both_have_the_same_names(pair: str) -> None:
    """Whatever one client can, the other can under the same name; the exceptions are listed above."""
    sync, tasks = (set(methods(one)) for one in PAIRS[pair])
    assert ONLY_FOR_THREADS[pair] == sync - tasks
    assert ONLY_FOR_TASKS[pair] == tasks - sync


@pytest.mark.parametrize("pair", PAIRS)
def test_both_take_the_same_arguments(pair: str) -> None:
    """Arguments have the same names, order, kinds and defaults."""
    assert [] == sorted(differences(*PAIRS[pair]))


def test_both_are_made_alike() -> None:
    """The constructor of the tasks' client takes what that of the threads' client takes."""
    assert shape(inspect.signature(SecretCache)) == shape(inspect.signature(AsyncSecretCache))
    close, aclose = methods(SecretCache)["close"], methods(AsyncSecretCache)["aclose"]
    assert shape(close) == shape(aclose)


@pytest.mark.parametrize("pair", PAIRS)
def test_all_that_may_wait_is_awaited(pair: str) -> None:
    """Every method of the tasks' client is a coroutine function, but for those that never wait."""
    _, tasks = PAIRS[pair]
    plain = {name for name in methods(tasks) if not inspect.iscoroutinefunction(getattr(tasks, name))}
    assert NEVER_WAIT[pair] == plain


def look_up(kind: type, name: str) -> list[str]:
    """The statements of a hit path, without its docstring and its way out."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(kind, name)))).body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return [ast.unparse(one) for one in function.body[1:-1]]


@pytest.mark.parametrize("name", ["get", "get_parameter"])
def test_both_have_the_same_hit_path(name: str) -> None:
    """A hit is the same few lines in both, which tests/architecture keeps short."""
    assert 3 <= len(look_up(SecretCache, name))
    assert look_up(SecretCache, name) == look_up(AsyncSecretCache, name)


def test_a_difference_is_seen() -> None:
    """A method with another default is reported."""

    class One:
        def get(self, name: str, *, stage: str = "a") -> None: ...

    class Other:
        async def get(self, name: str, *, stage: str = "b") -> None: ...

    assert ["get"] == list(differences(One, Other))
