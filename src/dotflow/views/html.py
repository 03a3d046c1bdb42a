"""Tables for notebooks. Every text in them is escaped, and secrets are masked."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from dotflow.core.record import one_line
from dotflow.core.redact import mask
from dotflow.core.types import TypeStatus
from dotflow.views.state import LOOKS, attempt_of, error_line, seconds, word_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.core.task import Task

MOST_ROWS = 100
FIRST = (TypeStatus.IN_PROGRESS, TypeStatus.RETRY, TypeStatus.FAILED, TypeStatus.PAUSED)
CELL = "text-align:left;padding:2px 12px 2px 0"
VALUE = 200  # characters of a result


def run_table(tasks: Sequence[Task], workflow_id: Any, status: str) -> str:
    """Return the tasks of a workflow or a run; of very many those that run or failed, and then the first others."""
    found = Counter(task.status for task in tasks)
    parts = [f"{found[TypeStatus.COMPLETED]} of {len(tasks)} completed"]
    parts += [f"{found[each]} {each.lower()}" for each in FIRST if found[each]]
    heading = f"<b>{_text(workflow_id)}</b>{f' {_text(status)}' if status else ''} · {' · '.join(parts)}"
    shown = list(tasks)
    if len(shown) > MOST_ROWS:
        shown.sort(key=lambda task: task.status not in FIRST)
    rows = "".join(map(_row, shown[:MOST_ROWS]))
    if len(shown) > MOST_ROWS:
        rows += f'<tr><td colspan="5" style="{CELL}">and {len(shown) - MOST_ROWS} more</td></tr>'
    return f'<div class="dotflow"><div>{heading}</div><table>{_heads()}<tbody>{rows}</tbody></table></div>'


def _heads() -> str:
    names = ("Task", "Status", "Attempt", "Duration", "Error")
    return f"<thead><tr>{''.join(_cell('th', name) for name in names)}</tr></thead>"


def _cell(tag: str, html: str) -> str:
    return f'<{tag} style="{CELL}">{html}</{tag}>'


def _row(task: Task) -> str:
    look = LOOKS[task.status]
    state = (
        f'<span style="color:{look.line};background:{look.fill};padding:0 4px">{look.symbol} {word_for(task)}</span>'
    )
    error = _text(error_line(task.error)) if task.errors else ""
    took = "" if task.duration is None else seconds(task.duration)
    cells = (_text(task.task_id), state, attempt_of(task), took, error)
    return f"<tr>{''.join(_cell('td', cell) for cell in cells)}</tr>"


def task_table(task: Task) -> str:
    """Return what is known of one task; of its result the beginning."""
    rows = [("Workflow", _text(task.workflow_id)), ("Group", _text(task.group_name))]
    if task.status is TypeStatus.COMPLETED:
        text = repr(task.value)
        rows.append(("Result", f"<code>{_text(text[:VALUE])}{'…' if len(text) > VALUE else ''}</code>"))
    body = "".join(f"<tr>{_cell('th', name)}{_cell('td', cell)}</tr>" for name, cell in rows)
    traces = "".join(f"<pre>{_lines(error.traceback)}</pre>" for error in task.errors)
    return f'<div class="dotflow"><table>{_heads()}{_row(task)}</table><table>{body}</table>{traces}</div>'


def _text(value: Any) -> str:
    return escape(mask(one_line(value)))


def _lines(text: str) -> str:
    return "\n".join(escape(one_line(line)) for line in mask(text).split("\n"))
