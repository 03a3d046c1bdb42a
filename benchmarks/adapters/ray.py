"""Ray on this machine, two CPUs, no dashboard. Its start is counted by W1 only."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import below, burn, burn_seconds, counted_to, growth, now, payload, step, whole

PEER = Peer("Ray", "ray", {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"})
INIT = 'num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"'


def started() -> tuple[Any, Any]:
    """Start Ray, and return it with a warm remote ``step``."""
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=2 * 10**9,
    )
    remote = ray.remote(step)
    ray.get([remote.remote(i) for i in range(20)])
    return ray, remote


def chain(n: int) -> Measured:
    ray, task = started()
    x: Any = 0
    start = now()
    for _ in range(n):
        x = task.remote(x)
    found = ray.get(x)
    return measured(now() - start, n, found == n)


def fanned(n: int, cpu: bool) -> Measured:
    ray, task = started()
    serial = burn_seconds() if cpu else 0.0
    if cpu:
        task = ray.remote(burn)
        ray.get([task.remote(i) for i in range(2)])
    start = now()
    total = sum(ray.get([task.remote(i) for i in range(n)]))
    seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial)
    return measured(seconds, n, total == counted_to(n))


def carried(kind: str) -> Measured:
    ray, _ = started()
    produce, consume = ray.remote(payload), ray.remote(whole)
    ray.get(consume.remote(kind, produce.remote(kind, 1), 1))
    start = now()
    ok = ray.get(consume.remote(kind, produce.remote(kind)))
    return measured(now() - start, 1, ok, note="object store, with making the payload")


def groups(count: int, length: int) -> Measured:
    ray, task = started()
    ends = []
    start = now()
    for number in range(count):
        x: Any = number
        for _ in range(length):
            x = task.remote(x)
        ends.append(x)
    found = ray.get(ends)
    return measured(now() - start, count * length, found == [number + length for number in range(count)])


def sleeping(n: int, pause: float = 0.1) -> Measured:
    ray, _ = started()

    @ray.remote
    class Sleeper:
        async def sleep(self, i: int) -> int:
            await asyncio.sleep(pause)
            return i

    actor = Sleeper.options(max_concurrency=2_000).remote()
    ray.get(actor.sleep.remote(0))
    start = now()
    total = sum(ray.get([actor.sleep.remote(i) for i in range(n)]))
    return measured(now() - start, n, total == below(n), note="async actor")


def repeated() -> Measured:
    ray, task = started()

    def run() -> None:
        assert ray.get(task.remote(task.remote(task.remote(0)))) == 3

    return growth(run)


RUN = "print(ray.get(load.remote(transform.remote(extract.remote()))))\n    ray.shutdown()"
CASES: Cases = {
    "W1a": {"import": Case(source="import ray", repeat=5)},
    "W1b": {
        "local": Case(source=chain_program(f"import ray\nray.init({INIT})", "@ray.remote", RUN), prints="12", repeat=3)
    },
    "W2": {"1k": Case(chain, {"n": 1_000}, repeat=2)},
    "W5a": {"10k": Case(fanned, {"n": 10_000, "cpu": False}, repeat=2)},
    "W5b": {"2 CPUs": Case(fanned, {"n": 200, "cpu": True}, repeat=2)},
    "W6b": {kind: Case(carried, {"kind": kind}, repeat=3) for kind in ("bytes", "numpy")},
    "W7": {"100 x 10": Case(groups, {"count": 100, "length": 10}, repeat=2)},
    "W8b": {"async actor 1k": Case(sleeping, {"n": 1_000}, repeat=2)},
    "W10": {"local": Case(repeated)},
}
