"""DBOS Transact on SQLite (its default) and on PostgreSQL. It is durable in every workload."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.child import MARK
from benchmarks.work import below, burn, burn_seconds, counted_to, growth, lateness, now, payload, scratch, step, whole

PEER = Peer("DBOS", "dbos", abrupt=True)
DURABLE = "durable"
CRASHED = 77


def launch(server: bool = False, name: str = "") -> Any:
    """Start DBOS on a SQLite file, or on the database *name* of the server."""
    from dbos import DBOS

    url = f"sqlite:///{scratch()}/dbos.sqlite"
    if server:
        url = os.environ["BENCH_POSTGRES"].rpartition("/")[0] + f"/{name or created()}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "application_version": "1"})
    DBOS.launch()
    return DBOS


def created() -> str:
    import psycopg

    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    return name


def defined() -> Any:
    from dbos import DBOS

    task = DBOS.step()(step)

    @DBOS.workflow()
    def chain(n: int, first: int = 0) -> int:
        x = first
        for _ in range(n):
            x = task(x)
        return x

    return chain


def chain(n: int, server: bool = False) -> Measured:
    workflow = defined()
    dbos = launch(server)
    workflow(5)
    start = now()
    handle = dbos.start_workflow(workflow, n)
    x = handle.get_result()
    seconds, kept = now() - start, len(dbos.list_workflow_steps(handle.get_workflow_id()))
    dbos.destroy()
    return measured(seconds, n, x == n and kept == n, note=DURABLE)


def resume(n: int, phase: str) -> Measured:
    from dbos import DBOS, SetWorkflowID

    ran: list[int] = []
    reached: list[float] = []

    @DBOS.step()
    def one(x: int) -> int:
        ran.append(x)
        return x + 1

    @DBOS.step()
    def unfinished(x: int) -> int:
        if phase == "prepare":
            print(f"{MARK}{{}}", flush=True)  # it was prepared
            os._exit(CRASHED)
        reached.append(now())
        return x

    @DBOS.workflow()
    def workflow(count: int) -> int:
        x = 0
        for _ in range(count):
            x = one(x)
        return unfinished(x)

    start = now()
    launch()
    if phase == "prepare":
        with SetWorkflowID("run"):
            workflow(n)
    x = DBOS.retrieve_workflow("run").get_result()
    return measured(reached[0] - start, n, x == n and not ran)


def fanned(n: int, cpu: bool) -> Measured:
    from dbos import DBOS

    serial = burn_seconds() if cpu else 0.0

    @DBOS.workflow()
    def one(i: int) -> int:
        return burn(i) if cpu else step(i)

    launch()
    start = now()
    total = sum(handle.get_result() for handle in [DBOS.start_workflow(one, i) for i in range(n)])
    seconds, note = now() - start, "durable; threads, a workflow each"
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial, note=note)
    return measured(seconds, n, total == counted_to(n), note=note)


def handed(kind: str) -> Measured:
    from dbos import DBOS

    produce, consume = DBOS.step()(payload), DBOS.step()(whole)

    @DBOS.workflow()
    def workflow() -> tuple[bool, float]:
        start = now()
        return bool(consume(kind, produce(kind))), now() - start

    launch()
    ok, seconds = workflow()
    return measured(seconds, 1, ok, note="durable; with making the payload")


def groups(count: int, length: int) -> Measured:
    workflow = defined()
    dbos = launch()
    start = now()
    found = [handle.get_result() for handle in [dbos.start_workflow(workflow, length, i) for i in range(count)]]
    return measured(now() - start, count * length, found == [i + length for i in range(count)], note=DURABLE)


def async_chain(n: int) -> Measured:
    from dbos import DBOS

    @DBOS.step()
    async def one(x: int) -> int:
        return x + 1

    @DBOS.workflow()
    async def workflow() -> int:
        x = 0
        for _ in range(n):
            x = await one(x)
        return x

    return timed(workflow, n, n)


def sleeping(n: int, pause: float = 0.1) -> Measured:
    from dbos import DBOS

    @DBOS.step()
    async def one(i: int) -> int:
        await asyncio.sleep(pause)
        return i

    @DBOS.workflow()
    async def workflow() -> int:
        return sum(await asyncio.gather(*(one(i) for i in range(n))))

    return timed(workflow, n, below(n))


def timed(workflow: Any, n: int, expected: int) -> Measured:
    async def main() -> tuple[float, int]:
        start = now()
        found = await workflow()
        return now() - start, found

    launch()
    seconds, found = asyncio.run(main())
    return measured(seconds, n, found == expected, note=DURABLE)


def ticking(seconds: int) -> Measured:
    from dbos import DBOS

    ticks: list[float] = []

    @DBOS.workflow()
    def tick(scheduled: Any, context: Any) -> None:
        ticks.append(time.time())

    launch()
    DBOS.create_schedule(schedule_name="tick", workflow_fn=tick, schedule="* * * * * *")
    time.sleep(3)
    ticks.clear()
    time.sleep(seconds + 0.6 - time.time() % 1)
    return lateness(ticks, seconds)


def repeated() -> Measured:
    workflow = defined()
    launch()

    def run() -> None:
        assert workflow(3) == 3

    return growth(run, last=3_000)


IMPORT = "from dbos import DBOS"
RUN = """DBOS(config={"name": "bench", "system_database_url": "sqlite:///bench.sqlite", "log_level": "ERROR"})
    DBOS.launch()
    print(etl())
    DBOS.destroy()"""
PROGRAM = chain_program(IMPORT, "@DBOS.step()", RUN).replace(
    "if __name__", "@DBOS.workflow()\ndef etl(): return load(transform(extract()))\nif __name__"
)
CASES: Cases = {
    "W1a": {"import": Case(source="import dbos")},
    "W1b": {"SQLite": Case(source=PROGRAM, prints="12", repeat=3)},
    "W2": {"SQLite 1k": Case(chain, {"n": 1_000}, repeat=2)},
    "W3b": {"SQLite": Case(chain, {"n": 1_000})},
    "W3c": {"PostgreSQL": Case(chain, {"n": 1_000, "server": True})},
    "W4": {"SQLite": Case(resume, {"n": 1_000}, phases=("prepare", "resume"))},
    "W5a": {"workflows 1k": Case(fanned, {"n": 1_000, "cpu": False}, repeat=2)},
    "W5b": {"workflows": Case(fanned, {"n": 200, "cpu": True}, repeat=2)},
    "W6a": {kind: Case(handed, {"kind": kind}, repeat=2) for kind in ("bytes", "numpy")},
    "W7": {"workflows": Case(groups, {"count": 100, "length": 10}, repeat=2)},
    "W8a": {"1k": Case(async_chain, {"n": 1_000}, repeat=2)},
    "W8b": {"1k": Case(sleeping, {"n": 1_000}, repeat=2)},
    "W9": {"20 s": Case(ticking, {"seconds": 20})},
    "W10": {"SQLite": Case(repeated)},
}
