"""The page this system was asked for: its samples word for word, and a test for each of its sentences."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import inspect
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import redis

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import NotCallableObject
from dotflow.core.types import TypeStatus

PAGE = """\
Skip to content

Custom Providers

Dotflow is designed to be extensible. Every integration point — storage, notifications, logging, and scheduling — is backed by a provider that you can replace with your own implementation.

Providers follow a simple pattern: an abstract base class (ABC) defines the contract with the methods you need to implement, and your concrete class inherits from it. Dotflow takes care of calling your provider at the right time during the workflow lifecycle.

This means you can persist task output to any database, send notifications to any channel, log to any service, or schedule workflows with any mechanism — without modifying dotflow itself.

Available ABCs

ABC Import Methods Purpose
Storage dotflow.abc.storage post(), get(), key() Persist and retrieve task context between steps
Notify dotflow.abc.notify hook_status_task() Hook called when a task status changes
Log dotflow.abc.log info(), error() Log task status changes during execution
Scheduler dotflow.abc.scheduler start(), stop() Control recurring workflow execution on a schedule

Custom Storage

The Storage provider is called after every task completes, saving the task context so it can be retrieved by subsequent steps or used for checkpoint-based resume.

You need to implement three methods:

  • post(key, context) — save a context object under the given key
  • get(key) — retrieve a context object by key, returning a Context with storage=None if not found
  • key(task) — generate a unique key for the given task
from dotflow.abc.storage import Storage
from dotflow.core.context import Context


class StorageRedis(Storage):
    def __init__(self, host: str = "localhost", port: int = 6379):
        import redis
        self.client = redis.Redis(host=host, port=port)

    def post(self, key: str, context: Context) -> None:
        import json
        self.client.set(key, json.dumps(context.storage))

    def get(self, key: str) -> Context:
        import json
        data = self.client.get(key)
        return Context(storage=json.loads(data) if data else None)

    def key(self, task):
        return f"{task.workflow_id}:{task.task_id}"

Custom Scheduler

The Scheduler provider controls how and when workflows are executed on a recurring basis. The start() method receives the workflow callable and should block the main thread, calling it on each scheduled tick. The stop() method is called to shut down the loop gracefully.

  • start(workflow, **kwargs) — start the scheduling loop, calling workflow(**kwargs) on each tick
  • stop() — signal the loop to stop
from collections.abc import Callable

from dotflow.abc.scheduler import Scheduler


class SchedulerInterval(Scheduler):
    def __init__(self, seconds: int = 60):
        self.seconds = seconds
        self.running = False

    def start(self, workflow: Callable, **kwargs) -> None:
        import time
        self.running = True
        while self.running:
            workflow(**kwargs)
            time.sleep(self.seconds)

    def stop(self) -> None:
        self.running = False

Custom Notify

The Notify provider is called when a task status changes. It receives the full task object, so you can inspect its status, errors, context, and duration to decide what to send and where.

  • hook_status_task(task) — hook called when a task status changes
from typing import Any

from dotflow.abc.notify import Notify


class NotifySlack(Notify):
    def __init__(self, webhook_url: str):
        self.webhook_url = webhook_url

    def hook_status_task(self, task: Any) -> None:
        import requests
        requests.post(self.webhook_url, json={
            "text": f"Task {task.task_id}: {task.status}"
        })

Using custom providers

Pass your providers to Config and dotflow will use them throughout the workflow lifecycle. You can replace one, some, or all providers — anything you don't specify falls back to the default (no-op) implementation.

from dotflow import Config, DotFlow

config = Config(
    storage=StorageRedis(host="redis.local"),
    scheduler=SchedulerInterval(seconds=300),
    notify=NotifySlack(webhook_url="https://hooks.slack.com/..."),
)

workflow = DotFlow(config=config)

Note

Custom providers must inherit from the corresponding ABC. Config validates all providers at construction time with isinstance — passing an object that does not subclass the ABC raises NotCallableObject.

References"""  # noqa: E501  # the page's own lines
PAGE_SHA256 = "9fc1e90343d13cc8969397c0f66b1744e71a02aa449b49010060e7c9503d057f"

SAMPLE_STORAGE = """\
from dotflow.abc.storage import Storage
from dotflow.core.context import Context


class StorageRedis(Storage):
    def __init__(self, host: str = "localhost", port: int = 6379):
        import redis
        self.client = redis.Redis(host=host, port=port)

    def post(self, key: str, context: Context) -> None:
        import json
        self.client.set(key, json.dumps(context.storage))

    def get(self, key: str) -> Context:
        import json
        data = self.client.get(key)
        return Context(storage=json.loads(data) if data else None)

    def key(self, task):
        return f"{task.workflow_id}:{task.task_id}"
"""

SAMPLE_SCHEDULER = """\
from collections.abc import Callable

from dotflow.abc.scheduler import Scheduler


class SchedulerInterval(Scheduler):
    def __init__(self, seconds: int = 60):
        self.seconds = seconds
        self.running = False

    def start(self, workflow: Callable, **kwargs) -> None:
        import time
        self.running = True
        while self.running:
            workflow(**kwargs)
            time.sleep(self.seconds)

    def stop(self) -> None:
        self.running = False
"""

SAMPLE_NOTIFY = """\
from typing import Any

from dotflow.abc.notify import Notify


class NotifySlack(Notify):
    def __init__(self, webhook_url: str):
        self.webhook_url = webhook_url

    def hook_status_task(self, task: Any) -> None:
        import requests
        requests.post(self.webhook_url, json={
            "text": f"Task {task.task_id}: {task.status}"
        })
"""

SAMPLE_CONFIG = """\
from dotflow import Config, DotFlow

config = Config(
    storage=StorageRedis(host="redis.local"),
    scheduler=SchedulerInterval(seconds=300),
    notify=NotifySlack(webhook_url="https://hooks.slack.com/..."),
)

workflow = DotFlow(config=config)
"""

SAMPLES = (SAMPLE_STORAGE, SAMPLE_SCHEDULER, SAMPLE_NOTIFY, SAMPLE_CONFIG)

HEADINGS = {
    "Skip to content",
    "Custom Providers",
    "Available ABCs",
    "ABC Import Methods Purpose",
    "Custom Storage",
    "Custom Scheduler",
    "Custom Notify",
    "Using custom providers",
    "Note",
    "References",
}

# Each sentence of the page, in order, and the tests of what it claims.
CLAIMS: dict[str, tuple[str, ...]] = {
    "Dotflow is designed to be extensible.": ("test_providers_may_be_replaced_without_changing_dotflow",),
    "Every integration point — storage, notifications, logging, and scheduling — is backed by a provider that you can replace with your own implementation.": (  # noqa: E501  # the page's own words
        "test_one_some_or_all_providers_may_be_replaced",
    ),
    "Providers follow a simple pattern: an abstract base class (ABC) defines the contract with the methods you need to implement, and your concrete class inherits from it.": (  # noqa: E501  # the page's own words
        "test_abc_asks_for_exactly_the_methods_of_the_table",
        "test_class_that_lacks_a_method_of_the_contract_cannot_be_made",
        "test_providers_may_be_replaced_without_changing_dotflow",
    ),
    "Dotflow takes care of calling your provider at the right time during the workflow lifecycle.": (
        "test_completion_is_announced_after_the_storage_has_the_context",
    ),
    "This means you can persist task output to any database, send notifications to any channel, log to any service, or schedule workflows with any mechanism — without modifying dotflow itself.": (  # noqa: E501  # the page's own words
        "test_providers_may_be_replaced_without_changing_dotflow",
        "test_one_some_or_all_providers_may_be_replaced",
    ),
    "Storage dotflow.abc.storage post(), get(), key() Persist and retrieve task context between steps": (
        "test_abc_asks_for_exactly_the_methods_of_the_table",
        "test_saved_context_is_retrieved_by_the_next_step",
    ),
    "Notify dotflow.abc.notify hook_status_task() Hook called when a task status changes": (
        "test_abc_asks_for_exactly_the_methods_of_the_table",
        "test_sample_notifier_is_called_at_each_status_change_in_order",
    ),
    "Log dotflow.abc.log info(), error() Log task status changes during execution": (
        "test_log_needs_info_and_error_only_and_is_told_of_status_changes",
    ),
    "Scheduler dotflow.abc.scheduler start(), stop() Control recurring workflow execution on a schedule": (
        "test_abc_asks_for_exactly_the_methods_of_the_table",
        "test_sample_scheduler_runs_the_workflow_at_each_tick",
    ),
    "The Storage provider is called after every task completes, saving the task context so it can be retrieved by subsequent steps or used for checkpoint-based resume.": (  # noqa: E501  # the page's own words
        "test_storage_is_called_after_every_task_completes",
        "test_storage_is_called_after_every_task_in_every_mode",
        "test_saved_context_is_retrieved_by_the_next_step",
        "test_checkpoint_based_resume_in_a_second_interpreter",
        "test_no_completed_step_runs_again_whatever_it_returned",
    ),
    "You need to implement three methods:": ("test_class_that_lacks_a_method_of_the_contract_cannot_be_made",),
    "• post(key, context) — save a context object under the given key": (
        "test_every_value_passes_the_samples_json",
        "test_plain_json_is_saved_as_it_is",
    ),
    "• get(key) — retrieve a context object by key, returning a Context with storage=None if not found": (
        "test_get_gives_a_context_with_storage_none_if_nothing_was_saved",
    ),
    "• key(task) — generate a unique key for the given task": (
        "test_keys_are_unique_for_each_task",
        "test_keys_of_two_workflows_differ_and_their_contexts_do_not_mix",
    ),
    "The Scheduler provider controls how and when workflows are executed on a recurring basis.": (
        "test_sample_scheduler_runs_the_workflow_at_each_tick",
    ),
    "The start() method receives the workflow callable and should block the main thread, calling it on each scheduled tick.": (  # noqa: E501  # the page's own words
        "test_start_gets_the_workflow_and_the_keywords_and_blocks",
        "test_schedule_blocks_the_main_thread_until_another_thread_stops_it",
    ),
    "The stop() method is called to shut down the loop gracefully.": (
        "test_signal_ends_the_sample_at_once_though_it_sleeps",
        "test_run_in_progress_finishes_when_the_schedule_is_stopped",
    ),
    "• start(workflow, **kwargs) — start the scheduling loop, calling workflow(**kwargs) on each tick": (
        "test_sample_scheduler_calls_the_workflow_with_the_keywords",
        "test_keywords_of_schedule_reach_each_run_through_the_sample",
    ),
    "• stop() — signal the loop to stop": ("test_schedule_blocks_the_main_thread_until_another_thread_stops_it",),
    "The Notify provider is called when a task status changes.": (
        "test_sample_notifier_is_called_at_each_status_change_in_order",
    ),
    "It receives the full task object, so you can inspect its status, errors, context, and duration to decide what to send and where.": (  # noqa: E501  # the page's own words
        "test_notifier_gets_the_full_task",
    ),
    "• hook_status_task(task) — hook called when a task status changes": (
        "test_sample_notifier_is_called_at_each_status_change_in_order",
        "test_receiver_that_is_down_or_hangs_does_not_stop_the_run",
    ),
    "Pass your providers to Config and dotflow will use them throughout the workflow lifecycle.": (
        "test_sample_config_uses_the_very_objects",
        "test_sample_config_is_used_throughout_the_lifecycle",
    ),
    "You can replace one, some, or all providers — anything you don't specify falls back to the default (no-op) implementation.": (  # noqa: E501  # the page's own words
        "test_one_some_or_all_providers_may_be_replaced",
        "test_what_is_not_specified_falls_back_to_a_default_that_does_nothing",
    ),
    "Custom providers must inherit from the corresponding ABC.": (
        "test_object_with_the_methods_but_not_the_abc_is_refused",
    ),
    "Config validates all providers at construction time with isinstance — passing an object that does not subclass the ABC raises NotCallableObject.": (  # noqa: E501  # the page's own words
        "test_object_that_does_not_subclass_the_abc_is_refused",
    ),
}

STEPS = """\
import os, signal
from dotflow import action

def note(name):
    with open(os.environ["JOURNAL"], "a") as file:
        file.write(name + "\\n")

@action
def nothing():
    note("nothing")

@action
def numbers(previous_context):
    note("numbers")
    return [1, 2, (3, previous_context.storage)]

@action
def mortal(previous_context):
    note("mortal")
    if os.environ.get("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"sum": sum(previous_context.storage[:2]), "kept": previous_context.storage[2]}
"""

VALUES = """\
import datetime, os, sys
from dotflow import Config, DotFlow, action
from seed_page import StorageRedis

VALUES = [
    None, 0, "", [], {}, False, True, 1.5, "é", {"a": [1, {"b": None}]}, (1, (2,)), b"\\x00\\xff", [[], [None]],
    {1: (b"x", {"y"})}, datetime.datetime(2026, 4, 7, 12, 30, 0, 5), datetime.datetime(2026, 4, 7, tzinfo=datetime.UTC),
]

def note(name):
    with open(os.environ["JOURNAL"], "a") as file:
        file.write(name + "\\n")

@action
def give(initial_context):
    note(f"value-{initial_context.storage}")
    return VALUES[initial_context.storage]

@action
def in_flight():
    note("in-flight")
    print("in flight", flush=True)
    sys.stdin.read()

if __name__ == "__main__":
    workflow = DotFlow(Config(storage=StorageRedis(sys.argv[1], int(sys.argv[2]))), workflow_id="values")
    for index in range(len(VALUES)):
        workflow.task.add(step=give, task_id=f"value-{index}", initial_context=index)
    workflow.task.add(step=in_flight)
    manager = workflow.start(resume=True)
    print(manager.status, workflow.result_storage() == [*VALUES, None], repr(workflow.result_storage()))
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page's samples, as a module that any interpreter can import."""
    folder = tmp_path_factory.mktemp("seed")
    samples = "\n\n".join(SAMPLES)
    (folder / "seed_page.py").write_text(samples)
    (folder / "seed_steps.py").write_text(STEPS)
    (folder / "seed_values.py").write_text(VALUES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import seed_page

        yield seed_page
        seed_page.config.storage.client.close()


@pytest.fixture
def storage(page: ModuleType, valkey: tuple[str, int]) -> Iterator[Any]:
    """The page's own StorageRedis, on an empty Valkey."""
    found = page.StorageRedis(host=valkey[0], port=valkey[1])
    found.client.flushall()
    yield found
    found.client.close()


class Receiver:
    """A real HTTP server that keeps what it is sent."""

    def __init__(self, status: int = 200, hangs: threading.Event | None = None) -> None:
        received: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(json.loads(body))
                if hangs is not None:
                    hangs.wait(30)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def flow(config: Config, *steps: Any, workflow_id: str | None = "seed") -> DotFlow:
    """Return a workflow of those steps."""
    workflow = DotFlow(config=config, workflow_id=workflow_id)
    workflow.task.add(step=list(steps))
    return workflow


@action
def one() -> int:
    return 1


@action
def plus_one(previous_context: Context) -> Any:
    return previous_context.storage + 1


@action
def broken() -> None:
    raise ValueError("no luck")


@action
def echo(initial_context: Context) -> Any:
    return initial_context.storage


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Ask again and again until it is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def in_folder(page: ModuleType, **extra: str) -> dict[str, str]:
    """Return an environment in which another interpreter can import the page."""
    path = os.pathsep.join(filter(None, (str(Path(page.__file__ or "").parent), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **extra}


@contextlib.contextmanager
def interpreter(page: ModuleType, *arguments: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """Run a second interpreter with pipes, which does not outlive the block."""
    command = [sys.executable, *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=in_folder(page, **extra), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


# -- The page itself -----------------------------------------------------------------------------------------


def test_page_and_samples_are_word_for_word() -> None:
    """The page is the one that was asked for, and each sample is a whole block of it."""
    assert hashlib.sha256(PAGE.encode()).hexdigest() == PAGE_SHA256
    for sample in SAMPLES:
        assert f"\n{sample}\n" in PAGE


def test_every_sentence_of_the_page_has_its_test() -> None:
    """What is neither a heading nor a sample is a claim, and ``CLAIMS`` names the tests of each."""
    prose = PAGE
    for sample in SAMPLES:
        prose = prose.replace(sample, "")
    lines = [line.strip() for line in prose.splitlines() if line.strip() and line.strip() not in HEADINGS]
    sentences = [part for line in lines for part in re.split(r"(?<=[.:]) (?=[A-Z])", line)]

    assert sentences == list(CLAIMS)
    assert [name for names in CLAIMS.values() for name in names if not callable(globals().get(name))] == []
    assert all(CLAIMS.values())


# -- "an abstract base class (ABC) defines the contract with the methods you need to implement" --------------


@pytest.mark.parametrize(
    ("module", "name", "methods"),
    [
        ("dotflow.abc.storage", "Storage", {"post", "get", "key"}),
        ("dotflow.abc.notify", "Notify", {"hook_status_task"}),
        ("dotflow.abc.scheduler", "Scheduler", {"start", "stop"}),
    ],
)
def test_abc_asks_for_exactly_the_methods_of_the_table(module: str, name: str, methods: set[str]) -> None:
    """The table of available ABCs: import, name and methods."""
    contract = getattr(__import__(module, fromlist=[name]), name)

    assert contract.__abstractmethods__ == methods


@pytest.mark.parametrize(
    ("module", "name", "missing"),
    [
        ("dotflow.abc.storage", "Storage", "post"),
        ("dotflow.abc.storage", "Storage", "get"),
        ("dotflow.abc.storage", "Storage", "key"),
        ("dotflow.abc.notify", "Notify", "hook_status_task"),
        ("dotflow.abc.scheduler", "Scheduler", "start"),
        ("dotflow.abc.scheduler", "Scheduler", "stop"),
    ],
)
def test_class_that_lacks_a_method_of_the_contract_cannot_be_made(module: str, name: str, missing: str) -> None:
    """The methods of the table are those "you need to implement"."""
    contract = getattr(__import__(module, fromlist=[name]), name)
    rest = {method: lambda self: None for method in contract.__abstractmethods__ - {missing}}

    with pytest.raises(TypeError, match=rf"abstract method '?{missing}'?"):
        type("Unfinished", (contract,), rest)()


def test_log_needs_info_and_error_only_and_is_told_of_status_changes() -> None:
    """``Log``: ``info()``, ``error()``: log task status changes during execution."""
    from dotflow.abc.log import Log

    lines: list[str] = []

    class Lines(Log):
        def info(self, task: Any) -> None:
            lines.append(f"info {task.task_id} {task.status}")

        def error(self, task: Any) -> None:
            lines.append(f"error {task.task_id} {task.status} {task.errors[-1].message}")

    @action(retry=2, retry_delay=0)
    def flaky() -> None:
        raise ValueError("no luck")

    flow(Config(log=Lines()), one, flaky).start()

    assert lines == [
        "info one In progress",
        "info one Completed",
        "info flaky In progress",
        "info flaky Retry",
        "error flaky Failed no luck",
    ]


# -- Storage -------------------------------------------------------------------------------------------------


def test_storage_is_called_after_every_task_completes(page: ModuleType) -> None:
    """Saving the task's context, under the key of the task, and nothing else."""
    calls: list[tuple[str, Any]] = []

    class Recording(page.StorageRedis):  # type: ignore[name-defined,misc]  # made at run time
        def __init__(self) -> None:
            self.saved: dict[str, Any] = {}

        def post(self, key: str, context: Context) -> None:
            calls.append((key, context.storage))
            self.saved[key] = context.storage

        def get(self, key: str) -> Context:
            return Context(storage=self.saved.get(key))

    flow(Config(storage=Recording()), one, plus_one, broken).start()

    assert calls == [("seed:one", 1), ("seed:plus_one", 2)]


MODES = ["sequential", "sequential_group", "parallel", "background", "start_async"]


@pytest.mark.parametrize("mode", MODES)
def test_storage_is_called_after_every_task_in_every_mode(storage: Any, mode: str) -> None:
    """Every task of every mode is in the real Valkey, under its own key, and nothing else is."""
    workflow = flow(Config(storage=storage), one, one, one, workflow_id=mode)

    manager = asyncio.run(workflow.start_async()) if mode == "start_async" else workflow.start(mode=mode)

    assert manager.wait(30)
    manager.raise_for_failure()
    saved = {key.decode(): storage.client.get(key) for key in storage.client.scan_iter()}
    assert saved == {f"{mode}:one": b"1", f"{mode}:one-2": b"1", f"{mode}:one-3": b"1"}


def test_completion_is_announced_after_the_storage_has_the_context(page: ModuleType, storage: Any) -> None:
    """The right time: step, storage, log and notifier, in this order, for each task."""
    from dotflow.abc.log import Log
    from dotflow.abc.notify import Notify

    order: list[str] = []
    heard: list[tuple[str, str, bytes | None]] = []

    @action
    def first() -> int:
        order.append("first runs")
        return 1

    @action
    def second(previous_context: Context) -> int:
        order.append(f"second runs with {previous_context.storage}")
        return 2

    class Following(page.StorageRedis):  # type: ignore[name-defined,misc]  # made at run time
        def __init__(self) -> None:
            self.client = storage.client

        def post(self, key: str, context: Context) -> None:
            super().post(key, context)
            order.append(f"{key} saved")

    class Lines(Log):
        def info(self, task: Any) -> None:
            order.append(f"{task.task_id} {task.status}")

        error = info

    class Looking(Notify):
        def hook_status_task(self, task: Any) -> None:
            heard.append((task.task_id, str(task.status), storage.client.get(f"seed:{task.task_id}")))

    flow(Config(storage=Following(), log=Lines(), notify=Looking()), first, second).start()

    assert order == [
        "first In progress", "first runs", "seed:first saved", "first Completed",
        "second In progress", "second runs with 1", "seed:second saved", "second Completed",
    ]  # fmt: skip
    assert [entry for entry in heard if entry[1] == "Completed"] == [
        ("first", "Completed", b"1"),
        ("second", "Completed", b"2"),
    ]


def test_get_gives_a_context_with_storage_none_if_nothing_was_saved(storage: Any) -> None:
    """``get(key)`` of an unknown key."""
    found = storage.get("nobody:nothing")

    assert isinstance(found, Context)
    assert found.storage is None


def test_saved_context_is_retrieved_by_the_next_step(page: ModuleType, storage: Any) -> None:
    """What the next step gets is what ``get`` gives back, even if the storage transforms it."""

    class Doubling(type(storage)):  # type: ignore[misc]  # made at run time
        def get(self, key: str) -> Context:
            found = super().get(key).storage
            return Context(storage=None if found is None else found * 2)

    doubling = Doubling(host=storage.client.connection_pool.connection_kwargs["host"],
                        port=storage.client.connection_pool.connection_kwargs["port"])  # fmt: skip
    workflow = flow(Config(storage=doubling), one, plus_one)

    workflow.start()

    assert workflow.result_storage() == [1, 3]
    doubling.client.close()


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "é", None, True]}, {}, [], [None], "", 0, False, None, (1, 2), (), b"\x00\xff", {1: {2}},
        10**4000, "\ud800", datetime.datetime(2026, 4, 7, 12, 30, 0, 5),
        datetime.datetime(2026, 4, 7, tzinfo=datetime.UTC),
        {"deep": [(1, {"x": (b"y", [datetime.date(2026, 4, 7), None, 0, False])})]},
    ],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_every_value_passes_the_samples_json(storage: Any, value: Any) -> None:
    """``json.dumps(context.storage)`` works for every value, and what comes back is equal to what went in."""
    seen: list[Any] = []

    @action
    def give() -> Any:
        return value

    @action
    def take(previous_context: Context) -> bool:
        seen.append(previous_context.storage)
        return True

    manager = flow(Config(storage=storage), give, take).start()

    manager.raise_for_failure()
    assert seen == [value]
    assert type(seen[0]) is type(value)
    assert repr(seen[0]) == repr(value)  # 0 is not False, deep inside neither


def test_plain_json_is_saved_as_it_is(storage: Any) -> None:
    """Other programs can read it."""

    @action
    def give() -> Any:
        return {"rows": [1, 2]}

    flow(Config(storage=storage), give).start()

    assert json.loads(storage.client.get("seed:give")) == {"rows": [1, 2]}


def test_keys_are_unique_for_each_task(storage: Any) -> None:
    """``key(task)``: the same step twice has two keys."""
    workflow = flow(Config(storage=storage), one, one)

    keys = [storage.key(task) for task in workflow.task.queue]

    assert keys == ["seed:one", "seed:one-2"]


def test_keys_of_two_workflows_differ_and_their_contexts_do_not_mix(page: ModuleType, storage: Any) -> None:
    """``key(task)``: the same step in two workflows that run at once, each on its own client."""
    address = storage.client.connection_pool.connection_kwargs
    ours = [page.StorageRedis(host=address["host"], port=address["port"]) for _ in range(2)]
    workflows = [DotFlow(Config(storage=each), workflow_id=f"w{number}") for number, each in enumerate(ours)]
    for number, workflow in enumerate(workflows):
        for position in range(20):
            workflow.task.add(step=echo, initial_context=[number, position])

    managers = [workflow.start(mode="background") for workflow in workflows]

    assert all(manager.wait(30) for manager in managers)
    for number, workflow in enumerate(workflows):
        keys = [ours[number].key(task) for task in workflow.task.queue]
        assert len(set(keys)) == 20
        assert [json.loads(storage.client.get(key)) for key in keys] == [[number, position] for position in range(20)]
    assert len(storage.client.keys()) == 40
    for each in ours:
        each.client.close()


SCRIPT = """
import sys
from dotflow import Config, DotFlow
from seed_page import StorageRedis
from seed_steps import mortal, nothing, numbers
workflow = DotFlow(Config(storage=StorageRedis(host={host!r}, port={port})), workflow_id="etl-daily")
workflow.task.add(step=[nothing, numbers, mortal])
manager = workflow.start(resume=True)
print(manager.status, workflow.result_storage(), [task.restored for task in manager.tasks])
"""


def test_checkpoint_based_resume_in_a_second_interpreter(
    page: ModuleType, storage: Any, valkey: tuple[str, int], tmp_path: Path
) -> None:
    """After ``kill -9`` a new process goes on: completed steps, ``None`` included, do not run again."""
    journal = tmp_path / "journal"
    environment = in_folder(page, JOURNAL=str(journal))
    script = SCRIPT.format(host=valkey[0], port=valkey[1])

    def run(**extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env={**environment, **extra}, capture_output=True, text=True)

    assert run(DIE="1").returncode == -signal.SIGKILL
    assert run(DIE="1").returncode == -signal.SIGKILL
    done = run()
    again = run(DIE="1")

    result = "[None, [1, 2, (3, None)], {'sum': 3, 'kept': (3, None)}]"
    assert done.stdout.strip() == f"Completed {result} [True, True, False]", done.stderr
    assert again.stdout.strip() == f"Completed {result} [True, True, True]", again.stderr
    assert journal.read_text().split() == ["nothing", "numbers", "mortal", "mortal", "mortal"]


def test_no_completed_step_runs_again_whatever_it_returned(
    page: ModuleType, valkey: tuple[str, int], storage: Any, tmp_path: Path
) -> None:
    """Killed from outside in the middle of a step: each value comes back equal, and only that step runs again."""
    journal = tmp_path / "journal"
    script = Path(page.__file__ or "").with_name("seed_values.py")
    arguments = [str(script), valkey[0], str(valkey[1])]
    environment = in_folder(page, JOURNAL=str(journal))

    with interpreter(page, *arguments, JOURNAL=str(journal)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    assert (line, process.returncode) == ("in flight\n", -signal.SIGKILL)
    import seed_values

    expected = repr([*seed_values.VALUES, None])
    assert done.stdout.splitlines() == ["in flight", f"Completed True {expected}"], done.stderr
    once = [f"value-{index}" for index in range(len(seed_values.VALUES))]
    assert journal.read_text().split() == [*once, "in-flight", "in-flight"]


# -- Scheduler -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticks", [1, 3])
def test_sample_scheduler_calls_the_workflow_with_the_keywords(page: ModuleType, ticks: int) -> None:
    """``workflow(**kwargs)`` on each tick, until ``stop``, in the thread that called ``start``."""
    scheduler = page.SchedulerInterval(seconds=0)
    seen: list[Any] = []

    def workflow(**kwargs: Any) -> None:
        seen.append((kwargs, threading.current_thread()))
        if len(seen) == ticks:
            scheduler.stop()

    assert scheduler.start(workflow, keep_going=True, mode="sequential") is None
    assert seen == [({"keep_going": True, "mode": "sequential"}, threading.current_thread())] * ticks


def test_keywords_of_schedule_reach_each_run_through_the_sample(page: ModuleType) -> None:
    """``schedule(keep_going=True)``: what follows a failed step runs too, at every tick."""
    scheduler = page.SchedulerInterval(seconds=0)
    ran: list[Any] = []

    @action
    def after(previous_context: Context) -> None:
        ran.append(previous_context.storage)
        if len(ran) == 3:
            scheduler.stop()

    flow(Config(scheduler=scheduler), broken, after).schedule(keep_going=True)

    assert ran == [None, None, None]


def test_schedule_blocks_the_main_thread_until_another_thread_stops_it(page: ModuleType) -> None:
    """``start`` blocks; ``stop``, from anywhere, ends the loop after the tick in progress."""
    scheduler = page.SchedulerInterval(seconds=0)
    third, stopped = threading.Event(), threading.Event()
    begun: list[threading.Thread] = []
    ended: list[int] = []

    @action
    def tick() -> None:
        begun.append(threading.current_thread())
        if len(begun) == 3:
            third.set()
            assert stopped.wait(30)  # so that stop() comes in the middle of this run
        ended.append(len(begun))

    def stop() -> None:
        assert third.wait(30)
        scheduler.stop()
        stopped.set()

    other = threading.Thread(target=stop)
    other.start()
    flow(Config(scheduler=scheduler), tick).schedule()
    other.join()

    assert begun == [threading.main_thread()] * 3
    assert ended == [1, 2, 3]


def asleep(pid: int) -> bool:
    """Whether the main thread of that process waits for something."""
    return str(psutil.Process(pid).status()) == "sleeping"


def test_sample_scheduler_runs_the_workflow_at_each_tick(page: ModuleType) -> None:
    """Each tick is a new run of the whole workflow; a failing run does not end the schedule."""
    scheduler = page.SchedulerInterval(seconds=0)
    ran: list[str] = []

    @action
    def first() -> None:
        ran.append("first")

    @action
    def second() -> None:
        ran.append("second")
        if ran.count("second") == 5:
            scheduler.stop()
        if ran.count("second") == 2:
            raise ValueError("one bad day")

    assert flow(Config(scheduler=scheduler), first, second).schedule() is None

    assert ran == ["first", "second"] * 5


def test_start_gets_the_workflow_and_the_keywords_and_blocks() -> None:
    """``start(workflow, **kwargs)`` receives the callable, and calls ``workflow(**kwargs)`` on each tick."""
    from dotflow.abc.scheduler import Scheduler

    seen: list[Any] = []

    class Twice(Scheduler):
        def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
            seen.append((kwargs, threading.current_thread()))
            seen.extend(workflow(**kwargs).status for _ in range(2))
            return "done"

        def stop(self) -> None:
            pass

    workflow = flow(Config(scheduler=Twice()), one, broken, plus_one)

    assert workflow.schedule(keep_going=True) == "done"
    assert seen == [({"keep_going": True}, threading.current_thread()), "Failed", "Failed"]
    assert [task.status for task in workflow.result_task()] == [
        TypeStatus.COMPLETED,
        TypeStatus.FAILED,
        TypeStatus.FAILED,
    ]


@pytest.mark.alone
@pytest.mark.parametrize("moment", ["at the end of a run", "asleep"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_sample_at_once_though_it_sleeps(page: ModuleType, number: int, moment: str) -> None:
    """SIGINT and SIGTERM shut the loop down gracefully, within a second, though ``time.sleep(300)`` is on."""
    script = textwrap.dedent("""
        import time
        from dotflow import Config, DotFlow, action
        from seed_page import SchedulerInterval
        real = time.sleep
        def sleep(seconds):
            print("sleeps", seconds, flush=True)
            real(seconds)
        time.sleep = sleep
        @action
        def tick():
            print("tick", flush=True)
        workflow = DotFlow(Config(scheduler=SchedulerInterval(seconds=300)))
        workflow.task.add(step=tick)
        workflow.schedule()
        print("ended", workflow.result_task()[0].status, workflow.config.scheduler.running, flush=True)
    """)
    with interpreter(page, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "tick\n"
        if moment == "asleep":
            assert process.stdout.readline() == "sleeps 300\n"
            wait_until(lambda: asleep(process.pid))

        before = time.monotonic()
        process.send_signal(number)
        rest = process.communicate(timeout=20)[0].splitlines()
        took = time.monotonic() - before

    assert took < 1
    assert rest[-1] == "ended Completed False"
    assert "tick" not in rest
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_in_progress_finishes_when_the_schedule_is_stopped(page: ModuleType, number: int) -> None:
    """A signal in the middle of a run lets it end, and no tick follows."""
    script = textwrap.dedent("""
        import sys
        from dotflow import Config, DotFlow, action
        from seed_page import SchedulerInterval
        @action
        def slow():
            print("begun", flush=True)
            print("told to", sys.stdin.readline().strip(), flush=True)
        workflow = DotFlow(Config(scheduler=SchedulerInterval(seconds=300)))
        workflow.task.add(step=slow)
        stop = workflow.config.scheduler.stop
        def told():
            stop()
            print("stopping", flush=True)
        workflow.config.scheduler.stop = told
        workflow.schedule()
        print(workflow.result_task()[0].status, flush=True)
    """)
    with interpreter(page, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"

        process.send_signal(number)
        assert process.stdout.readline() == "stopping\n"  # only now may the step go on
        rest, _ = process.communicate("go on\n", timeout=20)

    assert (rest, process.returncode) == ("told to go on\nCompleted\n", 0)


# -- Notify --------------------------------------------------------------------------------------------------


def test_sample_notifier_is_called_at_each_status_change_in_order(page: ModuleType) -> None:
    """A real receiver gets one message for each change."""
    receiver = Receiver()

    @action(retry=2, retry_delay=0)
    def flaky() -> None:
        raise ValueError("no luck")

    flow(Config(notify=page.NotifySlack(webhook_url=receiver.url)), one, flaky).start()
    receiver.close()

    assert [message["text"] for message in receiver.received] == [
        "Task one: In progress",
        "Task one: Completed",
        "Task flaky: In progress",
        "Task flaky: Retry",
        "Task flaky: Failed",
    ]


def test_notifier_gets_the_full_task() -> None:
    """Status, errors, context and duration can be inspected, as they are at that moment."""
    from dotflow.abc.notify import Notify

    seen: list[Any] = []

    class Inspecting(Notify):
        def hook_status_task(self, task: Any) -> None:
            errors = [error.message for error in task.errors]
            seen.append((task.task_id, str(task.status), errors, task.current_context.storage, task.duration))

    flow(Config(notify=Inspecting()), one, broken).start()

    assert [entry[:4] for entry in seen] == [
        ("one", "In progress", [], None),
        ("one", "Completed", [], 1),
        ("broken", "In progress", [], None),
        ("broken", "Failed", ["no luck"], None),
    ]
    assert [type(entry[4]) for entry in seen] == [type(None), float, type(None), float]


def test_receiver_that_is_down_or_hangs_does_not_stop_the_run(page: ModuleType) -> None:
    """The sample's ``requests.post`` has no time limit; the run has its own."""
    free = threading.Event()
    hanging = Receiver(hangs=free)
    down = Receiver()
    down.close()

    for url in (hanging.url, down.url):
        before = time.monotonic()
        manager = flow(Config(notify=page.NotifySlack(webhook_url=url)), one, plus_one).start()
        assert manager.status == "Completed"
        assert time.monotonic() - before < 5

    assert manager.observer_fault_counts == {"NotifySlack": 3}  # then its calls are dropped for a while
    free.set()
    hanging.close()


# -- Using custom providers ----------------------------------------------------------------------------------


def test_sample_config_uses_the_very_objects(page: ModuleType) -> None:
    """Pass your providers to ``Config``."""
    assert isinstance(page.config.storage, page.StorageRedis)
    assert isinstance(page.config.scheduler, page.SchedulerInterval)
    assert isinstance(page.config.notify, page.NotifySlack)
    assert page.config.storage.client.connection_pool.connection_kwargs["host"] == "redis.local"
    assert page.workflow.config is page.config


def test_sample_config_is_used_throughout_the_lifecycle(page: ModuleType, storage: Any) -> None:
    """The page's own config and workflow, with real addresses in place of the examples, over three ticks."""
    receiver = Receiver()
    made: dict[str, Any] = {"__name__": "seed_page_again"}
    exec("\n\n".join(SAMPLES), made)  # an unspoilt copy of the page's ``config``
    config, workflow = made["config"], made["workflow"]
    real = storage.client.connection_pool.connection_kwargs
    config.storage.client.connection_pool.connection_kwargs.update(host=real["host"], port=real["port"])
    config.notify.webhook_url = receiver.url
    config.scheduler.seconds = 0
    ticks: list[int] = []

    @action
    def last(previous_context: Context) -> int:
        ticks.append(previous_context.storage)
        if len(ticks) == 3:
            config.scheduler.stop()
        return len(ticks)

    workflow.task.add(step=[one, last])
    workflow.schedule()
    receiver.close()
    config.storage.client.close()

    assert ticks == [1, 1, 1]
    assert json.loads(storage.client.get(f"{workflow.workflow_id}:last")) == 3
    texts = ["Task one: In progress", "Task one: Completed", "Task last: In progress", "Task last: Completed"]
    assert [message["text"] for message in receiver.received] == texts * 3


KINDS = ["storage", "notify", "log", "scheduler"]


@pytest.mark.parametrize("kinds", [c for size in range(5) for c in itertools.combinations(KINDS, size)], ids=" ".join)
def test_one_some_or_all_providers_may_be_replaced(page: ModuleType, storage: Any, kinds: tuple[str, ...]) -> None:
    """Those that are given do their work, and each of the others is its default, which does nothing."""
    from dotflow.abc.log import Log

    receiver = Receiver()
    lines: list[str] = []

    class Lines(Log):
        def info(self, task: Any) -> None:
            lines.append(f"Task {task.task_id}: {task.status}")

        error = info

    ours = {
        "storage": storage,
        "notify": page.NotifySlack(webhook_url=receiver.url),
        "log": Lines(),
        "scheduler": page.SchedulerInterval(seconds=0),
    }

    @action
    def only() -> int:
        ours["scheduler"].stop()
        return 7

    config = Config(**{kind: ours[kind] for kind in kinds})
    workflow = flow(config, only)
    if "scheduler" in kinds:
        workflow.schedule()
    else:
        workflow.start()
    receiver.close()

    texts = ["Task only: In progress", "Task only: Completed"]
    assert workflow.result_storage() == [7]
    assert storage.client.get("seed:only") == (b"7" if "storage" in kinds else None)
    assert [message["text"] for message in receiver.received] == (texts if "notify" in kinds else [])
    assert lines == (texts if "log" in kinds else [])
    for kind in KINDS:
        used = getattr(config, kind)
        assert used is ours[kind] if kind in kinds else type(used).__name__ == f"{kind.title()}Default"


def test_what_is_not_specified_falls_back_to_a_default_that_does_nothing(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run with no provider writes nothing anywhere; without a scheduler nothing is scheduled, and that is said."""
    monkeypatch.chdir(tmp_path)

    flow(Config(), one, plus_one).start()
    quiet = list(caplog.messages)
    unscheduled = flow(Config(), one)
    returned = unscheduled.schedule()

    assert quiet == []
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert (returned, unscheduled.result_task()[0].status) == (None, "Not started")
    assert ["has no scheduler" in message for message in caplog.messages] == [True]


NAMES = ["storage", "notify", "log", "server", "scheduler", "tracer", "metrics", "executor"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [object(), 0, "", dict, redis.Redis], ids=["object", "0", "text", "class", "redis"])
def test_object_that_does_not_subclass_the_abc_is_refused(name: str, wrong: Any) -> None:
    """``Config`` validates all providers at construction time with ``isinstance``."""
    with pytest.raises(NotCallableObject) as caught:
        Config(**{name: wrong})

    assert f"Config({name}=...)" in str(caught.value)
    assert f"dotflow.abc.{name}" in str(caught.value)


@pytest.mark.parametrize("name", ["storage", "notify", "log", "scheduler"])
def test_object_with_the_methods_but_not_the_abc_is_refused(page: ModuleType, name: str) -> None:
    """It is ``isinstance`` that decides, not which methods there are: inheriting is what is asked for."""
    methods = ("post", "get", "key", "hook_status_task", "info", "error", "start", "stop")
    alike = type("Alike", (), {method: lambda self, *args, **kwargs: None for method in methods})()

    with pytest.raises(NotCallableObject, match="Alike"):
        Config(**{name: alike})


def test_providers_may_be_replaced_without_changing_dotflow(page: ModuleType) -> None:
    """The samples import nothing of dotflow but the contracts and ``Context``."""
    for provider in (page.StorageRedis, page.SchedulerInterval, page.NotifySlack):
        assert inspect.getmodule(provider) is page
        assert [base.__module__.split(".")[:2] for base in provider.__mro__[1:2]] == [["dotflow", "abc"]]
