"""FlakyStorage, SlowStorage, kill_at and FakeClock."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from storages import StorageFolder

import dotflow.testing
from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import ConfigurationError, MissingAbility, StorageUnavailable
from dotflow.providers import StorageDefault, StorageFile
from dotflow.testing import FakeClock, FlakyStorage, Point, SlowStorage, StorageContract, check_storage

calls: list[str] = []


@action
def load() -> int:
    calls.append("load")
    return 7


@action
def double(previous_context: Context) -> int:
    calls.append("double")
    return int(previous_context.storage) * 2


def run(storage: object, **start: object) -> DotFlow:
    calls.clear()
    flow = DotFlow(Config(storage=storage), workflow_id="w")  # type: ignore[arg-type]  # each is a Storage
    flow.task.add([load, double])
    flow.start(**start)  # type: ignore[arg-type]  # listeners
    return flow


class TestSlowStorage(StorageContract):
    """A storage around another keeps the contract as that one does."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> object:
        return lambda: SlowStorage(StorageFile(path=tmp_path), 0)


class TestFlakyStorageThatDoesNotFail(StorageContract):
    """Nor does it gain abilities."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> object:
        return lambda: FlakyStorage(StorageFolder(tmp_path), fail=())


def test_every_other_call_fails_and_the_run_completes(tmp_path: Path) -> None:
    """The engine tries again; no step runs twice."""
    storage = FlakyStorage(StorageFile(path=tmp_path), fail=2, methods=["post", "get", "get_many", "clear"])

    flow = run(storage)

    assert flow.result_storage() == [7, 14]
    assert calls == ["load", "double"]
    assert storage.failures == storage.calls // 2 >= 2


def test_a_late_failure_has_saved(tmp_path: Path) -> None:
    """The call was made, and its answer got lost."""
    inner = StorageFolder(tmp_path)
    storage = FlakyStorage(inner, fail=[1], error=lambda: ConnectionError("lost"), late=True)

    with pytest.raises(ConnectionError, match="lost"):
        storage.post("k", Context(1))

    assert inner.get("k").storage == 1
    assert storage.get("k").storage == 1
    assert (storage.calls, storage.failures) == (2, 1)


def test_an_early_failure_has_not(tmp_path: Path) -> None:
    """Only the methods that were named count; a function may choose."""
    inner = StorageFolder(tmp_path)
    storage = FlakyStorage(inner, fail=lambda method, number: number == 1, methods=["post"])

    storage.get("k")
    with pytest.raises(StorageUnavailable, match=r"call 1, post\(\), fails on demand"):
        storage.post("k", Context(1))

    assert storage.get("k").storage is None
    assert storage.failures == 1


def test_an_error_may_be_given_as_it_is() -> None:
    """And is raised as it is."""
    error = OSError("no")

    with pytest.raises(OSError, match="no") as caught:
        FlakyStorage(StorageDefault(), fail=1, error=error).get("k")

    assert caught.value is error


def test_it_has_the_abilities_of_the_one_inside(tmp_path: Path) -> None:
    """No more and no fewer."""
    memory, three = FlakyStorage(StorageDefault(), fail=()), FlakyStorage(StorageFolder(tmp_path), fail=())

    assert (memory.keeps_objects, memory.hands_on(), memory.can("create")) == (True, True, True)
    assert (three.keeps_objects, three.hands_on(), three.can("create")) == (False, False, False)
    with pytest.raises(MissingAbility, match=r"create\(\), which StorageFolder"):
        three.create("k", Context(1))
    assert repr(memory) == "FlakyStorage(StorageDefault())"


def test_it_hands_a_ttl_on_where_the_one_inside_takes_it(tmp_path: Path) -> None:
    """And names the one inside where it does not."""
    for wrapped in (FlakyStorage(StorageDefault(), fail=()), SlowStorage(StorageDefault(), 0)):
        wrapped.post("a", Context(1), ttl=1e-9)
        wrapped.create("b", Context(1), ttl=1e-9)
        wrapped.atomic_swap("c", None, 1, ttl=1e-9)
        wrapped.post("d", Context(1), ttl=3600)

        assert wrapped.can("ttl")
        assert list(wrapped.list_keys()) == ["d"]

    three = FlakyStorage(StorageFolder(tmp_path), fail=())
    three.post("a", Context(1))
    assert not three.can("ttl")
    for call in (
        lambda: three.post("a", Context(2), ttl=5),
        lambda: three.create("b", Context(2), ttl=5),
        lambda: three.atomic_swap("a", 1, 2, ttl=5),
    ):
        with pytest.raises(MissingAbility, match=r"a time to live \(ttl=\), which StorageFolder does not implement"):
            call()
    assert three.get("a").storage == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: FlakyStorage(StorageDefault(), fail=0),
        lambda: FlakyStorage(StorageDefault(), fail=True),
        lambda: FlakyStorage(StorageDefault(), methods=["fetch"]),
        lambda: FlakyStorage({}),  # type: ignore[arg-type]  # on purpose
        lambda: SlowStorage(StorageDefault(), -1),
        lambda: Point.parse("during post"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    """When it is built."""
    with pytest.raises(ConfigurationError):
        wrong()  # type: ignore[operator]  # each is a function


def test_a_slow_storage_sleeps_before_each_call() -> None:
    """On the clock that it is given."""
    clock = FakeClock()
    storage = SlowStorage(StorageDefault(), 2.5, methods=["get"], sleep=clock.sleep)

    storage.post("k", Context(1))
    assert storage.get("k").storage == 1

    assert clock.slept == [2.5]


KILL = """
import sys
from test_faults import run
from dotflow.providers import StorageFile
from dotflow.testing import kill_at
kill = kill_at(sys.argv[1])
run(kill.storage(StorageFile(path=sys.argv[2])), listeners=[kill])
"""


@pytest.mark.parametrize(
    ("point", "saved"),
    [("at WorkflowStarted", 0), ("at TaskStarted double", 1), ("before post load", 0), ("after post load", 1)],
)
def test_a_run_is_killed_at_a_point(tmp_path: Path, point: str, saved: int) -> None:
    """And can be resumed from what was saved by then."""
    command = [sys.executable, "-c", KILL, point, str(tmp_path)]

    killed = subprocess.run(command, cwd=Path(__file__).parent, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert run(StorageFile(path=tmp_path), resume=True).result_storage() == [7, 14]
    assert calls == ["load", "double"][saved:]


@pytest.mark.parametrize("text", ["at WorkflowStarted", "before post a b", "after get x-1 #3", "after lock"])
def test_a_point_is_what_it_is_called(text: str) -> None:
    """There and back."""
    assert str(Point.parse(text)) == text


def test_a_fake_clock_goes_on_when_told() -> None:
    """By a sleep, or by hand; never by itself, never back."""
    clock, before = FakeClock(start=1000), time.monotonic()

    clock.sleep(60)
    clock.advance(5)

    assert (clock.time(), clock.monotonic(), clock(), clock.slept) == (1065, 65, 65, [60])
    assert clock.now() == datetime.fromtimestamp(1065, UTC)
    assert repr(clock) == "FakeClock(time=1065.0, monotonic=65.0)"
    assert time.monotonic() - before < 10
    for back in (clock.sleep, clock.advance):
        with pytest.raises(ValueError, match="-1"):
            back(-1)


def test_the_tools_are_found_by_name() -> None:
    """Each of the table, and nothing else."""
    assert all(callable(getattr(dotflow.testing, name)) for name in dotflow.testing.__all__)
    assert set(dotflow.testing.__all__) == set(dotflow.testing.TOOLS)
    with pytest.raises(AttributeError, match=r"there are .*crash_matrix"):
        _ = dotflow.testing.nothing
    assert check_storage is dotflow.testing.check_storage
