"""A run killed at every point of its way, and resumed each time."""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dotflow.core.module import load
from dotflow.core.types import WorkflowStatus
from dotflow.testing.children import SIGKILL, Child, Talk, die
from dotflow.testing.faults import Point, Watch
from dotflow.testing.same import same, short

TRIES = 3  # of a point that a run does not always reach
DRIVER = "from dotflow.testing.crashes import drive; drive()"


class Crash(NamedTuple):
    """One kill, and what came of it.

    Attributes:
        point: Where the run was killed.
        saved: The tasks whose results the storage had taken by then.
        again: The tasks that the resumed run started.
        room: Name of the folder that the workflow was given.
        problem: What is wrong, ``""`` if nothing is.
    """

    point: Point
    saved: tuple[str, ...]
    again: tuple[str, ...]
    room: str
    problem: str


class CrashTable(tuple[Crash, ...]):
    """Every kill of a matrix; as text a table."""

    def __str__(self) -> str:
        rows = [("killed", "saved before", "run again", "")]
        rows += [
            (str(crash.point), str(len(crash.saved)), str(len(crash.again)), crash.problem or "ok") for crash in self
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join("  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows)


class Job(NamedTuple):
    """What the driver is asked for."""

    path: list[str]
    workflow: str
    points: list[Point] | None
    start: dict[str, Any]
    folder: str


def crash_matrix(workflow: str, points: Iterable[Point | str] | None = None, **start: Any) -> CrashTable:
    """Kill a run at each point, resume it, and compare with a run that nobody disturbed.

    Each run has a process of its own. Points are all events and all calls of the storage, before and after, as
    an undisturbed run has them.

    Args:
        workflow: ``"module:callable"`` that returns a ``DotFlow`` with a fixed ``workflow_id`` and a storage that
            outlives the process. If it takes an argument, it is given a ``Path``: an empty folder for each run
            and its resumption. If it takes none, ``clear`` of its storage makes room before each run.
        points: Where to kill, if not everywhere.
        **start: What the runs are started with, as for ``DotFlow.start``.

    Returns:
        A row for each point.

    Raises:
        AssertionError: a resumed run gave another result, or ran a step again whose result was saved; or a point
            was not reached, or a run failed in another way. Lists those points.
    """
    chosen = None if points is None else [Point.parse(p) if isinstance(p, str) else p for p in points]
    with tempfile.TemporaryDirectory(prefix="dotflow-crashes-") as folder:
        job = Job([os.path.abspath(entry) for entry in sys.path], workflow, chosen, start, folder)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(job.path)}
        Path(folder, "job").write_bytes(pickle.dumps(job))
        code = subprocess.run([sys.executable, "-c", DRIVER, folder], env=environment, check=False).returncode
        answer = Path(folder, "answer")
        if not answer.exists():
            raise AssertionError(f"the driver of the crash matrix ended with exit code {code}; see its output")
        found = pickle.loads(answer.read_bytes())
    if isinstance(found, str):
        raise AssertionError(found)
    failed = CrashTable(crash for crash in found if crash.problem)
    if failed:
        raise AssertionError(f"{len(failed)} of {len(found)} kills of {workflow} went wrong:\n{failed}")
    return CrashTable(found)


# -- the driver -----------------------------------------------------------------------------------------------
# A process of its own, with no threads, which imports the workflow once and forks for each run.


def drive() -> None:
    """Do the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    job: Job = pickle.loads((folder / "job").read_bytes())
    try:
        answer: Any = list(_matrix(job))
    except AssertionError as error:
        answer = str(error)
    (folder / "new").write_bytes(pickle.dumps(answer))
    (folder / "new").rename(folder / "answer")


class _Ran(NamedTuple):
    points: list[tuple[Point, list[str]]]
    result: tuple[str, dict[str, tuple[str, Any]]] | None
    """Status of the run, and status and value of each task; ``None`` if it was killed."""
    modules: Iterable[str]
    """What was imported by then; nothing if it was killed."""


def _matrix(job: Job) -> Iterable[Crash]:
    load(job.workflow)
    calm = _run(job, "calm", None, first=True)
    if calm.result is None:
        raise AssertionError(f"the undisturbed run of {job.workflow} gave no result")
    if calm.result[0] != WorkflowStatus.COMPLETED:
        raise AssertionError(f"the undisturbed run of {job.workflow} ended {calm.result[0]}; it must complete")
    _import(calm.modules)
    gc.freeze()  # what was imported is not copied into each child by its first collection
    for number, point in enumerate([point for point, _ in calm.points] if job.points is None else job.points):
        for trial in range(TRIES):
            room = f"{number}-{trial}"
            killed = _run(job, room, point, first=True)
            if killed.result is None:
                break
        else:
            yield Crash(point, (), (), room, "the run did not reach this point")
            continue
        yield _judge(point, room, killed, _run(job, room, None, first=False), calm)


def _import(modules: Iterable[str]) -> None:
    """Import once what every child would import."""
    for name in modules:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except ImportError:
                pass  # something made it that is no import


def _judge(point: Point, room: str, killed: _Ran, resumed: _Ran, calm: _Ran) -> Crash:
    known = calm.result[1] if calm.result else {}
    saved, again = _saved(killed, known), _names(resumed, "TaskStarted")
    problems = [f"{name} was saved and ran again" for name in again if name in saved]
    problems += [f"{name} ran {again.count(name)} times" for name in dict.fromkeys(again) if again.count(name) > 1]
    if resumed.result is None:
        problems.append("the resumed run gave no result")
    elif calm.result is not None:
        problems += _differences(resumed.result, calm.result)
    return Crash(point, tuple(saved), tuple(again), room, "; ".join(problems))


def _saved(ran: _Ran, known: Iterable[str]) -> list[str]:
    methods = ("post", "post_many", "create")
    names = [name for point, names in ran.points if point[:1] == ("after",) and point.what in methods for name in names]
    return [name for name in names if name in known]


def _names(ran: _Ran, event: str) -> list[str]:
    return [name for point, names in ran.points if point.what == event for name in names]


def _differences(found: tuple[str, dict[str, Any]], wanted: tuple[str, dict[str, Any]]) -> Iterable[str]:
    if found[0] != wanted[0]:
        yield f"the resumed run ended {found[0]}, not {wanted[0]}"
    for name in wanted[1].keys() | found[1].keys():
        one, other = found[1].get(name), wanted[1].get(name)
        if not same(one, other):
            yield f"{name} is {short(one)} instead of {short(other)}"


def _run(job: Job, room: str, point: Point | None, *, first: bool) -> _Ran:
    log = Path(job.folder, f"{room}{'' if first else '-resumed'}.log")
    (Path(job.folder) / room).mkdir(exist_ok=True)
    method = "fork" if hasattr(os, "fork") else "spawn"
    child = Child(method, _nothing, _work, (job, room, point, first, str(log)))
    try:
        answers = child.left()
        code = child.wait()
    finally:
        child.close()
    wanted = -SIGKILL if point is not None and not answers else 0
    if code != wanted:
        raise AssertionError(f"the run to be killed {point or 'nowhere'} ended with exit code {code}")
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    points = [(Point(*found), names) for found, names in map(json.loads, lines)]
    return _Ran(points, *(answers[0] if answers else (None, ())))


def _nothing() -> None:
    """Stand for a recipe where none is needed."""


def _work(
    _make: Callable[[], None], _talk: Talk, job: Job, room: str, point: Point | None, first: bool, log: str
) -> Any:
    factory = load(job.workflow)
    takes = any(p.default is p.empty for p in inspect.signature(factory).parameters.values())
    workflow = factory(Path(job.folder, room)) if takes else factory()
    storage = workflow.config.storage
    if storage.keeps_objects:
        raise ValueError(f"{type(storage).__name__} ends with its process; a crash matrix needs one that does not")
    if first and not takes:
        storage.clear(workflow_id=workflow.workflow_id)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reach(reached: Point, names: Sequence[str]) -> None:
        os.write(file, json.dumps([reached, names]).encode() + b"\n")
        if reached == point:
            die()

    watch = Watch(reach)
    workflow.config.storage = watch.storage(storage)
    listeners = (*job.start.get("listeners", ()), watch)
    manager = workflow.start(**{**job.start, "listeners": listeners, "resume": not first})
    manager.wait()
    results = {task.task_id: (str(task.status), task.value) for task in manager.tasks}
    storage.close()
    return (str(manager.status), results), list(sys.modules)
