"""Observers that raise, or take their time: for ``test_observers`` and its program ``observer_case``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from e2e_tools import note

from dotflow import Config, action
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.server import Server
from dotflow.abc.tracer import Tracer


class Refusal(Exception):
    """What the observers raise."""


class Calls:
    """Counts calls by the name under which the run counts their faults, and does *act* at each of them."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.counts: dict[str, int] = {}
        self._act = act

    def __call__(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self._act()


def refuse() -> None:
    raise Refusal("no")


class BadNotify(Notify):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def hook_status_task(self, task: Any) -> None:
        self.calls("BadNotify")


class BadLog(Log):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def info(self, **kwargs: Any) -> None:
        self.calls("BadLog")

    def error(self, **kwargs: Any) -> None:
        self.calls("BadLog")


class BadTracer(Tracer):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        self.calls("BadTracer")

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        self.calls("BadTracer")

    def start_task(self, task: Any) -> None:
        self.calls("BadTracer")

    def end_task(self, task: Any) -> None:
        self.calls("BadTracer")


class BadMetrics(Metrics):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        self.calls("BadMetrics")

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        self.calls("BadMetrics")

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        self.calls("BadMetrics")

    def task_completed(self, task: Any) -> None:
        self.calls("BadMetrics")

    def task_failed(self, task: Any) -> None:
        self.calls("BadMetrics")

    def task_retried(self, task: Any) -> None:
        self.calls("BadMetrics")


class BadServer(Server):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def create_workflow(self, workflow: Any) -> None:
        self.calls("BadServer")

    def update_workflow(self, workflow: Any, status: str = "") -> None:
        self.calls("BadServer")

    def create_task(self, task: Any) -> None:
        self.calls("BadServer")

    def update_task(self, task: Any) -> None:
        self.calls("BadServer")


KINDS: dict[str, Callable[[Calls], Any]] = {
    "notify": BadNotify,
    "log": BadLog,
    "tracer": BadTracer,
    "metrics": BadMetrics,
    "server": BadServer,
}


def config_of(calls: Calls, *names: str) -> Config:
    """Return a config whose providers of those names do what *calls* does."""
    return Config(**{name: KINDS[name](calls) for name in names})


def callbacks_of(calls: Calls) -> dict[str, Any]:
    """Return arguments of ``start`` that do what *calls* does."""

    def on_end(tasks: Any) -> None:
        calls("on_success/on_failure")

    def listen(event: Any) -> None:
        calls("callbacks_of.<locals>.listen")

    return {"on_success": on_end, "on_failure": on_end, "listeners": [listen]}


def callback_of(calls: Calls) -> Callable[..., None]:
    """Return a callback of a task that does what *calls* does."""

    def callback(task: Any) -> None:
        calls("callback")

    return callback


class SlowNotify(Notify):
    """Takes *seconds* for each call, and notes it then."""

    def __init__(self, seconds: float, journal: str) -> None:
        self.seconds, self.journal = seconds, journal

    def hook_status_task(self, task: Any) -> None:
        time.sleep(self.seconds)
        note(self.journal, task=task.task_id, status=task.status)


@action
def works(previous_context: Any) -> int:
    """Take a while, and count."""
    time.sleep(0.05)
    return (previous_context.storage or 0) + 1


@action
def counts(previous_context: Any) -> int:
    return (previous_context.storage or 0) + 1


@action(retry=2, retry_delay=0)
def fails() -> None:
    raise ValueError("on purpose")
