"""``dotflow schedule`` and its commands, each in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FLOW = """
from datetime import UTC, datetime
from dotflow import Config, DotFlow, action
from dotflow.providers import SchedulerCron, StorageSQLite

@action
def step(initial_context):
    with open("ticks", "a") as file:
        file.write(f"{initial_context.scheduled_for.isoformat()}\\n")
    if initial_context.storage == "bad":
        raise ValueError("bad")

def nightly():
    config = Config(storage=StorageSQLite("s.db"), scheduler=SchedulerCron("30 2 * * *", tz="Europe/Berlin"))
    workflow = DotFlow(config, workflow_id="nightly")
    workflow.task.add(step=step)
    return workflow

def secondly():
    scheduler = SchedulerCron("* * * * * *", name="fast", lease=3)
    workflow = DotFlow(Config(storage=StorageSQLite("s.db"), scheduler=scheduler), workflow_id="x")
    workflow.task.add(step=step)
    return workflow
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]
ENV = {name: value for name, value in os.environ.items() if name not in ("WORKFLOW_ID", "DOTFLOW_STORAGE")}
COMMAND = [sys.executable, "-m", "dotflow", "schedule"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "flows.py").write_text(FLOW)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *words], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60)

    return call


def ticks(folder: Path) -> list[str]:
    return (folder / "ticks").read_text().split() if (folder / "ticks").exists() else []


def test_next_prints_local_time_and_utc(run: Run) -> None:
    """The tick that summer time skips comes at the change."""
    done = run("next", "-w", "flows:nightly", "-n", "2", "--after", "2026-03-28T12:00")
    assert done.stdout == (
        "2026-03-29 03:00:00 +0200 CEST  2026-03-29 01:00:00 UTC\n"
        "2026-03-30 02:30:00 +0200 CEST  2026-03-30 00:30:00 UTC\n"
    )
    done = run("next", "--at", "2026-05-01T10:00", "--tz", "Asia/Tokyo", "--after", "2026-01-01T00:00")
    assert done.stdout == "2026-05-01 10:00:00 +0900 JST  2026-05-01 01:00:00 UTC\n"


@pytest.mark.parametrize("words", [[], ["start"]])
def test_flat_form_and_start(run: Run, tmp_path: Path, words: list[str]) -> None:
    done = run(*words, "--step", "flows:step", "--cron", "* * * * * *", "--overlap", "queue", "--max-runs", "1")
    assert done.returncode == 0, done.stderr
    assert "completed: 1 of 1" in done.stdout
    assert len(ticks(tmp_path)) == 1


def test_until_is_a_wall_clock_like_the_others(run: Run) -> None:
    """Without an offset it is read in --tz, and what is no moment is told by the name of the option."""
    words = ["--step", "flows:step", "--cron", "0 6 * * *", "--tz", "Europe/Berlin", "--until"]

    assert run(*words, "2020-01-01").returncode == 0
    wrong = run(*words, "soon")
    assert (wrong.returncode, "--until: 'soon'" in wrong.stderr) == (2, True)


def test_a_schedule_says_at_once_what_it_waits_for(run: Run, tmp_path: Path) -> None:
    """The next tick in the time zone of its rule, or that it is paused; nothing else until something runs."""

    def first_line() -> str:
        process = subprocess.Popen(
            [*COMMAND, "-w", "flows:nightly"], cwd=tmp_path, env=ENV, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        with process:
            line = process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        return line

    assert re.fullmatch(r"keeping schedule nightly, next tick \d{4}-\d\d-\d\d 0[23]:[03]0:00 CES?T\n", first_line())
    assert run("pause", "nightly", "-o", "sqlite", "-p", "s.db").returncode == 0
    assert first_line() == "keeping schedule nightly, which is paused: paused by hand\n"


@pytest.mark.alone
def test_pause_list_resume(run: Run, tmp_path: Path) -> None:
    """A running schedule notices, and the list says how it stands."""
    process = subprocess.Popen(
        [*COMMAND, "start", "-w", "flows:secondly"], cwd=tmp_path, env=ENV,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not ticks(tmp_path):
            time.sleep(0.02)
        assert run("pause", "fast", "-o", "sqlite", "-p", "s.db").stdout == "fast: paused\n"
        before = len(ticks(tmp_path))
        listed = run("list", "-o", "sqlite", "-p", "s.db").stdout
        assert "fast: paused, paused by hand" in listed
        assert f"process {process.pid}" in listed
        assert len(ticks(tmp_path)) <= before + 1
        assert run("resume", "-w", "flows:secondly").stdout == "fast: active\n"
        while len(ticks(tmp_path)) < before + 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(20) == 143
        assert time.monotonic() - began < 2
    finally:
        process.kill()
        process.wait()
    listed = run("list", "-w", "flows:nightly").stdout
    assert "kept by   no process" in listed
    assert "Completed" in listed


def test_trigger_and_backfill(run: Run, tmp_path: Path) -> None:
    """A trigger runs once, now; a backfill runs what was due, and only once unless it is told so."""
    assert run("trigger", "-w", "flows:nightly").returncode == 0
    assert len(ticks(tmp_path)) == 1
    span = ("backfill", "-w", "flows:nightly", "--from", "2026-03-28T00:00", "--to", "2026-03-30T12:00")
    done = run(*span)
    assert done.returncode == 0, done.stderr
    assert "3 ticks: 3 completed, 0 failed, 0 left alone" in done.stdout
    assert ticks(tmp_path)[1:] == [
        "2026-03-28T01:30:00+00:00", "2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00",
    ]  # fmt: skip
    assert "0 completed, 0 failed, 3 left alone" in run(*span).stdout
    assert "3 ticks: 3 completed" in run(*span, "--again").stdout
    assert len(ticks(tmp_path)) == 7


def test_failures_have_an_exit_code(run: Run) -> None:
    assert run("trigger", "-s", "flows:step", "-i", "bad").returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-s", "flows:step", "--cron", "61 * * * *"), "the field minute is '61'"),
        (("-s", "flows:step", "--cron", "* * * * *", "--tz", "Europe/Berlim"), "did you mean 'Europe/Berlin'"),
        (("-s", "flows:step", "--cron", "* * * * *", "--every", "5"), "one of them"),
        (("-s", "flows:step", "--every", "5", "--tz", "UTC"), "an interval has none"),
        (("-s", "flows:step"), "--cron LINE"),
        (("-s", "flows:step", "--cron", "* * * * *", "--overlap", "sometimes"), "overlap"),
        (("next",), "--cron, --every, --at or --workflow"),
        (("pause", "nobody", "-o", "sqlite", "-p", "s.db"), "it does not exist; is --storage right?"),
        (("pause",), "which schedule?"),
        (("list",), "this folder has neither dotflow.db nor .output"),
        (("backfill", "-w", "flows:nightly", "--from", "2026-01-02", "--to", "2026-01-01"), "is before"),
        (("backfill", "-w", "flows:nightly", "--from", "2026-01-02", "--to", "2999-01-01"), "is not over yet"),
    ],
)
def test_wrong_usage_is_told(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_list_tells_what_is_gone(run: Run, tmp_path: Path) -> None:
    """A process that was killed keeps nothing; its tick is not said to run. A misspelt name gets the nearest."""
    with (tmp_path / "flows.py").open("a") as file:
        file.write(
            "\nimport time\n@action\ndef slow():\n    open('began', 'w').close()\n    time.sleep(60)\n"
            "def slowly():\n    scheduler = SchedulerCron('* * * * * *', name='ticker')\n"
            "    made = DotFlow(Config(storage=StorageSQLite('dotflow.db'), scheduler=scheduler), workflow_id='y')\n"
            "    made.task.add(step=slow)\n    return made\n"
        )
    words = [*COMMAND, "start", "-w", "flows:slowly"]
    process = subprocess.Popen(words, cwd=tmp_path, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "began").exists():
            time.sleep(0.02)
        alive = run("list").stdout
    finally:
        process.kill()
        process.wait()
    gone = run("list").stdout

    assert f"kept by   process {process.pid}" in alive
    assert "interrupted" not in alive
    assert "kept by   no process" in gone
    assert "(interrupted, its process is gone)" in gone
    assert "did you mean 'ticker'?" in run("pause", "tiker").stderr


def test_backfill_does_not_move_the_last_tick_back(run: Run) -> None:
    """The last tick is the latest one, in whatever order they were run."""
    assert run("trigger", "-w", "flows:nightly").returncode == 0
    before = [line for line in run("list", "-w", "flows:nightly").stdout.splitlines() if "last" in line]

    span = ("--from", "2026-03-28T00:00", "--to", "2026-03-30T12:00")
    assert run("backfill", "-w", "flows:nightly", *span).returncode == 0

    assert [line for line in run("list", "-w", "flows:nightly").stdout.splitlines() if "last" in line] == before
