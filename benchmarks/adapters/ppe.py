"""``concurrent.futures.ProcessPoolExecutor`` with two workers."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, counted_to, noop, now, payload, step, whole

PEER = Peer("ProcessPoolExecutor", "limit")


def warm_pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(2)
    list(pool.map(noop, range(4)))
    return pool


def chain(n: int) -> Measured:
    with warm_pool() as pool:
        x, start = 0, now()
        for _ in range(n):
            x = pool.submit(step, x).result()
        return measured(now() - start, n, x == n)


def submitted(n: int) -> Measured:
    with warm_pool() as pool:
        start = now()
        total = sum(future.result() for future in [pool.submit(step, i) for i in range(n)])
        return measured(now() - start, n, total == counted_to(n))


def mapped(n: int) -> Measured:
    with warm_pool() as pool:
        start = now()
        total = sum(pool.map(step, range(n), chunksize=n // 16))
        return measured(now() - start, n, total == counted_to(n), note="in 16 chunks")


def burning(n: int) -> Measured:
    with warm_pool() as pool:
        serial = burn_seconds()
        start = now()
        count = len(list(pool.map(burn, range(n))))
        return measured_cpu(now() - start, n, count == n, serial)


def carried(kind: str) -> Measured:
    with warm_pool() as pool:
        pool.submit(payload, kind, 1).result()
        start = now()
        value = pool.submit(payload, kind).result()
        ok = pool.submit(whole, kind, value).result()
        return measured(now() - start, 1, ok)


RUN = (
    "with ProcessPoolExecutor(2) as pool:\n"
    "        print(pool.submit(load, pool.submit(transform, pool.submit(extract).result()).result()).result())"
)
IMPORT = "from concurrent.futures import ProcessPoolExecutor"
CASES: Cases = {
    "W1a": {"import": Case(source=IMPORT)},
    "W1b": {"process pool": Case(source=chain_program(IMPORT, "", RUN), prints="12")},
    "W2": {"1k": Case(chain, {"n": 1_000})},
    "W5a": {
        "submit 1k": Case(submitted, {"n": 1_000}),
        "submit 10k": Case(submitted, {"n": 10_000}),
        "map 10k": Case(mapped, {"n": 10_000}),
    },
    "W5b": {"map": Case(burning, {"n": 200})},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
}
