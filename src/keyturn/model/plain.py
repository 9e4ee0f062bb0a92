"""Plain and async functions of the caller's, each where the other kind is wanted.

An async one returns a coroutine: its body has not run yet. A coroutine is true, whatever it would return:
where nobody awaits it, it would count as yes. What a plain one returns cannot be awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from typing import TypeVar

from keyturn.errors import ConfigurationError

_T = TypeVar("_T")
_Handler = TypeVar("_Handler", bound=Callable[..., object])
_Function = TypeVar("_Function", bound=Callable[..., object])


def is_unrun(result: object) -> bool:
    """Return True for a coroutine, and close it, since nobody will run it."""
    if not isinstance(result, Coroutine):
        return False
    result.close()
    return True


def handling(handler: _Handler, *, is_awaited: bool = False) -> _Handler:
    """Return a handler whose body runs while it is called; other kinds raise `ConfigurationError`."""
    # Of an object, what a call runs is its class's.
    bodies = handler, type(handler).__call__
    if any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in bodies):
        raise ConfigurationError(
            "checks_first takes no generator: call check() in the generator, first thing"
        )
    _check_handler(is_async=any(map(inspect.iscoroutinefunction, bodies)) and not is_awaited)
    return handler


def handled(result: _T) -> _T:
    """Return a handler's result. Raises `ConfigurationError` for a coroutine, whose body has not run."""
    _check_handler(is_async=is_unrun(result))
    return result


def _check_handler(*, is_async: bool) -> None:
    if is_async:
        raise ConfigurationError("the handler is async: decorate it by checks_first of an AsyncSecretCache")


def connected(connection: _T) -> _T:
    """Return what `connect` returned. Raises `ConfigurationError` for the coroutine of an async function."""
    if is_unrun(connection):
        raise ConfigurationError("connect is async: use AsyncSecretCache.login, or Login.awaiting")
    return connection


def yet_to_be_handled(result: _T) -> _T:
    """Return what an async handler returned. Raises `ConfigurationError` for the result of a plain one."""
    if not inspect.isawaitable(result):
        raise ConfigurationError("the handler is not async: decorate it by checks_first of a SecretCache")
    return result


def yet_to_be_connected(connection: _T) -> _T:
    """Return what an async `connect` returned. Closes a connection and raises `ConfigurationError` for it."""
    if inspect.isawaitable(connection):
        return connection
    close: object = getattr(connection, "close", None)
    if callable(close):
        # Nobody else has it.
        with suppress(Exception):
            is_unrun(close())
    raise ConfigurationError("connect is not async: use SecretCache.login, or call the Login itself")


def decided(result: _T, name: str) -> _T:
    """Return what the argument `name` decided. Raises `ConfigurationError` for what is yet to be awaited."""
    if is_unrun(result) or isinstance(result, Awaitable):
        raise ConfigurationError(f"{name} is async, so it has decided nothing: give a plain function")
    return result


def plain(function: _Function, name: str) -> _Function:
    """Return a function whose body runs while it is called; others raise `ConfigurationError`, by their name.

    Where only a call shows that it is another one, `ran` finds it.
    """
    # Of an object, what a call runs is its class's.
    bodies = (function, type(function).__call__) if callable(function) else ()
    kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    _check_ran(name, has_run=not any(kind(body) for kind in kinds for body in bodies))
    return function


def plain_methods(one: object, names: Iterable[str]) -> None:
    """Raise `ConfigurationError` if a method of these names is not plain. Each may be missing."""
    for name in names:
        method: object = getattr(one, name, None)
        if callable(method):
            plain(method, name)


def ran(result: _T, name: str) -> _T:
    """Return what the function `name` returned. Raises `ConfigurationError` if its body has not run."""
    _check_ran(name, has_run=not (is_unrun(result) or isinstance(result, Awaitable | Generator)))
    return result


def _check_ran(name: str, *, has_run: bool) -> None:
    if not has_run:
        raise ConfigurationError(
            f"{name} is async or a generator, so its body has not run: give a plain function"
        )
