"""Contract kits, fakes and fault tools, imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.testing.clock import FakeClock
    from dotflow.testing.crashes import Crash, CrashTable, crash_matrix
    from dotflow.testing.faults import FlakyStorage, Point, SlowStorage, kill_at
    from dotflow.testing.storage_contract import StorageContract, Verdict, check_storage

TOOLS = {
    "Crash": "crashes",
    "CrashTable": "crashes",
    "FakeClock": "clock",
    "FlakyStorage": "faults",
    "Point": "faults",
    "SlowStorage": "faults",
    "StorageContract": "storage_contract",
    "Verdict": "storage_contract",
    "check_storage": "storage_contract",
    "crash_matrix": "crashes",
    "kill_at": "faults",
}

__all__ = [
    "Crash",
    "CrashTable",
    "FakeClock",
    "FlakyStorage",
    "Point",
    "SlowStorage",
    "StorageContract",
    "Verdict",
    "check_storage",
    "crash_matrix",
    "kill_at",
]


def __getattr__(name: str) -> Any:
    if name not in TOOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(TOOLS)}")
    import importlib

    return getattr(importlib.import_module(f"dotflow.testing.{TOOLS[name]}"), name)
