"""What keyturn says: the text of every error that it raises and of every line that it logs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.architecture.sources import Module, shipped_modules

ELSEWHERE: Final = {
    "keyturn.cli.status.fleet": ("notes",),
    "keyturn.markers.calls": ("IF_DENIED", "IF_MISSING"),
    "keyturn.convergence.table": ("IF_DENIED", "IF_MISSING"),
    "keyturn.aws.catalog": ("_wrong_filter",),
    "keyturn.aws.table_calls": ("_table_advice",),
    "keyturn.cache.reads": ("said_of",),
    "keyturn.serve.allowing": ("_DETAIL",),
    "keyturn.serve.logs": ("_more",),
    "keyturn.serve.reading": ("_QUEUE",),
    "keyturn.cache.table_view": ("_look", "uncovered_because"),
    "keyturn.cache.tables": ("NO_TABLE", "NO_TABLE_OF_ITS_PLACE"),
    "keyturn.rotation.mysql.changes": ("objection", "_objection", "_NO_ACCOUNT", "_PRIVILEGED"),
    "keyturn.rotation.postgresql": ("objection",),
    "keyturn.rotation.redis": ("objection",),
}
"""Module -> functions and constants whose texts end up in a message, in `status()` or in the log."""

FLAWS_RETURNED: Final = frozenset(
    {
        "keyturn.integrations.arguments",
        "keyturn.integrations.http",
        "keyturn.model.fields",
        "keyturn.settings.references",
    }
)
"""Modules that return a `Flaw`, which another one raises."""

LEVELS: Final = frozenset({"debug", "info", "warning", "error", "exception"})


def said() -> dict[str, str]:
    """Every text, an ellipsis for what differs, with the module that says it."""
    return {text: module.name for module in shipped_modules().values() for text in texts(module)}


def texts(module: Module) -> Iterator[str]:
    """The texts of one module that say something by themselves."""
    for node in _sayings(module):
        text = re.sub(r"%[sdg]", "…", _template(node)).strip()
        if len(re.findall(r"[A-Za-z]{2,}", text)) >= 2:
            yield text


def _sayings(module: Module) -> Iterator[ast.expr]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Raise(exc=ast.Call() as call):
                yield from _arguments(call)
            case ast.Call(func=ast.Name(id="Flaw")) if module.name in FLAWS_RETURNED:
                yield from node.args[:1]
            case ast.Call(func=ast.Name(id="Unshown")):
                yield from node.args
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level)) if level in LEVELS:
                yield from node.args[:1]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as text) if name in ELSEWHERE.get(
                module.name, ()
            ):
                yield text
            case ast.FunctionDef(name=name) if name in ELSEWHERE.get(module.name, ()):
                yield from (
                    one.value
                    for one in ast.walk(node)
                    if isinstance(one, ast.Return | ast.Yield) and one.value
                )


def _arguments(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of an error, and of the fault that it is made of."""
    for argument in call.args:
        if (
            isinstance(argument, ast.Call)
            and isinstance(argument.func, ast.Name)
            and argument.func.id == "Fault"
        ):
            yield from argument.args
        else:
            yield argument


def _template(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_template(part) for part in parts)
        case ast.Call(func=ast.Attribute(value=ast.JoinedStr() as text)):
            return _template(text)
    return "…"
