"""The history of runs, in any storage that lasts and can list its keys.

::

    from dotflow.history import Runs
    from dotflow.providers import StorageSQLite

    runs = Runs(StorageSQLite("flow.db"))
    for run in runs.list(status="Failed", limit=10):
        print(run.run_id, run.workflow_id, run.started_at, [task.task_id for task in runs.tasks(run) if task.errors])

Each ``start()`` makes one run, which ``start(resume=True)`` continues, in another process perhaps.

.. versionadded:: 2.0
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dotflow.abc.storage import Storage
from dotflow.core.checkpoint import RECORD, Checkpoint
from dotflow.core.codec import Codec
from dotflow.core.exception import (
    ConfigurationError,
    CorruptCheckpoint,
    MissingAbility,
    RunNotFound,
    StorageError,
    WorkflowBusy,
)
from dotflow.core.identity import alive
from dotflow.core.journal import CANCEL, COLUMNS, MICRO, Desk, interrupted, nothing, shared, unfinished
from dotflow.core.types import TypeStatus, WorkflowStatus

__all__ = ["Attempt", "Driver", "Run", "Runs", "Session", "TaskRun"]

SHORT = 8  # characters of a run id that people are shown


class Session(NamedTuple):
    """One process that drove a run.

    Attributes:
        number: Counted from 1; another one for each resume.
        status: How it ended; ``In progress`` while it lives.
        host: Its host.
        pid: Its process id there.
        started_at: When it took the run up.
        finished_at: When it gave it back; ``None`` if it has not, or was killed.
    """

    number: int
    status: WorkflowStatus
    host: str
    pid: int
    started_at: datetime
    finished_at: datetime | None


class Attempt(NamedTuple):
    """One failed attempt of a task.

    Attributes:
        attempt: Its number, counted from 1; ``None`` if the storage refused the result.
        session: Number of the session that made it.
        exception: Class name of what was raised.
        message: Its text, without secrets.
        traceback: The end of its traceback, without secrets; empty after the first hundred tasks of a run.
    """

    attempt: int | None
    session: int
    exception: str
    message: str
    traceback: str


class TaskRun(NamedTuple):
    """One task of a run.

    Attributes:
        task_id: Its name.
        group: The group it belongs to.
        status: Where it stands, or stood when the run ended; ``None`` if nothing tells, while the run goes on or
            after its process was killed. A task that was killed is ``Paused``.
        attempts: How often the session that has its result called its step, as far as known; 0 if never.
        started_at: When its first attempt began; ``None`` if it did not, or a killed process has not told.
        finished_at: When it ended.
        duration: Seconds from the one to the other; ``None`` where one is not known.
        restored: Whether the last session took its result from an earlier one.
        errors: Its failed attempts, the last five.
    """

    task_id: str
    group: str
    status: TypeStatus | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    restored: bool
    errors: tuple[Attempt, ...]


class Run(NamedTuple):
    """One run.

    Attributes:
        run_id: 32 hexadecimal digits; a resume keeps it.
        workflow_id: The workflow it belongs to.
        name: The ``name=`` of the workflow; ``None`` if it has none.
        status: Where it stands. A run whose process is gone is ``Interrupted``.
        mode: How it runs.
        started_at: When it began.
        finished_at: When its last session ended; ``None`` while it runs, and if that was killed.
        done: Tasks that completed.
        total: Tasks.
        scheduled_for: The tick that started it; ``None`` outside a schedule.
        origin: What a person needs to start it again, as far as known: ``workflow`` or ``step`` (as
            ``module:name``), ``program`` (a file), ``folder``.
        sessions: The processes that drove it, the last twenty.
    """

    run_id: str
    workflow_id: str
    name: str | None
    status: WorkflowStatus
    mode: str
    started_at: datetime
    finished_at: datetime | None
    done: int
    total: int
    scheduled_for: datetime | None
    origin: Mapping[str, str]
    sessions: tuple[Session, ...]

    @property
    def duration(self) -> float | None:
        """Seconds that its sessions took together; ``None`` if one of them was killed. One that runs counts to now."""
        ends = [each.finished_at or _now_if(each.status is WorkflowStatus.IN_PROGRESS) for each in self.sessions]
        if not all(ends):
            return None
        pairs = zip(self.sessions, ends, strict=True)
        return sum(max(0.0, (end - each.started_at).total_seconds()) for each, end in pairs if end)


class Driver(NamedTuple):
    """A process of this machine that drives a run.

    Attributes:
        pid: Its id.
        listens: Whether it ends the run in order, and does nothing else, when it gets SIGINT.
    """

    pid: int
    listens: bool


class Runs:
    """The runs in a storage.

    Args:
        storage: Where workflows keep their results. Only read, but for ``request_cancel``.

    Raises:
        ConfigurationError: the storage keeps results only as long as the process lives, and so no history.
        MissingAbility: it does not implement ``list_keys``.
    """

    def __init__(self, storage: Storage) -> None:
        if storage.keeps_objects:
            raise ConfigurationError(
                f"{type(storage).__name__} keeps results only as long as the process lives, and no history of runs; "
                "use a storage that lasts, StorageSQLite() for one"
            )
        if not storage.can("list_keys"):
            raise MissingAbility(type(storage).__name__, "list_keys")
        self._storage = storage
        self._codec = Codec()
        self._all = Desk(storage, self._codec, "")

    def list(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """Return runs, the newest first.

        Args:
            workflow: Only those of this workflow id, or name.
            status: Only those that stand there, see ``WorkflowStatus``.
            since: Only those that began then or later; an aware datetime.
            limit: At most so many.

        Raises:
            ConfigurationError: a status that does not exist, or a time without its zone.
            StorageError: the storage cannot be read.
        """
        wanted = None if status is None else _status(status)
        if since is not None and since.tzinfo is None:
            raise ConfigurationError(f"since={since!r} needs a time zone: it is compared with times in UTC")
        matching = (each for each in self._all.summaries(self._keys()) if _matches(each, workflow, since))
        found = sorted(matching, key=lambda each: str(each["started_at"]), reverse=True)
        runs: list[Run] = []
        for each in found:
            if limit is not None and len(runs) >= limit:
                break
            run = _run(self._judged(each))
            if wanted is None or run.status is wanted:
                runs.append(run)
        return runs

    def get(self, run_id: str) -> Run:
        """Return the run with that id, or the only one whose id begins like that.

        Raises:
            RunNotFound: there is none, or there are several; the message names the nearest.
            StorageError: the storage cannot be read.
        """
        return _run(self._judged(self._summary(run_id)))

    def tasks(self, run: Run) -> Sequence[TaskRun]:
        """Return the tasks of *run*, in the order of its workflow.

        Of a run that goes on, or was killed, the saved results tell what completed, and when.
        """
        summary = self._summary(run.run_id)
        desk = self._desk(summary)
        found = desk.read_tasks(run.run_id)
        judged = self._judged(summary)
        if summary["status"] == WorkflowStatus.IN_PROGRESS:
            store = Checkpoint(self._storage, self._codec, summary["workflow_id"])
            if record := _record(store, run.run_id):
                ended = judged["status"] != WorkflowStatus.IN_PROGRESS
                times = store.times_of(record["tasks"])
                found = unfinished(found or nothing(), record, times, ended=ended)
        return _tasks(found or nothing())

    def request_cancel(self, run_id: str) -> Run:
        """Ask the process that drives a run to cancel it; return the run. Its leader looks every second.

        A plain step that runs in that process itself is awaited; nothing is started after it.

        Raises:
            RunNotFound: see ``get``.
            ConfigurationError: the run has ended.
        """
        summary = self._judged(self._summary(run_id))
        run = _run(summary)
        if run.status is not WorkflowStatus.IN_PROGRESS:
            raise ConfigurationError(f"run {run.run_id[:SHORT]} does not run: it is {run.status.lower()}")
        desk = self._desk(summary)
        number = summary["sessions"][-1]["number"]
        desk.write([desk.item(run.run_id + CANCEL, {"session": number, "asked_at": datetime.now(UTC).isoformat()})])
        return run

    def resumable(self, run: Run) -> bool:
        """Whether the results of *run* are still there, for ``start(resume=True)`` to take up."""
        return bool(_record(Checkpoint(self._storage, self._codec, run.workflow_id), run.run_id))

    def driver(self, run: Run) -> Driver | None:
        """Return the process that drives *run*, if it can be seen from here: it lives, on this machine."""
        last = self._summary(run.run_id)["sessions"][-1]
        return Driver(int(last["pid"]), bool(last.get("listens"))) if alive(last) else None

    # -- inside -------------------------------------------------------------------------------------------

    def _keys(self) -> Iterable[str]:
        prefix = shared([Desk(self._storage, self._codec, each).place(each * 32) for each in "0f"])
        return self._all.keys(prefix)

    def _summary(self, run_id: str) -> dict[str, Any]:
        given = str(run_id).strip().lower()
        keys = list(self._keys())
        likely = [key for key in keys if given in key] if given else []
        found = [each for each in self._all.summaries(likely or keys) if given and each["run_id"].startswith(given)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = [each["run_id"] for each in found]
            raise RunNotFound(run_id, f"there are several that begin like that: {_some(ids, _distinct(ids))}")
        summaries = self._all.summaries(keys)
        if any(_matches(each, str(run_id), None) for each in summaries):
            raise RunNotFound(run_id, f"that is a workflow; list its runs with: dotflow runs --workflow {run_id}")
        raise RunNotFound(run_id, _nearest(given, [each["run_id"] for each in summaries]))

    def _desk(self, summary: Mapping[str, Any]) -> Desk:
        return Desk(self._storage, self._codec, summary["family"])

    def _judged(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Return *summary*; if it says that the run is on, and its process is gone, that it was interrupted."""
        if summary["status"] != WorkflowStatus.IN_PROGRESS:
            return summary
        if not self._is_gone(summary):
            return {**summary, "done": max(summary["done"], self._saved(summary))}
        now = self._desk(summary).read(summary["run_id"])  # it may have ended since it was read
        if now.get("status") != WorkflowStatus.IN_PROGRESS or now["sessions"] != summary["sessions"]:
            return now or summary
        return interrupted(now, max(now["done"], self._saved(now)))

    def _saved(self, summary: Mapping[str, Any]) -> int:
        store = Checkpoint(self._storage, self._codec, summary["workflow_id"])
        record = _record(store, summary["run_id"])
        return len(store.times_of(record["tasks"])) if record else 0

    def _is_gone(self, summary: Mapping[str, Any]) -> bool:
        last = summary["sessions"][-1]
        if alive(last) is False:
            return True
        if not last.get("led") or not self._storage.can("lock"):
            return False
        try:  # who leads holds the lock from before the record is written until after it is finished
            self._storage.lock(workflow_id=summary["workflow_id"], wait=0)()
        except WorkflowBusy:
            return False
        except StorageError:  # it can only be read: who looks cannot ask for the lock, and nobody is said to be gone
            return False
        return True


def _record(store: Checkpoint, run_id: str) -> dict[str, Any]:
    """Return the record beside the results of a run; an empty one if it is that of another."""
    try:
        found = store.read_record(RECORD)
    except CorruptCheckpoint:  # signed with a key that is not known here, say: then the summary has to do
        return {}
    return found if isinstance(found, dict) and found.get("run_id") == run_id else {}


def _matches(summary: Mapping[str, Any], workflow: str | None, since: datetime | None) -> bool:
    if workflow is not None and workflow not in (summary["workflow_id"], summary.get("name"), summary["family"]):
        return False
    return since is None or _time(summary["started_at"]) >= since  # type: ignore[operator]  # it has one


def _run(summary: Mapping[str, Any]) -> Run:
    started, scheduled = _time(summary["started_at"]), _time(summary.get("scheduled_for"))
    assert started is not None
    return Run(
        summary["run_id"],
        summary["workflow_id"],
        summary.get("name"),
        WorkflowStatus(summary["status"]),
        summary["mode"],
        started,
        _time(summary.get("finished_at")),
        summary["done"],
        summary["total"],
        scheduled,
        summary["origin"],
        tuple(_session(each) for each in summary["sessions"]),
    )


def _session(found: Mapping[str, Any]) -> Session:
    started = _time(found["started_at"])
    assert started is not None
    ended = _time(found["finished_at"])
    return Session(found["number"], WorkflowStatus(found["status"]), found["host"], found["pid"], started, ended)


def _tasks(found: Mapping[str, Any]) -> list[TaskRun]:
    restored = set(found["restored"])
    tasks = []
    for place, row in enumerate(zip(*(found[column] for column in COLUMNS[:-1]), strict=True)):
        task_id, group, status, attempts, began, duration = row
        start, end = began or None, began + duration if began and duration is not None else None
        if status == TypeStatus.COMPLETED and duration is None:  # only when it was saved is known
            start, end = None, began or None
        took = None if duration is None else duration / MICRO
        errors = tuple(Attempt(**each) for each in found["errors"].get(task_id, ()))
        tasks.append(
            TaskRun(
                task_id,
                group,
                None if status is None else TypeStatus(status),
                attempts,
                None if start is None else datetime.fromtimestamp(start / MICRO, UTC),
                None if end is None else datetime.fromtimestamp(end / MICRO, UTC),
                took,
                place in restored,
                errors,
            )
        )
    return tasks


def _status(text: str) -> WorkflowStatus:
    for each in WorkflowStatus:
        if str(text).lower() == each.lower():
            return each
    import difflib

    known = [each.value for each in WorkflowStatus if each is not WorkflowStatus.NEW]  # no run on record is new
    close = difflib.get_close_matches(str(text).capitalize(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigurationError(f"there is no status {text!r}{hint} (known: {', '.join(known)})")


def _nearest(given: str, ids: Sequence[str]) -> str:
    import difflib

    if not ids:
        return "there is no run in this storage yet"
    heads = {each[: max(SHORT, len(given))]: each for each in ids}
    close = difflib.get_close_matches(given, heads, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else "; list them with: dotflow runs"
    return f"there is no such run{hint}"


def _distinct(ids: Sequence[str]) -> int:
    return next((size for size in range(SHORT, 33) if len({each[:size] for each in ids}) == len(ids)), 32)


def _some(ids: Sequence[str], size: int) -> str:
    return ", ".join(each[:size] for each in ids[:5]) + (", ..." if len(ids) > 5 else "")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _now_if(running: bool) -> datetime | None:
    return datetime.fromtimestamp(time.time(), UTC) if running else None
