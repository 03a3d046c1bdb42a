"""Objects by their dotted path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ImportModuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIKE = 0.6  # of 1, how much of two names must agree for one to be offered in place of the other


def load(path: str) -> Any:
    """Return what *path* names: ``"package.module:attribute"`` or ``"package.module.attribute"``.

    Raises:
        ImportModuleError: the path has no module part, or module or attribute do not exist. An error that
            the module itself raises while it is imported passes through unchanged.
    """
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute:
        raise ImportModuleError(path, "expected 'package.module:attribute'")
    found: Any = _import(path, module_name)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [*getattr(found, "__all__", ()), *dir(found)]  # a lazy module lists its names in the first
            hint = nearest(part, known)
            raise ImportModuleError(path, f"{module_name!r} has no attribute {part!r}{hint}") from None
    return found


def _import(path: str, name: str) -> Any:
    parent = ""
    for part in name.split("."):
        whole = f"{parent}.{part}" if parent else part
        if not part.isidentifier():
            raise ImportModuleError(path, f"{whole!r} is not a module name")
        if parent and not hasattr(importlib.import_module(parent), "__path__"):
            raise ImportModuleError(path, f"{parent!r} is a module, not a package: write '{parent}:{part}...'")
        if whole not in sys.modules and importlib.util.find_spec(whole) is None:
            raise ImportModuleError(path, f"there is no module {whole!r}{nearest(part, _modules(parent))}")
        parent = whole
    return importlib.import_module(name)


def _modules(package: str) -> list[str]:
    """Return the names of the modules in a package, or of those at the top; what cannot be read is left out."""
    import pkgutil

    return [found.name for found in pkgutil.iter_modules(sys.modules[package].__path__ if package else None)]


def nearest(name: str, known: Iterable[str], most: int = 1, least: float = ALIKE) -> str:
    """Return a question that offers what is most like *name*, at most *most* of it; nothing if nothing is like it.

    Capitals do not count; *least* is how much must agree.
    """
    import difflib

    table = {each.lower(): each for each in known}
    close = [table[each] for each in difflib.get_close_matches(name.lower(), table, most, least)]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
