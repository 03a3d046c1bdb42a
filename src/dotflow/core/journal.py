"""The history of runs, as the process that drives a run writes it (ADR 0046).

Of each run there are up to three plain records, kept apart from the results, so that a fresh start does not clear
them: a summary, written when the run begins and when it ends; its tasks, written when it ends, and while it runs
only after an attempt failed, or when tasks take long; and a request to cancel it, written by somebody else.
"""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.checkpoint import RECORD, Checkpoint
from dotflow.core.context import make_context
from dotflow.core.exception import CorruptCheckpoint, DotflowError
from dotflow.core.identity import identity
from dotflow.core.messages import Stop
from dotflow.core.redact import mask
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dotflow.abc.storage import Storage
    from dotflow.core.codec import Codec
    from dotflow.core.context import Context
    from dotflow.core.messages import TaskError
    from dotflow.core.task import Task

FAMILY = "_dotflow_history:"
TASKS, CANCEL = ".tasks", ".cancel"
PART = re.compile(r"[0-9a-f]{32}\.(tasks|cancel)")
LOOK_EVERY = 1.0  # seconds between two looks at whether somebody asked to cancel the run
LONG = 0.9  # seconds after which it is put on record that a task runs: of what is shorter nothing is written
LOOK_SHARE = 20  # times as long as the last look took, if that is longer: a slow storage costs a run 5 % at most
PRUNE_EVERY, SLACK = 16, 4  # runs of a process; the share of those kept that may be too many: one in four
ERRORS_KEPT, TRACEBACKS_KEPT, LONGEST_TEXT = 5, 100, 4000  # for each task; for each run; characters
SESSIONS_KEPT = 20
CONSTANT = ("group", "status", "attempts")  # columns whose values are often all the same
NEEDED = frozenset(
    (
        "dotflow",
        "run_id",
        "family",
        "workflow_id",
        "status",
        "mode",
        "started_at",
        "done",
        "total",
        "origin",
        "sessions",
    )
)  # of a summary
COLUMNS = ("id", "group", "status", "attempts", "started", "duration", "restored")

MICRO = 1_000_000
NOT_STARTED, RETRY = TypeStatus.NOT_STARTED, TypeStatus.RETRY
COMPLETED, IN_PROGRESS = TypeStatus.COMPLETED, TypeStatus.IN_PROGRESS

_pruned = False


class Origin(NamedTuple):
    """Where a run comes from: what a person needs to start it again.

    Attributes:
        workflow: Path of the factory, as ``module:name``.
        step: Path of the one step.
        callback: Path of the callback of that step.
        initial_context: What that step was given.
        program: File of the program that called ``start``.
        folder: The working folder.
        listens: Whether the process ends its run in order when it gets SIGINT.
    """

    workflow: str = ""
    step: str = ""
    callback: str = ""
    initial_context: str | None = None
    program: str = ""
    folder: str = ""
    listens: bool = False

    def as_record(self) -> dict[str, Any]:
        """Return what is kept of it: nothing that the redactor would change."""
        found = {name: value for name, value in self._asdict().items() if value and name != "listens"}
        return {name: _plain(value) for name, value in found.items() if mask(value) == value}


def program_origin() -> Origin:
    """Return where a run comes from that a program started itself."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        folder = os.getcwd()
    except OSError:  # somebody removed it
        folder = ""
    return Origin(program=os.path.abspath(path) if path else "", folder=folder)


class Desk(Checkpoint):
    """The records of the runs of one workflow."""

    def __init__(self, storage: Storage, codec: Codec, family: str) -> None:
        super().__init__(storage, codec, FAMILY + family)
        self.family = family

    def place(self, name: str) -> str:
        """Return the key of the record of that name."""
        return self.key(self._pseudo(f"_{name}"))  # what begins like that is no task's

    def item(self, name: str, value: dict[str, Any]) -> tuple[str, Context]:
        """Return a record as something that ``write`` takes; what it says it is of does not change from run to run."""
        return self.place(name), make_context(value, f"_dotflow_history{name[32:]}", self._workflow_id, time.time())

    def summaries(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return the summaries among the records of those keys."""
        found = self._find([key for key in keys if not PART.search(key)])
        values = [context.storage for context in found.values()]
        return [each for each in values if isinstance(each, dict) and each.keys() >= NEEDED and each["sessions"]]

    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys that begin with *prefix*."""
        found: Iterable[str] = self._call(self._storage.list_keys, None, prefix=prefix)
        return found

    def drop(self, run_id: str) -> None:
        """Remove the records of a run, its summary last; try once."""
        for name in (run_id + TASKS, run_id + CANCEL, run_id):
            self.once(self._storage.delete, self.place(name))

    def tasks_item(self, run_id: str, found: Mapping[str, Any]) -> tuple[str, Context]:
        """Return the tasks of a run as something that ``write`` takes; a column of equal values takes one place."""
        packed = {column: _packed(found[column]) for column in CONSTANT}
        return self.item(run_id + TASKS, {"dotflow": "tasks", "run_id": run_id, **found, **packed})

    def read_tasks(self, run_id: str) -> dict[str, Any]:
        """Return what is on record of the tasks of a run, as ``columns`` gives it; an empty one if nothing is.

        Raises:
            CorruptCheckpoint: it is not what ``tasks_item`` makes.
        """
        found = self.read(run_id + TASKS)
        if not found:
            return {}
        try:
            size = len(found["id"])
            whole = {**found, **{column: (found[column] * size)[:size] for column in CONSTANT}}
            if all(len(whole[column]) == size for column in COLUMNS[:-1]):
                return {**whole, "restored": list(whole["restored"]), "errors": dict(whole["errors"])}
        except (KeyError, TypeError):
            pass  # said below
        raise CorruptCheckpoint(
            f"what is on record of the tasks of run {run_id} is damaged; remove it", provider=self._name,
            key=self.place(run_id + TASKS),
        )  # fmt: skip

    def known_tasks(self, run_id: str) -> dict[str, Any]:
        """Return the same; an empty one also if what is there is damaged, since a new one is about to replace it."""
        try:
            return self.read_tasks(run_id)
        except CorruptCheckpoint:
            return {}

    def read(self, name: str) -> dict[str, Any]:
        """Return a record, an empty one if it is not there."""
        found = self._get(self.place(name))
        return found if isinstance(found, dict) else {}


class Journal:
    """What is kept of one run beside its results.

    Args:
        storage: Where. It can ``list_keys``.
        codec: Of the workflow.
        family: Whose runs are counted together when old ones are removed.
        keep: How many of them are kept.
    """

    def __init__(self, storage: Storage, codec: Codec, family: str, keep: int) -> None:
        self._desk, self._storage, self._keep = Desk(storage, codec, family), storage, keep
        self._codec = codec
        self._record: dict[str, Any] = {}
        self._total, self._resumed = 0, False

    def begin(self, record: dict[str, Any], origin: Origin | None, *, led: bool, **known: Any) -> None:
        """Note in *record* that this process has taken up the run, and what else is *known* of it."""
        sessions = [dict(each) for each in record.get("sessions", ())]
        if sessions and sessions[-1]["status"] == WorkflowStatus.IN_PROGRESS:
            sessions[-1]["status"] = WorkflowStatus.INTERRUPTED.value
        origin = origin if origin is not None else program_origin()
        if record.setdefault("family", self._desk.family) != self._desk.family:  # it was begun under a random id
            self._desk = Desk(self._storage, self._codec, record["family"])
        sessions.append(
            {
                **identity(),
                "started_at": _now(),
                "finished_at": None,
                "status": WorkflowStatus.IN_PROGRESS.value,
                "number": sessions[-1]["number"] + 1 if sessions else 1,
                "led": led,
                "listens": origin.listens,
            }
        )
        known = {name: _plain(value) if isinstance(value, str) else value for name, value in known.items()}
        record.update(known, sessions=sessions[-SESSIONS_KEPT:], origin=origin.as_record())
        self._record, self._resumed = record, len(sessions) > 1

    @property
    def session(self) -> int:
        """How many processes have had this run, this one included."""
        return int(self._record["sessions"][-1]["number"])

    def summary(self) -> tuple[str, Context]:
        """Return the summary as something that ``write`` takes."""
        return summary_item(self._desk, self._record)

    def end(self, record: dict[str, Any], tasks: Sequence[Task], store: Checkpoint) -> list[tuple[str, Context]]:
        """Note in *record* how the run ended; return what has to be written."""
        self._record = record
        last = {**record["sessions"][-1], "status": record["status"], "finished_at": record["finished_at"]}
        record["sessions"] = [*record["sessions"][:-1], last]
        record["done"] = sum(task.status is TypeStatus.COMPLETED for task in tasks)
        return [self._details(tasks, store), self.summary()]

    def write(self, store: Checkpoint, record: dict[str, Any], items: list[tuple[str, Context]]) -> None:
        """Write the record beside the results, and *items* before it: in one go if they are kept together."""
        if store.storage is not self._storage:
            self._desk.write(items)
            items = []
        store.write_record(RECORD, record, items)

    def snapshot(self, tasks: Sequence[Task], store: Checkpoint, waits: Sequence[int | None]) -> None:
        """Write what is known of the tasks while the run goes on; try once. *waits*: for each, one it waits for."""
        with store.turn:
            key, context = self._details(tasks, store, waits=list(waits))
            self._desk.once(self._storage.post, key, context=context)

    def cancelled(self) -> bool:
        """Whether somebody asked this process to cancel the run; look once."""
        key = self._desk.place(self._record["run_id"] + CANCEL)
        found = getattr(self._desk.once(self._storage.get, key), "storage", None)
        return isinstance(found, dict) and found.get("session") == self.session

    def prune(self) -> None:
        """Remove the oldest runs, now and then."""
        if is_due() and self._storage.can("delete"):
            prune(self._desk, self._keep, self._record)

    def _details(self, tasks: Sequence[Task], store: Checkpoint, **known: Any) -> tuple[str, Context]:
        run_id = self._record["run_id"]
        before = self._desk.known_tasks(run_id) if self._resumed else {}
        found = columns(tasks, self.session)
        if self._resumed:
            restored = [task for task in tasks if task.restored]
            found = merged(found, before, {} if before else store.times_of([task.task_id for task in restored]))
        return self._desk.tasks_item(run_id, {**found, "session": self.session, **known})


def open_journal(workflow: Any, store: Checkpoint, *, settle: bool) -> Journal | None:
    """Return what keeps the history of a run of *workflow*; with *settle*, put on record what an earlier one left."""
    config = workflow.config
    if not config.keep_runs:
        return None
    storage = config.storage  # not the fenced one of a tick: that fences results
    if settle:
        settle_last(storage, config.codec, store)
    return Journal(storage, config.codec, str(workflow.workflow_id) if workflow.named else "", config.keep_runs)


class Watch:
    """What the engine looks at now and then while it drives a run.

    Args:
        journal: Of the run.
        tasks: Of the run.
        store: Their results.
        fault: Told when the storage cannot be read or written; the run goes on.
        clock: The monotonic clock of the run.
        waits: Whether time passes by itself on that clock; else nobody waits for the next look.
        parents: For each task, the positions of those it waits for; nothing if it does not wait for all of them.

    Attributes:
        due: When to call ``look`` next, on that clock.
        failed: Set when an attempt has failed.
    """

    def __init__(
        self,
        journal: Journal,
        tasks: Sequence[Task],
        store: Checkpoint,
        fault: Callable[[str, str, Exception], None],
        clock: Callable[[], float],
        waits: bool = True,
        parents: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self._journal, self._tasks, self._store, self._fault, self._clock = journal, tasks, store, fault, clock
        self.waits = waits
        self.due = clock() + LOOK_EVERY
        self.failed = False
        self._parents = parents
        self._written: list[int] = []

    def look(self) -> Stop | None:
        """Return the request to stop, if there is one; note what failed attempts and what long tasks there were."""
        began = self._clock()
        try:
            if self._is_news(began) or self.failed:
                self.failed = False
                self._journal.snapshot(self._tasks, self._store, self._blockers())
            asked = self._journal.cancelled()
        except DotflowError as error:
            self._fault("run record", "look", error)
            asked = False
        ended = self._clock()
        self.due = ended + max(LOOK_EVERY, (ended - began) * LOOK_SHARE)
        return Stop(WorkflowStatus.CANCELLED) if asked else None

    def _is_news(self, now: float) -> bool:
        """Whether other tasks run, or have run for long, than are on record, and one of them has for long."""
        found, long = [], False
        for position, task in enumerate(self._tasks):
            if task.status is IN_PROGRESS:
                found.append(position)
                long = long or now - task._from >= LONG
            elif task.duration is not None and task.duration >= LONG:
                found.append(position)
                long = True
        if not long or found == self._written:
            return False
        self._written = found
        return True

    def _blockers(self) -> list[int | None]:
        tasks = self._tasks
        return [next((at for at in needs if tasks[at].status is not COMPLETED), None) for needs in self._parents]


def summary_item(desk: Desk, record: Mapping[str, Any]) -> tuple[str, Context]:
    """Return the summary of a run record."""
    kept = {name: value for name, value in record.items() if name not in ("tasks", "input")}
    return desk.item(record["run_id"], {"dotflow": "run", "total": len(record["tasks"]), **kept})


def settle_last(storage: Storage, codec: Codec, store: Checkpoint) -> None:
    """Put on record what a run of this workflow id left that never ended, before its results are cleared."""
    try:
        record = store.read_record(RECORD)
    except CorruptCheckpoint:
        return  # it is about to be cleared, which is what its error would ask for
    if not isinstance(record, dict) or record.get("status") != WorkflowStatus.IN_PROGRESS:
        return
    if not record.keys() >= NEEDED - {"dotflow", "total"} | {"tasks"} or not record["sessions"]:
        return
    desk = Desk(storage, codec, record["family"])
    times = store.times_of(record["tasks"])
    found = desk.known_tasks(record["run_id"]) or nothing()
    found = unfinished(found, record, times, ended=True)
    desk.write([desk.tasks_item(record["run_id"], found), summary_item(desk, interrupted(record, len(times)))])


def nothing() -> dict[str, Any]:
    """Return what is known of the tasks of a run if nothing is."""
    return {**{column: [] for column in COLUMNS}, "errors": {}}


def interrupted(record: Mapping[str, Any], done: int) -> dict[str, Any]:
    """Return *record* as that of a run whose process is gone."""
    status = WorkflowStatus.INTERRUPTED.value
    sessions = [*record["sessions"][:-1], {**record["sessions"][-1], "status": status}]
    return {**record, "status": status, "sessions": sessions, "done": done}


def columns(tasks: Sequence[Task], session: int) -> dict[str, Any]:
    """Return what is known of *tasks*, as plain values: columns, since there may be many; times in microseconds."""
    errors, left = {}, TRACEBACKS_KEPT
    for task in tasks:
        if task._errors:
            errors[task.task_id] = [_error(each, session, left > 0) for each in task._errors[-ERRORS_KEPT:]]
            left -= 1
    return {
        "id": [task.task_id for task in tasks],
        "group": [task.group_name for task in tasks],
        "status": [task.status for task in tasks],
        "attempts": [
            0 if task.status is NOT_STARTED or task.restored else task.retry_count + (task.status is not RETRY)
            for task in tasks
        ],
        "started": [int(task._started * MICRO) for task in tasks],
        "duration": [None if task.duration is None else int(task.duration * MICRO) for task in tasks],
        "restored": [position for position, task in enumerate(tasks) if task.restored],
        "errors": errors,
    }


def merged(found: dict[str, Any], before: Mapping[str, Any], times: Mapping[str, float]) -> dict[str, Any]:
    """Return *found* with what earlier processes had put on record: times of restored tasks, errors of all."""
    known = {task_id: position for position, task_id in enumerate(before.get("id", ()))}
    for position in found["restored"]:
        task_id = found["id"][position]
        if task_id in known:
            for column in ("attempts", "started", "duration"):
                found[column][position] = before[column][known[task_id]]
        if not found["started"][position] and task_id in times:  # all that a killed process leaves is when it ended
            found["started"][position], found["duration"][position] = int(times[task_id] * MICRO), None
        found["attempts"][position] = found["attempts"][position] or 1
    for task_id, errors in before.get("errors", {}).items():
        latest = found["errors"].get(task_id, [])
        session = latest[-1]["session"] if latest else 0
        older = [each for each in errors if each["session"] != session]
        found["errors"][task_id] = [*older, *latest][-ERRORS_KEPT:]
    return found


def unfinished(
    found: Mapping[str, Any], record: Mapping[str, Any], times: Mapping[str, float], *, ended: bool
) -> dict[str, Any]:
    """Return what is known of the tasks of the run of *record*, whose end is not on record.

    *times* are those of the results that are saved; *ended*: whether its process is gone. A status that nobody can
    know is ``None``.
    """
    ids: Sequence[str] = record["tasks"]
    known = {task_id: position for position, task_id in enumerate(found["id"])}
    statuses = _standing(found, record, times, ended)
    rows = []
    for task_id, status in zip(ids, statuses, strict=True):
        at = known.get(task_id)
        row = [found[column][at] if at is not None else None for column in COLUMNS[1:-1]]
        group, before, attempts, started, duration = row
        if task_id in times and before != COMPLETED:
            started, duration, attempts = started or int(times[task_id] * MICRO), None, max(attempts or 0, 1)
        elif status in (NOT_STARTED, None):
            started, duration = 0, None
        rows.append((task_id, group or "", status, attempts or 0, started or 0, duration))
    listed: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS[:-1]]
    return {
        **dict(zip(COLUMNS, listed, strict=False)),
        "restored": [place for place, task_id in enumerate(ids) if known.get(task_id) in found["restored"]],
        "errors": found["errors"],
    }


def _standing(
    found: Mapping[str, Any], record: Mapping[str, Any], times: Mapping[str, float], ended: bool
) -> list[str | None]:
    """Return the status of each task of a run whose end is not on record, ``None`` where it is not known.

    What the tasks record says was so when it was written, in another session perhaps, and tasks may have begun since;
    but not one that waits for another without a result. If nothing else runs, the only one left does.
    """
    ids = record["tasks"]
    fresh = found.get("session") == record["sessions"][-1]["number"]
    told = dict(zip(found["id"], found["status"], strict=True)) if fresh else {}
    if record.get("chain"):
        waits = dict(zip(ids[1:], ids, strict=False))
    else:
        waits = {ids[at]: ids[other] for at, other in enumerate(found.get("waits", ())) if fresh and other is not None}
    statuses: list[str | None] = []
    for task_id in ids:
        status = COMPLETED.value if task_id in times else told.get(task_id)
        if status in (None, NOT_STARTED, COMPLETED) and task_id not in times:
            status = NOT_STARTED.value if task_id in waits and waits[task_id] not in times else None
        statuses.append(status)
    runs = [status for status in statuses if status not in (None, NOT_STARTED, COMPLETED)]
    if not runs and statuses.count(None) == 1:
        statuses[statuses.index(None)] = IN_PROGRESS.value
    stopped = TypeStatus.PAUSED.value
    return [stopped if ended and status in (IN_PROGRESS, RETRY) else status for status in statuses]


def prune(desk: Desk, keep: int, mine: Mapping[str, Any]) -> None:
    """Remove all but the newest *keep* runs; one that may still be on stays, up to *keep* more of those."""
    keys = [key for key in desk.keys(common_prefix(desk)) if not PART.search(key)]
    if len(keys) <= keep + keep // SLACK:
        return
    found = [each for each in desk.summaries(keys) if each["family"] == desk.family]
    found.sort(key=lambda each: str(each["started_at"]), reverse=True)
    open_runs = 0
    for each in found[keep:]:
        over = each["workflow_id"] == mine["workflow_id"] and mine["sessions"][-1]["led"]  # this one leads now
        if each["status"] == WorkflowStatus.IN_PROGRESS and not over and open_runs < keep:
            open_runs += 1
        else:
            desk.drop(each["run_id"])


def is_due() -> bool:
    """Whether old runs are removed now: at the first run of a process, and by chance at one in so many.

    To count would leave out workflows that take turns with another.
    """
    global _pruned
    first, _pruned = not _pruned, True
    return first or os.urandom(1)[0] % PRUNE_EVERY == 0


def common_prefix(desk: Desk) -> str:
    """Return how the keys of the records of one workflow begin, whatever keys the storage makes."""
    return shared([desk.place("0" * 32), desk.place("f" * 32)])


def shared(keys: Sequence[str]) -> str:
    """Return the characters that two keys begin with."""
    pairs = enumerate(zip(*keys, strict=False))
    return keys[0][: next((place for place, (one, other) in pairs if one != other), min(map(len, keys)))]


def _packed(column: list[Any]) -> list[Any]:
    """Return a column, or one value of it if all are the same."""
    first = column[0] if column else None
    return column[:1] if all([value is first for value in column]) else column  # noqa: C419  # a list is faster


def _error(error: TaskError, session: int, whole: bool) -> dict[str, Any]:
    text = mask(error.traceback) if whole else ""
    return {
        "attempt": error.attempt,
        "session": session,
        "exception": error.exception,
        "message": _plain(mask(error.message)[:LONGEST_TEXT]),
        "traceback": _plain(text[-LONGEST_TEXT:]),
    }


def _plain(text: str) -> str:
    """Return *text* without what not every storage takes: lone surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _now() -> str:
    return datetime.now(UTC).isoformat()
