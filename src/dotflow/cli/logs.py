"""``dotflow logs``: the lines of ``LogDefault``, in each of its formats, of the file and of those it put aside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.cli.history import LEVELS
from dotflow.cli.lookup import find_runs, iso, print_line
from dotflow.core.exception import ConfigurationError, UnsupportedOption
from dotflow.core.types import WorkflowStatus
from dotflow.views.progress import escape

if TYPE_CHECKING:
    from dotflow.history import Run

SIMPLE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - ([A-Z]+) \[[^\]]*\]: (.*)", re.DOTALL)
TASK = re.compile(r"ID (?P<workflow_id>.*) - (?P<task_id>.*) - (?P<status>[A-Z][a-z ]+)")
PAIR = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')
PAUSE = 0.2  # seconds between two looks at the file
LEEWAY = 1.0  # seconds that a record may be written before a run begins, or after it ended


class Record(NamedTuple):
    """One record of a log: *text* is all its lines; what is not known is empty."""

    text: str
    level: str
    when: datetime | None
    workflow_id: str
    task_id: str


class Wanted(NamedTuple):
    """Which records are shown."""

    level: str
    task: str | None
    workflow: str | None
    run: Run | None

    def takes(self, record: Record) -> bool:
        """Whether *record* is one of them."""
        level = record.level.lower()
        if level in LEVELS and LEVELS.index(level) < LEVELS.index(self.level):
            return False
        if self.task is not None and record.task_id != self.task:
            return False
        if self.workflow is not None and record.workflow_id != self.workflow:
            return False
        return self.run is None or self._of_run(record, self.run)

    def _of_run(self, record: Record, run: Run) -> bool:
        if record.workflow_id != run.workflow_id or record.when is None:
            return False
        at = record.when.timestamp()
        for number, each in enumerate(run.sessions):
            killed = each.finished_at is None and each.status is not WorkflowStatus.IN_PROGRESS
            following = run.sessions[number + 1].started_at if number + 1 < len(run.sessions) else None
            end = following if killed else each.finished_at
            if each.started_at.timestamp() - LEEWAY <= at and (end is None or at <= end.timestamp() + LEEWAY):
                return True
        return False


def read_logs(
    *,
    file: str,
    follow: bool,
    lines: int | None,
    level: str,
    task: str | None,
    workflow: str | None,
    run: str | None,
    storage: str | None,
    path: str | None,
    as_json: bool,
) -> int:
    """Write records; return the exit code."""
    if run is None and (storage is not None or path is not None):
        raise UnsupportedOption("--storage is where --run RUN is looked up; add that")
    if not follow and not os.path.isfile(file):
        raise ConfigurationError(
            f"there is no log file {file!r}; LogDefault(output='file') writes .output/flow.log, and dotflow logs FILE "
            "reads another one"
        )
    wanted = Wanted(level, task, workflow, None if run is None else find_runs(storage, path).get(run))
    with contextlib.closing(Tail(file)) as tail:
        pour(tail, wanted, lines, follow=follow, as_json=as_json)
    return 0


def pour(tail: Tail, wanted: Wanted, lines: int | None, *, follow: bool, as_json: bool) -> None:
    """Write the records that are wanted: the last *lines* of those that are there, and with *follow* those to come."""
    found = (record for record in records(tail.present()) if wanted.takes(record))
    for record in found if lines is None else deque(found, maxlen=lines):
        show(record, as_json, flush=follow)
    if follow:
        for record in records(tail.coming()):
            if wanted.takes(record):
                show(record, as_json, flush=True)


def show(record: Record, as_json: bool, *, flush: bool) -> None:
    """Write one record."""
    if as_json:
        fields = {
            "timestamp": iso(record.when),
            "level": record.level or None,
            "workflow_id": record.workflow_id or None,
            "task_id": record.task_id or None,
            "text": record.text,
        }
        print_line(json.dumps(fields), flush=flush)
    else:
        print_line(escape(record.text), flush=flush)


class Tail:
    """The lines of a file that grows, and that is put aside as ``<path>.1`` now and then.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Any = None
        self._rest = b""

    def present(self) -> Iterator[str | None]:
        """Yield what is there: the files that were put aside, the oldest first, then the file."""
        for number in reversed(range(1, self._aside() + 1)):
            with open(f"{self._path}.{number}", encoding="utf-8", errors="replace", newline="\n") as file:
                for line in file:
                    yield line.rstrip("\n")
        if self._open():
            yield from self._lines()
        yield None

    def coming(self) -> Iterator[str | None]:
        """Yield what is added from now on; ``None`` where a record has come to its end for now."""
        while True:
            if self._file is not None:
                yield from self._lines()
            yield None
            if self._moved():
                if self._file is not None:
                    yield from self._lines()  # what came before it was put aside
                self._open()
            else:
                time.sleep(PAUSE)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _lines(self) -> Iterator[str]:
        for chunk in self._file:
            self._rest += chunk
            if self._rest.endswith(b"\n"):
                line, self._rest = self._rest[:-1], b""
                yield line.decode(errors="replace")

    def _open(self) -> bool:
        self.close()
        self._rest = b""
        try:
            self._file = open(self._path, "rb")  # noqa: SIM115  # it stays open
        except FileNotFoundError:
            self._file = None
        return self._file is not None

    def _moved(self) -> bool:
        """Whether the path means another file now, or one that was made shorter."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        mine = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or now.st_size < self._file.tell()

    def _aside(self) -> int:
        number = 0
        while os.path.isfile(f"{self._path}.{number + 1}"):
            number += 1
        return number


def records(lines: Iterator[str | None]) -> Iterator[Record]:
    """Yield the records in *lines*; a line that begins none belongs to the record before it."""
    current: Record | None = None
    for line in lines:
        found = None if line is None else parse(line)
        if line is not None and found is None and current is not None:
            current = current._replace(text=f"{current.text}\n{line}")
            continue
        if current is not None:
            yield current
        current = found if found is not None or line is None else Record(line, "", None, "", "")
    if current is not None:
        yield current


def parse(line: str) -> Record | None:
    """Return the record that begins with *line*; ``None`` if none does."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return None
        return _record(line, fields) if isinstance(fields, dict) else None
    if match := SIMPLE.fullmatch(line):
        about = TASK.match(match[4])
        when = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").astimezone()
        when = when.replace(microsecond=int(match[2]) * 1000).astimezone(UTC)
        return Record(line, match[3], when, about["workflow_id"] if about else "", about["task_id"] if about else "")
    if line.startswith("timestamp="):
        return _record(line, {name: _unquoted(value) for name, value in PAIR.findall(line)})
    return None


def _record(line: str, fields: dict[str, Any]) -> Record:
    try:
        when = datetime.fromisoformat(str(fields.get("timestamp")))
    except ValueError:
        when = None
    known = {name: str(fields.get(name, "")) for name in ("level", "workflow_id", "task_id")}
    return Record(line, known["level"], when, known["workflow_id"], known["task_id"])


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
