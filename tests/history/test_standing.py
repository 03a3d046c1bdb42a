"""Where the tasks of a run stand while it goes on, and after its process was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dotflow import Config, DotFlow, action
from dotflow.core import journal
from dotflow.history import Run, Runs, TaskRun
from dotflow.providers import StorageSQLite
from dotflow.providers.by_url import storage_from

PROGRAM = Path(__file__).parent / "standing_flow.py"
PATIENCE = 20.0
DONE, RUNS, STOPPED, WAITS = "Completed", "In progress", "Paused", "Not started"


class Case:
    """A run in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.url, self.folder = f"sqlite:///{folder}/flow.db", folder
        self.runs = Runs(storage_from(self.url))
        self.process: subprocess.Popen[str] | None = None

    def begin(self, *what: str) -> None:
        words = [sys.executable, str(PROGRAM), self.url, "w", *what]
        self.process = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def run(self) -> Run:
        [run] = self.runs.list()
        return run

    def tasks(self) -> list[TaskRun]:
        return list(self.runs.tasks(self.run()))

    def statuses(self) -> list[str | None]:
        return [task.status for task in self.tasks()]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path)
    yield made
    made.kill()


def eventually(found: Callable[[], Any], wanted: Any) -> None:
    """Wait until *found* gives *wanted*."""
    until = time.monotonic() + PATIENCE
    while (last := found()) != wanted:
        assert time.monotonic() < until, last
        time.sleep(0.05)


def test_step_that_runs_and_the_one_that_was_killed_are_told(case: Case) -> None:
    """In a sequence the saved results tell which step it is, from its first moment on."""
    case.begin("chain")
    assert case.statuses() == [DONE, RUNS, WAITS]

    case.kill()
    assert case.statuses() == [DONE, STOPPED, WAITS]

    case.begin("chain", "resume")
    assert case.statuses() == [DONE, RUNS, WAITS]


def test_tasks_beside_each_other_are_told_after_a_second(case: Case) -> None:
    """What is not known yet is not called anything; once a task has run for a second it is on record."""
    case.begin("diamond")
    assert set(case.statuses()) <= {DONE, RUNS, WAITS, None}
    assert WAITS not in case.statuses()[:3]

    eventually(case.statuses, [DONE, RUNS, RUNS, WAITS])
    assert all(task.started_at is not None for task in case.tasks()[:3])

    case.kill()
    assert case.statuses() == [DONE, STOPPED, STOPPED, WAITS]
    assert case.runs.tasks(case.run())[1].finished_at is None


def test_what_nobody_can_know_is_unknown(case: Case) -> None:
    """A process that was killed in its first second has not told what ran."""
    case.begin("diamond")
    case.kill()

    assert case.statuses() == [DONE, None, None, None]


def test_what_an_earlier_session_left_is_not_taken_for_now(case: Case) -> None:
    """Until the second process has told, nothing of the first one counts as the state of a task."""
    case.begin("parallel")
    eventually(case.statuses, [DONE, RUNS, RUNS])
    case.kill()
    assert case.statuses() == [DONE, STOPPED, STOPPED]

    case.begin("parallel", "resume")

    assert case.statuses() in ([DONE, None, None], [DONE, RUNS, RUNS])


def test_tasks_are_put_on_record_only_where_one_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short tasks cost no write, however many they are and however often the run looks."""
    monkeypatch.setattr(journal, "LOOK_EVERY", 0.0)
    written: list[int] = []
    monkeypatch.setattr(journal.Journal, "snapshot", lambda *_: written.append(1))

    @action
    def short() -> None:
        pass

    @action
    def long() -> None:
        time.sleep(journal.LONG)

    for steps in ([short] * 20, [short, long, short, short]):
        workflow = DotFlow(Config(storage=StorageSQLite(tmp_path / "flow.db")), workflow_id="w")
        for step in steps:
            workflow.task.add(step)
        workflow.start()

    assert written == [1]
