"""Hamilton: functions as nodes of a driver; with ``with_cache`` (SQLite and files) where results are durable."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, measured, measured_cpu
from benchmarks.work import below, burn_seconds, counted_to, growth, now, payload, scratch

PEER = Peer("Hamilton", "hamilton", {"HAMILTON_TELEMETRY_ENABLED": "false"})

PARALLEL = """
from hamilton.htypes import Collect, Parallelizable
from benchmarks.work import burn, step
def item() -> Parallelizable[int]:
    yield from range({n})
def one(item: int) -> int: return {work}(item)
def total(one: Collect[int]) -> int: return sum(one)
"""


def chain_source(n: int, prefix: str = "", first: int = 1, marker: str = "") -> str:
    lines = [f"{marker}def {prefix}n0() -> int: return {first}"]
    lines += [
        f"{marker}def {prefix}n{i}({prefix}n{i - 1}: int) -> int: return {prefix}n{i - 1} + 1" for i in range(1, n)
    ]
    return "\n".join(lines)


def module(source: str) -> Any:
    """Write *source* to a file, since the cache goes by the source of a node, and import it."""
    (scratch() / "hamilton_nodes.py").write_text(source)
    sys.path.insert(0, str(scratch()))
    sys.setrecursionlimit(200_000)
    return importlib.import_module("hamilton_nodes")


def chain(n: int) -> Measured:
    from hamilton import driver

    nodes, last = module(chain_source(n)), f"n{n - 1}"
    start = now()
    found = driver.Builder().with_modules(nodes).build().execute([last])[last]
    return measured(now() - start, n, found == n)


def cached(n: int, phase: str = "") -> Measured:
    from hamilton import driver

    logging.disable(logging.ERROR)
    nodes, last = module(chain_source(n)), f"n{n - 1}"
    built = driver.Builder().with_modules(nodes).with_cache(path=str(scratch() / "cache")).build()
    start = now()
    found = built.execute([last])[last]
    return measured(now() - start, n, found == n, note="no fsync")


def fanned(n: int, cpu: bool) -> Measured:
    from hamilton import driver
    from hamilton.execution import executors

    serial = burn_seconds() if cpu else 0.0
    built = (
        driver.Builder()
        .with_modules(module(PARALLEL.format(n=n, work="burn" if cpu else "step")))
        .enable_dynamic_execution(allow_experimental_mode=True)
        .with_local_executor(executors.SynchronousLocalTaskExecutor())
        .with_remote_executor(executors.MultiProcessingExecutor(max_tasks=2))
        .build()
    )
    start = now()
    total = built.execute(["total"])["total"]
    seconds, note = now() - start, "with starting the pool"
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial, note=note)
    return measured(seconds, n, total == counted_to(n), note=note)


def handed(kind: str) -> Measured:
    from hamilton import driver

    type_ = "bytes" if kind == "bytes" else "numpy.ndarray"
    imports = "import numpy\nfrom benchmarks.work import whole"
    nodes = module(f"{imports}\ndef ok(value: {type_}) -> bool: return whole({kind!r}, value)\n")
    built, value = driver.Builder().with_modules(nodes).build(), payload(kind)
    start = now()
    ok = built.execute(["ok"], inputs={"value": value})["ok"]
    return measured(now() - start, 1, ok, note="an input to one node")


def groups(count: int, length: int) -> Measured:
    from hamilton import driver

    nodes = module("\n".join(chain_source(length, f"g{group}_", group + 1) for group in range(count)))
    lasts = [f"g{group}_n{length - 1}" for group in range(count)]
    start = now()
    found = driver.Builder().with_modules(nodes).build().execute(lasts)
    seconds = now() - start
    ok = [found[last] for last in lasts] == [group + length for group in range(count)]
    return measured(seconds, count * length, ok)


def run_async(source: str, wanted: list[str]) -> tuple[float, dict[str, int]]:
    from hamilton import async_driver

    nodes = module(source)

    async def main() -> tuple[float, dict[str, int]]:
        built = await async_driver.Builder().with_modules(nodes).build()
        start = now()
        found = await built.execute(wanted)
        return now() - start, found

    return asyncio.run(main())


def async_chain(n: int) -> Measured:
    seconds, found = run_async(chain_source(n, marker="async "), [f"n{n - 1}"])
    return measured(seconds, n, found[f"n{n - 1}"] == n)


def async_sleeping(n: int, pause: float = 0.1) -> Measured:
    nodes = (f"async def s{i}() -> int:\n    await asyncio.sleep({pause})\n    return {i}" for i in range(n))
    seconds, found = run_async("import asyncio\n" + "\n".join(nodes), [f"s{i}" for i in range(n)])
    return measured(seconds, n, sum(found.values()) == below(n))


def repeated() -> Measured:
    from hamilton import driver

    nodes = module(chain_source(3))

    def run() -> None:
        assert driver.Builder().with_modules(nodes).build().execute(["n2"])["n2"] == 3

    return growth(run)


PIPELINE = """
from hamilton import ad_hoc_utils, driver
def extract() -> list: return [1, 2, 3]
def transform(extract: list) -> list: return [v * 2 for v in extract]
def load(transform: list) -> int: return sum(transform)
nodes = ad_hoc_utils.create_temporary_module(extract, transform, load, module_name="etl")
print(driver.Builder().with_modules(nodes).build().execute(["load"])["load"])
"""
CASES: Cases = {
    "W1a": {"import": Case(source="from hamilton import driver")},
    "W1b": {"driver": Case(source=PIPELINE, prints="12")},
    "W2": {"1k": Case(chain, {"n": 1_000}), "10k": Case(chain, {"n": 10_000}, repeat=1)},
    "W3d": {"with_cache": Case(cached, {"n": 1_000})},
    "W4": {"with_cache": Case(cached, {"n": 1_000}, phases=("prepare", "resume"))},
    "W5a": {"Parallelizable 1k": Case(fanned, {"n": 1_000, "cpu": False}, repeat=2)},
    "W5b": {"Parallelizable": Case(fanned, {"n": 200, "cpu": True}, repeat=2)},
    "W6a": {kind: Case(handed, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W7": {"100 x 10": Case(groups, {"count": 100, "length": 10})},
    "W8a": {"AsyncDriver 1k": Case(async_chain, {"n": 1_000})},
    "W8b": {"AsyncDriver 1k": Case(async_sleeping, {"n": 1_000})},
    "W10": {"driver": Case(repeated)},
}
