"""What a killed run owed its notifiers is told by the process that takes over, with the same id."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import owing_flow
import pytest
from owing_flow import BAD, GOOD, Teller, make, storage_of
from receivers import Receiver

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.abc.storage import Storage
from dotflow.core.agenda import Tick
from dotflow.core.context import Context
from dotflow.core.exception import DeliveryFailed
from dotflow.core.outbox import NEWS, OUTBOX
from dotflow.core.task import Task
from dotflow.core.workflow import Options
from dotflow.providers import NotifyWebhook, StorageDefault, StorageSQLite

SEED = int(os.environ.get("DOTFLOW_KILL_SEED") or random.SystemRandom().randrange(2**32))
KILLS = 8


def live(room: Path, kind: str, when: str = "", what: str = "", seconds: float | None = None) -> bool:
    """Run the program, for so many seconds or until it ends; return whether it ended by itself."""
    command = [sys.executable, "-W", "error", owing_flow.__file__, str(room), kind, when, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        try:
            _, err = process.communicate(timeout=60 if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
    assert process.returncode in (0, -9), err
    assert err == ""
    return process.returncode == 0


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(room: Path) -> dict[str, list[str]]:
    """The ids under which each message was told."""
    found = defaultdict(list)
    for line in read(room / "told"):
        found[line["what"]].append(line["id"])
    return found


def records(storage: Storage) -> list[str]:
    return [key for key in storage.list_keys() if OUTBOX in key or NEWS in key]


@pytest.mark.parametrize("what", ["good-3 Completed", "bad-1 Failed", "run Failed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_between_saving_and_sending(tmp_path: Path, when: str, what: str) -> None:
    """The message arrives: once if it had not been sent, else a second time with the same id."""
    assert not live(tmp_path, "sqlite", when, what)
    assert len(told(tmp_path)[what]) == (when == "after")
    assert live(tmp_path, "sqlite")

    found = told(tmp_path)
    assert len(found[what]) == (2 if when == "after" else 1)
    assert all(len(set(ids)) == 1 and ids[0] for name, ids in found.items() if "In progress" not in name)
    texts = {line["what"]: line["text"] for line in read(tmp_path / "told")}
    assert texts["bad-1 Failed"] == "bad-1 is not well"
    if what.startswith("run"):
        assert texts[what] == "owing bad-0 bad-1 bad-2 bad-3"
    assert len(records(storage_of("sqlite", tmp_path))) == 1


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_killed_at_random_instants_every_message_arrives(tmp_path: Path, kind: str) -> None:
    """Of each task that completed, and of each failure that anybody was told of, under one id each."""
    print(f"reproduce with DOTFLOW_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED}-{kind}")
    kills = runs = 0
    while kills < KILLS:
        room, runs = tmp_path / str(runs), runs + 1
        room.mkdir()
        while kills < KILLS and not live(room, kind, seconds=chance.uniform(0, 0.12)):
            kills += 1
        assert live(room, kind)
        assert live(room, kind)  # the steps that failed are well now
        found = told(room)
        for name in [*GOOD, *BAD]:
            assert len(set(found[f"{name} Completed"])) == 1, name
        for line in read(room / "failed"):
            assert len(set(found[f"{line['task']} Failed"])) == 1, line
        assert "run Completed" in found
        assert len({known for ids in found.values() for known in ids}) == sum(len(set(ids)) for ids in found.values())


def test_what_was_told_is_not_told_again(tmp_path: Path) -> None:
    """A resume of a run that ended tells nothing but its end, and one record is left."""
    assert live(tmp_path, "sqlite")
    before = told(tmp_path)
    assert live(tmp_path, "sqlite")
    after = told(tmp_path)

    assert {name for name in after if after[name] != before.get(name)} == {
        *(f"{name} {status}" for name in BAD for status in ("In progress", "Completed")), "run Completed",
    }  # fmt: skip
    storage = storage_of("sqlite", tmp_path)
    assert len(records(storage)) == 1
    storage.clear("owing")
    assert [key for key in storage.list_keys() if not key.startswith("_dotflow_history")] == []


def test_a_fresh_start_tells_what_was_owed_too(tmp_path: Path) -> None:
    """It forgets the results of the killed run, not its news."""
    assert not live(tmp_path, "sqlite", "before", "bad-1 Failed")
    teller = Teller(tmp_path)
    make(tmp_path, "sqlite", teller).start(keep_going=True)

    found = [line["what"] for line in read(tmp_path / "told")]
    assert found.index("bad-1 Failed") < len(found) - 1 - found[::-1].index("good-0 In progress")
    assert len(set(told(tmp_path)["good-0 Completed"])) == 2  # it is another run


class Down(Notify):
    """Cannot deliver anything."""

    patience: ClassVar[float] = 5

    def __init__(self, error: Exception) -> None:
        self.error = error

    def hook_status_task(self, task: Any) -> None:
        raise self.error


class Ear(Notify):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def hook_status_task(self, task: Any) -> None:
        self.heard.append((task.task_id, str(task.status), task.event_id))


@action
def step() -> int:
    return 1


def flow(storage: Storage, notify: Notify) -> DotFlow:
    workflow = DotFlow(Config(storage=storage, notify=notify), workflow_id="w")
    workflow.task.add(step)
    return workflow


@pytest.mark.parametrize(
    ("error", "owed"), [(OSError("unreachable"), True), (DeliveryFailed("busy", 503, later=True), True),
                        (DeliveryFailed("refused", 400), False), (TypeError("a bug"), False)],
)  # fmt: skip
def test_a_message_that_may_be_delivered_later_stays_owed(tmp_path: Path, error: Exception, owed: bool) -> None:
    """A receiver that was away gets it from the next start; one that refused it is not asked again."""
    storage, ear = StorageSQLite(str(tmp_path / "db")), Ear()
    flow(storage, Down(error)).start()
    flow(storage, ear).start(resume=True)
    flow(storage, ear).start(resume=True)

    assert [(name, status) for name, status, _ in ear.heard] == [("step", "Completed")] * owed


def test_messages_that_found_no_room_stay_owed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full queue dropped is told by the next start, and no thread waits for it."""
    monkeypatch.setattr("dotflow.core.lane.QUEUE_LENGTH", 2)
    storage, gate, ear = StorageSQLite(str(tmp_path / "db")), threading.Event(), Ear()

    class Slow(Ear):
        def hook_status_task(self, task: Any) -> None:
            gate.wait(10)
            super().hook_status_task(task)

    slow = Slow()
    workflow = DotFlow(Config(storage=storage, notify=slow), workflow_id="w")
    workflow.task.add([step] * 5)
    run = workflow.start(on_success=lambda tasks: gate.set())
    monkeypatch.undo()
    again = DotFlow(Config(storage=storage, notify=ear), workflow_id="w")
    again.task.add([step] * 5)
    again.start(resume=True)

    assert run.observer_fault_counts["Slow"] >= 7
    heard = [known for _, status, known in slow.heard + ear.heard if status == "Completed"]
    assert len(set(heard)) == len(heard) == 5
    for thread in threading.enumerate():
        if thread.name == "dotflow-outbox":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize("mode", ["background", "parallel"])
def test_every_way_to_run_has_an_outbox(tmp_path: Path, mode: str) -> None:
    """Behind the caller, in processes, and on an event loop, where a failure is saved without blocking it."""
    for number, start in enumerate((lambda w: w.start(mode=mode), lambda w: asyncio.run(w.start_async(mode=mode)))):
        storage = StorageSQLite(str(tmp_path / f"db{number}"))
        workflow = DotFlow(Config(storage=storage, notify=Down(OSError("away"))), workflow_id="w")
        workflow.task.add([step, owing_flow.bad], initial_context=str(tmp_path / f"bad{number}"))
        start(workflow).wait()
        ear = Ear()
        again = DotFlow(Config(storage=storage, notify=ear), workflow_id="w")
        again.task.add([step, owing_flow.bad], initial_context=str(tmp_path / f"bad{number}"))
        again.start(resume=True)
        late = [(name, status) for name, status, _ in ear.heard][:2]
        assert sorted(late) == [("bad", "Failed"), ("step", "Completed")]


def test_a_webhook_sends_the_id(tmp_path: Path, receiver: Receiver) -> None:
    """In the header and in the body, the same when the message is told again by the next run."""
    storage = StorageSQLite(str(tmp_path / "db"))
    receiver.rule = lambda request: (503, {"Retry-After": "0"}, "away")
    flow(storage, NotifyWebhook(receiver.url)).start()
    receiver.got.clear()
    receiver.rule = lambda request: (200, {}, "ok")
    flow(storage, NotifyWebhook(receiver.url)).start(resume=True)

    task, *ends = [request.json() for request in receiver.got]
    assert (task["event"], task["status"], task["task"]["current_context"]) == ("task", "Completed", "1")
    assert [request.headers["X-Dotflow-Event-Id"] for request in receiver.got] == [task["id"], *(e["id"] for e in ends)]
    assert len({end["id"] for end in ends}) == 1


class Forgetful(StorageSQLite):
    """Takes results, and no record of the outbox."""

    def post(self, key: str, context: Context) -> None:
        if OUTBOX in key or NEWS in key:
            raise OSError("the disk is full")
        super().post(key, context)


def test_an_outbox_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    """The messages go out all the same, and the fault is counted."""
    ear = Ear()
    run = flow(Forgetful(str(tmp_path / "db")), ear).start()

    assert run.status == "Completed"
    assert [status for _, status, _ in ear.heard] == ["In progress", "Completed"]
    assert "outbox" in run.observer_fault_counts


@pytest.mark.parametrize("record", [7, {"run_id": 7}, {"run_id": "x", "told": 7}, {"run_id": "x", "told": [[]]}])
def test_records_that_somebody_has_changed_stop_nothing(tmp_path: Path, record: Any) -> None:
    """At most they are a fault of the outbox."""
    storage, ear = StorageSQLite(str(tmp_path / "db")), Ear()
    flow(storage, ear).start()
    for name in (OUTBOX, NEWS, f"{NEWS}.step"):
        storage.post(storage.key(Task(name, step, workflow_id="w")), Context(record, name, "w"))

    assert flow(storage, ear).start(resume=True).status == "Completed"


def test_nothing_is_kept_where_nobody_is_notified(tmp_path: Path) -> None:
    """Nor in memory, nor in a storage of three methods."""
    for storage in (StorageSQLite(str(tmp_path / "db")), StorageDefault()):
        workflow = DotFlow(Config(storage=storage), workflow_id="w")
        workflow.task.add(step)
        workflow.start()
        assert records(storage) == []
    memory = StorageDefault()
    flow(memory, Ear()).start()
    assert records(memory) == []


def test_a_failure_to_save_is_owed_too(tmp_path: Path) -> None:
    """That a result could not be kept is on record before anybody is told, like every other failure."""
    storage = StorageSQLite(str(tmp_path / "db"))
    found: list[list[str]] = []

    class Looks(Notify):
        def hook_status_task(self, task: Any) -> None:
            if task.status == "Failed":
                found.append([key for key in storage.list_keys() if NEWS in key])

    @action
    def strange() -> object:
        return object()

    workflow = DotFlow(Config(storage=storage, notify=Looks()), workflow_id="w")
    workflow.task.add(strange)
    workflow.start()

    assert found == [[f"w-{NEWS}.strange"]]


def test_who_takes_a_tick_over_takes_its_outbox_too(tmp_path: Path) -> None:
    """What is fenced against the process before are the news as well: the next one can write them, that one no more."""

    class Listens(Notify):
        def hook_status_task(self, task: Any) -> None:
            pass

    @action
    def one() -> int:
        return 1

    @action
    def bad() -> None:
        raise ValueError("no")

    at, storage = datetime(2026, 1, 1, tzinfo=UTC), StorageSQLite(str(tmp_path / "db"))
    workflow = DotFlow(Config(storage=storage, notify=Listens()), workflow_id="w")
    workflow.task.add([one, bad])
    first = workflow.launch(Options(scheduled_for=at), tick=Tick("w", at, 1, own=True, fenced=True))
    second = workflow.launch(Options(scheduled_for=at, resume=True), tick=Tick("w", at, 2, own=True, fenced=True))

    assert [first.observer_faults, second.observer_faults] == [[], []]
    [outbox] = [key for key in records(storage) if OUTBOX in key]
    assert storage.get(outbox).storage["told"] is True


def test_a_second_failure_is_another_message(tmp_path: Path) -> None:
    """A step that fails again after a resume, and a run that does, are told under ids of their own."""
    found: defaultdict[str, list[str]] = defaultdict(list)

    class Listens(Notify):
        def hook_status_task(self, task: Any) -> None:
            found[f"{task.task_id} {task.status}"].append(task.event_id)

        def hook_status_workflow(self, run: Any) -> None:
            found[f"run {run.status}"].append(run.event_id)

    @action
    def one() -> int:
        return 1

    @action
    def bad() -> None:
        raise ValueError("no")

    workflow = DotFlow(Config(storage=StorageSQLite(str(tmp_path / "db")), notify=Listens()), workflow_id="w")
    workflow.task.add([one, bad])
    first = workflow.start()
    second = workflow.start(resume=True)

    assert first.run_id == second.run_id
    assert {name: len(set(ids)) for name, ids in found.items()} == {
        "one In progress": 1, "one Completed": 1, "bad In progress": 2, "bad Failed": 2, "run Failed": 2,
    }  # fmt: skip
