"""Logs, traces and metrics: on the libraries' own exporters, and on a real scrape."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import traced_steps
from receivers import Receiver
from traced_steps import talks, traces, works

from dotflow import Config, DotFlow
from dotflow.core.exception import ConfigurationError
from dotflow.providers import (
    ExecutorThread,
    LogDefault,
    LogOpenTelemetry,
    LogStructlog,
    MetricsOpenTelemetry,
    MetricsPrometheus,
    MetricsStatsd,
    TracerOpenTelemetry,
)


def run(*steps: Any, mode: str = "sequential", **providers: Any) -> Any:
    workflow = DotFlow(Config(**providers), workflow_id="observed")
    workflow.task.add(list(steps))
    return workflow.start(mode=mode, keep_going=True)


@pytest.fixture
def spans() -> Iterator[tuple[Any, Any]]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_spans_have_the_names_and_attributes_of_the_specification(spans: tuple[Any, Any]) -> None:
    """A root for the run, a child for each task, and what failed."""
    provider, exporter = spans
    run(works, talks, tracer=TracerOpenTelemetry(provider=provider))

    found = {span.name: span for span in exporter.get_finished_spans()}
    root, good, bad = found["workflow:observed"], found["task:works"], found["task:talks"]
    assert root.parent is None
    assert {good.parent.span_id, bad.parent.span_id} == {root.context.span_id}
    assert dict(root.attributes) == {
        "dotflow.workflow_id": "observed", "dotflow.mode": "sequential", "dotflow.tasks_count": "2",
        "dotflow.duration": root.attributes["dotflow.duration"],
    }  # fmt: skip
    assert (root.status.status_code.name, root.status.description) == ("ERROR", "workflow failed")
    assert good.status.status_code.name == "OK"
    assert good.attributes["dotflow.task.status"] == "Completed"
    assert good.attributes["dotflow.task.duration"] >= 0
    assert (bad.status.status_code.name, bad.status.description) == ("ERROR", "Failed")
    assert bad.attributes["dotflow.task.retry_count"] == 1
    [event] = bad.events
    assert (event.name, dict(event.attributes)) == (
        "exception", {"exception.type": "ValueError", "exception.message": "again"},
    )  # fmt: skip


@pytest.mark.parametrize("place", ["inline", "thread", "process"])
def test_a_span_inside_a_step_is_a_child_of_its_task(spans: tuple[Any, Any], place: str) -> None:
    """One trace from the run into the user's span, through a worker process too."""
    provider, exporter = spans
    options = {"executor": ExecutorThread()} if place == "thread" else {}
    tracer = TracerOpenTelemetry(provider=provider)
    done = run(traces, mode="parallel" if place == "process" else "sequential", tracer=tracer, **options)

    done.raise_for_failure()
    pid, trace_id, parent = done.tasks[0].current_context.storage
    [task] = [span for span in exporter.get_finished_spans() if span.name == "task:traces"]
    assert (trace_id, parent) == (task.context.trace_id, task.context.span_id)
    assert (pid != os.getpid()) == (place == "process")


def test_a_provider_of_the_application_is_used_and_not_replaced() -> None:
    """And where there is none, one is made."""
    program = """
from opentelemetry import trace, metrics, _logs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.metrics import MeterProvider
from dotflow.providers import TracerOpenTelemetry, MetricsOpenTelemetry, LogOpenTelemetry
mine = TracerProvider()
trace.set_tracer_provider(mine)
TracerOpenTelemetry(); TracerOpenTelemetry("again")
assert trace.get_tracer_provider() is mine
MetricsOpenTelemetry("made"); made = metrics.get_meter_provider()
MetricsOpenTelemetry("other")
assert metrics.get_meter_provider() is made and type(made) is MeterProvider
LogOpenTelemetry("made", output="console"); made = _logs.get_logger_provider()
LogOpenTelemetry("other")
assert _logs.get_logger_provider() is made
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_metrics_of_opentelemetry() -> None:
    """Each instrument, with its attributes."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    run(works, talks, metrics=MetricsOpenTelemetry(provider=provider))

    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, dict(point.attributes or {}).get("status")): getattr(point, "value", getattr(point, "count", 0))
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    provider.shutdown()
    assert found == {
        ("dotflow_workflow_total", "started"): 1,
        ("dotflow_workflow_total", "failed"): 1,
        ("dotflow_workflow_duration_seconds", "failed"): 1,
        ("dotflow_task_total", "completed"): 1,
        ("dotflow_task_total", "failed"): 1,
        ("dotflow_task_duration_seconds", "completed"): 1,
        ("dotflow_task_duration_seconds", "failed"): 1,
        ("dotflow_task_retry_total", None): 1,
    }


def test_prometheus_can_scrape() -> None:
    """Over HTTP, twice on one registry."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    metrics, _ = MetricsPrometheus(registry, port=0), MetricsPrometheus(registry)
    run(works, talks, metrics=metrics)
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    metrics.close()

    for line in (
        'dotflow_workflow_total{status="started"} 1.0',
        'dotflow_workflow_total{status="failed"} 1.0',
        'dotflow_task_total{status="completed"} 1.0',
        'dotflow_task_duration_seconds_count{status="failed"} 1.0',
        "dotflow_task_retry_total 1.0",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("tags", "wanted"), [(False, "dotflow.task.failed:1|c"), (True, "dotflow.task:1|c|#status:failed")]
)
def test_statsd_gets_packets(tags: bool, wanted: str) -> None:
    """One packet a figure; a port where nobody listens is no fault."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        metrics = MetricsStatsd(port=server.getsockname()[1], tags=tags)
        done = run(works, talks, metrics=metrics)
        packets = [server.recv(500).decode() for _ in range(8)]
    run(works, metrics=metrics)
    metrics.close()

    assert done.observer_faults == []
    assert wanted in packets
    assert "dotflow.task.retry:1|c" in packets


def test_log_records_of_opentelemetry() -> None:
    """Severity, text, and the error's attributes."""
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    run(talks, log=LogOpenTelemetry(provider=provider))
    records = [each.log_record for each in exporter.get_finished_logs()]
    provider.shutdown()

    assert [record.severity_text for record in records] == ["INFO", "WARNING", "ERROR"]
    assert records[2].attributes["exception.message"] == "again"
    assert records[0].body == "ID observed - talks - In progress"


def test_structlog_gets_fields() -> None:
    """Its own test processor sees them."""
    from structlog.testing import capture_logs

    with capture_logs() as found:
        run(talks, log=LogStructlog())

    assert [(entry["log_level"], entry["status"]) for entry in found] == [
        ("info", "In progress"), ("warning", "Retry"), ("error", "Failed"),
    ]  # fmt: skip
    assert found[2]["message"] == "again"


def test_sentry_gets_the_failure_and_the_trace(receiver: Receiver) -> None:
    """Envelopes at a real address: a message with breadcrumbs, and a transaction with a span."""
    receiver.rule = lambda request: (200, {}, "{}")
    dsn = receiver.url.replace("http://", "http://abcdef0123456789@") + "/1"
    program = f"""
import sentry_sdk
from dotflow import Config, DotFlow
from dotflow.providers import LogSentry, TracerSentry
from traced_steps import works, fails
sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0, default_integrations=False)
w = DotFlow(Config(log=LogSentry({dsn!r}), tracer=TracerSentry()), workflow_id="observed")
w.task.add([works, fails])
run = w.start()
assert run.observer_faults == [], run.observer_faults
sentry_sdk.flush()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    items = []
    for request in receiver.got:
        body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body
        items += [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
    [message] = [item for item in items if item.get("message") == "Task fails failed: wrong"]
    assert message["level"] == "error"
    assert message["extra"]["exception"] == "ValueError"
    assert next(crumb["message"] for crumb in message["breadcrumbs"]["values"]) == "task:works In progress"
    [transaction] = [item for item in items if "transaction" in item and "spans" in item]
    assert transaction["transaction"] == "workflow:observed"
    assert [(span["op"], span["description"], span["status"]) for span in transaction["spans"]] == [
        ("task", "task:works", "ok"), ("task", "task:fails", "internal_error"),
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["inline", "thread", "process"])
def test_the_users_own_lines_carry_the_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """In this thread, in others, and in worker processes."""
    path = tmp_path / "steps.log"
    monkeypatch.setenv("STEPS_LOG", str(path))
    handler = traced_steps.handler
    monkeypatch.setattr(handler, "baseFilename", str(path))
    if handler.stream is not None:
        handler.close()
        handler.stream = None
    options = {"executor": ExecutorThread()} if place == "thread" else {}
    run(talks, mode="parallel" if place == "process" else "sequential", **options)
    traced_steps.logger.info("outside")
    handler.close()

    assert path.read_text().splitlines() == ["observed|talks|1|at work", "observed|talks|2|at work", "||0|outside"]


def test_formats_of_the_default_log(tmp_path: Path) -> None:
    """JSON and logfmt are one record a line, whatever a step says."""
    for form in ("json", "logfmt"):
        log = LogDefault(output="file", path=tmp_path / form, format=form)
        run(talks, log=log)
    entries = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    lines = (tmp_path / "logfmt").read_text().splitlines()

    assert [entry["status"] for entry in entries] == ["In progress", "Retry", "Failed"]
    assert entries[2]["error"] == {"exception": "ValueError", "message": "again"}
    assert 'status="In progress"' in lines[0]
    assert lines[2].endswith("exception=ValueError message=again")


def test_a_log_file_rotates(tmp_path: Path) -> None:
    """It stays below its size, and so many old ones are kept."""
    log = LogDefault(output="file", path=tmp_path / "flow.log", max_bytes=500, backups=2)
    for _ in range(20):
        run(works, log=log)

    assert sorted(each.name for each in tmp_path.iterdir()) == ["flow.log", "flow.log.1", "flow.log.2"]
    assert all(each.stat().st_size <= 500 for each in tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"format": "xml"}, {"level": "LOUD"}, {"max_bytes": -1}, {"backups": 0}])
def test_a_log_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """By name, at the constructor."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LogDefault(**wrong)


def test_observers_that_nobody_asked_for_are_not_imported() -> None:
    """A run without them loads none of their libraries."""
    program = (
        "import sys\nfrom dotflow import DotFlow, action\n@action\ndef a(): pass\n"
        "w = DotFlow(); w.task.add(a); w.start()\n"
        "names = ['dotflow.core.redact', 'urllib.request', 'opentelemetry', 'sentry_sdk', 'logging', 'asyncio']\n"
        "print([n for n in names if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
