"""The hit path is one small function that can be read in ten seconds, and it stays so."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import shipped_modules

STATEMENTS_MAX = 6
ALLOWED_CALLS = frozenset({"get", "now", "self._miss", "self._parameter_miss", "str"})
"""A look-up in a mapping, a key for it, one reading of the clock, and the ways out to everything else."""

HEAVY = (ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Await, ast.For, ast.AsyncFor, ast.While)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)


def method(text: str, class_name: str, name: str) -> ast.FunctionDef:
    """The method `class_name.name` of a source text."""
    (owner,) = (
        node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    (found,) = (node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return found


def burdens(hit: ast.FunctionDef) -> Iterator[str]:
    """What makes a hit path longer or slower than it may be."""
    body = hit.body[1:] if ast.get_docstring(hit) else hit.body
    nodes = [node for statement in body for node in ast.walk(statement)]
    statements = sum(isinstance(node, ast.stmt) for node in nodes)
    if statements > STATEMENTS_MAX:
        yield f"{statements} statements"
    yield from (type(node).__name__ for node in nodes if isinstance(node, HEAVY + COMPREHENSIONS))
    calls = [_called(node) for node in nodes if isinstance(node, ast.Call)]
    yield from (f"calls {name}" for name in calls if name not in ALLOWED_CALLS)
    yield from (f"calls {name} twice" for name in sorted(ALLOWED_CALLS) if calls.count(name) > 1)
    yield from ("decorated" for _ in hit.decorator_list)


def _called(call: ast.Call) -> str:
    """What a call names: `get` for the look-up in any mapping, else the text of the function."""
    match call.func:
        case ast.Attribute(attr="get"):
            return "get"
    return ast.unparse(call.func)


@pytest.mark.parametrize("name", ["get", "get_parameter"])
def test_the_hit_path_is_small(name: str) -> None:
    """Each way to a hit has at most six statements, no lock, no loop, and calls only what a hit needs."""
    source = shipped_modules()["keyturn.client"].text
    assert list(burdens(method(source, "SecretCache", name))) == []


LEAN = """
class SecretCache:
    def get(self, secret_id, stage="AWSCURRENT"):
        '''Read it.'''
        held, now = self._held.get((secret_id, stage)), self._now
        now_s = now()
        if held is not None and held.from_s <= now_s < held.until_s:
            return held.version
        return self._miss(secret_id, stage)
"""


@pytest.mark.parametrize(
    ("before", "after", "burden"),
    [
        ("now_s = now()", "with self._lock: now_s = now()", "With"),
        ("now_s = now()", "for _ in (): now_s = now()", "For"),
        ("now_s = now()", "now_s = min(x for x in self._times)", "GeneratorExp"),
        ("now_s = now()", "now_s = time.time()", "calls time.time"),
        ("return held.version", "return copy(held.version)", "calls copy"),
        ("return held.version", "self._log.debug('hit'); return held.version", "calls self._log.debug"),
        ("held.from_s <= now_s", "now() > 0", "calls now twice"),
        ("now_s = now()", "now_s = now(); a = 1; b = 2", "7 statements"),
        ("    def get", "    @counted\n    def get", "decorated"),
    ],
)
def test_a_heavier_hit_path_is_seen(before: str, after: str, burden: str) -> None:
    """Each kind of burden on the hit path is reported; the lean one has none."""
    assert list(burdens(method(LEAN, "SecretCache", "get"))) == []
    assert burden in list(burdens(method(LEAN.replace(before, after), "SecretCache", "get")))
