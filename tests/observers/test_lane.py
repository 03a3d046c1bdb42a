"""Network observers are in the way of nothing."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from receivers import Receiver

from dotflow import Config, DotFlow, action
from dotflow.abc.log import Log
from dotflow.abc.notify import Notify
from dotflow.core import dispatch, lane
from dotflow.core.lane import Breaker, Call, Lane
from dotflow.providers import NotifySlack


@action
def step() -> int:
    return 1


@action
def computes() -> int:
    """Take some milliseconds of a processor."""
    return sum(number * number for number in range(45_000))


class Hanging(Notify):
    """Hangs at every call until it is released; one call may take 50 ms."""

    patience: ClassVar[float] = 0.05

    def __init__(self) -> None:
        self.release = threading.Event()
        self.calls = 0

    def hook_status_task(self, task: Any) -> None:
        self.calls += 1
        self.release.wait(30)


class Ear(Notify):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def hook_status_task(self, task: Any) -> None:
        self.heard.append((task.task_id, str(task.status)))


def workflow_of(*steps: Any, **providers: Any) -> DotFlow:
    made = DotFlow(Config(**providers))
    made.task.add(list(steps))
    return made


def test_a_call_that_hangs_is_abandoned_and_the_next_one_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stuck call is a fault; from the third on the observer is left alone."""
    notify = Hanging()
    run = workflow_of(step, step, step, notify=notify).start()
    until = time.monotonic() + 10
    while len(run.observer_faults) < 3 and time.monotonic() < until:
        time.sleep(0.005)

    assert [type(fault.error).__name__ for fault in run.observer_faults] == ["_Stuck"] * 3
    assert isinstance(run.observer_faults[0].error, TimeoutError)
    assert notify.calls == 3
    notify.release.set()


@pytest.mark.alone
def test_a_receiver_that_hangs_costs_the_run_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 steps that compute take within 5 % of the time without it; the end waits for at most a second."""
    monkeypatch.setattr(dispatch, "END_PATIENCE", lane.END_PATIENCE)
    receiver.hang()
    notify = NotifySlack(f"{receiver.url}/services/abcdefgh", timeout=5)

    def seconds(**providers: Any) -> tuple[float, float]:
        ends: list[float] = []
        began = time.perf_counter()
        workflow_of(*[computes] * 200, **providers).start(on_success=lambda tasks: ends.append(time.perf_counter()))
        return ends[0] - began, time.perf_counter() - ends[0]

    seconds(notify=notify)  # what is imported and started once
    alone = hanging = math.inf
    for _ in range(12):  # the best of each side is what the machine can do; a few pairs are enough when it is quiet
        alone = min(alone, seconds()[0])
        took, waited = seconds(notify=notify)
        hanging = min(hanging, took)
        assert waited < lane.END_PATIENCE + 0.1
        if hanging < alone * 1.05:
            break
    lane.lane_of(notify)._calls.clear()  # nobody is interested any more
    receiver.released.set()

    assert hanging < alone * 1.05, (alone, hanging)


def test_an_observer_that_is_left_alone_loses_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is delivered in the end, or counted as a fault; the fault is said once."""
    monkeypatch.setattr(lane, "PAUSES", (0.05,))
    receiver.rule = lambda request: (503, {"Retry-After": "0"}, "down") if len(receiver.got) <= 9 else (200, {}, "ok")
    run = workflow_of(*[step] * 20, notify=NotifySlack(f"{receiver.url}/services/abcdefgh")).start()
    receiver.wait_for(9 + 37)

    texts = [request.json()["text"] for request in receiver.got]
    assert run.observer_fault_counts == {"NotifySlack": 3}  # after three tries each
    assert len(texts) - 9 + 3 == 40
    assert len(set(texts)) == 40


def test_what_is_lost_at_the_end_of_the_program_is_said(receiver: Receiver) -> None:
    """Once for each observer, with the number of calls."""
    receiver.hang()
    program = (
        "from dotflow import Config, DotFlow, action\nfrom dotflow.providers import NotifySlack\n"
        "from dotflow.core import lane\nlane.END_PATIENCE = lane.EXIT_PATIENCE = 0.1\n"
        "@action\ndef a(): pass\n"
        f"w = DotFlow(Config(notify=NotifySlack({receiver.url!r} + '/services/abcdefgh', timeout=9)))\n"
        "w.task.add([a, a])\nw.start()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "5 calls of NotifySlack were not delivered before the program ended\n"


@pytest.mark.alone
def test_the_end_does_not_wait_for_a_call_that_took_that_long_already() -> None:
    """Nor does it wait for a lane that is left alone."""
    made, began = Lane(patience=30), threading.Event()
    release = threading.Event()

    def hook(_: Any) -> None:
        began.set()
        release.wait(30)

    made.put(Call("x", hook, None, lambda *_: None, 1, 0))
    assert began.wait(5)
    assert made._since is not None
    made._since -= 10
    before = time.monotonic()
    made.flush(before + 5, 1)

    assert time.monotonic() - before < 1
    release.set()
    made.release(1)


def test_a_breaker_opens_after_three_failures_and_tries_one_call_after_a_pause() -> None:
    """Its pauses grow; one success closes it."""
    breaker = Breaker()
    error = OSError()
    breaker.note(error, 0)
    breaker.note(error, 0)
    assert breaker.pause(0) == 0
    breaker.note(error, 0)
    assert (breaker.pause(0), breaker.pause(1)) == (1, 0)
    breaker.note(error, 1)
    assert breaker.pause(1) == 5
    breaker.note(error, 6)
    breaker.note(error, 36)
    assert breaker.pause(36) == 30
    breaker.note(None, 66)
    assert breaker.pause(66) == 0


def test_calls_beyond_the_limit_drop_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped ones are counted."""
    monkeypatch.setattr(lane, "QUEUE_LENGTH", 3)
    made, release, began = Lane(), threading.Event(), threading.Event()
    faults: list[str] = []
    done: list[int] = []

    def hook(number: Any) -> None:
        began.set()
        release.wait(30)
        done.append(number)

    made.put(Call("x", hook, 0, lambda *_: None, 1, 0))
    assert began.wait(5)
    for number in range(1, 6):
        made.put(Call("x", hook, number, lambda name, event, error: faults.append(type(error).__name__), 1, 0))
    release.set()
    made.flush(time.monotonic() + 5, 1)
    made.release(1)

    assert done == [0, 3, 4, 5]
    assert faults == ["OverflowError"] * 2


@pytest.mark.parametrize("dropped", [False, True])
def test_a_call_is_done_when_its_fault_is_known(monkeypatch: pytest.MonkeyPatch, dropped: bool) -> None:
    """Made or dropped by another run: the end of its run does not come before its fault."""
    made, busy, noted, release, flushed = Lane(), *(threading.Event() for _ in range(4))

    def fault(*_: Any) -> None:
        noted.set()
        release.wait(30)

    def flush() -> None:
        made.flush(time.monotonic() + 30, 1)
        flushed.set()

    if dropped:
        monkeypatch.setattr(lane, "QUEUE_LENGTH", 1)
        made.put(Call("x", lambda event: (busy.set(), release.wait(30)), 0, fault, 2, 0))
        assert busy.wait(5)
    made.put(Call("x", lambda event: 1 / 0, 0, fault, 1, 0))
    putting = threading.Thread(target=made.put, args=[Call("x", lambda event: None, 0, fault, 3, 0)])
    putting.start()  # in place of the call of run 1, if that is still in the queue
    assert noted.wait(5)
    waiting = threading.Thread(target=flush)
    waiting.start()
    assert not flushed.wait(0.1)
    release.set()
    waiting.join(5)
    putting.join(5)
    for run in (1, 2, 3):
        made.release(run)

    assert flushed.is_set()


def test_what_arrives_late_shows_the_status_of_its_moment() -> None:
    """Copies: the run has long moved on when the first call is made."""
    gate = threading.Event()

    class Slow(Ear):
        def hook_status_task(self, task: Any) -> None:
            gate.wait(30)
            super().hook_status_task(task)
            self.heard.append(("seconds", str(task.duration is not None)))

    notify = Slow()
    workflow = workflow_of(step, notify=notify)
    run = workflow.start(on_success=lambda tasks: gate.set())

    assert run.status == "Completed"
    assert notify.heard == [("step", "In progress"), ("seconds", "False"), ("step", "Completed"), ("seconds", "True")]


def test_an_observer_that_starts_a_workflow_is_not_told_of_it() -> None:
    """Neither off the path nor on it does that go on for ever."""
    inner: list[Any] = []

    class Recursive(Notify):
        def hook_status_task(self, task: Any) -> None:
            inner.append(workflow_of(step, **config).start())

    class Looping(Log):
        def info(self, **kwargs: Any) -> None:
            inner.append(workflow_of(step, **config).start())

    for config in ({"notify": Recursive()}, {"log": Looping()}):
        inner.clear()
        run = workflow_of(step, **config).start()
        assert [each.status for each in [run, *inner]] == ["Completed"] * 3


def test_faults_are_logged_once_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    """A SystemExit off the path is a fault like another."""

    class Broken(Notify):
        def hook_status_task(self, task: Any) -> None:
            raise SystemExit("no") if task.status == "Completed" else KeyError("x")

    with caplog.at_level(logging.WARNING, "dotflow"):
        run = workflow_of(step, notify=Broken()).start()

    assert run.observer_fault_counts == {"Broken": 2}
    assert len([record for record in caplog.records if "Broken failed" in record.message]) == 2


def test_threads_end_with_the_runs() -> None:
    """One lane serves every run of an observer, and leaves nothing behind."""
    notify = Ear()
    before = set(threading.enumerate())
    for _ in range(20):
        workflow_of(step, notify=notify).start()
    assert len(notify.heard) == 40
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_the_program_waits_for_messages_at_its_end(receiver: Receiver) -> None:
    """What was not delivered when the run ended is delivered at exit."""
    gate = threading.Event()

    def rule(_: Any) -> Any:
        gate.wait(1.3)
        return 200, {}, "ok"

    receiver.rule = rule
    program = (
        "from dotflow import Config, DotFlow, action\nfrom dotflow.providers import NotifySlack\n"
        "@action\ndef a(): pass\n"
        f"w = DotFlow(Config(notify=NotifySlack({receiver.url!r} + '/services/abcdefgh', timeout=5)))\n"
        "w.task.add(a)\nw.start()\nprint('ended')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("ended\n", "")
    assert len(receiver.got) == 2


def test_a_notifier_without_a_hash_is_told_in_order() -> None:
    """A dataclass, say."""

    @dataclass
    class Plain(Notify):
        heard: list[str]

        def hook_status_task(self, task: Any) -> None:
            self.heard.append(str(task.status))

        def hook_status_workflow(self, run: Any) -> None:
            self.heard.append(f"run {run.status}")

    notify = Plain([])
    workflow_of(step, notify=notify).start()

    assert notify.heard == ["In progress", "Completed", "run Completed"]


def test_call_for_which_no_thread_could_be_started_is_made_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is the caller's to hear; it leaves no lane that waits for a thread that never ran."""
    made, done = Lane(), list[int]()
    faults: list[str] = []
    start, refused = threading.Thread.start, {"dotflow-network": 1, "dotflow-network-call": 1}

    def refuse(thread: threading.Thread) -> None:
        if refused.get(thread.name, 0):
            refused[thread.name] -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    def call(number: int) -> Call:
        return Call("x", done.append, number, lambda name, event, error: faults.append(type(error).__name__), 1, 0)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        made.put(call(0))
    for number in (1, 2):
        made.put(call(number))
    made.flush(time.monotonic() + 20, 1)
    made.release(1)

    assert done == [2]
    assert faults == ["RuntimeError"]
    assert not made.waiting
