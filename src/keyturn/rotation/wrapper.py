"""The handler of a rotation function that is not keyturn's. It announces the steps which that function does.

Two settings and keyturn's layer are all that changes; the function's code stays as it is:

    Handler            keyturn.rotation.wrapper.handler
    KEYTURN_HANDLER    lambda_function.lambda_handler     (what Handler was before)

`handler` is made when Lambda's runtime asks for it, at the start of the execution environment. It raises
`ConfigurationError` then if the variable names no function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, TypeAlias, cast

from keyturn.errors import ConfigurationError
from keyturn.rotation.announcements import announcing
from keyturn.runtime.host import ENVIRONMENT_PREFIX, environment

HANDLER_VARIABLE: Final = ENVIRONMENT_PREFIX + "HANDLER"

Handler: TypeAlias = Callable[[Mapping[str, object], object], object]


def __getattr__(name: str) -> Handler:
    """Return `handler`. An import of this module alone needs no variable."""
    if name != "handler":
        raise AttributeError(name)
    return announcing(named(environment().get(HANDLER_VARIABLE, "")))


def named(text: str) -> Handler:
    """Return the function that a handler setting of Lambda's names: `MODULE.NAME`, or `FOLDER/MODULE.NAME`.

    Raises `ConfigurationError` if there is none. An error of the module itself passes through.
    """
    path, _, attribute = text.rpartition(".")
    module = path.replace("/", ".")
    if not module or module.startswith(".") or not attribute:
        raise ConfigurationError(f"{HANDLER_VARIABLE} is {text!r}: it names the real handler as MODULE.NAME")
    if module == __name__:
        raise ConfigurationError(
            f"{HANDLER_VARIABLE} is {text!r}: it names the wrapper, not the real handler"
        )
    try:
        found: object = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"{HANDLER_VARIABLE} is {text!r}: there is no module {error.name!r}"
        ) from error
    if not callable(found):
        raise ConfigurationError(f"{HANDLER_VARIABLE} is {text!r}: its module has no function {attribute!r}")
    return cast("Handler", found)
