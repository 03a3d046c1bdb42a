"""Uses that type checkers reject; the comment of a line names the errors of mypy and of pyright."""

from __future__ import annotations

from typing import Any

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.abc.notify import Notify
from dotflow.abc.storage import Storage
from dotflow.providers import StorageSQLite


@action(retry=2)
def double(number: int) -> int:
    return number * 2


@action
async def fetch(url: str) -> bytes:
    return url.encode()


class Shop:
    @action
    def order(self, number: int) -> str:
        return str(number)


def plain() -> int:
    return 1


def wrong_callback(result: Task) -> None:
    print(result)


async def wrong_calls() -> None:
    double("1")  # mypy: arg-type, pyright: reportArgumentType
    double()  # mypy: call-arg, pyright: reportCallIssue
    double(1, 2)  # mypy: call-arg, pyright: reportCallIssue
    double(1).upper()  # mypy: attr-defined, pyright: reportAttributeAccessIssue reportUnknownMemberType
    (await fetch("x")).encode()  # mypy: attr-defined, pyright: reportAttributeAccessIssue reportUnknownMemberType
    await fetch(url=1)  # mypy: arg-type, pyright: reportArgumentType
    Shop().order("1")  # mypy: arg-type, pyright: reportArgumentType
    print(Shop().order(1) + 1)  # mypy: operator, pyright: reportOperatorIssue reportUnknownArgumentType


@action(retries=3)  # mypy: call-overload, pyright: reportCallIssue reportUntypedFunctionDecorator
def misspelt() -> None: ...


@action(retry="3")  # mypy: call-overload, pyright: reportArgumentType
def textual() -> None: ...


def wrong_workflows() -> None:
    workflow = DotFlow(workflow_id=7)  # mypy: arg-type, pyright: reportArgumentType
    add = workflow.task.add
    add(plain)  # mypy: call-overload, pyright: reportArgumentType reportCallIssue
    add(3)  # mypy: call-overload, pyright: reportArgumentType reportCallIssue
    add([double, 3])  # mypy: list-item, pyright: reportArgumentType reportCallIssue
    add([double, double], task_id="d")  # mypy: call-overload, pyright: reportArgumentType
    add(double, callback=wrong_callback)  # mypy: call-overload, pyright: reportArgumentType reportCallIssue
    add(double, depends_on=[double])  # mypy: list-item, pyright: reportArgumentType reportCallIssue
    workflow.start(mode="sequentail")  # mypy: arg-type, pyright: reportArgumentType
    workflow.start(mod="parallel")  # mypy: call-arg, pyright: reportCallIssue
    workflow.start(on_input_change="refuse")  # mypy: arg-type, pyright: reportArgumentType
    workflow.start(on_success=wrong_callback)  # mypy: arg-type, pyright: reportArgumentType
    workflow.start("parallel")  # mypy: call-arg, pyright: reportCallIssue
    workflow.schedule(resum=True)  # mypy: call-overload, pyright: reportCallIssue
    workflow.schedule(mode="daily")  # mypy: call-overload, pyright: reportArgumentType
    text = workflow.start().tasks[0].errors[0].message
    print(text + 1)  # mypy: operator, pyright: reportOperatorIssue reportUnknownArgumentType
    workflow.start().results()  # mypy: attr-defined, pyright: reportAttributeAccessIssue reportUnknownMemberType


class Partial(Storage):
    def post(self, key: str, context: Context) -> None: ...


class Renamed(Notify):
    def hook_status_task(self, status: str) -> None: ...  # mypy: override, pyright: reportIncompatibleMethodOverride


class Returns(Storage):
    def post(self, key: str, context: Context) -> None: ...
    def get(self, key: str) -> Any: ...
    def key(self, task: Task) -> int: ...  # mypy: empty-body override, pyright: reportIncompatibleMethodOverride


def wrong_configs() -> None:
    Partial()  # mypy: abstract, pyright: reportAbstractUsage
    Config(storage=StorageSQLite)  # mypy: arg-type, pyright: reportArgumentType
    Config(storage="sqlite:///flow.db")  # mypy: arg-type, pyright: reportArgumentType
    Config(notify=StorageSQLite())  # mypy: arg-type, pyright: reportArgumentType
    Config(codec="plain")  # mypy: arg-type, pyright: reportArgumentType
    Config(cache=None)  # mypy: call-arg, pyright: reportCallIssue
    Config.from_url("memory:", notifier=None)  # mypy: call-arg, pyright: reportCallIssue
    Context(task_id=3)  # mypy: arg-type, pyright: reportArgumentType
