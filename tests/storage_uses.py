"""What the tests of several storages do with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.storage import Storage


def resumes(storage: Storage) -> None:
    """A run that failed half-way goes on with what *storage* holds, ``None`` included."""
    calls: list[str] = []

    @action
    def nothing() -> None:
        calls.append("nothing")

    @action
    def once_broken(previous_context: Context) -> str:
        calls.append("once_broken")
        if calls.count("once_broken") == 1:
            raise ValueError("not yet")
        return repr(previous_context.storage)

    workflow = DotFlow(Config(storage=storage), workflow_id="etl-daily")
    workflow.task.add([nothing, once_broken])

    assert workflow.start().status == "Failed"
    assert workflow.start(resume=True).status == "Completed"
    assert calls == ["nothing", "once_broken", "once_broken"]
    assert workflow.result_storage() == [None, "None"]


def everything(storage: Storage) -> list[Callable[[], Any]]:
    """Return a call of every ability."""
    return [
        lambda: storage.get("w-a"),
        lambda: storage.post("w-a", Context(1)),
        lambda: storage.get_many(["w-a", "w-b"]),
        lambda: storage.delete("w-a"),
        lambda: storage.delete_prefix("w-"),
        lambda: storage.list_keys("w-"),
        lambda: storage.clear("w"),
        lambda: storage.create("w-a", Context(1)),
        lambda: storage.atomic_swap("w-a", None, 1),
        lambda: storage.lock("w"),
        storage.healthcheck,
    ]
