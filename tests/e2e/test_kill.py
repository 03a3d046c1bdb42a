"""A run killed with SIGKILL at random instants, sixty times in all, and resumed each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import kill_flow
import pytest
from e2e_tools import HERE, finish, kill, program, read, wait_left

from dotflow.core.task import Task

SEED = int(os.environ.get("DOTFLOW_KILL_SEED") or random.SystemRandom().randrange(2**32))
KILLS = {"sequential": 22, "parallel": 8}  # on each of two storages: 60
LONGEST = {"sequential": 0.12, "parallel": 0.4}  # seconds that a process may live; less than most runs take


class Victim:
    """One run under one workflow id, and what may not run again."""

    def __init__(self, room: Path, kind: str, mode: str, number: int) -> None:
        self.room, self.kind, self.mode = room / str(number), kind, mode
        self.room.mkdir()
        self.journal = self.room / "journal"
        self.done: set[int] = set()
        self.seen = self.kills = 0
        self.ended = False

    def live(self, seconds: float | None) -> None:
        """Run a process for so many seconds from the beginning of the run, or to its end, and see what it did."""
        process = self.start()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(process)
        if process.returncode == -signal.SIGKILL:
            self.kills += 1
        else:
            finish(process)
            self.ended = True
        self.judge()

    def start(self) -> Any:
        """Start a process that resumes the run; it is about to begin when this returns."""
        process = program(HERE / "kill_flow.py", self.room, self.kind, self.mode, "the-run")
        assert process.stdout is not None
        if process.stdout.readline() != "go\n":
            finish(process)
            raise AssertionError("it ended before it began")
        return process

    def judge(self) -> None:
        """Check what the last process did, and note what is complete now."""
        wait_left(self.room)  # a worker outlives its parent for a moment, in which it may begin a step
        lines = read(self.journal)
        began = [line["step"] for line in lines[self.seen :]]
        self.seen = len(lines)
        assert not self.done & set(began), f"completed, and ran again: {sorted(self.done & set(began))}"
        assert max(Counter(began).values(), default=1) == 1, f"ran twice in one process: {began}"
        stored = self.stored()
        before = {kill_flow.parent_of(number, self.mode) for number in began} - {None}
        assert before <= stored, f"a step began although the one before it was not saved: {sorted(before - stored)}"
        assert self.done <= stored, f"saved, and gone: {sorted(self.done - stored)}"
        self.done = stored

    def stored(self) -> set[int]:
        """Return the numbers of the steps whose record is in the storage, read by another process: this one."""
        storage = kill_flow.STORAGES[self.kind](self.room)
        try:
            return {
                number
                for number, name in enumerate(kill_flow.NAMES)
                if storage.get(storage.key(Task(name, kill_flow.step, workflow_id="the-run"))).storage is not None
            }
        finally:
            storage.close()

    def conclude(self) -> None:
        """Check the run that has come to its end: every result is right, and asking for them runs nothing."""
        assert self.done == set(range(30))
        workflow = kill_flow.make(self.room, self.kind, self.mode, "the-run")
        manager = workflow.start(mode=self.mode, resume=True)
        workflow.config.storage.close()
        assert manager.status == "Completed"
        found = workflow.result_storage()
        assert [(type(value), value) for value in found] == [(type(value), value) for value in kill_flow.VALUES]
        assert len(read(self.journal)) == self.seen
        counts = Counter(line["step"] for line in read(self.journal))
        flights = 3 if self.mode == "parallel" else 1  # steps that can be under way when a kill comes
        assert set(counts) == set(range(30))
        assert sum(counts.values()) - 30 <= flights * self.kills


@pytest.mark.parametrize("mode", list(KILLS))
@pytest.mark.parametrize("kind", list(kill_flow.STORAGES))
def test_killed_at_random_instants_no_completed_step_runs_twice(kind: str, mode: str, tmp_path: Path) -> None:
    """Thirty steps, None, 0, "" and [] among their results: what was saved stays, and what was not runs again."""
    print(f"reproduce with DOTFLOW_KILL_SEED={SEED}")
    chance = random.Random(f"{SEED}-{kind}-{mode}")
    kills = runs = 0
    while kills < KILLS[mode]:
        victim, runs = Victim(tmp_path, kind, mode, runs), runs + 1
        while not victim.ended:
            victim.live(chance.uniform(0, LONGEST[mode]) if kills + victim.kills < KILLS[mode] else None)
        kills += victim.kills
        victim.conclude()
    assert kills == KILLS[mode]
    print(f"{kills} kills of {runs} runs")
