"""Where the time of one workload goes: ``python -m benchmarks.profile_step W2 10k``.

A timer interrupts the measured part and notes which line runs: every line costs what it costs unwatched, unlike with a
profiler that is called for each function. Time in C (SQLite, a socket, the disk) counts for the line that called it.
Collections of garbage are timed on their own; they happen wherever something is allocated.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import machine, services, work
from benchmarks.workloads import WORKLOADS

EVERY = 0.0005  # seconds between two samples
ROOT = Path(__file__).parents[1]
SOURCE = str(ROOT / "src")
Place = tuple[str, str, int]  # file, function, line


class Sampler:
    """Notes what runs, from the first reading of the clock in the workload until it is stopped."""

    def __init__(self) -> None:
        self.lines: Counter[Place] = Counter()
        self.functions: Counter[tuple[str, str]] = Counter()
        self.within: Counter[tuple[str, str]] = Counter()
        self.samples, self.collecting, self._collection = 0, 0.0, 0.0
        self.on, self.wanted = False, True
        signal.signal(signal.SIGALRM, self._sample)
        gc.callbacks.append(self._collected)

    def now(self) -> float:
        """Return the time, and start sampling if it is wanted."""
        if self.wanted and not self.on:
            self.on = True
            signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
        return time.perf_counter()

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.on = False

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is Sampler._collected.__code__:
            frame = frame.f_back
        if frame is None:
            return
        self.samples += 1
        code = frame.f_code
        self.lines[code.co_filename, code.co_qualname, frame.f_lineno] += 1
        self.functions[code.co_filename, code.co_qualname] += 1
        seen: set[tuple[str, str]] = set()
        step: FrameType | None = frame
        while step is not None:
            if step.f_code.co_filename.startswith(SOURCE):
                seen.add((step.f_code.co_filename, step.f_code.co_qualname))
            step = step.f_back
        self.within.update(seen)

    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        if not self.on:
            return
        if phase == "start":
            self._collection = time.perf_counter()
        else:
            self.collecting += time.perf_counter() - self._collection


def profile(workload: str, variant: str, seconds: float) -> str:
    """Do the case again and again for that long, and return the tables."""
    sampler = Sampler()
    work.now = sampler.now  # before an adapter imports it
    from benchmarks.adapters.dotflow import CASES

    if variant not in CASES.get(workload, {}):
        raise SystemExit(f"{workload} has no {variant!r}; it has {', '.join(CASES.get(workload, {})) or 'nothing'}")
    case, measured, items = CASES[workload][variant], 0.0, 0
    assert case.run is not None, "a program that is measured from outside cannot be sampled"
    with services.started(set(WORKLOADS[workload].services)) as where:
        os.environ.update(where)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["BENCH_FOLDER"] = folder
                gc.collect()
                gc.freeze()  # what earlier rounds left is not gone through again
                for phase in case.phases or (None,):
                    sampler.wanted = phase in (None, *case.phases[-1:])  # the others prepare
                    found = case.run(**case.arguments, **({"phase": phase} if phase else {}))
                    sampler.stop()
                    assert found["ok"]
                measured, items = measured + found["seconds"], items + found["n"]
    return tables(sampler, measured, items)


def tables(sampler: Sampler, seconds: float, items: int) -> str:
    """Return what was seen, as shares and as microseconds per item."""
    if not sampler.samples:
        return "too short for a sample; give more --seconds"
    each = seconds / items * 1e6
    text = [f"{each:.2f} µs per item over {items} items, {sampler.samples} samples; "]
    text[0] += f"garbage collection {sampler.collecting / seconds:.1%}, {sampler.collecting / items * 1e6:.2f} µs"
    for title, counter, count in (
        ("in the function itself", sampler.functions, 16),
        ("in it and what it calls", sampler.within, 24),
        ("in the line", sampler.lines, 16),
    ):
        text.append(f"\n| share | µs per item | {title} |\n|---|---|---|")
        text += [
            f"| {n / sampler.samples:.1%} | {n / sampler.samples * each:.2f} | {_named(place)} |"
            for place, n in counter.most_common(count)
        ]
    return "\n".join(text)


def _named(place: tuple[Any, ...]) -> str:
    path = Path(place[0])
    short = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(*path.parts[-2:])
    return f"`{short}{''.join(f':{line}' for line in place[2:])}` {place[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=__doc__)
    parser.add_argument("workload", choices=[name for name in WORKLOADS if name not in ("W1a", "W1b", "W1d")])
    parser.add_argument("variant", nargs="?", help="a row of dotflow; the main one by default")
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    os.environ["BENCH_TURNS"] = str(machine.turns_of_burn())
    print(profile(asked.workload, asked.variant or WORKLOADS[asked.workload].ours, asked.seconds))


if __name__ == "__main__":
    main()
