"""joblib: ``Parallel(n_jobs=2)`` with loky, and ``Memory`` where results are durable."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, counted_to, noop, now, payload, scratch, step, whole

PEER = Peer("joblib", "joblib")


def remembered() -> Any:
    from joblib import Memory

    return Memory(scratch() / "cache", verbose=0).cache(step)


def run_remembered(n: int) -> Measured:
    task, x = remembered(), 0
    start = now()
    for _ in range(n):
        x = task(x)
    seconds = now() - start
    kept = len(list((scratch() / "cache").rglob("output.pkl")))
    return measured(seconds, n, x == n and kept == n, note="no fsync")


def resume(n: int, phase: str) -> Measured:
    if phase == "prepare":
        return run_remembered(n)
    start = now()
    task, x = remembered(), 0
    for _ in range(n):
        x = task(x)
    return measured(now() - start, n, x == n)


def fanned(n: int, cpu: bool) -> Measured:
    from joblib import Parallel, delayed

    work = delayed(burn if cpu else step)
    with Parallel(n_jobs=2) as pool:
        pool(delayed(noop)(i) for i in range(4))
        serial = burn_seconds() if cpu else 0.0
        start = now()
        found = pool(work(i) for i in range(n))
        seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, found == list(range(n)), serial)
    return measured(seconds, n, sum(found) == counted_to(n), note="keeps nothing per task")


def carried(kind: str) -> Measured:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2) as pool:
        pool(delayed(payload)(kind, 1) for _ in range(2))
        start = now()
        [value] = pool([delayed(payload)(kind)])
        [ok] = pool([delayed(whole)(kind, value)])
        return measured(now() - start, 1, ok, note="with making the payload")


IMPORT = 'import joblib\nmemory = joblib.Memory("cache", verbose=0)'
CASES: Cases = {
    "W1a": {"import": Case(source="import joblib")},
    "W1b": {
        "Memory": Case(source=chain_program(IMPORT, "@memory.cache", "print(load(transform(extract())))"), prints="12")
    },
    "W3d": {"Memory": Case(run_remembered, {"n": 1_000})},
    "W4": {"Memory": Case(resume, {"n": 1_000}, phases=("prepare", "resume"))},
    "W5a": {"loky 10k": Case(fanned, {"n": 10_000, "cpu": False})},
    "W5b": {"loky": Case(fanned, {"n": 200, "cpu": True})},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
}
