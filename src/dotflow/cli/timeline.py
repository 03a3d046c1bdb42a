"""``dotflow timeline``: when each task of a run ran, as text or as a picture."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from dotflow.cli.listing import run_fields, status_text
from dotflow.cli.lookup import find_runs, iso, local, print_line, width, write_json
from dotflow.core.exception import ConfigurationError, UnsupportedOption
from dotflow.core.record import one_line
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.views.state import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.history import Run, TaskRun

DEFAULT_WIDTH = 80
NARROWEST_BAR, LONGEST_NAME = 8, 24
REST = 0.1  # a pause longer than this share of the work in sight is drawn short
MARKS = {TypeStatus.COMPLETED: "█", TypeStatus.FAILED: "✗", TypeStatus.PAUSED: "▒"}
OTHER_MARK, MOMENT = "░", "|"
COLOURS = {TypeStatus.COMPLETED: "#2e7d32", TypeStatus.FAILED: "#c62828", TypeStatus.PAUSED: "#ef6c00"}
OTHER_COLOUR = "#1565c0"
NAMES, PICTURE, ROW, MARGIN = 240, 640, 24, 12  # pixels


class Bar(NamedTuple):
    """One task on the time line. Without *start*, *end* is the one moment that a killed process has told."""

    task: TaskRun
    start: float | None
    end: float


class Axis:
    """Time, without the pauses in which nothing ran: those between two sessions, say.

    Args:
        bars: What ran.
    """

    def __init__(self, bars: Sequence[Bar]) -> None:
        spans = sorted((each.end if each.start is None else each.start, each.end) for each in bars)
        joined: list[tuple[float, float]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], end)
            else:
                joined.append((start, end))
        busy = sum(end - start for start, end in joined)
        self._knots: list[tuple[float, float]] = []
        place = 0.0
        for number, (start, end) in enumerate(joined):
            if number:
                place += min(start - joined[number - 1][1], busy * REST)
            self._knots += [(start, place), (end, place + end - start)]
            place += end - start
        self._length = place or 1.0

    def place(self, when: float) -> float:
        """Return where an instant is, from 0 to 1."""
        before = self._knots[0]
        for knot in self._knots:
            if when <= knot[0]:
                span = knot[0] - before[0]
                share = (when - before[0]) / span if span else 1.0
                return (before[1] + share * (knot[1] - before[1])) / self._length
            before = knot
        return before[1] / self._length


def draw(*, run: str, storage: str | None, path: str | None, output: str | None, force: bool, as_json: bool) -> int:
    """Write when each task of a run ran."""
    if as_json and output is not None:
        raise UnsupportedOption("--json and --svg exclude each other")
    if force and output is None:
        raise UnsupportedOption("--force replaces the file of --svg FILE; add that")
    runs = find_runs(storage, path)
    found = runs.get(run)
    now = datetime.now(UTC).timestamp() if found.status is WorkflowStatus.IN_PROGRESS else None
    bars = bars_of(runs.tasks(found), now)
    if as_json:
        times = [
            {
                "task_id": each.task.task_id,
                "status": each.task.status and each.task.status.value,
                "started_at": iso(each.task.started_at),
                "finished_at": iso(each.task.finished_at),
            }
            for each in bars
        ]
        write_json({**run_fields(found), "bars": times})
    elif output is not None:
        save(picture(found, bars), output, force)
    else:
        for line in text(found, bars, width() or DEFAULT_WIDTH):
            print_line(line)
    return 0


def bars_of(tasks: Sequence[TaskRun], now: float | None) -> list[Bar]:
    """Return what is drawn: the tasks of which some time is known, in the order of their beginning.

    What has not ended goes to *now*; ``None`` where its end will never be known, for its process is gone.
    """
    bars = []
    for task in tasks:
        start = None if task.started_at is None else task.started_at.timestamp()
        if task.finished_at is not None:
            bars.append(Bar(task, start, task.finished_at.timestamp()))
        elif start is not None:
            bars.append(Bar(task, None, start) if now is None else Bar(task, start, max(start, now)))
    return sorted(bars, key=lambda bar: (bar.end if bar.start is None else bar.start, bar.end))


def text(run: Run, bars: Sequence[Bar], columns: int) -> list[str]:
    """Return the lines of a time line."""
    if not bars:
        return [f"run {run.run_id}: no times are on record yet"]
    names = [one_line(each.task.task_id) for each in bars]
    took = [_took(each) for each in bars]
    right = max(map(len, took))
    left = min(max(map(len, names)), LONGEST_NAME, max(4, columns - right - NARROWEST_BAR - 4))
    room = max(NARROWEST_BAR, columns - left - right - 4)
    axis = Axis(bars)
    head = f"{one_line(run.workflow_id)}, {run.status.value.lower()}, from {local(run.started_at)}"
    lines = [head if len(head) <= columns else head[: columns - 1] + "…"]
    for name, bar, length in zip(names, bars, took, strict=True):
        shown = name.ljust(left) if len(name) <= left else name[: left - 1] + "…"
        lines.append(f"{shown}  {_bar(bar, axis, room)}  {length}".rstrip())
    return [*lines, _scale(bars, left, room)]


def _scale(bars: Sequence[Bar], left: int, room: int) -> str:
    """Return the line below the bars: when the first begins, and when the last ends."""
    first = min(bar.end if bar.start is None else bar.start for bar in bars)
    ends = [f"{datetime.fromtimestamp(when).astimezone():%H:%M:%S}" for when in (first, max(bar.end for bar in bars))]
    return " " * (left + 2) + (ends[0] + ends[1].rjust(room - len(ends[0])) if room > sum(map(len, ends)) else ends[0])


def _took(bar: Bar) -> str:
    errors = len(bar.task.errors)
    lost = errors - (bar.task.status is TypeStatus.FAILED)  # the last attempt of a failed task is the bar itself
    more = f", {lost} failed before" if lost > 0 else ""
    return ("?" if bar.start is None else seconds(bar.end - bar.start)) + more


def _bar(bar: Bar, axis: Axis, room: int) -> str:
    end = min(room - 1, int(axis.place(bar.end) * room))
    if bar.start is None:
        return (" " * end + MOMENT).ljust(room)
    start = min(room - 1, int(axis.place(bar.start) * room))
    mark = OTHER_MARK if bar.task.status is None else MARKS.get(bar.task.status, OTHER_MARK)
    return (" " * start + mark * max(1, end - start)).ljust(room)


def picture(run: Run, bars: Sequence[Bar]) -> str:
    """Return a time line as SVG."""
    high, wide = (len(bars) + 2) * ROW + MARGIN, NAMES + PICTURE + 2 * MARGIN + 80
    title = f"{run.workflow_id}, run {run.run_id[:8]}: {run.status.value.lower()}, from {local(run.started_at)}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" '
        'font-family="sans-serif" font-size="13" role="img">',
        f"<title>{_safe(title)}</title>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{ROW}" font-weight="bold">{_safe(title)}</text>',
    ]
    axis = Axis(bars) if bars else None
    for number, bar in enumerate(bars):
        assert axis is not None
        lines += _row(bar, axis, (number + 1) * ROW + MARGIN)
    return "\n".join([*lines, "</svg>", ""])


def _row(bar: Bar, axis: Axis, top: int) -> list[str]:
    task, left = bar.task, NAMES + MARGIN
    begin = left + PICTURE * axis.place(bar.end if bar.start is None else bar.start)
    size = max(2.0, left + PICTURE * axis.place(bar.end) - begin)
    name = task.task_id if len(task.task_id) <= 32 else task.task_id[:31] + "…"
    about = f"{task.task_id}: {status_text(task).lower()}, {task.attempts} attempts, {local(task.started_at)}"
    colour = OTHER_COLOUR if task.status is None else COLOURS.get(task.status, OTHER_COLOUR)
    return [
        f"<g><title>{_safe(about)}</title>",
        f'<text x="{MARGIN}" y="{top + 15}">{_safe(name)}</text>',
        f'<rect x="{begin:.1f}" y="{top + 3}" width="{size:.1f}" height="{ROW - 8}" rx="2" fill={quoteattr(colour)}/>',
        f'<text x="{begin + size + 4:.1f}" y="{top + 15}" fill="#555555">{_safe(_took(bar))}</text></g>',
    ]


def _safe(text: str) -> str:
    """Return *text* as XML takes it: without characters that no escape can bring in."""
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def save(content: str, output: str, force: bool) -> None:
    """Write *content* to the file *output*, or to standard output if that is ``-``."""
    if output == "-":
        print_line(content.rstrip("\n"))
        return
    try:
        with open(output, "w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigurationError(f"--svg {output!r}: the file exists; add --force to replace it") from None
    except OSError as error:
        raise ConfigurationError(f"--svg {output!r} cannot be written: {os.strerror(error.errno or 0)}") from error
