"""``dotflow plan``: what a resume would run, what it would skip, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dotflow.cli.lookup import iso, local, print_line, table, write_json
from dotflow.cli.target import Wish, build
from dotflow.core.preview import Preview, Step, preview
from dotflow.core.record import one_line
from dotflow.core.redact import mask
from dotflow.history import SHORT

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = ("TASK", "WILL", "WHY")


def show_plan(wish: Wish, *, mode: str, on_input_change: str, as_json: bool) -> int:
    """Write what a resume would do; return 1 if it would be refused, else 0."""
    workflow = build(wish).workflow
    found = preview(workflow, mode, on_input_change)
    if as_json:
        write_json({"workflow_id": str(workflow.workflow_id), "mode": mode, **as_fields(found)})
        return int(found.refused)
    for line in remarks(str(workflow.workflow_id), found, on_input_change):
        print_line(line)
    rows = [(one_line(step.task_id), "skip" if step.skipped else "run", why(step)) for step in found.steps]
    for line in table(HEAD, rows, elastic=2) if rows else ["the workflow has no tasks"]:
        print_line(line)
    return int(found.refused)


def remarks(workflow_id: str, found: Preview, policy: str) -> list[str]:
    """Return what stands above the table."""
    skipped = sum(step.skipped for step in found.steps)
    what = "a new run" if found.run_id is None else f"run {found.run_id[:SHORT]}"
    lines = [
        f"workflow {one_line(workflow_id)}, {what}: {skipped} to skip, {len(found.steps) - skipped} to run",
    ]
    if found.refused:
        lines.append("the input has changed: start --resume would refuse with InputChangedError")
    elif found.input_changed and policy == "reuse":
        lines.append("the input has changed since then; results are used all the same (on_input_change='reuse')")
    if found.gone:
        lines.append(f"results of tasks that are gone are ignored: {', '.join(map(one_line, found.gone))}")
    return [*lines, ""]


def why(step: Step) -> str:
    """Return the reason, for people."""
    if step.saved_at is not None:
        return f"completed {local(_time(step))}"
    return one_line(mask(step.reason))


def as_fields(found: Preview) -> dict[str, Any]:
    """Return a preview for programs."""
    return {
        "run_id": found.run_id,
        "last_status": found.status,
        "input_changed": found.input_changed,
        "refused": found.refused,
        "gone": found.gone,
        "tasks": _fields(found.steps),
    }


def _fields(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {
            "task_id": step.task_id,
            "action": "skip" if step.skipped else "run",
            "reason": mask(step.reason),
            "after": list(step.after),
            "saved_at": iso(_time(step)),
        }
        for step in steps
    ]


def _time(step: Step) -> datetime | None:
    return None if step.saved_at is None else datetime.fromtimestamp(step.saved_at, UTC)
