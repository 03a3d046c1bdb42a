"""A timeout stops the step: in every mode, sync and async, and nothing of it goes on."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import timeout_steps
from e2e_tools import HERE, alive, finish, program, read, wait_gone
from timeout_case import MODES

from dotflow import DotFlow
from dotflow.core.action import Action

pytestmark = pytest.mark.alone

AT_ONCE = 6  # cases that run at the same time: nearly all they do is wait
LIMIT = 1.5  # seconds from the beginning of a step with timeout=1 to its end
SWALLOWED = 4.0  # the same for a method that goes on after its TimeoutError
EXIT = 1.0  # seconds that a program may take to end after its last line

IN_EVERY_MODE = [(mode, step) for mode in MODES for step in ("sleeps", "sleeps_async")]
OTHERS = [
    ("sequential", "beats"),
    ("sequential", "swallows"),
    ("sequential", "spawns"),
    ("parallel", "spawns_deep"),
    ("parallel", "spawns_by_multiprocessing"),
    ("sequential", "nests"),
    ("start_async", "spawns"),
    ("sequential", "sleeps_once"),
    ("sequential", "sleeps_once_async"),
    ("parallel", "sleeps_once"),
    ("parallel", "raises_timeout_error"),
    ("parallel", "Methods"),
    ("sequential", "Methods"),
    ("groups", "AsyncMethods"),
    ("parallel", "LimitedClass"),
    ("parallel", "StubbornMethod"),
    ("sequential", "beats_async"),
    ("start_async", "beats_async"),
    ("sequential", "lingers_async"),
    ("start_async", "lingers_async"),
    ("sequential", "spawns_detached"),
    ("sequential", "blocks_async"),
]


class Case:
    """What one run came to."""

    def __init__(self, found: dict[str, Any], journal: list[dict[str, Any]], exited: float) -> None:
        pids = {line[name] for line in journal for name in ("pid", "child", "grandchild") if name in line}
        self.alive = {pid for pid in pids if alive(pid)}
        self.status, self.quick, self.late = found["status"], found["quick"], found["late"]
        self.errors, self.retries, self.duration = found["errors"], found["retries"], found["duration"]
        self.ends, self.returned, self.left = found["ends"], found["returned"], found["left"]
        self.exited = exited
        self.journal = journal
        self.begins = [line["at"] for line in journal if line["event"] == "began"]
        self.events = [line["event"] for line in journal]

    @property
    def took(self) -> list[float]:
        """Seconds from the beginning of each attempt to the moment its failure was announced."""
        assert len(self.begins) == len(self.ends), (self.events, self.errors)
        return [end - begin for begin, end in zip(self.begins, self.ends, strict=True)]

    def check_nothing_is_left(self) -> None:
        """No thread, no process, and a program that can end."""
        assert self.left == {"threads": [], "children": []}
        assert self.exited - self.returned < EXIT
        assert self.alive == set()
        assert "effect" not in self.events


def run_case(mode: str, step: str, folder: Path) -> Case:
    """Run one case in a process of its own."""
    journal = folder / f"{mode}-{step}"
    process = program(HERE / "timeout_case.py", mode, step, journal)
    out = finish(process, 15, silent=False)  # a failed step is seen on stderr
    exited = time.monotonic()
    found = json.loads(out)
    wait_gone({line["pid"] for line in read(journal)}, 1.0)
    case = Case(found, read(journal), exited)
    for pid in case.alive:
        os.kill(pid, signal.SIGKILL)  # the test says what it thinks of it
    return case


class Cases:
    """All cases, some at the same time; each is waited for by the test that looks at it."""

    def __init__(self, folder: Path, wanted: list[tuple[str, str]]) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._found: dict[tuple[str, str], Future[Case]] = {
            case: self._pool.submit(run_case, *case, folder) for case in wanted
        }

    def __call__(self, mode: str, step: str) -> Case:
        """Return what that case came to."""
        return self._found[mode, step].result()

    def close(self) -> None:
        """Begin no other, and wait for those that run."""
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    made = Cases(tmp_path_factory.mktemp("cases"), [*IN_EVERY_MODE, *OTHERS])
    yield made
    made.close()


@pytest.mark.parametrize(("mode", "step"), IN_EVERY_MODE)
def test_step_is_stopped_in_time_and_tried_twice(mode: str, step: str, cases: Cases) -> None:
    """A step of 60 s with timeout=1, retry=2: each attempt ends within 1.5 s of its beginning, and nothing is left."""
    case = cases(mode, step)

    assert (case.status, case.quick, case.late) == ("Failed", "Completed", "Failed")
    assert [error[0] for error in case.errors] == ["TimeoutError", "TimeoutError"]
    assert [error[2] for error in case.errors] == [1, 2]
    assert f"'{step}' took longer than its timeout of 1 s" in case.errors[0][1]
    assert case.retries == 1
    assert len(case.begins) == 2
    assert all(0.95 < seconds < LIMIT for seconds in case.took), case.took
    assert case.returned - case.begins[-1] < LIMIT
    assert case.events == ["began", "began"]
    case.check_nothing_is_left()
    print("took", [round(seconds, 3) for seconds in case.took], "returned", round(case.returned - case.begins[-1], 3))


@pytest.mark.parametrize(
    ("mode", "step"),
    [
        ("sequential", "beats"),
        ("sequential", "beats_async"),
        ("start_async", "beats_async"),
    ],
)
def test_step_that_beats_stops_beating(mode: str, step: str, cases: Cases) -> None:
    """The last effect of a step comes before its failure is announced."""
    case = cases(mode, step)

    [end], [error] = case.ends, case.errors
    assert error[0] == "TimeoutError"
    assert case.took[0] < LIMIT
    beats = [line["at"] for line in case.journal if line["event"] == "beat"]
    assert len(beats) > 10
    assert max(beats) <= end
    case.check_nothing_is_left()


def test_step_that_swallows_every_exception_is_stopped(cases: Cases) -> None:
    """A plain step cannot refuse: its process is killed."""
    case = cases("sequential", "swallows")

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert case.took[0] < LIMIT
    assert case.events == ["began"]
    case.check_nothing_is_left()


@pytest.mark.parametrize(
    ("mode", "step"),
    [
        ("sequential", "spawns"),
        ("parallel", "spawns_deep"),
        ("parallel", "spawns_by_multiprocessing"),
        ("start_async", "spawns"),
        ("sequential", "spawns_detached"),
    ],
)
def test_what_a_step_started_dies_with_it(mode: str, step: str, cases: Cases) -> None:
    """A program, in a session of its own too, the child of a shell, a process of multiprocessing, one of asyncio."""
    case = cases(mode, step)

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert case.took[0] < LIMIT
    assert case.journal[0]["child"] > 0
    case.check_nothing_is_left()


def test_workers_of_a_run_inside_a_step_die_with_it(cases: Cases) -> None:
    """A step with timeout=2 that runs a workflow in parallel mode: its workers are gone too."""
    case = cases("sequential", "nests")

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert "inner" in case.events
    assert case.took[0] < 1 + LIMIT
    case.check_nothing_is_left()


@pytest.mark.parametrize(
    ("mode", "step"),
    [("sequential", "sleeps_once"), ("sequential", "sleeps_once_async"), ("parallel", "sleeps_once")],
)
def test_timeout_is_not_retried_where_retry_on_leaves_it_out(mode: str, step: str, cases: Cases) -> None:
    """retry=3 with retry_on=ValueError: a timeout is final."""
    case = cases(mode, step)

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert (case.retries, len(case.begins)) == (0, 1)
    assert case.took[0] < LIMIT
    case.check_nothing_is_left()


def test_timeout_error_of_the_step_itself_is_recorded_as_it_is(cases: Cases) -> None:
    """What a step raises is not mistaken for the engine's timeout, and is tried again like anything else."""
    case = cases("parallel", "raises_timeout_error")

    assert [tuple(error) for error in case.errors] == [
        ("TimeoutError", "of the service", 1),
        ("TimeoutError", "of the service", 2),
    ]
    assert all(seconds < 0.9 for seconds in case.took)


@pytest.mark.parametrize(
    ("mode", "step"), [("parallel", "Methods"), ("sequential", "Methods"), ("groups", "AsyncMethods")]
)
def test_timeout_of_a_method_is_honoured(mode: str, step: str, cases: Cases) -> None:
    """timeout=1 and retry=2 on one method of a class: it is called twice, a second each; the next one never."""
    case = cases(mode, step)

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert "'second' took longer than its timeout of 1 s" in case.errors[0][1]
    first, second = case.begins
    assert 0.95 < second - first < LIMIT
    assert 0.95 < case.ends[0] - second < LIMIT
    case.check_nothing_is_left()


def test_timeout_of_a_class_stops_its_methods(cases: Cases) -> None:
    """timeout=1 on the class: the method that runs then is stopped."""
    case = cases("parallel", "LimitedClass")

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert case.took[0] < LIMIT
    case.check_nothing_is_left()


def test_method_that_swallows_its_timeout_is_stopped_all_the_same(cases: Cases) -> None:
    """A loop that tries again after every exception must not outlive the method's timeout for ever."""
    case = cases("parallel", "StubbornMethod")

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert case.took[0] < SWALLOWED
    case.check_nothing_is_left()


@pytest.mark.parametrize("mode", ["sequential", "start_async"])
def test_coroutine_that_lingers_after_its_cancellation_is_stopped(mode: str, cases: Cases) -> None:
    """A coroutine that catches the cancellation, and waits again: S4 knows no exception."""
    case = cases(mode, "lingers_async")

    assert [error[0] for error in case.errors] == ["TimeoutError"]
    assert case.took[0] < SWALLOWED
    case.check_nothing_is_left()


def test_coroutine_that_blocks_its_loop_is_late_all_the_same(cases: Cases) -> None:
    """``time.sleep(3)`` in a coroutine with timeout=1 is a timeout, though it is noticed late (ADR 0018)."""
    case = cases("sequential", "blocks_async")

    assert case.late == "Failed"
    assert [error[0] for error in case.errors] == ["TimeoutError"]


@pytest.mark.parametrize("step", [timeout_steps.sleeps, timeout_steps.sleeps_async])
def test_steps_beside_a_stopped_one_are_not_disturbed(step: Action[..., Any], tmp_path: Path) -> None:
    """In parallel mode only the step that is late dies."""
    workflow = DotFlow()
    for _ in range(4):
        workflow.task.add(timeout_steps.quick)
    workflow.task.add(step, initial_context=str(tmp_path / "journal"))
    before = set(threading.enumerate())

    workflow.start(mode="parallel")

    statuses = [task.status for task in workflow.result_task()]
    assert statuses == ["Completed"] * 4 + ["Failed"]
    assert set(threading.enumerate()) <= before
