"""Objects by their dotted path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from dotflow.core.exception import ImportModuleError


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
            close = _closest(part, known)
            raise ImportModuleError(path, f"{module_name!r} has no attribute {part!r}{close}") from None
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
            raise ImportModuleError(path, f"there is no module {whole!r}")
        parent = whole
    return importlib.import_module(name)


def _closest(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
