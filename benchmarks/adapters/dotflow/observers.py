"""What each in-process observer costs a step."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.adapters.dotflow.flows import add_chain, warm
from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import now, scratch
from dotflow import Config, DotFlow, providers
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.tracer import Tracer

Providers = dict[str, Any]


class Counted(Log, Tracer, Metrics):
    """An observer of all three kinds that counts and does nothing else: what is left is the engine's own cost."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self, *_arguments: Any, **_more: Any) -> None:
        self.calls += 1

    info = error = start_task = end_task = task_completed = task_failed = task_retried = count
    start_workflow = end_workflow = workflow_started = workflow_completed = workflow_failed = count


def counting(n: int) -> Measured:
    """Have one observer of each kind that counts: the engine must tell them all."""
    warm()
    log, tracer, metrics = Counted(), Counted(), Counted()
    start = now()
    workflow = add_chain(DotFlow(Config(log=log, tracer=tracer, metrics=metrics)), n)
    workflow.start()
    seconds = now() - start
    told = [
        log.calls,
        tracer.calls,
        metrics.calls,
    ]  # started and completed; the same and the run; completed and the run
    return measured(seconds, n, workflow.result_storage()[-1] == n and told == [2 * n, 2 * n + 2, n + 2])


def observed(n: int, make: str, times: int = 3) -> Measured:
    """Run a chain with the observers that the function *make* of ``MAKERS`` lends; the median of *times* runs."""
    with MAKERS[make]() as found:
        warm(**found)
        taken = []
        for _ in range(times):
            start = now()
            workflow = add_chain(DotFlow(Config(**found)), n)
            workflow.start()
            taken.append(now() - start)
            assert workflow.result_storage()[-1] == n
    return measured(sorted(taken)[times // 2], n, True)


@contextmanager
def nobody() -> Iterator[Providers]:
    yield {}


def log_default(style: str) -> Callable[[], Any]:
    @contextmanager
    def lend() -> Iterator[Providers]:
        path = scratch() / "flow.log"
        yield {"log": providers.LogDefault(output="file", path=path, format=style)}
        assert path.stat().st_size

    return lend


@contextmanager
def log_structlog() -> Iterator[Providers]:
    import structlog

    with (scratch() / "structlog.log").open("w") as file:
        logger = structlog.wrap_logger(
            structlog.PrintLogger(file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
        )
        yield {"log": providers.LogStructlog(logger=logger)}
        assert file.tell()


@contextmanager
def log_opentelemetry() -> Iterator[Providers]:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter

    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    yield {"log": providers.LogOpenTelemetry(provider=provider)}
    provider.force_flush()
    assert exporter.get_finished_logs()
    provider.shutdown()


@contextmanager
def tracer_opentelemetry() -> Iterator[Providers]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    yield {"tracer": providers.TracerOpenTelemetry(provider=provider)}
    provider.force_flush()
    assert exporter.get_finished_spans()
    provider.shutdown()


@contextmanager
def metrics_opentelemetry() -> Iterator[Providers]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    yield {"metrics": providers.MetricsOpenTelemetry(provider=provider)}
    assert reader.get_metrics_data()
    provider.shutdown()


@contextmanager
def metrics_prometheus() -> Iterator[Providers]:
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    yield {"metrics": providers.MetricsPrometheus(registry)}
    assert b"dotflow_task_total" in generate_latest(registry)


@contextmanager
def metrics_statsd() -> Iterator[Providers]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield {"metrics": providers.MetricsStatsd(port=server.getsockname()[1])}
        assert server.recv(65_536)


def sentry(make: Callable[[], Providers]) -> Callable[[], Any]:
    """Return a function that lends an observer with a Sentry client whose transport drops everything."""

    @contextmanager
    def lend() -> Iterator[Providers]:
        import sentry_sdk
        from sentry_sdk.transport import Transport

        class Dropped(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                pass

        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Dropped)
        yield make()

    return lend


@contextmanager
def own_lines() -> Iterator[Providers]:
    """Lend a log of the third-party kind: a subclass that sets ``_logger`` and inherits the rest."""

    class Own(Log):
        def __init__(self, logger: logging.Logger) -> None:
            self._logger = logger

    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.FileHandler(scratch() / "own.log"))
    yield {"log": Own(logger)}


MAKERS: dict[str, Callable[[], Any]] = {
    "none": nobody,
    "LogDefault, file, simple": log_default("simple"),
    "LogDefault, file, json": log_default("json"),
    "LogDefault, file, logfmt": log_default("logfmt"),
    "a Log with its own logger": own_lines,
    "LogStructlog": log_structlog,
    "LogOpenTelemetry": log_opentelemetry,
    "LogSentry": sentry(lambda: {"log": providers.LogSentry(None)}),
    "TracerOpenTelemetry": tracer_opentelemetry,
    "TracerSentry": sentry(lambda: {"tracer": providers.TracerSentry()}),
    "MetricsOpenTelemetry": metrics_opentelemetry,
    "MetricsPrometheus": metrics_prometheus,
    "MetricsStatsd": metrics_statsd,
}
CASES: Cases = {
    "W2o": {
        **{name: Case(observed, {"n": 1_000, "make": name}) for name in MAKERS},
        "log + tracer + metrics that count": Case(counting, {"n": 10_000}),
    },
}
