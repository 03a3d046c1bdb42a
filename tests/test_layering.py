"""Imports point down only: values, contracts, engine, providers, root, edges."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

VALUES, CONTRACTS, ENGINE, PROVIDERS, ROOT, EDGES = range(6)

# A module belongs to the entry that names it or the nearest package above it. `dotflow` itself stands
# for its `__init__` alone, so that a new module has to be given a layer here.
LAYERS = {
    "dotflow.core.types": VALUES,
    "dotflow.core.exception": VALUES,
    "dotflow.core.calling": VALUES,
    "dotflow.core.context": VALUES,
    "dotflow.core.action": VALUES,
    "dotflow.core.task": VALUES,
    "dotflow.core.events": VALUES,
    "dotflow.core.messages": VALUES,
    "dotflow.core.named": VALUES,
    "dotflow.core.module": VALUES,
    "dotflow.core.codec": VALUES,
    "dotflow.core.known": VALUES,
    "dotflow.core.models": VALUES,
    "dotflow.core.packed": VALUES,
    "dotflow.core.record": VALUES,
    "dotflow.core.redact": VALUES,
    "dotflow.core.around": VALUES,
    "dotflow.core.capture": VALUES,
    "dotflow.core.identity": VALUES,
    "dotflow.core.virtual": VALUES,
    "dotflow.core.wake": VALUES,
    "dotflow.core.pace": VALUES,
    "dotflow.core.when": VALUES,
    "dotflow.core.zones": VALUES,
    "dotflow.core.agenda": VALUES,
    "dotflow.abc": CONTRACTS,
    "dotflow.core.plan": ENGINE,
    "dotflow.core.run": ENGINE,
    "dotflow.core.engine": ENGINE,
    "dotflow.core.checkpoint": ENGINE,
    "dotflow.core.claims": ENGINE,
    "dotflow.core.dispatch": ENGINE,
    "dotflow.core.lane": ENGINE,
    "dotflow.core.outbox": ENGINE,
    "dotflow.core.attempt": ENGINE,
    "dotflow.core.family": ENGINE,
    "dotflow.core.inbox": ENGINE,
    "dotflow.core.loop": ENGINE,
    "dotflow.core.place": ENGINE,
    "dotflow.core.journal": ENGINE,
    "dotflow.providers": PROVIDERS,
    "dotflow.views": PROVIDERS,
    "dotflow.views.html": VALUES,
    "dotflow.views.state": VALUES,
    "dotflow.core.config": ROOT,
    "dotflow.core.ticking": ROOT,
    "dotflow.core.workflow": ROOT,
    "dotflow.core.dotflow": ROOT,
    "dotflow.core.preview": ROOT,
    "dotflow.history": ROOT,
    "dotflow.cli": EDGES,
    "dotflow.main": EDGES,
    "dotflow.server": EDGES,
    "dotflow.testing": EDGES,
}
EXACT = {"dotflow": ROOT, "dotflow.core": VALUES, "dotflow.__main__": EDGES}

# The contract kits see what a third-party provider sees, and the built-in providers for the fakes.
TESTING_MAY_IMPORT = {VALUES, CONTRACTS, PROVIDERS}

# The fixtures for pytest put whole workflows together, as a user does (ADR 0053).
FIXTURES = "dotflow.testing.plugin"

# `import dotflow` runs the top level of these.
STANDARD_LIBRARY_ONLY = {VALUES, CONTRACTS, ENGINE, ROOT}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, where it is written, and whether it waits for a call."""

    module: str
    line: int
    lazy: bool


def module_name(path: Path) -> str:
    """Return the dotted name of the module in *path*."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def layer_of(module: str) -> int | None:
    """Return the layer of *module*, or ``None`` if it has not been given one."""
    if module in EXACT:
        return EXACT[module]
    name = module
    while name:
        if name in LAYERS:
            return LAYERS[name]
        name = name.rpartition(".")[0]
    return None


def guards_types(node: ast.stmt) -> bool:
    """Say whether *node* is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imports(tree: ast.AST, module: str, is_package: bool, lazy: bool = False) -> Iterator[Import]:
    """Yield every import in *tree*, those for type checkers excepted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, is_package)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in MODULES else base, node.lineno, lazy)
        elif isinstance(node, ast.If) and guards_types(node):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), module, is_package, lazy)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, module, is_package, lazy or inside)


def absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Return the absolute name of the module that *node* imports from."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports_of(module: str) -> list[Import]:
    """Return every import of *module*, read from its source."""
    path = MODULES[module]
    return list(imports(ast.parse(path.read_text(encoding="utf-8")), module, path.name == "__init__.py"))


def is_ours(name: str) -> bool:
    """Say whether *name* is part of this package."""
    return name.partition(".")[0] == "dotflow"


def test_there_is_something_to_check() -> None:
    """The package is where this test looks for it."""
    assert "dotflow" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_layer(module: str) -> None:
    """Every module has a place."""
    assert layer_of(module) is not None, (
        f"{module} has no layer: add it to LAYERS in tests/test_layering.py, in the lowest layer that works"
    )


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module imports its own layer and lower ones; the kits import contracts, values and fakes."""
    own = layer_of(module)
    assert own is not None, f"{module} has no layer: add it to LAYERS in tests/test_layering.py"
    in_testing = module == "dotflow.testing" or module.startswith("dotflow.testing.")
    wrong = []
    for found in imports_of(module):
        if not is_ours(found.module):
            continue
        layer = layer_of(found.module)
        if in_testing and module != FIXTURES:
            allowed = found.module.startswith("dotflow.testing") or layer in TESTING_MAY_IMPORT
        else:
            allowed = layer is not None and layer <= own
        if not allowed:
            wrong.append(f"line {found.line}: {found.module} (layer {layer})")
    assert not wrong, f"{module} (layer {own}) imports from above: {wrong}"


@pytest.mark.parametrize("module", [name for name in MODULES if layer_of(name) in STANDARD_LIBRARY_ONLY])
def test_third_party_libraries_are_imported_when_used(module: str) -> None:
    """Below the providers, and in the root, a third-party library is imported inside the function."""
    wrong = [
        f"line {found.line}: {found.module}"
        for found in imports_of(module)
        if not found.lazy
        and not is_ours(found.module)
        and found.module.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert not wrong, f"{module} imports a third-party library at its top level: {wrong}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os", [("os", False)]),
        ("from . import run", [("dotflow.core.run", False)]),
        ("from .run import Run", [("dotflow.core.run", False)]),
        ("from ..abc import storage", [("dotflow.abc.storage", False)]),
        ("def f():\n    import cloudpickle", [("cloudpickle", True)]),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", [("numpy", False)]),
        ("if TYPE_CHECKING:\n    import numpy\nelse:\n    import os", [("os", False)]),
    ],
)
def test_imports_are_found(source: str, expected: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of imports sees relative, lazy and guarded ones for what they are."""
    for name in ("dotflow.core.run", "dotflow.abc.storage"):
        monkeypatch.setitem(MODULES, name, SOURCE)

    found = imports(ast.parse(source), "dotflow.core.plan", is_package=False)

    assert [(each.module, each.lazy) for each in found] == expected
