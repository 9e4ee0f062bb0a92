"""The public surface is a list, and the list is true."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import keyturn
import keyturn.testing


def lies(module: ModuleType) -> Iterator[str]:
    """What is wrong with `module.__all__`: its order, names that do not resolve, names left out."""
    names: list[str] = list(module.__all__)
    # As the linter sorts: constants, then the others.
    if names != sorted(names, key=lambda name: (not name.isupper(), name)):
        yield "not sorted"
    yield from (f"{name} does not resolve" for name in names if not hasattr(module, name))
    visible = {
        name
        for name in dir(module)
        if not name.startswith("_") and _is_part_of_the_surface(getattr(module, name, None))
    }
    yield from (f"{name} is not in __all__" for name in sorted(visible - set(names)))


def _is_part_of_the_surface(value: object) -> bool:
    """Whether a visible name is more than a submodule, a `from __future__` import or `TYPE_CHECKING`."""
    means_of_import = isinstance(value, ModuleType | bool) or type(value).__module__ == "__future__"
    return not means_of_import


@pytest.mark.parametrize("module", [keyturn, keyturn.testing])
def test_the_public_names_are_those_listed(module: ModuleType) -> None:
    """`__all__` is sorted, every name in it resolves, and nothing else is visible."""
    assert list(lies(module)) == []


def test_the_public_names_are_keyturns_own() -> None:
    """Nothing of another package is exported under keyturn's name."""
    homes = {name: getattr(getattr(keyturn, name), "__module__", "keyturn") for name in keyturn.__all__}
    assert {name: home for name, home in homes.items() if home.partition(".")[0] != "keyturn"} == {}


def test_a_lie_is_seen() -> None:
    """A wrong order, a missing and an unlisted name are each reported."""
    module = ModuleType("made")
    vars(module).update({"__all__": ["b", "a"], "b": 1, "c": 2, "sub": ModuleType("made.sub")})
    assert list(lies(module)) == ["not sorted", "a does not resolve", "c is not in __all__"]


@pytest.mark.parametrize("module", [keyturn, keyturn.testing])
def test_every_public_name_is_type_checked(module: ModuleType) -> None:
    """tests/typing/api.py, which mypy reads, uses each of them as users do."""
    tree = ast.parse((Path(__file__).parents[1] / "typing" / "api.py").read_text("utf-8"))
    used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    used |= {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
    assert sorted(set(module.__all__) - used) == []
