"""One measuring process: started, watched, ended, and what it left behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import busy_seconds, wait_until_idle

SAMPLE = 0.02  # seconds between two looks at memory
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


@dataclass(frozen=True)
class Ended:
    """What is known of a process that has ended.

    Attributes:
        seconds: From its start to its end.
        code: Its exit code.
        out: What it printed.
        err: The end of what it wrote to stderr.
        timed_out: Whether it was ended for taking too long.
        others: Cores that were used meanwhile by processes that it did not wait for, on average.
        tree_mib: The highest memory of it and its children together, shared pages counted once; 0 if not sampled.
        rss_mib: The highest resident memory of the process itself or one child.
    """

    seconds: float
    code: int
    out: str
    err: str
    timed_out: bool
    others: float
    tree_mib: float
    rss_mib: float


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and its descendants."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except GONE:
        return []


def memory_mib(processes: list[psutil.Process]) -> float:
    """Return what they take together: proportional set size where the system knows it."""
    total = 0
    for process in processes:
        try:
            info = process.memory_full_info()
        except GONE:
            continue
        total += getattr(info, "pss", info.uss)
    return total / 2**20


class Sampler:
    """Looks at the memory of a process tree until it is stopped."""

    def __init__(self, pid: int) -> None:
        self.peak, self._pid, self._done = 0.0, pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE):
            self.peak = max(self.peak, memory_mib(tree(self._pid)))

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self.peak


def end(pid: int) -> None:
    """Kill a process that we started, and its descendants."""
    for process in reversed(tree(pid)):
        try:
            process.kill()
        except GONE:
            pass


def end_leftovers(folder: Path) -> None:
    """Kill what a measurement left running: processes whose environment names its scratch folder."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("BENCH_FOLDER") == str(folder):
                process.kill()
        except (*GONE, OSError):
            pass


def run(command: list[str], variables: dict[str, str], folder: Path, timeout: float, *, sampled: bool = False) -> Ended:
    """Run *command* in *folder* once the machine is idle; end it after *timeout* seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        wait_until_idle()
        busy, start = busy_seconds(), time.perf_counter()
        process = subprocess.Popen(command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        sampler = Sampler(process.pid) if sampled else None
        late = threading.Event()

        def end_late() -> None:
            late.set()
            end(process.pid)

        timer = threading.Timer(timeout, end_late)
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # an interruption ends what was started
            timer.cancel()
            end(process.pid)
            end_leftovers(folder)
            raise
        seconds = time.perf_counter() - start
        process.returncode = code = os.waitstatus_to_exitcode(status)
        others = max(0.0, busy_seconds() - busy - used.ru_utime - used.ru_stime) / seconds
        timer.cancel()
        peak = sampler.stop() if sampler else 0.0
        end_leftovers(folder)
        out.seek(0)
        err.seek(0)
        printed, complaints = out.read().decode(errors="replace"), err.read()[-2000:].decode(errors="replace")
    return Ended(seconds, code, printed, complaints, late.is_set(), others, peak, used.ru_maxrss / 1024)
