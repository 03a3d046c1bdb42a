"""The machine: what it is, how fast it is now, and whether anybody else uses it."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import sys
import time

import psutil

TURN = 1_000_000
BURN_SECONDS = 10e-3
BUSY = 0.3  # cores used by others, above which a figure may be wrong


def seconds_of_loop() -> float:
    """Return what a fixed loop takes on one core: the measure of the machine's speed."""

    def once() -> float:
        start, total = time.perf_counter(), 0
        for k in range(TURN):
            total += k * k & 7
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(5))


def turns_of_burn() -> int:
    """Return how many turns of that loop take 10 ms here."""
    return int(BURN_SECONDS / seconds_of_loop() * TURN)


def busy_seconds() -> float:
    """Return the CPU seconds that all processes have used since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + getattr(times, "irq", 0) + getattr(times, "softirq", 0))


def wait_until_idle(limit: float = 1.0) -> None:
    """Wait until nobody uses the machine, *limit* seconds at most."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        before = busy_seconds()
        time.sleep(0.1)
        if busy_seconds() - before <= 0.03:
            return


def facts() -> dict[str, str]:
    """Return what is worth knowing of the machine, for the head of the report."""
    return {
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": sys.version.split()[0],
        "SQLite": sqlite3.sqlite_version,
    }
