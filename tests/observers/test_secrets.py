"""A secret in every place where one can be, and every sink that could tell it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from leaky_flow import IN_ENVIRONMENT, IN_URL, SECRET, fill
from receivers import Receiver, Request

from dotflow import Config, DotFlow
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.tracer import Tracer
from dotflow.core import around, redact
from dotflow.core.outbox import NEWS
from dotflow.providers import (
    LogDefault,
    LogOpenTelemetry,
    LogStructlog,
    MetricsPrometheus,
    NotifyDigest,
    NotifyDiscord,
    NotifyMany,
    NotifySlack,
    NotifyTeams,
    NotifyTelegram,
    NotifyWebhook,
    ServerDefault,
    StorageSQLite,
    TracerOpenTelemetry,
)

TELEGRAM = "/bot123456:right-token_0/sendMessage"
FORMS = redact._forms(SECRET) | {IN_ENVIRONMENT, IN_URL, "hunter-", "$ecret"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MY_API_TOKEN", IN_ENVIRONMENT)
    redact.refresh()
    before = list(around.surroundings)
    yield
    around.surroundings[:] = before


def clean(sink: str, text: str, *, told: bool = True) -> None:
    """Check that *text* tells no form of a secret, and (*told*) that there was one to tell."""
    found = [form for form in FORMS if form in text]
    assert not found, (sink, found, text[max(0, text.index(found[0]) - 200) :][:400])
    assert "***" in text or not told, (sink, text[:1000])


def run_of(**providers: Any) -> Any:
    config = Config(secrets=[SECRET], capture_output=True, **providers)
    workflow = DotFlow(config, workflow_id=f"flow {SECRET}", name=f"name {SECRET}")
    return fill(workflow).start(keep_going=True)


class Everything(Log, Notify, Tracer, Metrics):
    """Somebody else's: writes down all that it can see of what it is given."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def _note(self, *args: Any, **kwargs: Any) -> None:
        for task in [kwargs.get("task"), *getattr(kwargs.get("run"), "tasks", ())]:
            if task is not None:
                told = [
                    task.task_id, task.workflow_id, task.group_name, task, task.snapshot(),
                    task.result(), task.errors, task.output, task.value, task.error.error, task.initial_context,
                    task.previous_context, task.current_context, [e.traceback for e in task.errors],
                ]  # fmt: skip
                self.heard += [f"{each}{each!r}" for each in told]

    info = error = warning = debug = start_task = end_task = start_workflow = end_workflow = _note  # type: ignore[assignment]
    hook_status_task = hook_status_workflow = _note  # type: ignore[assignment]
    workflow_started = workflow_completed = workflow_failed = _note  # type: ignore[assignment]
    task_completed = task_failed = task_retried = _note  # type: ignore[assignment]


def test_providers_of_somebody_else_are_told_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """In no attribute of what they get."""
    other = Everything()
    run = run_of(log=other, notify=other, tracer=other, metrics=other)

    assert run.observer_faults == []
    assert len(other.heard) > 50
    clean("providers", "\n".join(other.heard))
    captured = capfd.readouterr()
    clean("console", captured.out + captured.err)


def test_logs_tell_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In any format."""
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from structlog.testing import capture_logs

    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    for format in ("simple", "json", "logfmt"):
        log = LogDefault(output="both", path=tmp_path / format, format=format)
        run_of(log=log)
        log.close()
        clean(format, (tmp_path / format).read_text())
    with capture_logs() as entries:
        run_of(log=LogStructlog())
    clean("structlog", repr(entries))
    run_of(log=LogOpenTelemetry(provider=provider))
    clean("OpenTelemetry", " ".join(each.to_json() for each in exporter.get_finished_logs()))
    captured = capfd.readouterr()
    clean("console", captured.out + captured.err)


def told_of(requests: list[Request]) -> Counter[str]:
    """Return how many messages with a masked secret came to each place; how many reports the server gets is chance."""
    masked = (each.path for each in requests if "***" in each.body.decode().replace("\\", ""))
    told = Counter("server" if path.startswith("/cli/workflows") else path for path in masked)
    told["server"] = min(told["server"], 1)
    return told


def test_messages_and_reports_tell_no_secret(receiver: Receiver, tmp_path: Path) -> None:
    """Nor do addresses, nor what waits on the disk; the storage keeps the true values of results, and masked news."""
    url = receiver.url
    receiver.rule = lambda request: (200, {}, '{"ok": true}' if "/bot" in request.path else "ok")
    notifiers = [
        NotifySlack(f"{url}/services/abcdefgh", show_result=True), NotifyDiscord(f"{url}/x/abcdefgh", show_result=True),
        NotifyTeams(f"{url}/w/abcdefgh", show_result=True), NotifyWebhook(url),
        NotifyTelegram("123456:right-token_0", 1, show_result=True, server=url),
        NotifyDigest(NotifySlack(f"{url}/services/abcdefgh")),
    ]  # fmt: skip
    storage = StorageSQLite(str(tmp_path / "db"))
    server = ServerDefault(url, "server-token", spool=tmp_path / "spool.db")
    run = run_of(notify=NotifyMany(*notifiers), server=server, storage=storage)
    assert run.observer_faults == []
    assert run.tasks[1].value["password"] == SECRET
    expected = {"/services/abcdefgh": 5, "/x/abcdefgh": 4, "/w/abcdefgh": 4, "/": 5, TELEGRAM: 4, "server": 1}
    assert told_of(receiver.got) == expected
    for request in receiver.got:
        text = request.body.decode()
        clean(request.path, text + (json.dumps(request.json(), ensure_ascii=False) if text else ""), told=False)
        clean("address", request.path, told=False)
    receiver.rule = lambda request: (503, {}, "away")
    run_of(server=ServerDefault(url, "server-token", spool=tmp_path / "spool.db"))
    clean("spool", (tmp_path / "spool.db").read_bytes().decode("latin-1"), told=False)


def test_spans_and_metrics_tell_no_secret() -> None:
    """In names, attributes and events."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from prometheus_client import CollectorRegistry, generate_latest

    exporter, provider, registry = InMemorySpanExporter(), TracerProvider(), CollectorRegistry()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run_of(tracer=TracerOpenTelemetry(provider=provider), metrics=MetricsPrometheus(registry))

    clean("spans", " ".join(span.to_json() for span in exporter.get_finished_spans()))
    clean("metrics", generate_latest(registry).decode(), told=False)


def test_sentry_is_told_no_secret(receiver: Receiver) -> None:
    """In messages, tags, breadcrumbs and spans."""
    dsn = receiver.url.replace("http://", "http://public@") + "/1"
    program = (
        "import sentry_sdk, leaky_flow\nfrom dotflow import Config, DotFlow\n"
        "from dotflow.providers import LogSentry, TracerSentry\n"
        f"sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0, default_integrations=False)\n"
        f"log, tracer = LogSentry({dsn!r}), TracerSentry()\n"
        "config = Config(log=log, tracer=tracer, secrets=[leaky_flow.SECRET], capture_output=True)\n"
        "w = leaky_flow.fill(DotFlow(config, workflow_id=f'flow {leaky_flow.SECRET}'))\n"
        "r = w.start(keep_going=True); assert not r.observer_faults, r.observer_faults\nsentry_sdk.flush()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    clean("console", done.stdout + done.stderr)
    import gzip

    bodies = [gzip.decompress(each.body) if each.body[:2] == b"\x1f\x8b" else each.body for each in receiver.got]
    clean("sentry", b" ".join(bodies).decode())


@pytest.mark.parametrize("words", [["--mode", "sequential"], ["--mode", "parallel"]])
def test_the_command_line_tells_no_secret(words: list[str]) -> None:
    """In the report of a run that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "dotflow", "start", "--workflow", "leaky_flow:make", *words],
        cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    clean("output", done.stdout + done.stderr)
    assert "cannot log in with ***" in done.stdout + done.stderr


def test_the_fault_of_an_observer_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor when it is printed."""

    class Broken(Notify):
        def hook_status_task(self, task: Any) -> None:
            raise ConnectionError(f"https://me:{IN_URL}@host is away, {SECRET}")

    run = run_of(notify=Broken())

    clean("faults", f"{run.observer_faults}{run.observer_faults[0]}")
    clean("log", caplog.text)


def test_a_message_that_is_owed_is_kept_without_secrets(tmp_path: Path) -> None:
    """In the storage; a result is kept as it is, since steps compute with it."""

    class Away(Notify):
        def hook_status_task(self, task: Any) -> None:
            raise ConnectionError("away")

    storage = StorageSQLite(str(tmp_path / "db"))
    run_of(notify=Away(), storage=storage)
    news = [storage.get(key).storage for key in storage.list_keys() if NEWS in key]

    text = json.dumps(news, ensure_ascii=False).replace(json.dumps(f"leaks {SECRET}", ensure_ascii=False), "")
    clean("news", text)
    assert any("returns" in key and SECRET in json.dumps(storage.get(key).storage, ensure_ascii=False).replace("\\", "")
               for key in storage.list_keys())  # fmt: skip


def test_half_a_secret_at_a_cut_is_masked() -> None:
    """What is too long is cut after it is masked."""
    redact.register([SECRET])
    half = redact.TEXT_MOST // 2
    for shift in range(len(SECRET) + 1):
        text = redact.mask_long("x" * (half - shift) + SECRET + "y" * 200_000 + SECRET + "z" * (half - shift))
        clean("cut", text, told=False)
        assert len(text) < redact.TEXT_MOST + 100
