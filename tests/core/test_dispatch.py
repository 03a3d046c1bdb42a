"""From events to observers: order, isolation, counting, and what is not called."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from doubles import (
    Calls,
    Listener,
    Place,
    Plain,
    ToldLog,
    ToldMetrics,
    ToldNotify,
    ToldServer,
    ToldTracer,
    flow,
    statuses,
)

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.abc.notify import Notify
from dotflow.core import dispatch
from dotflow.core.dispatch import FAULTS_KEPT, Dispatcher
from dotflow.core.exception import DeliveryFailed
from dotflow.core.types import WorkflowStatus

KINDS: dict[str, Any] = {
    "notify": ToldNotify,
    "log": ToldLog,
    "tracer": ToldTracer,
    "metrics": ToldMetrics,
    "server": ToldServer,
}


@action
def one() -> int:
    return 1


@action(retry=2, retry_delay=0)
def fails() -> None:
    raise ValueError("no")


def observed(calls: Calls, *steps: Any, **config: Any) -> DotFlow:
    """Make a workflow ``w`` all of whose observers write to *calls*."""
    return flow(*steps, workflow_id="w", **{name: kind(calls) for name, kind in KINDS.items()}, **config)


def of(calls: Calls, *kinds: str) -> list[str]:
    """Return the names of the calls of some providers, in order, with their first text."""
    return [" ".join(map(str, call[:3])) for call in calls if call[0].partition(".")[0] in kinds]


# -- order ----------------------------------------------------------------------------------------------------


def test_providers_are_called_in_the_order_of_the_specification() -> None:
    """API §9: tracer, metrics; per task tracer start, In progress, the step, saved, Completed, tracer end, callback."""
    calls: Calls = []

    @action
    def work() -> int:
        calls.append(("the step",))
        return 5

    workflow = observed(calls, storage=Plain(calls=calls))
    workflow.task.add(work, callback=lambda task: calls.append(("callback", task.task_id, str(task.status))))
    workflow.start(on_success=lambda tasks: calls.append(("on_success", len(tasks))))

    own_thread = [call for call in calls if not call[0].startswith(("notify", "server"))]
    past = [call for call in own_thread if call[0] in ("get", "post") and call[1] != "w-work"]
    in_run = [call[0] for call in own_thread if call not in past]
    assert in_run[in_run.index("tracer.start_workflow") :] == [
        "tracer.start_workflow",
        "metrics.workflow_started",
        "tracer.start_task",
        "log.info",
        "the step",
        "post",
        "get",
        "log.info",
        "metrics.task_completed",
        "tracer.end_task",
        "callback",
        "tracer.end_workflow",
        "metrics.workflow_completed",
        "on_success",
    ]
    assert calls.index(("callback", "work", "Completed")) > calls.index(("post", "w-work", 5))


def test_observers_are_told_what_the_specification_says() -> None:
    """API §9: each provider's own calls in order, with statuses and durations set, ``mode`` and ``tasks_count``."""
    calls: Calls = []

    observed(calls, one, fails).start()

    def own(name: str) -> list[tuple[Any, ...]]:
        return [call for call in calls if call[0].startswith(f"{name}.")]

    assert own("tracer") == [
        ("tracer.start_workflow", "w", {"mode": "sequential", "tasks_count": 2}),
        ("tracer.start_task", "one"),
        ("tracer.end_task", "one", "Completed", True),
        ("tracer.start_task", "fails"),
        ("tracer.end_task", "fails", "Failed", True),
        ("tracer.end_workflow", "w", ["duration", "failed"], True),
    ]
    assert own("metrics") == [
        ("metrics.workflow_started", "w", {"mode": "sequential"}),
        ("metrics.task_completed", "one", True),
        ("metrics.task_retried", "fails"),
        ("metrics.task_failed", "fails", True),
        ("metrics.workflow_failed", "w", True),
    ]
    assert own("log") == [
        ("log.info", "one", "In progress"),
        ("log.info", "one", "Completed"),
        ("log.info", "fails", "In progress"),
        ("log.info", "fails", "Retry"),
        ("log.error", "fails", "Failed"),
    ]
    assert own("notify") == [
        ("notify.hook_status_task", "one", "In progress", False),
        ("notify.hook_status_task", "one", "Completed", True),
        ("notify.hook_status_task", "fails", "In progress", False),
        ("notify.hook_status_task", "fails", "Retry", False),
        ("notify.hook_status_task", "fails", "Failed", True),
    ]
    assert own("server") == [
        ("server.create_workflow", "w"),
        ("server.update_workflow", "w", "In progress"),
        ("server.create_task", "one", "Not started"),
        ("server.create_task", "fails", "Not started"),
        ("server.update_task", "one", "Completed", True),
        ("server.update_task", "fails", "Failed", True),
        ("server.update_workflow", "w", "Failed"),
    ]


def test_each_change_is_told_once_in_every_place(place: Place) -> None:
    """§19-7: one event per change, told in the parent, wherever the step runs; context and duration are there."""
    seen: list[tuple[str, Any, bool]] = []
    listener = Listener()

    class Watching(Notify):
        def hook_status_task(self, task: Any) -> None:
            seen.append((str(task.status), task.current_context.storage, task.finished_at is not None))

    def work() -> int:
        return 5

    def breaks() -> None:
        raise ValueError("no")

    workflow = place.flow(
        place.step(work), place.step(breaks, retry=2, retry_delay=0), workflow_id="w", notify=Watching()
    )
    place.run(workflow, listeners=[listener])

    assert listener.heard == [
        ("WorkflowStarted", ""),
        ("TaskStarted", "work"),
        ("TaskCompleted", "work"),
        ("TaskStarted", "breaks"),
        ("TaskRetried", "breaks"),
        ("TaskFailed", "breaks"),
        ("WorkflowFinished", ""),
    ]
    assert seen == [
        ("In progress", None, False),
        ("Completed", 5, True),
        ("In progress", None, False),
        ("Retry", None, False),
        ("Failed", None, True),
    ]


def test_nothing_is_announced_before_it_is_saved() -> None:
    """R5: at ``TaskCompleted`` the checkpoint is there."""
    storage = Plain()
    found: list[bool] = []

    def listener(event: Any) -> None:
        if type(event).__name__ == "TaskCompleted":
            found.append(f"w-{event.task.task_id}" in storage.kept)

    flow(one, one, workflow_id="w", storage=storage).start(listeners=[listener])

    assert found == [True, True]


def test_restored_task_is_told_to_log_and_server_with_its_context() -> None:
    """§19-8: a restored task has its context when it is announced; no callback, metric or notification of it."""
    kept: dict[str, str] = {}
    flow(one, workflow_id="w", storage=Plain(kept)).start()
    calls: Calls = []
    listener = Listener()
    workflow = observed(calls, storage=Plain(kept))
    workflow.task.add(one, callback=lambda task: calls.append(("callback",)))

    workflow.start(resume=True, listeners=[listener])

    assert of(calls, "log") == ["log.info one Completed"]
    assert of(calls, "server") == [
        "server.create_workflow w",
        "server.update_workflow w In progress",
        "server.create_task one Not started",
        "server.update_task one Completed",
        "server.update_workflow w Completed",
    ]
    assert [kind for kind, _ in listener.heard] == ["WorkflowStarted", "TaskRestored", "WorkflowFinished"]
    assert listener.events[1].task.value == 1
    assert of(calls, "notify", "callback") == []
    assert [call[0] for call in calls if call[0].startswith("metrics")] == [
        "metrics.workflow_started",
        "metrics.workflow_completed",
    ]


def test_server_is_told_of_many_tasks_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow of many tasks is reported in pieces that keep a deadline each: each task once, the workflow once."""
    monkeypatch.setattr(dispatch, "PIECE", 2)
    calls: Calls = []

    flow(*[one] * 5, workflow_id="w", server=ToldServer(calls)).start()

    names = [call[0] for call in calls]
    assert names[:7] == ["server.create_workflow", "server.update_workflow", *["server.create_task"] * 5]
    assert len({call[1] for call in calls if call[0] == "server.create_task"}) == 5


# -- callbacks ------------------------------------------------------------------------------------------------


def test_callback_is_called_for_completed_and_failed_tasks_alike() -> None:
    """API §13: ``callback(task=<Task>)`` after the task has ended; with ``*args, **kwargs`` only the keyword comes."""
    heard: list[Any] = []

    def callback(*args: Any, **kwargs: Any) -> None:
        heard.append((args, list(kwargs), kwargs["task"].task_id, str(kwargs["task"].status)))

    workflow = flow()
    workflow.task.add([one, fails], callback=callback)
    workflow.start()

    assert heard == [((), ["task"], "one", "Completed"), ((), ["task"], "fails", "Failed")]


@pytest.mark.parametrize(("steps", "expected"), [([one], "success"), ([one, fails, one], "failure"), ([], "success")])
def test_exactly_one_of_the_outcome_callbacks_is_called(steps: list[Any], expected: str) -> None:
    """API §13: ``on_success(tasks=)`` or ``on_failure(tasks=)``, once, with every task of the run."""
    heard: list[tuple[str, int]] = []

    flow(*steps).start(
        on_success=lambda tasks: heard.append(("success", len(tasks))),
        on_failure=lambda tasks: heard.append(("failure", len(tasks))),
    )

    assert heard == [(expected, len(steps))]


# -- faults ---------------------------------------------------------------------------------------------------


class Boom(RuntimeError):
    """What broken observers raise."""


def broken(kind: type) -> Any:
    """Make an observer every method of which raises."""

    def raises(self: Any, *args: Any, **kwargs: Any) -> None:
        raise Boom(f"from {kind.__name__}")

    methods = {name: raises for name in vars(kind) if not name.startswith("_")}
    return type(f"Broken{kind.__name__}", (kind,), methods)([])


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("log", 7, 7), ("tracer", 8, 8), ("metrics", 6, 6), ("notify", 3, 8), ("server", 3, 5)],
)
def test_provider_that_always_raises_is_counted_and_reported_once(
    name: str, least: int, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    """P3: every hook that raises is counted, the first is reported with its traceback, and the run goes on."""
    calls: Calls = []
    config: dict[str, Any] = {each: kind(calls) for each, kind in KINDS.items() if each != name}
    provider = config[name] = broken(KINDS[name])
    workflow = flow(one, fails, one, **config)

    with caplog.at_level(logging.WARNING, "dotflow"):
        manager = workflow.start(keep_going=True, mode="sequential")

    counted = manager.observer_fault_counts[type(provider).__name__]
    assert statuses(manager) == ["Completed", "Failed", "Completed"]
    reports = [record for record in caplog.records if "the run goes on" in record.getMessage()]
    assert len(reports) == 1
    assert type(provider).__name__ in reports[0].getMessage()
    assert f"Boom: from {KINDS[name].__name__}" in reports[0].getMessage()
    assert {fault.observer for fault in manager.observer_faults} == {type(provider).__name__}
    assert all(isinstance(fault.error, Boom) for fault in manager.observer_faults)
    assert len(manager.observer_faults) == counted
    assert least <= counted <= most  # a network observer that keeps failing is left alone for a while
    assert {call[0].partition(".")[0] for call in calls} >= set(KINDS) - {name}


def test_broken_callbacks_and_listeners_are_faults_like_others(place: Place) -> None:
    """P3: callbacks and listeners that raise are counted by name, and do not stop the run."""

    def bad_callback(task: Task) -> None:
        raise Boom("callback")

    def bad_listener(event: Any) -> None:
        raise Boom("listener")

    def bad_end(tasks: list[Task]) -> None:
        raise Boom("end")

    def work() -> int:
        return 1

    heard = Listener()
    workflow = place.flow()
    workflow.task.add([place.step(work)] * 2, callback=bad_callback)

    manager = place.run(workflow, listeners=[bad_listener, heard], on_success=bad_end)

    assert manager.status is WorkflowStatus.COMPLETED
    assert len(heard.heard) == 6
    [name] = [name for name in manager.observer_fault_counts if "bad_listener" in name]
    assert manager.observer_fault_counts == {name: 6, "callback": 2, "on_success/on_failure": 1}
    assert manager.observer_faults[0].event == "WorkflowStarted"


def test_different_kinds_of_failure_are_each_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A second kind of error of one observer is news."""
    errors = iter([Boom("one"), Boom("two"), KeyError("three")])

    def listener(event: Any) -> None:
        error = next(errors, None)
        if error is not None:
            raise error

    manager = flow(one, one).start(listeners=[listener])

    assert caplog.text.count("the run goes on") == 2
    assert len(manager.observer_faults) == 3


def test_only_the_last_thousand_faults_are_kept_and_all_are_counted() -> None:
    """X6: what is kept of faults is bounded."""
    workflow = flow()
    tell = Dispatcher(workflow.config)
    for _ in range(FAULTS_KEPT + 5):
        tell.fault("mine", "TaskStarted", Boom("x"))

    assert len(tell.faults) == FAULTS_KEPT
    assert tell.fault_counts["mine"] == FAULTS_KEPT + 5


def test_interruption_in_an_observer_is_not_swallowed() -> None:
    """STYLE §8: ``KeyboardInterrupt`` is left alone; the run is recorded as interrupted and can be resumed."""
    kept: dict[str, str] = {}

    def listener(event: Any) -> None:
        if type(event).__name__ == "TaskCompleted":
            raise KeyboardInterrupt

    workflow = flow(one, one, workflow_id="w", storage=Plain(kept))
    with pytest.raises(KeyboardInterrupt):
        workflow.start(listeners=[listener])
    assert [str(task.status) for task in workflow.result_task()] == ["Completed", "Not started"]

    manager = workflow.start(resume=True)

    assert [task.restored for task in manager.tasks] == [True, False]
    assert manager.status is WorkflowStatus.COMPLETED


# -- where observers are called -------------------------------------------------------------------------------


def test_network_observers_are_called_beside_the_run_and_flushed_at_its_end() -> None:
    """P3: notify and server have a thread of their own, get copies, and are done when ``start`` returns."""
    threads: set[int] = set()
    tasks: list[Any] = []

    class Watching(Notify):
        def hook_status_task(self, task: Any) -> None:
            threads.add(threading.get_ident())
            tasks.append(task)

    manager = flow(one, notify=Watching()).start()

    assert threads
    assert threading.get_ident() not in threads
    assert [str(task.status) for task in tasks] == ["In progress", "Completed"]
    assert manager.tasks[0] not in tasks


def test_in_process_observers_are_called_in_order_on_the_thread_of_the_run() -> None:
    """Log, tracer, metrics, callbacks and listeners run where the run is driven."""
    threads: set[int] = set()

    class Watching(ToldTracer):
        def tell(self, *what: Any) -> None:
            threads.add(threading.get_ident())

    flow(one, tracer=Watching([])).start(listeners=[lambda event: threads.add(threading.get_ident())])

    assert threads == {threading.get_ident()}


def test_workflow_started_by_an_observer_does_not_tell_that_observer_again() -> None:
    """An observer that starts a workflow with its own config does not call itself for ever."""
    started: list[Any] = []

    class Starts(ToldTracer):
        def start_task(self, task: Any) -> None:
            super().start_task(task)
            started.append(flow(one, tracer=self).start())

    calls: Calls = []
    flow(one, tracer=Starts(calls)).start()

    assert len(started) == 1
    assert started[0].status is WorkflowStatus.COMPLETED
    assert [call[0] for call in calls].count("tracer.start_task") == 1


def test_network_observer_that_starts_a_workflow_waits_for_nobody() -> None:
    """A notifier that starts a workflow with another notifier does not wait in its own call for calls."""
    inner: Calls = []
    started: list[Any] = []
    other = ToldNotify(inner)

    class Starts(Notify):
        def hook_status_task(self, task: Any) -> None:
            if not started:
                started.append(flow(one, notify=other).start())

    manager = flow(one, notify=Starts()).start()
    until = time.monotonic() + 30
    while len(inner) < 2 and time.monotonic() < until:
        time.sleep(0.001)

    assert manager.observer_faults == []
    assert started[0].status is WorkflowStatus.COMPLETED
    assert [call[2] for call in inner] == ["In progress", "Completed"]


def test_secrets_do_not_reach_observers_and_stay_in_the_results() -> None:
    """X5: an observer gets copies in which registered secrets are masked; the results are not changed."""
    calls: list[Any] = []

    class Watching(ToldTracer):
        def end_task(self, task: Any) -> None:
            calls.append((task.current_context.storage, [error.message for error in task.errors]))

    secret = "hunter2-hunter2"

    @action(retry=2, retry_delay=0)
    def leaks(task: Any) -> Any:
        if task.attempt < 2:
            raise ValueError(f"password {secret}")
        return {"token": secret}

    manager = flow(leaks, tracer=Watching([]), secrets=[secret]).start()

    assert calls == [({"token": "***"}, ["password ***"])]
    assert manager.tasks[0].value == {"token": secret}


def test_silent_and_combined_providers_are_understood() -> None:
    """A provider may say that it has nothing to do, or consist of several."""
    calls: Calls = []

    class Silent(ToldTracer):
        silent = True

    class Both(ToldMetrics):
        members = (ToldMetrics(calls), ToldMetrics(calls))

    flow(one, tracer=Silent(calls), metrics=Both([])).start()

    assert [call[0] for call in calls] == [
        *["metrics.workflow_started"] * 2,
        *["metrics.task_completed"] * 2,
        *["metrics.workflow_completed"] * 2,
    ]


def test_notifier_may_ask_for_the_end_of_the_run() -> None:
    """A notifier with ``hook_status_workflow`` is told how the run ended."""
    ended: list[Any] = []

    class Watching(ToldNotify):
        def hook_status_workflow(self, run: Any) -> None:
            ended.append((run.workflow_id, str(run.status), len(run.tasks)))

    flow(one, workflow_id="w", notify=Watching([])).start()

    assert ended == [("w", "Completed", 1)]


def test_observer_that_the_dispatcher_does_not_hear_costs_nothing() -> None:
    """With nobody listening only the default log is connected, for what is worse than information."""
    tell = Dispatcher(flow(one).config, callbacks=False)

    assert {kind for kind in dispatch.ALL if tell.hears(kind)} == {dispatch.TaskRetried, dispatch.TaskFailed}


def test_failed_step_is_seen_with_nothing_configured(caplog: pytest.LogCaptureFixture) -> None:
    """A failure goes to the standard logger as an error with its traceback; the rest is silent by default."""
    flow(one, fails).start()

    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "dotflow"
    assert "ValueError: no" in record.getMessage()
    assert "in fails" in record.getMessage()


def test_empty_context_reaches_the_first_step() -> None:
    """A listener that looks at contexts sees ``Context`` objects only."""
    seen: list[bool] = []

    def listener(event: Any) -> None:
        if hasattr(event, "task"):
            seen.append(isinstance(event.task.previous_context, Context))

    flow(one).start(listeners=[listener])

    assert seen == [True, True]


def test_delivery_that_fails_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With its cause; the traceback is there for whoever asks for DEBUG. A defect of an observer has it at once."""
    caplog.set_level(logging.DEBUG, "dotflow")
    tell = Dispatcher(Config())

    tell.fault("NotifySlack", "TaskFailed", DeliveryFailed("http://127.0.0.1:9 cannot be reached: refused"))
    tell.fault("NotifyMine", "TaskFailed", KeyError("x"))

    [line, details, defect] = caplog.records
    assert line.getMessage() == (
        "NotifySlack failed at TaskFailed and the run goes on; further failures of this kind are only counted: "
        "http://127.0.0.1:9 cannot be reached: refused"
    )
    assert (line.levelname, details.levelname, defect.levelname) == ("WARNING", "DEBUG", "WARNING")
    assert "DeliveryFailed: http" in details.getMessage()
    assert "KeyError: 'x'" in defect.getMessage()
