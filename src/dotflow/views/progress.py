"""What a run shows while it runs: lines, or a picture that is drawn again and again (``live``)."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from dotflow.core.events import (
    TaskCompleted,
    TaskFailed,
    TaskPaused,
    TaskRestored,
    TaskRetried,
    TaskStarted,
    WorkflowFinished,
    WorkflowStarted,
)
from dotflow.core.record import one_line
from dotflow.core.redact import mask
from dotflow.views.state import error_line, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dotflow.core.events import Event
    from dotflow.core.task import Task

WORDS: dict[type, str] = {
    TaskStarted: "started",
    TaskRetried: "retry",
    TaskCompleted: "completed",
    TaskRestored: "restored",
    TaskFailed: "failed",
    TaskPaused: "paused",
}


class Lines:
    """One line for each change, to standard output."""

    def __call__(self, event: Event) -> None:
        """Show *event*."""
        word = WORDS.get(type(event))
        if word is not None:
            task: Task = event.task  # type: ignore[union-attr]  # every event in WORDS has one
            write(sys.stdout, f"{word:<9}  {one_line(task.task_id)}{self._more(event, task)}")

    def close(self) -> None:
        """Leave the output ready for what follows."""

    def say(self, line: str) -> None:
        """Show a line that is no event; may be called from a signal handler."""
        raw_write(line)

    def _more(self, event: Event, task: Task) -> str:
        if isinstance(event, TaskRetried):
            return f"  attempt {len(task.errors)} of {task.step.policy.retry}: {error_line(event.error)}"
        if isinstance(event, TaskFailed):
            return f"  {seconds(task.duration)}  {error_line(task.error)}"
        if isinstance(event, (TaskCompleted, TaskPaused)):
            return f"  {seconds(task.duration)}"
        return ""


class Screen:
    """What a picture of the run shows: kept up to date by events, read by whoever draws.

    Attributes:
        tasks: All of them, in order.
        mode: In which mode they run.
        running: When each task that runs began, on the monotonic clock.
        notice: A line from outside the run.
    """

    def __init__(self, redraw: Callable[[bool], None]) -> None:
        self.tasks: list[Task] = []
        self.mode = "sequential"
        self.running: dict[str, float] = {}
        self.notice = ""
        self.began = time.monotonic()
        self.took: float | None = None
        self._redraw = redraw

    def __call__(self, event: Event) -> None:
        """Take note of *event*."""
        if isinstance(event, WorkflowStarted):
            self.tasks, self.mode = event.tasks, event.mode
            self.began, self.took = time.monotonic(), None
            self.running.clear()
            self._redraw(False)
        elif isinstance(event, WorkflowFinished):
            self.took = event.duration
            self.running.clear()
            self._redraw(True)
        elif isinstance(event, TaskStarted):
            self.running[event.task.task_id] = time.monotonic()
        elif not isinstance(event, (TaskRetried, TaskRestored)):
            self.running.pop(event.task.task_id, None)

    def duration_of(self, task: Task) -> str:
        """Return how long *task* took, or runs already."""
        since = self.running.get(task.task_id)
        if since is not None:
            return seconds(time.monotonic() - since)
        return "" if task.duration is None else seconds(task.duration)


def wants_picture() -> bool:
    """Whether standard output is a terminal on which lines can be drawn again."""
    try:
        return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def make_view() -> Any:
    """Return the view that suits standard output: a listener with ``close`` and ``say``."""
    if not wants_picture():
        return Lines()
    from dotflow.views.live import Picture

    return Picture()


def make_progress(tasks: Sequence[Task], workflow_id: Any) -> Callable[[Event], None]:
    """Return the view for ``start(progress=True)``: in a notebook a table, else as for the command line."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and hasattr(shell, "kernel"):
        from dotflow.views.notebook import Notebook

        return Notebook(tasks, workflow_id)
    return make_view()  # type: ignore[no-any-return]  # each view is called with events


def escape(text: str) -> str:
    """Return a text of several lines in which control characters are escaped."""
    return "\n".join(one_line(line.replace("\t", "    ")) for line in mask(text).split("\n"))


def write(stream: TextIO | None, line: str) -> None:
    """Write a line, without secrets; where nobody reads any more, drop it and all that follows.

    What the encoding of the stream lacks is written as an escape.
    """
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(mask(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except (OSError, ValueError):
        silence(stream)


def silence(stream: TextIO) -> None:
    """Lead *stream* nowhere: its reader is gone, and the run goes on."""
    try:
        number = stream.fileno()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), number)
    except (OSError, ValueError, AttributeError):  # it has no file, or none any more
        pass


def raw_write(line: str) -> None:
    """Write a line to standard error past every buffer, as a signal handler must."""
    try:
        os.write(2, f"{line}\n".encode("utf-8", "backslashreplace"))
    except OSError:  # nobody reads it
        pass
