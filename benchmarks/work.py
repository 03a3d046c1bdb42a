"""The work itself, the same for every contestant. Standard library only (and NumPy for the payload of that name)."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.case import Measured, measured

MIB = 1024 * 1024
PAYLOAD = 100  # MiB
TURNS = int(os.environ.get("BENCH_TURNS", "150000"))  # of the loop in `burn`, so that it takes about 10 ms

now = time.perf_counter


def step(x: int) -> int:
    return x + 1


def noop(i: int) -> int:
    return i


def burn(i: int = 0) -> int:
    """Keep one core busy for about 10 ms."""
    total = 0
    for k in range(TURNS):
        total += k * k & 7
    return i


def burn_seconds(times: int = 20) -> float:
    """Return the median of what one `burn` takes in this very process while nothing else runs in it."""
    found = []
    for _ in range(times):
        start = now()
        burn()
        found.append(now() - start)
    return sorted(found)[times // 2]


def counted_to(n: int) -> int:
    """Return the sum of what `step` makes of 0 to n - 1."""
    return n * (n + 1) // 2


def below(n: int) -> int:
    """Return the sum of 0 to n - 1, which `burn` returns."""
    return n * (n - 1) // 2


def scratch() -> Path:
    """Return the folder of this measurement, which is empty at its start and removed at its end."""
    return Path(os.environ["BENCH_FOLDER"])


def payload(kind: str, mib: int = PAYLOAD) -> Any:
    """Return *mib* MiB of ``bytes`` or of ``numpy``."""
    if kind == "bytes":
        return os.urandom(MIB) * mib
    import numpy

    return numpy.arange(mib * MIB // 8, dtype=numpy.int64)


def whole(kind: str, value: Any, mib: int = PAYLOAD) -> bool:
    """Return whether *value* is that payload, whole: what the second step does."""
    if kind == "bytes":
        return len(value) == mib * MIB and bytes(value[:64]) == bytes(value[-MIB : -MIB + 64])
    return int(value[-1]) == mib * MIB // 8 - 1 and int(value[0]) == 0 and value.nbytes == mib * MIB


def resident_kib() -> int:
    """Return the resident memory of this process now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def growth(run: Callable[[], None], first: int = 100, last: int = 10_000, seconds: float = 22.0) -> Measured:
    """Call *run* *last* times, or for *seconds*, and measure how memory grows from the *first* call on."""
    start, done, before = now(), 0, 0
    while done < last and (done <= first or now() - start < seconds):
        run()
        done += 1
        if done == first:
            gc.collect()
            before = resident_kib()
    gc.collect()
    after = resident_kib()
    growing = (after - before) / (done - first) * 1000 if done > first else None
    return measured(now() - start, done, done > first, kib_per_1000=growing, first_kib=before, last_kib=after)


def lateness(ticks: list[float], seconds: int) -> Measured:
    """Return how late the *ticks* (times in seconds) of an every-second schedule came, and how many are missing."""
    late: list[float] = []
    seen: set[int] = set()
    for tick in ticks:
        second = int(tick + 0.05)  # a tick up to 50 ms early is of the second that follows
        late.append((tick - second) * 1e3)
        seen.add(second)
    if not late:
        return measured(seconds, 0, False, missed=seconds)
    held = max(seen) - min(seen) + 1
    missed = held - len(seen) + max(0, seconds - held - 1)
    late.sort()
    middle = late[len(late) // 2]
    return measured(seconds, len(late), True, missed=missed, median_ms=middle, max_ms=late[-1], min_ms=late[0])
