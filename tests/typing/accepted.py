"""Uses that type checkers accept: steps keep their signature, providers are written as the documents say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.abc.executor import Executor
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage
from dotflow.abc.tracer import Tracer
from dotflow.core.action import Action
from dotflow.core.events import Event, TaskCompleted, WorkflowFinished
from dotflow.core.messages import Attempt, Outcome, StepInfo, TaskError
from dotflow.core.ticking import ScheduleHandle
from dotflow.core.types import TypeExecution, TypeInputChange, TypeStatus, WorkflowStatus
from dotflow.core.workflow import Manager
from dotflow.providers import LogDefault, SchedulerCron, StorageFile, StorageSQLite

# -- steps --------------------------------------------------------------------------------------------------


@action
def extract() -> list[int]:
    return [1, 2]


@action(retry=3, timeout=2.5, retry_delay=0.1, backoff=True, max_delay=5, jitter=0.1, retry_on=(OSError, ValueError))
def double(previous_context: Context, *, initial_context: Context | None = None) -> int:
    return len(previous_context.storage) * 2


@action()
async def fetch(task: StepInfo, url: str = "") -> bytes:
    return task.idempotency_key.encode() + url.encode()


class Shop:
    @action
    def order(self, number: int) -> str:
        return str(number)

    @action(retry=2)
    async def pay(self, amount: float, *, currency: str = "EUR") -> bool:
        return amount > 0 and bool(currency)


@action(retry=2)
class Pipeline:
    def __init__(self, initial_context: Context) -> None:
        self.value = initial_context.storage

    @action
    def first(self, previous_context: Context) -> int:
        return 1


async def use_steps(task: StepInfo) -> None:
    assert_type(extract(), list[int])
    assert_type(double(Context([1])), int)
    assert_type(double(previous_context=Context(), initial_context=None), int)
    assert_type(await fetch(task, url="x"), bytes)
    assert_type(Shop().order(1), str)
    assert_type(await Shop().pay(2.0, currency="USD"), bool)
    made = Pipeline(Context(1))
    assert_type(made.first(Context()), int)
    print(extract.name, extract.retry, extract.policy.timeout, Shop().order.retry, extract.params)


# -- workflows ----------------------------------------------------------------------------------------------


def ended(task: Task) -> None:
    error: TaskError = task.error
    print(task.task_id, task.status is TypeStatus.COMPLETED, task.duration or 0.0, error.message)


def with_anything(*args: Any, **kwargs: Any) -> int:
    return len(args) + len(kwargs)


def all_ended(tasks: list[Task]) -> None:
    print([task.task_id for task in tasks])


def listen(event: Event) -> None:
    if isinstance(event, TaskCompleted):
        print(event.task.value)
    elif isinstance(event, WorkflowFinished):
        print(event.duration, event.status)


def use_workflow(mode: TypeExecution) -> None:
    workflow = DotFlow(Config(storage=StorageSQLite("flow.db")), workflow_id="w", name="n")
    workflow.task.add(extract).add(step=double, callback=ended, task_id="double").add(
        Shop().order, with_anything, initial_context=3, group_name="g", depends_on=["double"]
    )
    workflow.task.add([extract, double, fetch, "package.module:step"], callback="package.module:called")
    workflow.task.add(step=(extract, Pipeline), callback=lambda task: print(task), depends_on=workflow.task.queue[0])
    steps: list[Action[..., Any]] = [extract, double]
    workflow.task.add(steps)
    workflow.task.add([extract, extract], depends_on=[])

    manager = workflow.start(
        mode="sequential_group",
        on_success=all_ended,
        on_failure=with_anything,
        keep_going=True,
        resume=True,
        on_input_change="raise",
        fingerprint="1",
        wait=3,
        listeners=[listen, print],
    )
    assert_type(manager, Manager)
    assert_type(manager.status, WorkflowStatus)
    assert_type(manager.tasks, list[Task])
    assert_type(manager.raise_for_failure(), Manager)
    assert_type(manager.tasks[0].errors, list[TaskError])
    assert_type(manager.tasks[0].current_context, Context)
    assert_type(manager.tasks[0].status, TypeStatus)
    assert_type(workflow.result_task(), list[Task])
    assert_type(workflow.result_context(), list[Context])
    assert_type(workflow.result(), dict[str, Any])
    workflow.start(mode=mode, on_input_change=TypeInputChange.RESET)
    workflow.start(mode=TypeExecution.BACKGROUND).wait(1.5)


async def use_loop(workflow: DotFlow) -> None:
    assert_type(await workflow.start_async(mode="parallel"), Manager)


def use_schedule(workflow: DotFlow) -> None:
    workflow.schedule(resume=True, mode="parallel")
    assert_type(workflow.schedule(background=True, resume=True), ScheduleHandle)


# -- providers ----------------------------------------------------------------------------------------------


class MyStorage(Storage):
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def post(self, key: str, context: Context) -> None:
        self.kept[key] = context.storage

    def get(self, key: str) -> Context:
        return Context(storage=self.kept.get(key))

    def key(self, task: Task) -> str:
        return f"{task.workflow_id}:{task.task_id}"

    def delete(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None


class MyNotify(Notify):
    def hook_status_task(self, task: Any) -> None:
        print(task.status)


class TypedNotify(Notify):
    def hook_status_task(self, task: Task) -> None:
        print(task.status.lower())


class MyLog(Log):
    def info(self, task: Task) -> None:
        print(task.status)

    def error(self, task: Any) -> None:
        print(task.errors)


class FreeLog(Log):
    def info(self, **kwargs: Any) -> None:
        print(kwargs)

    def error(self, **kwargs: Any) -> None:
        print(kwargs)


class MyScheduler(Scheduler):
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        workflow(**kwargs)

    def stop(self) -> None:
        pass


class MyTracer(Tracer):
    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None: ...
    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None: ...
    def start_task(self, task: Any) -> None: ...
    def end_task(self, task: Task) -> None: ...


class MyMetrics(Metrics):
    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None: ...
    def workflow_completed(self, workflow_id: Any, duration: float) -> None: ...
    def workflow_failed(self, workflow_id: Any, duration: float) -> None: ...
    def task_completed(self, task: Any) -> None: ...
    def task_failed(self, task: Any) -> None: ...
    def task_retried(self, task: Task) -> None: ...


class MyServer(Server):
    def create_workflow(self, workflow: Any) -> None: ...
    def update_workflow(self, workflow: Any, status: str = "") -> None: ...
    def create_task(self, task: Any) -> None: ...
    def update_task(self, task: Task) -> None: ...


class MyExecutor(Executor):
    def submit(self, attempt: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None] | None:
        report(Outcome(attempt.position, attempt.number))
        return None


def use_providers() -> None:
    Config(
        storage=MyStorage(),
        notify=MyNotify(),
        log=MyLog(),
        server=MyServer(),
        scheduler=MyScheduler(),
        tracer=MyTracer(),
        metrics=MyMetrics(),
        executor=MyExecutor(),
        codec="signed",
        types=[Shop],
        secrets=["a secret"],
    )
    Config(StorageFile(path="x"), None, FreeLog())
    Config.from_url("sqlite:///flow.db", notify=TypedNotify(), log=LogDefault(format="json"))
    assert_type(Config.from_url().storage, Storage)
    DotFlow(Config(scheduler=SchedulerCron("0 6 * * *", overlap="queue")))
