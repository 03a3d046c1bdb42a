"""What a resume would run and what it would skip, worked out without running or writing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.checkpoint import FINGERPRINT, RECORD, Checkpoint
from dotflow.core.journal import Desk, nothing, unfinished
from dotflow.core.plan import in_order, make_plan
from dotflow.core.types import TypeInputChange, TypeStatus, WorkflowStatus
from dotflow.core.workflow import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dotflow.core.dotflow import DotFlow
    from dotflow.core.plan import Plan
    from dotflow.core.task import Task


class Step(NamedTuple):
    """One task of a run to come.

    Attributes:
        task_id: Its name.
        skipped: Whether its saved result would be used.
        reason: Why it would run, or not.
        after: The tasks it waits for.
        saved_at: When its result was saved, in seconds since 1970; ``None`` if there is none.
    """

    task_id: str
    skipped: bool
    reason: str
    after: tuple[str, ...]
    saved_at: float | None


class Preview(NamedTuple):
    """What ``start(resume=True)`` would do.

    Attributes:
        run_id: The run it would continue; ``None`` if it would be a new one.
        status: How that run stands on record.
        steps: The tasks, in an order in which they may run.
        gone: Tasks of that run which the workflow no longer has; their results would be ignored.
        input_changed: Whether the initial contexts are not those of that run.
        refused: Whether the resume would raise ``InputChangedError``.
    """

    run_id: str | None
    status: str | None
    steps: list[Step]
    gone: list[str]
    input_changed: bool
    refused: bool


def preview(workflow: DotFlow, mode: str, on_input_change: str = TypeInputChange.REUSE) -> Preview:
    """Return what a resume of *workflow* would do.

    Raises:
        ConfigurationError: it could not be started in that mode.
        StorageError: the storage cannot be read.
    """
    tasks = workflow.task.queue
    plan = make_plan(tasks, mode)
    storage, codec = workflow.config.storage, workflow.config.codec
    if not workflow.named or storage.keeps_objects:
        why = "the workflow id is random, so there is no earlier run" if not workflow.named else "nothing is kept"
        return Preview(None, None, _steps(tasks, plan, {}, why, {}), [], False, False)
    store = Checkpoint(storage, codec, workflow.workflow_id)
    record = _record(store)
    saved = store.times_of([task.task_id for task in tasks])
    before = record.get("input") or store.read_record(FINGERPRINT)
    changed = before is not None and before != fingerprint(tasks)
    reset = changed and on_input_change == TypeInputChange.RESET
    past = {} if reset or "sessions" not in record else _past(Desk(storage, codec, record["family"]), record, store)
    why = "the input has changed, so everything runs again" if reset else "no result is saved"
    if not record and not saved:
        why = "there is no earlier run of this workflow id"
    present = {task.task_id for task in tasks}
    return Preview(
        None if reset else record.get("run_id"),
        record.get("status"),
        _steps(tasks, plan, {} if reset else saved, why, past),
        [name for name in record.get("tasks", ()) if name not in present],
        changed,
        changed and on_input_change == TypeInputChange.RAISE,
    )


def _record(store: Checkpoint) -> dict[str, Any]:
    found = store.read_record(RECORD)
    return found if isinstance(found, dict) else {}


def _past(desk: Desk, record: Mapping[str, Any], store: Checkpoint) -> dict[str, str]:
    """Return what became of the tasks of the last run that have no result."""
    found = desk.read_tasks(record["run_id"])
    if record["status"] == WorkflowStatus.IN_PROGRESS:
        found = unfinished(found or nothing(), record, store.times_of(record["tasks"]), ended=True)
    errors = {name: rows[-1] for name, rows in found.get("errors", {}).items() if rows}
    told: dict[str, str] = {}
    for name, status in zip(found.get("id", ()), found.get("status", ()), strict=True):
        if name in errors and status != TypeStatus.COMPLETED:
            told[name] = f"it failed with {errors[name]['exception']}: {errors[name]['message']}"
        elif status == TypeStatus.PAUSED:
            told[name] = "it was stopped while it ran"
        elif status == TypeStatus.NOT_STARTED:
            told[name] = "it was not started"
    for name in record["tasks"]:
        told.setdefault(name, "no result is saved")
    return told


def _steps(
    tasks: Sequence[Task], plan: Plan, saved: Mapping[str, float], why: str, past: Mapping[str, str]
) -> list[Step]:
    where = {task.task_id: place for place, task in enumerate(tasks)}
    steps = []
    for task in in_order(tasks, plan):
        name = task.task_id
        parents = tuple(tasks[place].task_id for place in plan.parents[where[name]])
        if name in saved:
            steps.append(Step(name, True, "completed, its result is saved", parents, saved[name]))
        else:
            new = "it is new since the last run" if past else why
            steps.append(Step(name, False, past.get(name, new), parents, None))
    return steps
