"""Who may import whom: imports point inward, and there is no way round by a lazy import."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.sources import Module, imports, shipped_modules

MODULES: Mapping[str, frozenset[str]] = {
    "words": frozenset(
        {"keyturn.errors", "keyturn.values", "keyturn.parameter", "keyturn.names", "keyturn.refusals"}
    ),
    "protocols": frozenset({"keyturn.protocols", "keyturn.telemetry"}),
    "decisions": frozenset(
        {
            "keyturn.freshness",
            "keyturn.refresh",
            "keyturn.shelf",
            "keyturn.watch",
            "keyturn.status",
            "keyturn.cache",
            "keyturn.checking",
            "keyturn.parameters",
            "keyturn.parameter_sweep",
            "keyturn.recording",
            "keyturn.login",
            "keyturn.convergence",
            "keyturn.reporting",
        }
    ),
    "adapters": frozenset({"keyturn.items", "keyturn.markers", "keyturn.reports", "keyturn.sources"}),
    "edge": frozenset(
        {
            "keyturn.settings",
            "keyturn.wiring",
            "keyturn.outbox",
            "keyturn.poller",
            "keyturn.client",
            "keyturn.announcing",
        }
    ),
    "front": frozenset({"keyturn"}),
    "outside": frozenset(
        {
            "keyturn.compat",
            "keyturn.integrations",
            "keyturn.live",
            "keyturn.policies",
            "keyturn.rotation",
            "keyturn.testing",
            "keyturn.demo",
            "keyturn.cli",
            "keyturn.serve",
        }
    ),
    "listener": frozenset({"rotation_listener"}),
}
"""Layer -> its modules; a package stands for all that is in it."""

INWARD: Mapping[str, frozenset[str]] = {
    "words": frozenset({"words"}),
    "protocols": frozenset({"words", "protocols"}),
    "decisions": frozenset({"words", "protocols", "decisions"}),
    "adapters": frozenset({"words", "protocols", "adapters"}),
    "edge": frozenset({"words", "protocols", "decisions", "adapters", "edge"}),
    "front": frozenset({"words", "protocols", "decisions", "adapters", "edge"}),
    "outside": frozenset(MODULES),
    "listener": frozenset({"words", "protocols", "listener"}),
}
"""Layer -> the layers it may import."""

ALSO: Mapping[str, frozenset[str]] = {
    "listener": frozenset(
        {
            "keyturn.items",
            "keyturn.markers",
            "keyturn.recording",
            "keyturn.sources.catalog",
            "keyturn.sources.faults",
        }
    ),
}
"""Layer -> single modules it may import beside its layers."""

STANDARD_LIBRARY_ONLY = frozenset({"words", "protocols", "decisions"})


def layer_of(name: str) -> str | None:
    """The layer of a module, by the nearest package that is in one; `keyturn` is only itself."""
    while name:
        found = [layer for layer, modules in MODULES.items() if name in modules]
        if found:
            return found[0]
        parent = name.rpartition(".")[0]
        name = "" if parent == "keyturn" else parent
    return None


def own_imports(module: Module, known: frozenset[str]) -> frozenset[str]:
    """The project's own modules that `module` imports, each by the longest name that is a module."""
    paths = (one.path for one in imports(module))
    targets = (path if path in known else path.rpartition(".")[0] for path in paths)
    return frozenset(target for target in targets if target in known) - {module.name}


def wrong_imports(modules: Mapping[str, Module]) -> Iterator[str]:
    """Each import that points outward, and each module that has no layer."""
    known = frozenset(modules)
    for name, module in modules.items():
        layer = layer_of(name)
        if layer is None:
            yield f"{name} is in no layer"
            continue
        for target in sorted(own_imports(module, known)):
            allowed = layer_of(target) in INWARD[layer] or target in ALSO.get(layer, ())
            if not allowed:
                yield f"{name} imports {target}"
        if layer in STANDARD_LIBRARY_ONLY:
            yield from (f"{name} imports {path}" for path in foreign_imports(module))


def foreign_imports(module: Module) -> Iterator[str]:
    """Imports of neither the standard library nor the project."""
    at_home = sys.stdlib_module_names | {"keyturn", "rotation_listener"}
    return (one.path for one in imports(module) if one.path.partition(".")[0] not in at_home)


def cycle(modules: Mapping[str, Module]) -> list[str]:
    """The modules of one import cycle, or nothing."""
    known = frozenset(modules)
    graph = {name: own_imports(module, known) for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def made(**texts: str) -> dict[str, Module]:
    """Modules from texts; `__` in a name stands for a dot."""
    names = {name: name.replace("__", ".") for name in texts}
    return {names[name]: Module(names[name], text) for name, text in texts.items()}


def test_imports_point_inward() -> None:
    """No module of an inner layer imports one of an outer layer; every module has a layer."""
    assert list(wrong_imports(shipped_modules())) == []


def test_there_are_no_import_cycles() -> None:
    """The import graph has an order, lazy imports of our own modules included."""
    assert cycle(shipped_modules()) == []


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        pytest.param(
            made(keyturn__cache="from keyturn.markers import MarkerTable", keyturn__markers=""),
            "keyturn.cache imports keyturn.markers",
            id="decision imports adapter",
        ),
        pytest.param(
            made(keyturn__cache="from keyturn import markers", keyturn__markers=""),
            "keyturn.cache imports keyturn.markers",
            id="by its package",
        ),
        pytest.param(
            made(keyturn__values="def f():\n    import keyturn.client", keyturn__client=""),
            "keyturn.values imports keyturn.client",
            id="inside a function",
        ),
        pytest.param(
            made(keyturn__sources__catalog="from ..settings import Settings", keyturn__settings=""),
            "keyturn.sources.catalog imports keyturn.settings",
            id="relative",
        ),
        pytest.param(
            made(rotation_listener__handler="import keyturn.client", keyturn__client=""),
            "rotation_listener.handler imports keyturn.client",
            id="listener imports client",
        ),
        pytest.param(
            made(
                rotation_listener__handler="import keyturn.sources.secretsmanager",
                keyturn__sources__secretsmanager="",
            ),
            "rotation_listener.handler imports keyturn.sources.secretsmanager",
            id="listener imports what reads values",
        ),
        pytest.param(
            made(keyturn__cache="def f():\n    import botocore.exceptions"),
            "keyturn.cache imports botocore.exceptions",
            id="decision imports botocore",
        ),
        pytest.param(made(keyturn__misc=""), "keyturn.misc is in no layer", id="no layer"),
    ],
)
def test_a_wrong_import_is_seen(modules: Mapping[str, Module], complaint: str) -> None:
    """Each kind of outward import is reported by its two names."""
    assert list(wrong_imports(modules)) == [complaint]


def test_a_lazy_cycle_is_seen() -> None:
    """A cycle hidden by an import inside a function is a cycle."""
    modules = made(
        keyturn__cache="import keyturn.refresh", keyturn__refresh="def f():\n    import keyturn.cache"
    )
    assert set(cycle(modules)) == {"keyturn.cache", "keyturn.refresh"}
