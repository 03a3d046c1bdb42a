"""How the state of a task is shown: a symbol, a colour, and always a word; how durations and errors are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dotflow.core.record import one_line
from dotflow.core.redact import mask
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from dotflow.core.messages import TaskError
    from dotflow.core.task import Task


class Look(NamedTuple):
    """How one status looks.

    Attributes:
        symbol: For a stream that can encode it.
        letter: The same in ASCII.
        style: The colour on a terminal, as rich names it.
        fill: The background in a picture.
        line: Borders and text in a picture; readable on *fill* and on white.
    """

    symbol: str
    letter: str
    style: str
    fill: str
    line: str


LOOKS: dict[TypeStatus, Look] = {
    TypeStatus.NOT_STARTED: Look("○", ".", "dim", "#f6f8fa", "#57606a"),
    TypeStatus.IN_PROGRESS: Look("●", "*", "cyan", "#ddf4ff", "#0550ae"),
    TypeStatus.RETRY: Look("↻", "~", "yellow", "#fff8c5", "#7d4e00"),
    TypeStatus.COMPLETED: Look("✔", "+", "green", "#dafbe1", "#116329"),
    TypeStatus.PAUSED: Look("‖", "=", "yellow", "#fff1e5", "#953800"),
    TypeStatus.FAILED: Look("✘", "x", "red", "#ffebe9", "#a40e26"),
}


def word_for(task: Task) -> str:
    """Return the status of *task* as a word."""
    return "Restored" if task.restored else str(task.status)


def attempt_of(task: Task) -> str:
    """Return the number of the present attempt and how many there may be; nothing if there is only one."""
    if task.status is TypeStatus.NOT_STARTED or task.restored:
        return ""
    most = task.step.policy.retry
    failed = len(task.errors)
    number = failed if task.status in (TypeStatus.FAILED, TypeStatus.RETRY) else failed + 1
    return f"{min(number, most)}/{most}" if most > 1 else ""


def seconds(duration: float | None) -> str:
    """Return a duration for people."""
    if duration is None:
        return "-"
    if duration < 59.995:
        return f"{duration:.2f} s" if duration < 9.995 else f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def error_line(error: TaskError) -> str:
    """Return an error as one line."""
    name, text = one_line(error.exception), one_line(mask(error.message).strip().rpartition("\n")[2])
    return f"{name}: {text}" if text else name
