"""The providers that come with dotflow, imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.providers.executor_async import ExecutorAsync
    from dotflow.providers.executor_inline import ExecutorInline
    from dotflow.providers.executor_process import ExecutorProcess
    from dotflow.providers.executor_thread import ExecutorThread
    from dotflow.providers.log_default import LogDefault
    from dotflow.providers.metrics_default import MetricsDefault
    from dotflow.providers.notify_default import NotifyDefault
    from dotflow.providers.scheduler_default import SchedulerDefault
    from dotflow.providers.scheduler_interval import SchedulerInterval
    from dotflow.providers.server_default import ServerDefault
    from dotflow.providers.storage_default import StorageDefault
    from dotflow.providers.storage_file import StorageFile
    from dotflow.providers.storage_postgres import StoragePostgres
    from dotflow.providers.storage_redis import StorageRedis
    from dotflow.providers.storage_sqlite import StorageSQLite
    from dotflow.providers.tracer_default import TracerDefault

PROVIDERS = {
    "ExecutorAsync": "executor_async",
    "ExecutorInline": "executor_inline",
    "ExecutorProcess": "executor_process",
    "ExecutorThread": "executor_thread",
    "LogDefault": "log_default",
    "MetricsDefault": "metrics_default",
    "NotifyDefault": "notify_default",
    "SchedulerDefault": "scheduler_default",
    "SchedulerInterval": "scheduler_interval",
    "ServerDefault": "server_default",
    "StorageDefault": "storage_default",
    "StorageFile": "storage_file",
    "StoragePostgres": "storage_postgres",
    "StorageRedis": "storage_redis",
    "StorageSQLite": "storage_sqlite",
    "TracerDefault": "tracer_default",
}

__all__ = [
    "ExecutorAsync",
    "ExecutorInline",
    "ExecutorProcess",
    "ExecutorThread",
    "LogDefault",
    "MetricsDefault",
    "NotifyDefault",
    "SchedulerDefault",
    "SchedulerInterval",
    "ServerDefault",
    "StorageDefault",
    "StorageFile",
    "StoragePostgres",
    "StorageRedis",
    "StorageSQLite",
    "TracerDefault",
]


def __getattr__(name: str) -> Any:
    if name not in PROVIDERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(PROVIDERS)}")
    import importlib

    return getattr(importlib.import_module(f"dotflow.providers.{PROVIDERS[name]}"), name)
