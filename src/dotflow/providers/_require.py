"""Optional libraries."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from dotflow.core.exception import ModuleNotFound


def require(module: str, extra: str) -> Any:
    """Import and return *module*.

    Raises:
        ModuleNotFound: it is not installed; the message names the extra of dotflow that brings it.
    """
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise ModuleNotFound(module, f"dotflow[{extra}]")
    return importlib.import_module(module)
