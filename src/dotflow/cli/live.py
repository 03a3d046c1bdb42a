"""The picture of a run on a terminal. The only module that needs rich."""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dotflow.cli.view import Screen, raw_write, seconds, silence
from dotflow.core.record import one_line
from dotflow.core.redact import mask
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from dotflow.core.events import Event
    from dotflow.core.task import Task

PER_SECOND = 8
ORDER = (
    TypeStatus.IN_PROGRESS,
    TypeStatus.RETRY,
    TypeStatus.FAILED,
    TypeStatus.PAUSED,
    TypeStatus.NOT_STARTED,
    TypeStatus.COMPLETED,
)
RANK = {status: rank for rank, status in enumerate(ORDER)}
STYLES: dict[TypeStatus, tuple[str, str, str]] = {
    TypeStatus.NOT_STARTED: ("○", ".", "dim"),
    TypeStatus.IN_PROGRESS: ("●", "*", "cyan"),
    TypeStatus.RETRY: ("↻", "~", "yellow"),
    TypeStatus.COMPLETED: ("✔", "+", "green"),
    TypeStatus.PAUSED: ("‖", "=", "yellow"),
    TypeStatus.FAILED: ("✘", "x", "red"),
}
NARROW = 50  # columns below which the symbol alone tells the status
SHARE = 0.05  # of the time, at most, goes into drawing
LINES_BESIDE = 3  # of the window: summary, notice, and the line of the prompt


class Picture:
    """A table of the tasks that follows the run."""

    def __init__(self) -> None:
        self._screen = Screen(self._redraw)
        self._console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, force_terminal=True)
        self._live: Live | None = None
        self._drawn: RenderableType = ""
        self._next = 0.0
        self._plain = not (self._console.encoding or "").lower().startswith("utf")
        if self._plain and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def __call__(self, event: Event) -> None:
        """Show *event*, at the next drawing."""
        self._screen(event)

    def say(self, line: str) -> None:
        """Show a line below the table; may be called from a signal handler."""
        self._screen.notice = line
        if self._live is None:
            raw_write(line)

    def close(self) -> None:
        """Stop drawing; the last picture stays."""
        live, self._live = self._live, None
        if live is None:
            return
        try:
            live.stop()
        except OSError:  # the terminal is gone
            silence(sys.__stdout__ or sys.stdout)

    def draw(self) -> RenderableType:
        """Return the picture as it is now; of a very long workflow, as it was a moment ago."""
        began = time.monotonic()
        if began >= self._next or self._screen.took is not None:
            self._drawn = self._draw()
            self._next = began + (time.monotonic() - began) / SHARE
        return self._drawn

    def _draw(self) -> RenderableType:
        tasks = self._screen.tasks
        shown = self._chosen(tasks)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        wide = self._console.width >= NARROW
        retried = any(task.step.policy.retry > 1 for task in shown)
        if wide:
            table.add_column(no_wrap=True, min_width=11)
        if retried:
            table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, justify="right", min_width=8)
        for task in shown:
            self._add(table, task, wide, retried)
        parts: list[RenderableType] = [table, self._summary(tasks, len(tasks) - len(shown))]
        if self._screen.notice:
            parts.append(Text(self._screen.notice, style="yellow", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _add(self, table: Table, task: Task, wide: bool, retried: bool) -> None:
        symbol, letter, style = STYLES[task.status]
        cells = [
            Text(letter if self._plain else symbol, style=style),
            Text(one_line(mask(task.task_id)), style="dim" if task.status is TypeStatus.NOT_STARTED else ""),
        ]
        if wide:
            cells.append(Text("Restored" if task.restored else str(task.status), style=style))
        if retried:
            cells.append(Text(attempt_of(task), style="dim"))
        cells.append(Text(self._screen.duration_of(task), style="dim"))
        table.add_row(*cells)

    def _chosen(self, tasks: list[Task]) -> list[Task]:
        """Return those tasks that the window has room for: what runs first."""
        room = max(1, self._console.height - LINES_BESIDE)
        over = self._screen.took is not None
        if over and len(tasks) <= room:
            return tasks
        ranked = sorted(tasks, key=lambda task: (RANK[task.status], -task._finished))
        return ranked[:room]

    def _summary(self, tasks: list[Task], hidden: int) -> Text:
        counts = Counter(task.status for task in tasks)
        took = self._screen.took
        parts = [f"{counts[TypeStatus.COMPLETED]}/{len(tasks)} completed"]
        for status in (TypeStatus.FAILED, TypeStatus.PAUSED):
            if counts[status]:
                parts.append(f"{counts[status]} {status.lower()}")
        parts.append(seconds(time.monotonic() - self._screen.began if took is None else took))
        if hidden:
            parts.append(f"{hidden} not shown")
        return Text(
            " - ".join(parts) if self._plain else " · ".join(parts),
            style="bold",
            no_wrap=True,
            overflow="ellipsis",
        )

    def _redraw(self, over: bool) -> None:
        if over:
            self.close()
        elif self._live is None:
            self._live = Live(console=self._console, get_renderable=self.draw, refresh_per_second=PER_SECOND)
            self._live.start(refresh=True)


def attempt_of(task: Task) -> str:
    """Return the number of the present attempt, and how many there may be."""
    if task.status is TypeStatus.NOT_STARTED or task.restored:
        return ""
    most = task.step.policy.retry
    failed = len(task.errors)
    number = failed if task.status in (TypeStatus.FAILED, TypeStatus.RETRY) else failed + 1
    return f"{min(number, most)}/{most}" if most > 1 else ""
