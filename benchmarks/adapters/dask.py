"""Dask: ``delayed`` on the synchronous scheduler, and a ``LocalCluster`` of two processes with a thread each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import below, burn, burn_seconds, counted_to, growth, noop, now, payload, step, whole

PEER = Peer("Dask", "dask")
CLUSTER = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}


@contextmanager
def connected() -> Iterator[Any]:
    """Start a cluster, warm, and lend its client."""
    from dask.distributed import Client, LocalCluster

    with LocalCluster(**CLUSTER, silence_logs=50) as cluster, Client(cluster) as client:
        client.gather(client.map(noop, range(4), pure=False))
        yield client


def delayed_chain(length: int, first: int) -> Any:
    from dask import delayed

    task, node = delayed(step), first
    for _ in range(length):
        node = task(node)
    return node


def chain(n: int) -> Measured:
    sys.setrecursionlimit(100_000)
    start = now()
    x = delayed_chain(n, 0).compute(scheduler="sync")
    return measured(now() - start, n, x == n)


def chain_on_cluster(n: int) -> Measured:
    with connected() as client:
        start = now()
        futures = [client.submit(step, 0, pure=False)]
        for _ in range(n - 1):
            futures.append(client.submit(step, futures[-1], pure=False))
        x = futures[-1].result()
        return measured(now() - start, n, x == n)


def fanned(n: int, cpu: bool) -> Measured:
    serial = burn_seconds() if cpu else 0.0
    with connected() as client:
        start = now()
        total = sum(client.gather(client.map(burn if cpu else step, range(n), pure=False)))
        seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial)
    return measured(seconds, n, total == counted_to(n))


def carried(kind: str) -> Measured:
    with connected() as client:
        one, other = list(client.scheduler_info()["workers"])
        client.submit(payload, kind, 1, workers=one).result()
        start = now()
        value = client.submit(payload, kind, workers=one)
        ok = client.submit(whole, kind, value, workers=other).result()
        return measured(now() - start, 1, ok, note="worker to worker, with making the payload")


def groups(count: int, length: int) -> Measured:
    from dask import compute

    start = now()
    found = compute(*(delayed_chain(length, number) for number in range(count)), scheduler="sync")
    return measured(now() - start, count * length, list(found) == [number + length for number in range(count)])


def repeated() -> Measured:
    def run() -> None:
        assert delayed_chain(3, 0).compute(scheduler="sync") == 3

    return growth(run)


RUN_DELAYED = 'print(load(transform(extract())).compute(scheduler="sync"))'
RUN_CLUSTER = (
    "with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as c, Client(c) as client:\n"
    "        print(client.submit(load, client.submit(transform, client.submit(extract))).result())"
)
CASES: Cases = {
    "W1a": {"import": Case(source="import dask.distributed")},
    "W1b": {
        "delayed": Case(source=chain_program("from dask import delayed", "@delayed", RUN_DELAYED), prints="12"),
        "LocalCluster": Case(
            source=chain_program("from dask.distributed import Client, LocalCluster", "", RUN_CLUSTER),
            prints="12",
            repeat=3,
        ),
    },
    "W2": {"delayed 1k": Case(chain, {"n": 1_000}), "LocalCluster 1k": Case(chain_on_cluster, {"n": 1_000}, repeat=2)},
    "W5a": {"LocalCluster 10k": Case(fanned, {"n": 10_000, "cpu": False}, repeat=2)},
    "W5b": {"LocalCluster": Case(fanned, {"n": 200, "cpu": True})},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W7": {"delayed": Case(groups, {"count": 100, "length": 10})},
    "W10": {"delayed": Case(repeated)},
}
