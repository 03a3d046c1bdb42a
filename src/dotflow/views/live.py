"""The picture of a run on a terminal: a tree of its tasks. The only module that needs rich."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dotflow.core.events import WorkflowStarted
from dotflow.core.record import one_line
from dotflow.core.types import TypeStatus
from dotflow.views.graph import graph_of
from dotflow.views.progress import Screen, raw_write, silence
from dotflow.views.state import LOOKS, attempt_of, seconds, word_for
from dotflow.views.text import ASCII, LINES, branches

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
NARROW = 50  # columns below which the symbol alone tells the status
PATIENCE = 2.0  # seconds that the last picture may take
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
        self._tree: tuple[list[Task], dict[str, str]] = ([], {})
        self._plain = not (self._console.encoding or "").lower().startswith("utf")
        if self._plain and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def __call__(self, event: Event) -> None:
        """Show *event*, at the next drawing."""
        if isinstance(event, WorkflowStarted):
            self._tree = ([], {})
        self._screen(event)

    def say(self, line: str) -> None:
        """Show a line below the table; may be called from a signal handler."""
        self._screen.notice = line
        if self._live is None:
            raw_write(line)

    def close(self) -> None:
        """Stop drawing; the last picture stays."""
        live, self._live = self._live, None
        if live is not None:
            stopping = threading.Thread(target=self._stop, args=(live,), name="dotflow-view", daemon=True)
            stopping.start()
            stopping.join(PATIENCE)  # a terminal that takes nothing does not hold up the program

    def _stop(self, live: Live) -> None:
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
        shown, before = self._chosen(tasks)
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
            self._add(table, task, before.get(task.task_id, ""), wide, retried)
        parts: list[RenderableType] = [table, self._summary(tasks, len(tasks) - len(shown))]
        if self._screen.notice:
            parts.append(Text(self._screen.notice, style="yellow", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _add(self, table: Table, task: Task, before: str, wide: bool, retried: bool) -> None:
        symbol, letter, style, *_ = LOOKS[task.status]
        cells = [
            Text(letter if self._plain else symbol, style=style),
            Text(before + one_line(task.task_id), style="dim" if task.status is TypeStatus.NOT_STARTED else ""),
        ]
        if wide:
            cells.append(Text(word_for(task), style=style))
        if retried:
            cells.append(Text(attempt_of(task), style="dim"))
        cells.append(Text(self._screen.duration_of(task), style="dim"))
        table.add_row(*cells)

    def _chosen(self, tasks: list[Task]) -> tuple[list[Task], dict[str, str]]:
        """Return the tasks to show, and what of a tree stands before each name.

        All of them as a tree where the window has room for that, else those that run, and then the others.
        """
        room = max(1, self._console.height - LINES_BESIDE)
        if len(tasks) <= room:
            return self._as_tree(tasks)
        ranked = sorted(tasks, key=lambda task: (RANK[task.status], -task._finished))
        return ranked[:room], {}

    def _as_tree(self, tasks: list[Task]) -> tuple[list[Task], dict[str, str]]:
        known, before = self._tree
        if not known and tasks:
            rows = branches(graph_of(tasks, self._screen.mode), ASCII if self._plain else LINES)
            chain = all(prefix == rows[1][0] for prefix, _ in rows[1:])
            known = [tasks[position] for _, position in rows]
            before = {} if chain else {tasks[position].task_id: prefix for prefix, position in rows}
            self._tree = known, before
        return known, before

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
        between = " - " if self._plain else " · "
        if len(between.join(parts)) > self._console.width:
            parts[0] = parts[0].removesuffix(" completed")
        return Text(between.join(parts), style="bold", no_wrap=True, overflow="ellipsis")

    def _redraw(self, over: bool) -> None:
        if over:
            self.close()
        elif self._live is None:
            self._live = Live(console=self._console, get_renderable=self.draw, refresh_per_second=PER_SECOND)
            self._live.start(refresh=True)
