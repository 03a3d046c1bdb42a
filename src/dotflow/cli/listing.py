"""``dotflow runs`` and ``dotflow show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cli.lookup import find_place, find_runs, iso, local, moment, print_line, table, write_json
from dotflow.cli.resuming import way_on
from dotflow.core.module import nearest
from dotflow.core.record import one_line
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.history import SHORT, Runs
from dotflow.views.progress import escape
from dotflow.views.state import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.history import Run, TaskRun

RUNS = ("RUN", "WORKFLOW", "STATUS", "STARTED", "DURATION", "TASKS")
TASKS = ("TASK", "STATUS", "ATTEMPTS", "STARTED", "DURATION")


def list_runs(
    *,
    storage: str | None,
    path: str | None,
    status: str | None,
    workflow: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Write a table of runs."""
    begun = None if since is None else moment(since)
    runs = find_runs(storage, path)
    found = runs.list(status=status, workflow=workflow, since=begun, limit=limit)
    if as_json:
        write_json([run_fields(each) for each in found])
        return 0
    if not found:
        print_line("no runs" if (status, workflow, since) == (None,) * 3 else f"no such runs{meant(runs, workflow)}")
        return 0
    size = distinct(found)
    rows = [
        (
            each.run_id[:size],
            one_line(each.workflow_id),
            each.status.value,
            local(each.started_at),
            seconds(each.duration),
            f"{each.done}/{each.total}",
        )
        for each in found
    ]
    for line in table(RUNS, rows, elastic=1, optional=(4, 3, 5)):
        print_line(line)
    return 0


def meant(runs: Runs, workflow: str | None) -> str:
    """Return which workflow was probably meant, if there is none of that id or name."""
    if workflow is None:
        return ""
    known = {name for each in runs.list() for name in (each.workflow_id, each.name) if name}
    return "" if workflow in known else nearest(workflow, sorted(known)) or f": no workflow {workflow!r} is on record"


def show_run(*, run: str, storage: str | None, path: str | None, as_json: bool) -> int:
    """Write what is known of a run."""
    place = find_place(storage, path)
    runs = Runs(place.storage)
    found = runs.get(run)
    tasks = runs.tasks(found)
    if as_json:
        write_json({**run_fields(found), "tasks": [task_fields(each) for each in tasks]})
        return 0
    for name, text in head(found):
        print_line(f"{name:<10} {text}")
    if tasks:
        print_line()
    rows = [task_row(each) for each in tasks]
    for line in table(TASKS, rows, elastic=0, optional=(3, 2)) if rows else []:
        print_line(line)
    for each in tasks:
        show_errors(each, len(found.sessions) > 1)
    if found.status not in (WorkflowStatus.COMPLETED, WorkflowStatus.IN_PROGRESS):
        print_line(f"\n{way_on(runs, found, storage, path)}")
    return 0


def head(run: Run) -> list[tuple[str, str]]:
    """Return what stands above the tasks."""
    named = "" if run.name is None else f" ({one_line(run.name)})"
    source = run.origin.get("workflow") or run.origin.get("step") or run.origin.get("program") or "not known"
    folder = f", in {run.origin['folder']}" if run.origin.get("folder") else ""
    lines = [
        ("run", run.run_id),
        ("workflow", one_line(run.workflow_id) + named),
        ("status", run.status.value),
        ("mode", run.mode),
        ("started", local(run.started_at)),
        ("ended", local(run.finished_at)),
        ("duration", seconds(run.duration)),
        ("tasks", f"{run.done} of {run.total} completed"),
        ("from", one_line(source + folder)),
    ]
    if run.scheduled_for is not None:
        lines.append(("due", local(run.scheduled_for)))
    for each in run.sessions:
        ended = "" if each.finished_at is None else f" to {local(each.finished_at)}"
        what = f"{each.status.value.lower()}, process {each.pid} on {one_line(each.host)}"
        lines.append((f"session {each.number}", f"{what}, {local(each.started_at)}{ended}"))
    return lines


def task_row(task: TaskRun) -> tuple[str, ...]:
    """Return a row of the table of tasks."""
    return (
        one_line(task.task_id),
        status_text(task),
        str(task.attempts),
        local(task.started_at),
        "" if task.status in (TypeStatus.NOT_STARTED, None) else seconds(task.duration),
    )


def status_text(task: TaskRun) -> str:
    """Return the status of a task, for people."""
    if task.status is None:
        return "unknown"
    more = " (restored)" if task.restored else " (interrupted)" if task.status is TypeStatus.PAUSED else ""
    return task.status.value + more


def show_errors(task: TaskRun, several: bool) -> None:
    """Write the failed attempts of a task; *several*: the run has more than one session."""
    for each in task.errors:
        what = "the storage refused its result" if each.attempt is None else f"attempt {each.attempt}"
        session = f" of session {each.session}" if several else ""
        print_line(f"\n{one_line(task.task_id)}, {what}{session}:")
        print_line(escape(each.traceback or f"{each.exception}: {each.message}"))


def distinct(runs: Sequence[Run]) -> int:
    """Return how many characters of their ids tell *runs* apart."""
    ids = {each.run_id for each in runs}
    return next(size for size in range(SHORT, 33) if len({each[:size] for each in ids}) == len(ids))


def run_fields(run: Run) -> dict[str, Any]:
    """Return a run for programs."""
    return {
        "run_id": run.run_id,
        "workflow_id": run.workflow_id,
        "name": run.name,
        "status": run.status.value,
        "mode": run.mode,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "duration": run.duration,
        "tasks_completed": run.done,
        "tasks_total": run.total,
        "scheduled_for": iso(run.scheduled_for),
        "origin": dict(run.origin),
        "sessions": [
            {
                **each._asdict(),
                "status": each.status.value,
                "started_at": iso(each.started_at),
                "finished_at": iso(each.finished_at),
            }
            for each in run.sessions
        ],
    }


def task_fields(task: TaskRun) -> dict[str, Any]:
    """Return a task for programs."""
    return {
        **task._asdict(),
        "status": task.status and task.status.value,
        "started_at": iso(task.started_at),
        "finished_at": iso(task.finished_at),
        "errors": [each._asdict() for each in task.errors],
    }
