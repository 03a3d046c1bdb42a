"""What a process keeps in memory, measured from outside the interpreter's own accounts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MIB = 1 << 20

RUNS = """
import os
from dotflow import DotFlow, action

@action
def extract(): return [1, 2, 3]

@action
def transform(previous_context): return [2 * value for value in previous_context.storage]

@action
def load(previous_context): return sum(previous_context.storage)

kept = DotFlow()
kept.task.add([extract, transform, load])

def once(number):
    workflow = kept
    if number % 2:
        workflow = DotFlow()
        workflow.task.add([extract, transform, load])
    assert workflow.start().tasks[-1].value == 12

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

for number in range(10_000):
    once(number)
    if number + 1 in (1_000, 10_000):
        print(resident())
"""

BIG = """
import sys
from dotflow import Config, DotFlow, action
from dotflow.providers import StorageSQLite

@action
def make(previous_context): return "x" * (2 << 20)

def most():  # not ru_maxrss, which begins with that of the process that started this one
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

workflow = DotFlow(Config(storage=StorageSQLite("flow.db", synchronous="OFF")), workflow_id="w")
workflow.task.add([make] * 50)
workflow.start(keep_results=sys.argv[1] == "keep").raise_for_failure()
print(most())
assert all(len(task.value) == 2 << 20 for task in workflow.result_task())
print(most())
"""


def measured(folder: Path, code: str, *args: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def test_ten_thousand_runs_take_no_more_memory_than_one_thousand(tmp_path: Path) -> None:
    """Of one workflow and of new ones: at most 2 MiB more after run 10,000 than after run 1,000."""
    early, late = measured(tmp_path, RUNS)
    assert late - early <= 2 * MIB


def test_results_that_are_let_go_are_not_in_memory(tmp_path: Path) -> None:
    """50 results of 2 MiB: all at once, or a few at a time, when they are made and when they are read again."""
    kept, _ = measured(tmp_path, BIG, "keep")
    alone, read = measured(tmp_path, BIG, "let go")
    assert kept > 120 * MIB
    assert alone < 80 * MIB
    assert read < 80 * MIB
