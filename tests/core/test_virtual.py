"""Classes that were registered with a contract work as far as what they have goes; what they lack is the contract's."""

from __future__ import annotations

import copy
from concurrent.futures import Future
from typing import Any

import pytest

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.executor import Executor
from dotflow.abc.log import Log
from dotflow.abc.notify import Notify
from dotflow.abc.storage import Storage
from dotflow.core.attempt import attempt
from dotflow.core.exception import MissingAbility, StorageError


class Shelf:
    """The three methods, and nothing from dotflow."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.reads = 0

    def post(self, key: str, context: Context) -> None:
        self.kept[key] = context.storage

    def get(self, key: str) -> Context:
        self.reads += 1
        return Context(storage=self.kept.get(key))

    def key(self, task: Any) -> str:
        return f"{task.workflow_id}:{task.task_id}"


class ShelfThatDeletes(Shelf):
    patience = 0.1

    def delete(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None


class Lines:
    """The two methods of the seed page."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, **kwargs: Any) -> None:
        self.lines.append(f"info {kwargs['task'].task_id} {kwargs['task'].status}")

    def error(self, **kwargs: Any) -> None:
        self.lines.append(f"error {kwargs['task'].task_id}")


class Here:
    def submit(self, order: Any, report: Any) -> None:
        done: Future[Any] = Future()
        done.set_result(attempt(order))
        report(done.result())


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def hook_status_task(self, task: Any) -> None:
        self.heard.append(str(task.status))


Storage.register(Shelf)
Log.register(Lines)
Executor.register(Here)
Notify.register(Ear)

tried: list[str] = []


@action(retry=2, retry_delay=0)
def twice() -> tuple[int, ...]:
    tried.append("twice")
    if len(tried) == 1:
        raise ConnectionError("not yet")
    return (1, 2)


@action
def after(previous_context: Context) -> Any:
    tried.append("after")
    return previous_context.storage


@pytest.fixture(autouse=True)
def nothing_tried() -> None:
    tried.clear()


def run(config: Config, **options: Any) -> Any:
    flow = DotFlow(config, workflow_id="w")
    flow.task.add([twice, after])
    return flow.start(**options)


def test_three_methods_of_a_virtual_storage_are_enough() -> None:
    """Results are saved, read back and resumed; every ability is absent, and its absence is told by name."""
    shelf = Shelf()

    first = run(Config(storage=shelf))  # type: ignore[arg-type]  # virtual
    again = run(Config(storage=shelf), resume=True)  # type: ignore[arg-type]  # virtual

    assert str(first.status) == str(again.status) == "Completed"
    assert tried == ["twice", "twice", "after"]
    assert [task.value for task in again.tasks] == [(1, 2), (1, 2)]
    assert shelf.reads > 2  # it was not proved, so what it says is read back
    storage = Config(storage=shelf).storage  # type: ignore[arg-type]  # virtual
    assert not storage.can("delete")
    with pytest.raises(MissingAbility, match=r"delete\(\), which Shelf"):
        storage.delete("k")


def test_abilities_and_settings_of_a_virtual_storage_are_used() -> None:
    """What the class has counts, as for one that inherits; a fresh start removes instead of overwriting."""
    shelf = ShelfThatDeletes()
    storage = Config(storage=shelf).storage  # type: ignore[arg-type]  # virtual

    assert isinstance(storage, Shelf)
    assert isinstance(storage, Storage)
    assert (storage.can("delete"), storage.can("clear"), storage.patience) == (True, False, 0.1)
    assert storage.kept is shelf.kept  # type: ignore[attr-defined]  # the provider's own
    assert repr(storage) == repr(shelf)
    assert copy.copy(storage).kept is shelf.kept  # type: ignore[attr-defined]  # the provider's own
    run(Config(storage=shelf))  # type: ignore[arg-type]  # virtual
    shelf.kept["w:gone"] = 1
    run(Config(storage=shelf))  # type: ignore[arg-type]  # virtual
    assert {key for key in shelf.kept if not key.startswith("w:_dotflow")} == {"w:twice", "w:after", "w:gone"}


def test_time_to_live_of_a_virtual_storage_is_found() -> None:
    """By what its ``post`` declares."""

    class Ending(Shelf):
        def post(self, key: str, context: Context, ttl: float | None = None) -> None:
            super().post(key, context)

    found = [Config(storage=each).storage.can("ttl") for each in (Shelf(), Ending())]  # type: ignore[arg-type]  # virtual
    assert found == [False, True]


def test_a_virtual_storage_that_fails_is_named() -> None:
    """By its own class."""

    class Torn(Shelf):
        patience = 0.01

        def post(self, key: str, context: Context) -> None:
            raise ConnectionError("no route")

    manager = run(Config(storage=Torn()))  # type: ignore[arg-type]  # virtual

    assert str(manager.status) == "Failed"
    error = manager.tasks[0].errors[-1]
    assert error.exception == StorageError.__name__
    assert "Torn" in error.message


def test_a_virtual_log_executor_and_notifier_work() -> None:
    """``warning`` falls back to ``info``; an executor with ``submit`` alone takes one attempt at a time."""
    log, ear = Lines(), Ear()

    manager = run(Config(log=log, executor=Here(), notify=ear))  # type: ignore[arg-type]  # virtual

    assert str(manager.status) == "Completed"
    assert manager.observer_fault_counts == {}
    assert log.lines == [
        "info twice In progress", "info twice Retry", "info twice Completed", "info after In progress",
        "info after Completed",
    ]  # fmt: skip
    assert ear.heard == ["In progress", "Retry", "Completed", "In progress", "Completed"]
