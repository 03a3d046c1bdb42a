"""The public surface of dotflow 1.x: what is kept, and what is not."""

from __future__ import annotations

EXCEPTIONS = (
    "NotCallableObject MissingActionDecorator ExecutionModeNotExist ImportModuleError ModuleNotFound "
    "InvalidWorkflowFactory WorkflowFlagConflict InputChangedError InvalidOnInputChange"
)
PROVIDERS = (
    "StorageDefault StorageFile StorageS3 StorageGCS NotifyDefault NotifyTelegram NotifyDiscord LogDefault "
    "LogOpenTelemetry LogSentry SchedulerDefault SchedulerCron TracerDefault TracerOpenTelemetry TracerSentry "
    "MetricsDefault MetricsOpenTelemetry ServerDefault"
)
MODULES = (
    "storage_default storage_file storage_s3 storage_gcs notify_default notify_telegram notify_discord log_default "
    "log_opentelemetry log_sentry scheduler_default scheduler_cron tracer_default tracer_opentelemetry tracer_sentry "
    "metrics_default metrics_opentelemetry server_default"
)

KEPT = {
    "dotflow": "DotFlow Config Context Task action",
    "dotflow.abc.storage": "Storage",
    "dotflow.abc.notify": "Notify",
    "dotflow.abc.log": "Log LEVELS",
    "dotflow.abc.scheduler": "Scheduler",
    "dotflow.abc.tracer": "Tracer",
    "dotflow.abc.metrics": "Metrics",
    "dotflow.abc.server": "Server",
    "dotflow.core.context": "Context",
    "dotflow.core.action": "Action",
    "dotflow.core.config": "Config",
    "dotflow.core.dotflow": "DotFlow",
    "dotflow.core.task": "Task TaskBuilder TaskError",
    "dotflow.core.workflow": "Manager grouper",
    "dotflow.core.exception": f"{EXCEPTIONS} TaskError",
    "dotflow.core.types": "TypeExecution TypeStatus TypeOverlap TypeStorage TypeInputChange WorkflowStatus "
    "VALID_POLICIES",
    "dotflow.core.types.status": "TypeStatus",
    "dotflow.core.types.execution": "TypeExecution",
    "dotflow.core.types.overlap": "TypeOverlap",
    "dotflow.core.types.workflow": "WorkflowStatus",
    "dotflow.core.types.storage": "TypeStorage",
    "dotflow.core.types.input_change": "TypeInputChange",
    "dotflow.providers": PROVIDERS,
    "dotflow.testing": "StorageContract",
    "dotflow.testing.storage_contract": "StorageContract",
    **{f"dotflow.providers.{module}": name for module, name in zip(MODULES.split(), PROVIDERS.split(), strict=True)},
}

# Each is named in docs/migration.md, with what takes its place, and in an ADR (0014, 0052).
GONE = {
    "dotflow.abc.log": "LogRecord LogRecordError",
    "dotflow.abc.flow": "Flow",
    "dotflow.abc.http": "HTTPRequest",
    "dotflow.abc.tcp": "TCPClient TCPServer",
    "dotflow.abc.file": "",
    "dotflow.core.context": "ContextInstance",
    "dotflow.core.task": "TaskInstance",
    "dotflow.core.engine": "TaskEngine",
    "dotflow.core.exception": "ProblemOrdering ExecutionWithClassError",
    "dotflow.core.decorators": "time",
    "dotflow.core.serializers": "SerializerTask SerializerTaskError SerializerWorkflow",
    "dotflow.types": "",
    "dotflow.settings": "Settings",
    "dotflow.utils": "basic_callback basic_function",
    "dotflow.logging": "",
}

NEEDED = object()  # a parameter without a default

# Parameters that could be given by position, in their order, then those that could be given by name.
SIGNATURES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "dotflow:action": (
        {"func": None, "task": None, "retry": 1, "timeout": 0, "retry_delay": 1, "backoff": False},
        {},
    ),
    "dotflow:Context": ({"storage": None, "task_id": "", "workflow_id": None}, {}),
    "dotflow:DotFlow": ({"config": None, "workflow_id": None, "name": None}, {}),
    "dotflow:Config": (
        dict.fromkeys(["storage", "notify", "log", "server", "scheduler", "tracer", "metrics"]),
        {},
    ),
    "dotflow:Task": (
        {
            "task_id": NEEDED,
            "step": NEEDED,
            "callback": ...,
            "initial_context": None,
            "workflow_id": None,
            "config": None,
            "group_name": "default",
        },
        {},
    ),
    "dotflow.core.task:TaskBuilder": ({"config": NEEDED, "workflow_id": None, "workflow_name": None}, {}),
    "dotflow.core.task:TaskBuilder.add": (
        {"step": NEEDED, "callback": ..., "initial_context": None, "group_name": "default"},
        {},
    ),
    "dotflow.core.task:TaskError": ({"error": None, "attempt": None}, {}),
    "dotflow:Task.result": ({"max": None}, {}),
    "dotflow:DotFlow.start": (
        {},
        {
            "mode": "sequential",
            "on_success": ...,
            "on_failure": ...,
            "keep_going": False,
            "resume": False,
            "on_input_change": "reuse",
            "fingerprint": None,
        },
    ),
    "dotflow.core.exception:NotCallableObject": ({"name": NEEDED}, {}),
    "dotflow.core.exception:MissingActionDecorator": ({}, {}),
    "dotflow.core.exception:ExecutionModeNotExist": ({}, {}),
    "dotflow.core.exception:ImportModuleError": ({"module": NEEDED}, {}),
    "dotflow.core.exception:ModuleNotFound": ({"module": NEEDED, "library": NEEDED}, {}),
    "dotflow.core.exception:InvalidWorkflowFactory": ({"factory": NEEDED}, {}),
    "dotflow.core.exception:WorkflowFlagConflict": ({"flag": NEEDED}, {}),
    "dotflow.core.exception:InputChangedError": ({"workflow_id": NEEDED}, {}),
    "dotflow.core.exception:InvalidOnInputChange": ({"value": NEEDED}, {}),
    "dotflow.abc.storage:Storage.post": ({"key": NEEDED, "context": NEEDED}, {}),
    "dotflow.abc.storage:Storage.get": ({"key": NEEDED}, {}),
    "dotflow.abc.storage:Storage.key": ({"task": NEEDED}, {}),
    "dotflow.abc.storage:Storage.clear": ({"workflow_id": NEEDED}, {}),
    "dotflow.abc.storage:Storage.delete": ({"key": NEEDED}, {}),
    "dotflow.abc.storage:Storage.delete_prefix": ({"prefix": NEEDED}, {}),
    "dotflow.abc.storage:Storage.list_keys": ({"prefix": ...}, {}),
    "dotflow.abc.storage:Storage.atomic_swap": ({"key": NEEDED, "expected": NEEDED, "new": NEEDED}, {}),
    "dotflow.abc.notify:Notify.hook_status_task": ({"task": NEEDED}, {}),
    "dotflow.abc.scheduler:Scheduler.start": ({"workflow": NEEDED}, {}),
    "dotflow.abc.scheduler:Scheduler.stop": ({}, {}),
    "dotflow.abc.tracer:Tracer.start_workflow": ({"workflow_id": NEEDED}, {}),
    "dotflow.abc.tracer:Tracer.end_workflow": ({"workflow_id": NEEDED}, {}),
    "dotflow.abc.tracer:Tracer.start_task": ({"task": NEEDED}, {}),
    "dotflow.abc.tracer:Tracer.end_task": ({"task": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.workflow_started": ({"workflow_id": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.workflow_completed": ({"workflow_id": NEEDED, "duration": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.workflow_failed": ({"workflow_id": NEEDED, "duration": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.task_completed": ({"task": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.task_failed": ({"task": NEEDED}, {}),
    "dotflow.abc.metrics:Metrics.task_retried": ({"task": NEEDED}, {}),
    "dotflow.abc.server:Server.create_workflow": ({"workflow": NEEDED}, {}),
    "dotflow.abc.server:Server.update_workflow": ({"workflow": NEEDED, "status": ""}, {}),
    "dotflow.abc.server:Server.create_task": ({"task": NEEDED}, {}),
    "dotflow.abc.server:Server.update_task": ({"task": NEEDED}, {}),
    "dotflow.providers:StorageDefault": ({}, {}),
    "dotflow.providers:StorageDefault.post": ({"key": NEEDED, "context": NEEDED, "ttl": None}, {}),
    "dotflow.providers:StorageDefault.atomic_swap": (
        {"key": NEEDED, "expected": NEEDED, "new": NEEDED, "ttl": None},
        {},
    ),
    "dotflow.providers:StorageFile.post": ({"key": NEEDED, "context": NEEDED, "ttl": None}, {}),
    "dotflow.providers:StorageFile.atomic_swap": ({"key": NEEDED, "expected": NEEDED, "new": NEEDED, "ttl": None}, {}),
    "dotflow.providers:StorageS3.post": ({"key": NEEDED, "context": NEEDED, "ttl": None}, {}),
    "dotflow.providers:StorageGCS.post": ({"key": NEEDED, "context": NEEDED, "ttl": None}, {}),
    "dotflow.providers:StorageFile": ({}, {"path": ".output"}),
    "dotflow.providers:StorageS3": ({}, {"bucket": ..., "prefix": "dotflow/", "region": None}),
    "dotflow.providers:StorageGCS": ({}, {"bucket": NEEDED, "prefix": "dotflow/", "project": None}),
    "dotflow.providers:NotifyDefault": ({}, {}),
    "dotflow.providers:NotifyTelegram": (
        {"token": NEEDED, "chat_id": NEEDED, "notification_type": None, "show_result": False, "timeout": 1.5},
        {},
    ),
    "dotflow.providers:NotifyDiscord": (
        {"webhook_url": NEEDED, "notification_type": None, "show_result": False, "timeout": 1.5},
        {},
    ),
    "dotflow.providers:LogDefault": (
        {"level": "INFO", "output": "console", "path": ".output/flow.log", "format": "simple"},
        {},
    ),
    "dotflow.providers:LogOpenTelemetry": (
        {
            "service_name": "dotflow",
            "level": "INFO",
            "output": "console",
            "path": ".output/flow.log",
            "format": "simple",
        },
        {},
    ),
    "dotflow.providers:LogSentry": ({"dsn": NEEDED, "environment": None, "traces_sample_rate": 0.0}, {}),
    "dotflow.providers:SchedulerDefault": ({}, {}),
    "dotflow.providers:SchedulerCron": ({"cron": NEEDED, "overlap": "skip"}, {}),
    "dotflow.providers:TracerDefault": ({}, {}),
    "dotflow.providers:TracerOpenTelemetry": ({"service_name": "dotflow"}, {}),
    "dotflow.providers:TracerSentry": ({"dsn": None, "environment": None, "traces_sample_rate": 1.0}, {}),
    "dotflow.providers:MetricsDefault": ({}, {}),
    "dotflow.providers:MetricsOpenTelemetry": ({"service_name": "dotflow"}, {}),
    "dotflow.providers:ServerDefault": ({"base_url": None, "user_token": None, "timeout": ...}, {}),
}

CONSTANTS = {
    "TypeStatus": {
        "NOT_STARTED": "Not started",
        "IN_PROGRESS": "In progress",
        "COMPLETED": "Completed",
        "PAUSED": "Paused",
        "RETRY": "Retry",
        "FAILED": "Failed",
    },
    "TypeExecution": {"SEQUENTIAL": "sequential", "BACKGROUND": "background", "PARALLEL": "parallel"},
    "TypeOverlap": {"SKIP": "skip", "QUEUE": "queue", "PARALLEL": "parallel"},
    "TypeStorage": {"DEFAULT": "default", "FILE": "file", "S3": "s3", "GCS": "gcs"},
    "TypeInputChange": {"REUSE": "reuse", "RESET": "reset", "RAISE": "raise"},
    "WorkflowStatus": {"NEW": "New", "IN_PROGRESS": "In progress", "COMPLETED": "Completed", "FAILED": "Failed"},
}

FLAGS = {
    "start": "-s --step -w --workflow -c --callback -i --initial-context -o --storage -p --path -m --mode --resume",
    "schedule": "-s --step --cron -c --callback -i --initial-context -o --storage -p --path -m --mode --resume "
    "--overlap",
}
