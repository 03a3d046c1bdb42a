"""The history of runs, with real processes, on a database, in a folder and on a server."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core import journal
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, MissingAbility, RunNotFound
from dotflow.history import Run, Runs
from dotflow.providers import StorageDefault, StorageSQLite
from dotflow.providers.by_url import storage_from

PROGRAM = Path(__file__).with_name("history_flow.py")
PATIENCE = 20.0


@action
def one() -> int:
    return 1


@action
def fails() -> None:
    raise ValueError("no " + "x" * 10_000)


@action
async def sleeps() -> None:
    await asyncio.sleep(600)


@action
def naps(initial_context: Context) -> None:
    Path(initial_context.storage).touch()
    time.sleep(600)


class Case:
    """A workflow in a storage that processes share."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.workflow_id = url, folder, f"w-{uuid.uuid4().hex}"
        self.open: list[subprocess.Popen[str]] = []

    def begin(self, *what: str) -> subprocess.Popen[str]:
        words = [sys.executable, str(PROGRAM), self.url, self.workflow_id, *what]
        process = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.open.append(process)
        return process

    def run(self, *what: str) -> int:
        process = self.begin(*what)
        process.communicate(timeout=PATIENCE)
        return process.returncode

    @property
    def runs(self) -> Runs:
        return Runs(storage_from(self.url))

    def list(self, **filters: Any) -> list[Run]:
        return self.runs.list(workflow=self.workflow_id, **filters)


@pytest.fixture(params=["sqlite", "file", "valkey"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/flow.db"
    elif request.param == "file":
        url = f"file://{tmp_path}/kept"
    else:
        host, port = request.getfixturevalue("valkey")
        url = f"valkey://{host}:{port}/7"
    made = Case(url, tmp_path)
    yield made
    for process in made.open:
        process.kill()
        process.communicate()


def eventually(found: Callable[[], Any]) -> Any:
    """Return what *found* gives once that is something."""
    until = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)
    return value


def test_run_is_on_record(case: Case) -> None:
    """A run that ended is there with its tasks, their times, attempts and errors; secrets are not."""
    before = datetime.now(UTC)
    assert case.run() == 0

    [run] = case.list()
    tasks = case.runs.tasks(run)

    assert (run.status, run.done, run.total, run.name) == ("Completed", 4, 4, "Nightly")
    assert before <= run.started_at <= run.sessions[0].started_at <= run.finished_at  # type: ignore[operator]
    assert 0 < run.duration < PATIENCE  # type: ignore[operator]
    assert run.origin["program"] == str(PROGRAM)
    assert [(task.task_id, task.status, task.attempts) for task in tasks] == [
        ("first", "Completed", 1), ("shaky", "Completed", 2), ("dying", "Completed", 1), ("last", "Completed", 1),
    ]  # fmt: skip
    assert all(task.started_at <= task.finished_at for task in tasks)  # type: ignore[operator]
    [error] = tasks[1].errors
    assert (error.attempt, error.exception, error.message) == (1, "ValueError", "password=*** is wrong")
    assert "in shaky" in error.traceback
    assert "hunter2" not in error.traceback


def test_killed_run_is_interrupted_and_its_checkpoints_tell_what_completed(case: Case) -> None:
    """Nobody could write that it ended; it does not stay in progress for ever."""
    before = datetime.now(UTC)
    assert case.run("die") == -signal.SIGKILL

    [run] = case.list()
    tasks = case.runs.tasks(run)

    assert (run.status, run.finished_at, run.duration, run.done) == ("Interrupted", None, None, 2)
    assert run.sessions[0].status == "Interrupted"
    assert [task.status for task in tasks] == ["Completed", "Completed", "Paused", "Not started"]
    assert tasks[0].started_at is None
    assert before - timedelta(seconds=1) <= tasks[0].finished_at <= datetime.now(UTC)  # type: ignore[operator]
    assert case.list(status="in progress") == []
    assert case.list(status="interrupted") == [run]


def test_resume_continues_the_run_on_record(case: Case) -> None:
    """It is one run with two sessions; what the first one completed is restored."""
    case.run("die")
    assert case.run("resume") == 0

    [run] = case.list()
    tasks = case.runs.tasks(run)

    assert (run.status, run.done) == ("Completed", 4)
    assert [(each.number, each.status) for each in run.sessions] == [(1, "Interrupted"), (2, "Completed")]
    assert run.sessions[0].pid != run.sessions[1].pid
    assert [task.restored for task in tasks] == [True, True, False, False]
    assert all(task.finished_at is not None for task in tasks)


def test_fresh_start_keeps_what_is_known_of_a_killed_run(case: Case) -> None:
    """A start that clears results first puts on record what they tell."""
    case.run("die")
    assert case.run() == 0

    new, old = case.list()

    assert (new.status, old.status, old.done) == ("Completed", "Interrupted", 2)
    assert [task.status for task in case.runs.tasks(old)] == ["Completed", "Completed", "Paused", "Not started"]
    assert case.runs.resumable(new)
    assert not case.runs.resumable(old)


def test_run_in_progress_shows_what_completed_so_far(case: Case) -> None:
    """Its process lives, and what it has saved counts, failed attempts included."""
    process = case.begin("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"

    [run] = case.list()

    assert (run.status, run.done, run.finished_at) == ("In progress", 2, None)
    assert [task.status for task in case.runs.tasks(run)][:2] == ["Completed", "Completed"]
    process.kill()
    process.wait()
    assert eventually(lambda: case.list(status="interrupted"))[0].run_id == run.run_id


def test_request_to_cancel_ends_the_run_between_two_steps(case: Case) -> None:
    """Its leader finds the request in the storage; the run can be resumed, and the request does not count again."""
    process = case.begin("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    [run] = case.list()

    case.runs.request_cancel(run.run_id[:12])
    time.sleep(journal.LOOK_EVERY)  # a look is due when the step ends
    (case.folder / "go").touch()

    assert process.communicate(timeout=PATIENCE)[0] == f"Cancelled {run.run_id}\n"
    assert [each.status for each in case.list()] == ["Cancelled"]
    assert case.run("wait", "resume") == 0
    assert [(each.run_id, each.status) for each in case.list()] == [(run.run_id, "Completed")]
    with pytest.raises(ConfigurationError, match="does not run: it is completed"):
        case.runs.request_cancel(run.run_id)


@pytest.mark.parametrize("way", ["start", "start_async", "parallel"])
def test_request_to_cancel_stops_what_can_be_stopped(tmp_path: Path, way: str) -> None:
    """A coroutine and a step in a worker end at once, and not when they would."""
    url = f"sqlite:///{tmp_path}/flow.db"

    def ask() -> None:
        runs = Runs(storage_from(url))
        run = eventually(lambda: [each for each in runs.list(status="in progress") if started()])[0]
        runs.request_cancel(run.run_id)

    def started() -> bool:
        return way != "parallel" or (tmp_path / "flow.db-asleep").exists()

    workflow = DotFlow(Config.from_url(url), workflow_id="w")
    workflow.task.add(naps if way == "parallel" else sleeps, initial_context=f"{tmp_path}/flow.db-asleep")
    asking = threading.Thread(target=ask)
    asking.start()
    if way == "start_async":
        manager = asyncio.run(workflow.start_async())
    else:
        manager = workflow.start(mode="parallel" if way == "parallel" else "sequential")
    asking.join()

    assert manager.status == "Cancelled"
    assert manager.tasks[0].status == "Paused"
    assert Runs(storage_from(url)).list()[0].status == "Cancelled"


# -- in one process ------------------------------------------------------------------------------------------


def flow(storage: Storage, *steps: Any, workflow_id: Any = "w", **config: Any) -> DotFlow:
    workflow = DotFlow(Config(storage=storage, **config), workflow_id=workflow_id)
    workflow.task.add(list(steps))
    return workflow


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[StorageSQLite]:
    made = StorageSQLite(tmp_path / "flow.db")
    yield made
    made.close()


class Plain(Storage):
    """Three methods, and ``list_keys``; keys of its own making."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.posts: list[str] = []

    def post(self, key: str, context: Context) -> None:
        self.posts.append(key)
        self.kept[key] = context.storage

    def get(self, key: str) -> Context:
        return Context(self.kept.get(key))

    def key(self, task: Any) -> str:
        return f"{task.task_id}/{task.workflow_id}"

    def list_keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.kept if key.startswith(prefix)]


def test_storage_with_keys_of_its_own_has_a_history_too() -> None:
    """What a key looks like is the storage's affair."""
    storage = Plain()
    flow(storage, one, fails, workflow_id="b").start()
    flow(storage, one, workflow_id="a").start()
    flow(storage, one, workflow_id="a").start()

    runs = Runs(storage)

    assert [(run.workflow_id, run.status) for run in runs.list()] == [
        ("a", "Completed"), ("a", "Completed"), ("b", "Failed"),
    ]  # fmt: skip
    failed = runs.list(status="failed")[0]
    assert runs.get(failed.run_id[:8]) == failed
    assert [task.status for task in runs.tasks(failed)] == ["Completed", "Failed"]


def test_storage_that_cannot_list_is_refused_by_the_methods_name() -> None:
    """So is one that forgets everything with the process."""

    class Three(Storage):
        post, get, key = Plain.post, Plain.get, Plain.key

    with pytest.raises(MissingAbility, match=r"list_keys\(\), which Three"):
        Runs(Three())
    with pytest.raises(ConfigurationError, match="only as long as the process lives"):
        Runs(StorageDefault())


def test_history_costs_no_write_per_step() -> None:
    """Beside the checkpoints there are two writes when a run begins and three when it ends, however long it is."""
    for length in (1, 50):
        storage = Plain()
        flow(storage, *[one] * length).start()

        assert len(storage.posts) == length + 5


def test_failed_attempts_are_on_record_while_the_run_goes_on(
    storage: StorageSQLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no checkpoint; a look puts them down, so that a kill does not lose them all."""
    monkeypatch.setattr(journal, "LOOK_EVERY", 0.0)
    seen: list[Any] = []

    @action(retry=2, retry_delay=0.01)
    def retried(task: Any) -> None:
        if task.attempt == 1:
            raise OSError("first")
        [run] = Runs(storage).list()
        seen.extend(Runs(storage).tasks(run))

    flow(storage, one, retried).start()

    assert [(task.status, len(task.errors)) for task in seen] == [("Completed", 0), ("Retry", 1)]
    assert seen[1].errors[0].message == "first"


def test_only_the_newest_runs_are_kept(storage: StorageSQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    """``keep_runs`` of each workflow; with it go the tasks of a run. Runs of random ids are counted together."""
    monkeypatch.setattr(journal, "PRUNE_EVERY", 1)
    ids = []
    for workflow_id in ("w", None, "w", None, "w", None, "w"):
        ids.append(flow(storage, one, workflow_id=workflow_id, keep_runs=2).start().run_id)

    kept = [run.run_id for run in Runs(storage).list()]

    assert kept == [ids[6], ids[5], ids[4], ids[3]]
    assert len(list(storage.list_keys(journal.FAMILY))) == 2 * len(kept)


def test_run_of_a_random_id_stays_one_run_when_it_is_resumed_by_name(storage: StorageSQLite) -> None:
    """Its history stays where it began, among those of random ids."""
    workflow = flow(storage, one, fails, workflow_id=None)
    begun = workflow.start()

    resumed = flow(storage, one, fails, workflow_id=str(workflow.workflow_id)).start(resume=True)
    fresh = flow(storage, one, workflow_id=str(workflow.workflow_id)).start()

    assert begun.run_id == resumed.run_id != fresh.run_id
    assert [(run.run_id, len(run.sessions)) for run in Runs(storage).list()] == [(fresh.run_id, 1), (begun.run_id, 2)]
    errors = [each for task in Runs(storage).tasks(Runs(storage).get(begun.run_id)) for each in task.errors]
    assert [(each.attempt, each.session) for each in errors] == [(1, 1), (1, 2)]


def test_no_history_is_kept_if_none_is_wanted(storage: StorageSQLite) -> None:
    """``keep_runs=0``; a number that is none is refused."""
    flow(storage, one, keep_runs=0).start()

    assert Runs(storage).list() == []
    for wrong in (-1, True, 1.5, "3"):
        with pytest.raises(ConfigurationError, match="keep_runs"):
            Config(keep_runs=wrong)  # type: ignore[arg-type]


def test_runs_are_found_by_the_beginning_of_their_ids(storage: StorageSQLite) -> None:
    """Enough of it to be the only one; else the others, or the nearest, are named."""
    ids = [flow(storage, one).start().run_id for _ in range(20)]  # of 20, two begin with the same digit
    runs = Runs(storage)

    assert runs.get(ids[0].upper()).run_id == ids[0]
    with pytest.raises(RunNotFound, match="several that begin like that"):
        runs.get(next(digit for digit in "0123456789abcdef" if sum(each.startswith(digit) for each in ids) > 1))
    wrong = ids[3][:7] + ("0" if ids[3][7] != "0" else "1")
    with pytest.raises(RunNotFound, match=rf"did you mean {ids[3][:8]}\?"):
        runs.get(wrong)
    with pytest.raises(RunNotFound):
        runs.get("")


def test_filters_that_make_no_sense_are_refused(storage: StorageSQLite) -> None:
    """The nearest status is offered; a time needs its zone."""
    runs = Runs(storage)

    with pytest.raises(ConfigurationError, match="did you mean 'Completed'"):
        runs.list(status="compleet")
    with pytest.raises(ConfigurationError, match="time zone"):
        runs.list(since=datetime(2026, 1, 1))
    with pytest.raises(RunNotFound, match="no run in this storage yet"):
        runs.get("abc")


def test_runs_are_filtered(storage: StorageSQLite) -> None:
    """By time, workflow and number; the newest come first."""
    first = flow(storage, one, workflow_id="a").start().run_id
    between = datetime.now(UTC)
    second = flow(storage, one, workflow_id="b").start().run_id
    runs = Runs(storage)

    assert [run.run_id for run in runs.list()] == [second, first]
    assert [run.run_id for run in runs.list(limit=1)] == [second]
    assert [run.run_id for run in runs.list(since=between)] == [second]
    assert [run.run_id for run in runs.list(workflow="a")] == [first]


def test_what_is_kept_of_errors_is_bounded(storage: StorageSQLite) -> None:
    """The end of a long traceback, and the beginning of a long message."""
    flow(storage, fails).start()
    runs = Runs(storage)

    [error] = runs.tasks(runs.list()[0])[0].errors

    assert len(error.message) == len(error.traceback) == journal.LONGEST_TEXT
    assert error.message.startswith("no x")


def test_ticks_of_a_schedule_are_in_the_history_of_their_workflow(storage: StorageSQLite) -> None:
    """Each tick has a workflow id of its own; its runs are counted with those of the workflow."""
    from dotflow.providers import SchedulerInterval

    workflow = flow(storage, one)
    workflow.config.scheduler = SchedulerInterval(seconds=0.05, max_runs=2)
    workflow.schedule()

    found = Runs(storage).list(workflow="w")

    assert [run.status for run in found] == ["Completed", "Completed"]
    assert all(run.scheduled_for is not None for run in found)


def test_lock_tells_that_a_process_elsewhere_is_gone(storage: StorageSQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another machine's process nothing can be seen but whether somebody leads the workflow."""
    monkeypatch.setattr(journal, "identity", lambda: {"host": "far", "pid": 4, "machine": "m", "began": "9"})
    states = []

    @action
    def looks() -> None:
        states.append(Runs(storage).list()[0].status)

    workflow = flow(storage, looks)
    monkeypatch.setattr(journal.Journal, "end", lambda *_: [])  # killed before it could say anything
    workflow.start()

    assert states == ["In progress"]
    assert Runs(storage).list()[0].status == "Interrupted"


def test_process_with_the_same_id_is_not_mistaken() -> None:
    """An id that has gone to another process is told by when that began."""
    from dotflow.core.identity import alive, identity

    mine = identity()

    assert alive(mine) is True
    assert alive({**mine, "began": "1"}) is False
    assert alive({**mine, "machine": "another"}) is None
    assert alive({**mine, "pid": 2**22 + 1}) is False
    assert re.fullmatch(r"\d+", mine["began"])
    assert os.getpid() == mine["pid"]
    assert alive({**mine, "pid": 2**80}) is False
    assert alive({**mine, "began": ""}) is None


def test_process_that_the_system_hides_is_not_taken_for_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user's process, ``/proc`` may show nothing: it is there all the same."""
    from dotflow.core import identity

    mine = identity.identity()
    monkeypatch.setattr(identity, "PROCESSES", str(tmp_path))

    assert identity.alive(mine) is None
    assert identity.alive({**mine, "pid": 2**22 + 1}) is False


def test_history_does_not_hurry_a_clock_that_stands_still(storage: StorageSQLite) -> None:
    """Looking for requests takes no time of a test's clock, whether the run pauses or a step takes long."""
    from dotflow.core.pace import paced_by
    from dotflow.testing import FakeClock

    tries: list[int] = []

    @action(retry=2, retry_delay=3600)
    def at_second() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("no")

    @action
    async def long() -> None:
        await asyncio.sleep(0.2)

    workflow = DotFlow(Config(storage=storage), workflow_id="w")
    workflow.task.add([at_second, long])
    clock = FakeClock()
    with paced_by(clock):
        workflow.start().raise_for_failure()

    assert clock.slept == [3600]
    [task, _] = Runs(storage).tasks(Runs(storage).list()[0])
    assert task.duration == 3600


def test_cancelled_in_the_pause_before_another_attempt(storage: StorageSQLite) -> None:
    """The run ends at once; the attempt that was not made is not counted."""

    @action(retry=2, retry_delay=600)
    def fails_often() -> None:
        raise ValueError("no")

    workflow = DotFlow(Config(storage=storage), workflow_id="w")
    workflow.task.add([fails_often, one])
    manager = workflow.start(mode="background")
    eventually(lambda: manager.tasks[0].status == "Retry")
    Runs(storage).request_cancel(manager.run_id)

    assert manager.wait(PATIENCE)
    assert manager.status == "Cancelled"
    found = [(each.status, each.attempts, len(each.errors)) for each in Runs(storage).tasks(Runs(storage).list()[0])]
    assert found == [("Paused", 1, 1), ("Not started", 0, 0)]


@pytest.mark.parametrize("damaged", [{"dotflow": "tasks"}, {"dotflow": "run"}, {"dotflow": "tasks", "id": ["one"]}])
def test_damaged_records_stop_no_run(storage: StorageSQLite, damaged: dict[str, Any]) -> None:
    """Whoever looks at such a run is told so; the workflow can be resumed and started, and puts it right."""
    workflow = DotFlow(Config(storage=storage), workflow_id="w")
    workflow.task.add([one, fails])
    workflow.start()
    [run] = Runs(storage).list()
    for key in list(storage.list_keys("_dotflow_history")):
        storage.post(key, Context(damaged))

    assert Runs(storage).list() == []
    assert workflow.start(resume=True).status == "Failed"
    [again] = Runs(storage).list()
    assert (again.run_id, [each.status for each in Runs(storage).tasks(again)]) == (run.run_id, ["Completed", "Failed"])
    [key] = [key for key in storage.list_keys("_dotflow_history") if key.endswith(".tasks")]
    storage.post(key, Context(damaged))
    with pytest.raises(CorruptCheckpoint, match="tasks of run .* is damaged"):
        Runs(storage).tasks(again)
    assert workflow.start().status == "Failed"


def test_workflows_that_take_turns_are_all_pruned() -> None:
    """Every second run of a process belongs to the other of two workflows: old runs of both are removed."""
    due = [journal.is_due() for _ in range(4000)]

    assert any(due[2::2])
    assert any(due[1::2])
    assert sum(due) < 1000
