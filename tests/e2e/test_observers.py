"""Observers that raise or hang: the run is the same, in the same time, and each fault is reported once and counted."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import observers
import pytest
from e2e_tools import HERE, program, read
from observers import Calls, Refusal, callback_of, callbacks_of, config_of

from dotflow import Config, DotFlow
from dotflow.core.lane import EXIT_PATIENCE

pytestmark = pytest.mark.alone

SLOWER = 1.10  # times as long as a run without observers
MARGIN = 1.0  # seconds for an interpreter to end

NETWORK = {"BadNotify", "BadServer"}  # left alone for a while after three faults
ALL = {
    *NETWORK,
    "BadLog",
    "BadTracer",
    "BadMetrics",
    "callback",
    "on_success/on_failure",
    "callbacks_of.<locals>.listen",
}


class Case:
    """A program that runs beside the tests, and what it came to."""

    def __init__(self, name: str, *args: object) -> None:
        self.args = args
        self._process = program(HERE / "observer_case.py", name, *args)
        self._found: dict[str, Any] | None = None
        self._out = self._err = ""
        self.exited = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __getitem__(self, name: str) -> Any:
        if self._found is None:
            self._thread.join()
            assert self._process.returncode == 0, self._err
            assert self._err == ""
            self._found = json.loads(self._out)
        return self._found[name]

    def close(self) -> None:
        """Kill it if nobody waited for it."""
        if self._process.poll() is None:
            self._process.kill()
        self._thread.join()

    def _watch(self) -> None:
        self._out, self._err = self._process.communicate()
        self.exited = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """Begin them all at once: they do little but wait."""
    room = tmp_path_factory.mktemp("cases")
    found = {
        "raising": Case("raising"),
        "hanging": Case("hanging"),
        "slow": Case("slow", room / "slow"),
        "many": Case("many", room / "many"),
    }
    yield found
    for case in found.values():
        case.close()


def test_observers_that_raise_cost_no_time_and_change_nothing(cases: dict[str, Case]) -> None:
    """Notifier, log, tracer, metrics, server, callbacks and a listener raise on every call of a run of 2 s."""
    case = cases["raising"]

    assert case["status"] == "Completed"
    assert case["same"]
    assert case["plain"] >= 2
    assert case["took"] <= SLOWER * case["plain"]
    print("without", round(case["plain"], 3), "with", round(case["took"], 3))


def test_every_fault_is_counted_and_each_is_reported_once(cases: dict[str, Case]) -> None:
    """As many faults as calls, by name; one record on the logger ``dotflow`` for each observer."""
    case = cases["raising"]

    assert set(case["calls"]) == ALL
    assert case["counted"] == case["calls"]
    assert Counter(name for name, _ in case["faults"]) == case["calls"]
    assert {kind for _, kind in case["faults"]} == {"Refusal"}
    assert {name: count for name, count in case["calls"].items() if name not in NETWORK} == {
        "BadLog": 80,
        "BadTracer": 82,
        "BadMetrics": 42,
        "callback": 40,
        "on_success/on_failure": 1,
        "callbacks_of.<locals>.listen": 82,
    }
    assert all(case["calls"][name] >= 3 for name in NETWORK)
    reports = Counter(line.partition(" failed at ")[0] for line in case["logged"])
    assert reports == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "parallel", "background"])
def test_faults_change_no_mode(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """Results, statuses and errors of a run that fails are those of a run that nobody watches."""
    calls = Calls(observers.refuse)

    def run(config: Config, callback: Any = None, **start: Any) -> tuple[Any, DotFlow]:
        workflow = DotFlow(config=config)
        more = {} if callback is None else {"callback": callback}
        for step in (observers.counts, observers.counts, observers.fails):
            workflow.task.add(step, **more)
        manager = workflow.start(mode=mode, **start)
        assert manager.wait(30)
        if manager.thread is not None:
            manager.thread.join()
        return manager, workflow

    _, calm = run(Config())
    caplog.clear()
    manager, watched = run(config_of(calls, *observers.KINDS), callback_of(calls), **callbacks_of(calls))

    assert manager.status == "Failed"
    assert [task.status for task in watched.result_task()] == ["Completed", "Completed", "Failed"]
    assert watched.result_storage() == calm.result_storage()
    assert [error.message for error in watched.result_task()[2].errors] == ["on purpose"] * 2
    assert manager.observer_fault_counts == calls.counts
    assert set(calls.counts) == ALL
    assert len(manager.observer_faults) == sum(calls.counts.values())
    assert all(isinstance(fault.error, Refusal) for fault in manager.observer_faults)
    reported = Counter(record.getMessage().partition(" failed at ")[0] for record in caplog.records)
    assert reported == dict.fromkeys(ALL, 1)
    assert {record.name for record in caplog.records} == {"dotflow"}
    assert all("observers.Refusal: no" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", [*observers.KINDS, "listener"])
def test_cancellation_raised_by_an_observer_is_a_fault_like_any_other(name: str) -> None:
    """``asyncio.CancelledError`` is no ``Exception``; from a notifier that uses asyncio it must not end the run."""

    def cancel() -> None:
        raise asyncio.CancelledError

    calls = Calls(cancel)
    config = Config() if name == "listener" else config_of(calls, name)
    start = {"listeners": callbacks_of(calls)["listeners"]} if name == "listener" else {}
    workflow = DotFlow(config=config)
    workflow.task.add([observers.counts, observers.counts])

    manager = workflow.start(**start)

    assert manager.status == "Completed"
    assert workflow.result_storage() == [1, 2]
    assert manager.observer_fault_counts == calls.counts


def test_one_bad_observer_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A log that raises comes before a listener that does not: it hears everything. (The notifier is given a rest.)"""
    heard: list[str] = []
    workflow = DotFlow(config=config_of(Calls(observers.refuse), "log", "tracer", "notify"))
    workflow.task.add([observers.counts, observers.counts])

    manager = workflow.start(listeners=[lambda event: heard.append(type(event).__name__)])

    tasks = ["TaskStarted", "TaskCompleted"] * 2
    assert heard == ["WorkflowStarted", *tasks, "WorkflowFinished"]
    assert manager.observer_fault_counts == {"BadLog": 4, "BadTracer": 6, "BadNotify": 3}
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 3


def test_slow_notifier_is_told_everything_in_order_before_the_program_ends(cases: dict[str, Case]) -> None:
    """It takes 5 s for what a run of 2 s has to tell; nothing is lost, and nothing waits but the end of the program."""
    case = cases["slow"]

    assert case["status"] == "Completed"
    assert case["same"]
    told = [(line["task"], line["status"]) for line in read(case.args[0])]
    names = ["works", *(f"works-{number}" for number in range(2, 41))]
    assert told == [(name, status) for name in names for status in ("In progress", "Completed")]
    assert case["took"] <= SLOWER * case["plain"] + 1.0  # the end of a run has a second of patience


def test_end_of_the_program_waits_once_however_many_runs_have_something_to_tell(cases: dict[str, Case]) -> None:
    """Three runs, each with 20 s of calls left: the deadline of the exit (here 2 s) is one for all of them."""
    case = cases["many"]

    ended = case["ended"]
    assert case.exited - ended <= 2.0 + MARGIN


def test_observers_that_hang_cost_no_time_and_the_program_ends(cases: dict[str, Case]) -> None:
    """Notifier and server take 30 s a call: the run takes as long as without them, and so does the exit, nearly."""
    case = cases["hanging"]

    assert case["status"] == "Completed"
    assert case["same"]
    assert case["plain"] >= 2
    assert case["took"] <= SLOWER * case["plain"]
    assert sum(case["calls"].values()) == 2  # the first call of each is still under way
    assert case.exited - case["ended"] <= EXIT_PATIENCE + MARGIN
    print(f"without {case['plain']:.3f} with {case['took']:.3f} exit {case.exited - case['ended']:.2f}")
