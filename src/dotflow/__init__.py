"""A workflow engine that is imported, not deployed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dotflow.core.action import action
    from dotflow.core.config import Config
    from dotflow.core.context import Context
    from dotflow.core.dotflow import DotFlow
    from dotflow.core.task import Task

__version__ = "2.0.0"
__description__ = "A workflow engine you import, not deploy."

__all__ = ["Config", "Context", "DotFlow", "Task", "action"]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is: the command line, for one, needs little of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    import importlib

    found = getattr(importlib.import_module(f"dotflow.core.{name.lower()}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
