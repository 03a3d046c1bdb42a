"""Contract kits, fakes and fault tools, imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.testing.clock import FakeClock
    from dotflow.testing.crashes import Crash, CrashTable, crash_matrix
    from dotflow.testing.fakes import (
        Call,
        Events,
        FakeScheduler,
        FakeStorage,
        Recorder,
        RecordingLog,
        RecordingMetrics,
        RecordingNotify,
        RecordingServer,
        RecordingTracer,
    )
    from dotflow.testing.faults import FlakyStorage, Point, SlowStorage, kill_at
    from dotflow.testing.log_contract import LogContract
    from dotflow.testing.metrics_contract import MetricsContract
    from dotflow.testing.notify_contract import NotifyContract
    from dotflow.testing.scheduler_contract import SchedulerContract
    from dotflow.testing.server_contract import ServerContract
    from dotflow.testing.storage_contract import StorageContract, Verdict, check_storage
    from dotflow.testing.tracer_contract import TracerContract

TOOLS = {
    "Call": "fakes",
    "Events": "fakes",
    "FakeScheduler": "fakes",
    "FakeStorage": "fakes",
    "Recorder": "fakes",
    "RecordingLog": "fakes",
    "RecordingMetrics": "fakes",
    "RecordingNotify": "fakes",
    "RecordingServer": "fakes",
    "RecordingTracer": "fakes",
    "Crash": "crashes",
    "CrashTable": "crashes",
    "FakeClock": "clock",
    "FlakyStorage": "faults",
    "LogContract": "log_contract",
    "MetricsContract": "metrics_contract",
    "NotifyContract": "notify_contract",
    "Point": "faults",
    "ServerContract": "server_contract",
    "SchedulerContract": "scheduler_contract",
    "SlowStorage": "faults",
    "StorageContract": "storage_contract",
    "TracerContract": "tracer_contract",
    "Verdict": "storage_contract",
    "check_storage": "storage_contract",
    "crash_matrix": "crashes",
    "kill_at": "faults",
}

__all__ = [
    "Call",
    "Events",
    "FakeScheduler",
    "FakeStorage",
    "Recorder",
    "RecordingLog",
    "RecordingMetrics",
    "RecordingNotify",
    "RecordingServer",
    "RecordingTracer",
    "Crash",
    "CrashTable",
    "FakeClock",
    "FlakyStorage",
    "LogContract",
    "MetricsContract",
    "NotifyContract",
    "Point",
    "ServerContract",
    "SchedulerContract",
    "SlowStorage",
    "StorageContract",
    "TracerContract",
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
