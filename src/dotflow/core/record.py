"""Tasks and workflows as plain values: for results, for log lines, for servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.core.task import raw_id
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from dotflow.core.messages import TaskError
    from dotflow.core.task import Task

EXCEEDED = {"message": "Context size exceeded"}
CONTEXTS = ("initial_context", "previous_context", "current_context")


def workflow_result(workflow_id: Any, name: str | None, tasks: list[Task]) -> dict[str, Any]:
    """Return a workflow as ``DotFlow.result`` gives it."""
    known = str(workflow_id)
    return {
        "workflow_id": known,
        "workflow_name": name,
        "id": known,
        "name": name,
        "tasks": [task_result(task) for task in tasks],
    }


def task_result(task: Task) -> dict[str, Any]:
    """Return a task as ``Task.result`` gives it."""
    errors = [
        {"attempt": e.attempt, "exception": e.exception, "traceback": e.traceback, "message": e.message}
        | ({"output": e.output} if e.output else {})
        for e in task.errors
    ]
    return {
        "task_id": task.task_id,
        "id": task.task_id,
        "workflow_id": None if task.workflow_id is None else str(task.workflow_id),
        "status": str(task.status),
        "duration": task.duration,
        **{name: _context(getattr(task, name).storage) for name in CONTEXTS},
        "group_name": task.group_name,
        "retry_count": task.retry_count,
        "created_at": task.created_at.isoformat(),
        "started_at": task.started_at.isoformat() if task.started_at else None,
        "finished_at": task.finished_at.isoformat() if task.finished_at else None,
        "errors": errors,
        "error": errors[-1] if errors else None,
        **({"output": task.output} if task.output else {}),
    }


def limited(result: dict[str, Any], most: int | None) -> dict[str, Any]:
    """Leave out contexts, largest first, then errors, until the JSON text has at most *most* characters."""
    if most is None or _size(result) <= most:
        return result
    for name in sorted(CONTEXTS, key=lambda name: -_size(result[name])):
        result[name] = dict(EXCEEDED)
        if _size(result) <= most:
            return result
    result["errors"], result["error"] = [], None
    if _size(result) > most:
        result.pop("output", None)
    if _size(result) > most > 0:
        result.update(dict.fromkeys(CONTEXTS))
    return result


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _context(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        return _text(value)
    found: dict[str, Any] = {}
    for position, item in enumerate(value):
        if isinstance(item, Context):
            found[item.task_id or f"ctx:{position}"] = _context(item.storage)
        else:
            found[f"raw:{position}"] = _text(item)
    return found


def _text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def event_id(*parts: str) -> str:
    """Return an id made of *parts*: 32 hexadecimal digits."""
    import hashlib

    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def task_event_id(task: Task, origin: str) -> str:
    """The id of the message about *task* as it is now: the same whenever it is told, different for another change.

    *origin* is the id of the run, and after a slash what tells this process' part in it from another's.
    """
    status, failed = task.status, len(task._errors or ())
    if status is TypeStatus.COMPLETED:  # there is one at most, and a process that takes over knows no more of it
        return event_id(origin.partition("/")[0], raw_id(task), "", status)
    attempt = failed if status in (TypeStatus.FAILED, TypeStatus.RETRY) else failed + 1
    return event_id(origin, raw_id(task), str(attempt), status)


def run_event_id(status: str, origin: str) -> str:
    """The id of the message that a run has ended, likewise."""
    return event_id(origin.partition("/")[0] if status == WorkflowStatus.COMPLETED else origin, "", status)


def as_text(level: str, **kwargs: Any) -> str:
    """Return one line for a log record; a failure brings its traceback."""
    task = kwargs.get("task")
    if task is None:
        return " ".join(f"{name}={one_line(value)}" for name, value in kwargs.items())
    line = f"ID {one_line(task.workflow_id)} - {one_line(task.task_id)} - {task.status}"
    if level == "ERROR" and task.errors:
        line += " \n " + "\n ".join(one_line(part) for part in _last(task).traceback.split("\n"))
    if _ended(task):
        line += "".join(f"\n | {one_line(part)}" for part in task.output.splitlines())
    return line


def as_json(level: str, **kwargs: Any) -> str:
    """Return one JSON object for a log record, with what is known."""
    return json.dumps(_fields(level, **kwargs))


def as_logfmt(level: str, **kwargs: Any) -> str:
    """Return one line of ``name=value`` pairs for a log record, with what is known."""
    fields = _fields(level, **kwargs)
    error = fields.pop("error", None)
    if error is not None:
        fields.update(exception=error["exception"], message=error["message"])
    return " ".join(f"{one_line(name)}={_quoted(value)}" for name, value in fields.items())


def _quoted(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not any(char in ' ="\\' for char in text):
        return text
    return json.dumps(text)


def _fields(level: str, **kwargs: Any) -> dict[str, Any]:
    from datetime import UTC, datetime

    task = kwargs.get("task")
    fields: dict[str, Any] = {"timestamp": datetime.now(UTC).isoformat(), "level": level}
    if task is None:
        fields.update({name: str(value) for name, value in kwargs.items()})
        return fields
    fields.update(workflow_id=str(task.workflow_id), task_id=task.task_id, status=str(task.status))
    if task.duration is not None:
        fields["duration"] = task.duration
    if task.retry_count:
        fields["retry_count"] = task.retry_count
    if level == "ERROR" and task.errors:
        last = _last(task)
        fields["error"] = {"exception": last.exception, "message": last.message}
    if _ended(task):
        fields["output"] = task.output
    return fields


def _last(task: Task) -> TaskError:
    from dotflow.core.redact import mask_error

    return mask_error(task.errors[-1])


def _ended(task: Task) -> bool:
    """Whether an attempt has just ended that printed something."""
    return bool(getattr(task, "output", "")) and task.status != TypeStatus.IN_PROGRESS


def one_line(value: Any) -> str:
    """Return *value* as text in which line breaks and control characters are escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
