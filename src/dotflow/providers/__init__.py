"""The providers that come with dotflow, imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.providers.executor_async import ExecutorAsync
    from dotflow.providers.executor_dask import ExecutorDask
    from dotflow.providers.executor_inline import ExecutorInline
    from dotflow.providers.executor_pool import ExecutorPool
    from dotflow.providers.executor_process import ExecutorProcess
    from dotflow.providers.executor_ray import ExecutorRay
    from dotflow.providers.executor_thread import ExecutorThread
    from dotflow.providers.log_context import LogContext
    from dotflow.providers.log_default import LogDefault
    from dotflow.providers.log_opentelemetry import LogOpenTelemetry
    from dotflow.providers.log_sentry import LogSentry
    from dotflow.providers.log_structlog import LogStructlog
    from dotflow.providers.metrics_default import MetricsDefault
    from dotflow.providers.metrics_opentelemetry import MetricsOpenTelemetry
    from dotflow.providers.metrics_prometheus import MetricsPrometheus
    from dotflow.providers.metrics_statsd import MetricsStatsd
    from dotflow.providers.notify_apprise import NotifyApprise
    from dotflow.providers.notify_combined import NotifyDigest, NotifyFilter, NotifyMany, NotifyThrottle
    from dotflow.providers.notify_default import NotifyDefault
    from dotflow.providers.notify_discord import NotifyDiscord
    from dotflow.providers.notify_email import NotifyEmail
    from dotflow.providers.notify_slack import NotifySlack
    from dotflow.providers.notify_teams import NotifyTeams
    from dotflow.providers.notify_telegram import NotifyTelegram
    from dotflow.providers.notify_webhook import NotifyWebhook
    from dotflow.providers.scheduler_at import SchedulerAt
    from dotflow.providers.scheduler_cron import SchedulerCron
    from dotflow.providers.scheduler_default import SchedulerDefault
    from dotflow.providers.scheduler_interval import SchedulerInterval
    from dotflow.providers.server_default import ServerDefault
    from dotflow.providers.storage_azure import StorageAzure
    from dotflow.providers.storage_default import StorageDefault
    from dotflow.providers.storage_file import StorageFile
    from dotflow.providers.storage_gcs import StorageGCS
    from dotflow.providers.storage_postgres import StoragePostgres
    from dotflow.providers.storage_redis import StorageRedis
    from dotflow.providers.storage_s3 import StorageS3
    from dotflow.providers.storage_sqlite import StorageSQLite
    from dotflow.providers.tracer_default import TracerDefault
    from dotflow.providers.tracer_opentelemetry import TracerOpenTelemetry
    from dotflow.providers.tracer_sentry import TracerSentry

PROVIDERS = {
    "ExecutorAsync": "executor_async",
    "ExecutorDask": "executor_dask",
    "ExecutorInline": "executor_inline",
    "ExecutorPool": "executor_pool",
    "ExecutorProcess": "executor_process",
    "ExecutorRay": "executor_ray",
    "ExecutorThread": "executor_thread",
    "LogContext": "log_context",
    "LogDefault": "log_default",
    "LogOpenTelemetry": "log_opentelemetry",
    "LogSentry": "log_sentry",
    "LogStructlog": "log_structlog",
    "MetricsDefault": "metrics_default",
    "MetricsOpenTelemetry": "metrics_opentelemetry",
    "MetricsPrometheus": "metrics_prometheus",
    "MetricsStatsd": "metrics_statsd",
    "NotifyApprise": "notify_apprise",
    "NotifyDefault": "notify_default",
    "NotifyDigest": "notify_combined",
    "NotifyDiscord": "notify_discord",
    "NotifyEmail": "notify_email",
    "NotifyFilter": "notify_combined",
    "NotifyMany": "notify_combined",
    "NotifySlack": "notify_slack",
    "NotifyTeams": "notify_teams",
    "NotifyTelegram": "notify_telegram",
    "NotifyThrottle": "notify_combined",
    "NotifyWebhook": "notify_webhook",
    "SchedulerAt": "scheduler_at",
    "SchedulerCron": "scheduler_cron",
    "SchedulerDefault": "scheduler_default",
    "SchedulerInterval": "scheduler_interval",
    "ServerDefault": "server_default",
    "StorageDefault": "storage_default",
    "StorageAzure": "storage_azure",
    "StorageGCS": "storage_gcs",
    "StorageS3": "storage_s3",
    "StorageFile": "storage_file",
    "StoragePostgres": "storage_postgres",
    "StorageRedis": "storage_redis",
    "StorageSQLite": "storage_sqlite",
    "TracerDefault": "tracer_default",
    "TracerOpenTelemetry": "tracer_opentelemetry",
    "TracerSentry": "tracer_sentry",
}

__all__ = [
    "ExecutorAsync",
    "ExecutorDask",
    "ExecutorInline",
    "ExecutorPool",
    "ExecutorProcess",
    "ExecutorRay",
    "ExecutorThread",
    "LogContext",
    "LogDefault",
    "LogOpenTelemetry",
    "LogSentry",
    "LogStructlog",
    "MetricsDefault",
    "MetricsOpenTelemetry",
    "MetricsPrometheus",
    "MetricsStatsd",
    "NotifyApprise",
    "NotifyDefault",
    "NotifyDigest",
    "NotifyDiscord",
    "NotifyEmail",
    "NotifyFilter",
    "NotifyMany",
    "NotifySlack",
    "NotifyTeams",
    "NotifyTelegram",
    "NotifyThrottle",
    "NotifyWebhook",
    "SchedulerAt",
    "SchedulerCron",
    "SchedulerDefault",
    "SchedulerInterval",
    "ServerDefault",
    "StorageDefault",
    "StorageAzure",
    "StorageGCS",
    "StorageS3",
    "StorageFile",
    "StoragePostgres",
    "StorageRedis",
    "StorageSQLite",
    "TracerDefault",
    "TracerOpenTelemetry",
    "TracerSentry",
]


def __getattr__(name: str) -> Any:
    if name not in PROVIDERS:
        from dotflow.core.module import nearest

        everything = f"; there are {', '.join(PROVIDERS)}"
        meant = "" if name.startswith("_") else nearest(name, PROVIDERS)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{meant or everything}")
    import importlib

    found = globals()[name] = getattr(importlib.import_module(f"dotflow.providers.{PROVIDERS[name]}"), name)
    return found
