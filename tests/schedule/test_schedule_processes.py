"""Any number of processes keep one schedule: each tick is run by one of them, whoever is killed or frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dotflow.core.agenda import State, moment, tick_id
from dotflow.core.claims import StorageCell
from dotflow.providers.by_url import storage_from

FLOW = str(Path(__file__).with_name("tick_flow.py"))
PATIENCE = 60.0


class Pack:
    """Processes that keep one schedule."""

    def __init__(self, url: str, name: str, log: Path, *rest: float) -> None:
        self.arguments = [url, name, str(log), *map(str, rest)]
        self.name, self.log = name, log
        self.all: list[subprocess.Popen[str]] = []
        self.storage = storage_from(url)

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", FLOW, *self.arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.all.append(process)
        return process

    def state(self) -> State | None:
        codec: Any = SimpleNamespace()
        raw = StorageCell(self.storage, codec, self.name).read()
        return None if raw is None else State.read(raw)

    def until(self, what: Callable[[State], bool]) -> State:
        limit = time.monotonic() + PATIENCE
        while (state := self.state()) is None or not what(state):
            assert time.monotonic() < limit, state
            time.sleep(0.02)
        return state

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def close(self) -> None:
        for process in self.all:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.storage.close()


@pytest.fixture
def pack(tmp_path: Path) -> Iterator[Callable[..., Pack]]:
    made: list[Pack] = []

    def make(url: str, *rest: float) -> Pack:
        made.append(Pack(url, f"s{os.urandom(4).hex()}", tmp_path / "log", *rest))
        return made[-1]

    yield make
    for each in made:
        each.close()


def check(pack: Pack, ticks: int) -> None:
    """Every tick has one run, which completed, and every step of it one result, that all who came later were given."""
    state = pack.state()
    assert state is not None
    assert (state.started, state.completed, state.failed) == (ticks, ticks, 0), state
    assert not state.open
    assert len(state.history) == len({tick for tick, _ in state.history}) == ticks
    given: dict[str, set[str]] = defaultdict(set)
    attempts: dict[str, set[str]] = defaultdict(set)
    for tick, step, _, value in pack.lines():
        (given if step == "two" else attempts)[tick].add(value)
    assert len(attempts) == ticks
    for tick, status in state.history:
        assert status == "Completed"
        run = tick_id(pack.name, moment(tick))
        results = {name: pack.storage.get(f"{run}-{name}").storage for name in ("one", "two")}
        assert results["one"] == results["two"]
        assert given[tick] == {results["one"]}, "a step that was recorded ran again, or was recorded twice"
        assert results["one"] in attempts[tick]


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "valkey"])
def test_three_processes_and_a_kill_every_ten_ticks(
    kind: str, url_of: Callable[[str], str], pack: Callable[..., Pack]
) -> None:
    """100 ticks, one process killed with SIGKILL every ten: 100 runs, each completed once, each step recorded once."""
    ours = pack(url_of(kind), 0.06, 100, 0.5, 0.02)
    living = [ours.start() for _ in range(3)]
    kills = 0
    for ticks in range(10, 100, 10):
        ours.until(lambda state, ticks=ticks: state.started >= ticks)  # type: ignore[misc]
        last = [line[2] for line in ours.lines()][-1]  # who has just begun a step
        victim = next((process for process in living if str(process.pid) == last), living[0])
        victim.kill()
        kills += 1
        living[living.index(victim)] = ours.start()

    ended = [process.communicate(timeout=PATIENCE)[0] for process in living]

    assert all(process.returncode == 0 for process in living), ended
    assert kills == 9
    check(ours, 100)
    taken_over = [tick for tick, count in Counter(line[0] for line in ours.lines()).items() if count > 2]
    assert taken_over, "no kill hit a run"


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "valkey"])
def test_a_process_that_was_frozen_past_its_lease_does_no_harm(
    kind: str, url_of: Callable[[str], str], pack: Callable[..., Pack]
) -> None:
    """Its run is taken over; when it wakes its writes are refused, and it goes on with other ticks."""
    ours = pack(url_of(kind), 0.5, 6, 0.5, 0.2)
    hold = ours.log.with_name(f"{ours.log.name}.hold")
    hold.touch()
    frozen = ours.start()
    while not ours.lines():
        time.sleep(0.01)
    frozen.send_signal(signal.SIGSTOP)
    held = {line[0] for line in ours.lines()}
    hold.unlink()
    other = ours.start()
    state = ours.until(lambda _: any(line[0] in held and line[2] == str(other.pid) for line in ours.lines()))
    frozen.send_signal(signal.SIGCONT)

    texts = [process.communicate(timeout=PATIENCE)[0] for process in (frozen, other)]

    assert (frozen.returncode, other.returncode) == (0, 0), texts
    assert len(state.watch) == 2
    assert "taken over by another process" in texts[0]
    check(ours, 6)


def test_sigterm_leaves_a_run_that_the_next_process_finishes(
    url_of: Callable[[str], str], pack: Callable[..., Pack]
) -> None:
    """The step that runs ends and is saved, the run is given up, and the next process goes on after that step."""
    ours = pack(url_of("sqlite"), 60, 1, 30, 0.5)
    ours.arguments[3] = "1"
    first = ours.start()
    ours.until(lambda state: bool(state.open))
    while not ours.lines():
        time.sleep(0.01)
    began = time.monotonic()
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 5
    state = ours.state()
    assert state is not None
    assert [entry["owner"] for entry in state.open.values()] == [""]

    second = ours.start()
    out = second.communicate(timeout=PATIENCE)[0]

    assert second.returncode == 0, out
    check(ours, 1)
    assert [line[1] for line in ours.lines()] == ["one", "two"]


def test_another_rule_of_the_same_name_is_refused(url_of: Callable[[str], str], pack: Callable[..., Pack]) -> None:
    """A process that lives keeps the rule; when it is gone, the new rule holds."""
    ours = pack(url_of("sqlite"), 0.5, 1000, 0.5, 0)
    first = ours.start()
    ours.until(lambda state: state.started >= 1)
    ours.arguments[3:5] = ["0.25", "1"]

    text = ours.start().communicate(timeout=PATIENCE)[0]
    assert "is kept by process" in text
    assert str(first.pid) in text

    first.kill()
    first.wait()
    second = ours.start()
    out = second.communicate(timeout=PATIENCE)[0]
    assert second.returncode == 0, out
