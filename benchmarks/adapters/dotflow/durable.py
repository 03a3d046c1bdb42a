"""Results in the storages that outlive the process; and, for the profile, in memory."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.adapters.dotflow.flows import add_chain, warm
from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import now, scratch
from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage


def storage(kind: str) -> Storage:
    """Make the storage of that kind, empty."""
    from dotflow import providers

    if kind in ("NORMAL", "FULL"):
        return providers.StorageSQLite(scratch() / "flow.db", synchronous=kind)
    if kind == "file":
        return providers.StorageFile(path=scratch() / "out")
    if kind == "PostgreSQL":
        return providers.StoragePostgres(os.environ["BENCH_POSTGRES"])
    if kind == "Valkey":
        return valkey()
    assert kind == "memory"
    return providers.StorageDefault()


def valkey() -> Storage:
    import redis

    from dotflow.providers import StorageRedis

    return StorageRedis(client=redis.Redis.from_url(os.environ["BENCH_VALKEY"]))


def emptied(kind: str) -> Storage:
    kept = storage(kind)
    kept.clear("chain")
    return kept


def chain(n: int, kind: str) -> Measured:
    warm(storage=emptied(kind))
    kept = storage(kind)
    start = now()
    workflow = add_chain(DotFlow(Config(storage=kept), workflow_id="chain"), n)
    workflow.start()
    seconds = now() - start
    ok = workflow.result_storage()[-1] == n
    again = storage(kind)  # what another process finds
    ok = ok and (kind == "memory" or again.get(again.key(workflow.result_task()[-1])).storage == n)
    return measured(seconds, n, ok)


def resume(n: int, phase: str) -> Measured:
    if phase == "prepare":
        workflow = add_chain(DotFlow(Config(storage=storage("NORMAL")), workflow_id="chain"), n)
        workflow.start(resume=True)
        return measured(0, n, workflow.result_storage()[-1] == n)
    warm(storage=storage("NORMAL"))
    reached = []

    @action
    def unfinished(previous_context: Any) -> Any:
        reached.append(now())
        return previous_context.storage

    start = now()
    workflow = add_chain(DotFlow(Config(storage=storage("NORMAL")), workflow_id="chain"), n)
    workflow.task.add(unfinished)
    workflow.start(resume=True)
    ok = workflow.result_storage()[-1] == n
    ok = ok and [task.restored for task in workflow.result_task()] == [True] * n + [False]
    return measured(reached[0] - start, n, ok)


CASES: Cases = {
    workload: {variant: Case(chain, {"n": 1_000, "kind": kind})}
    for workload, variant, kind in (
        ("W3a", "SQLite NORMAL", "NORMAL"),
        ("W3b", "SQLite FULL", "FULL"),
        ("W3c", "PostgreSQL", "PostgreSQL"),
        ("W3d", "file", "file"),
        ("W3v", "Valkey", "Valkey"),
        ("W3m", "memory", "memory"),
    )
}
CASES["W4"] = {"SQLite": Case(resume, {"n": 1_000}, phases=("prepare", "resume"))}
