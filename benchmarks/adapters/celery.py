"""Celery with ``task_always_eager`` and no broker: what calling a task costs in one process."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured
from benchmarks.work import growth, now, payload, step, whole

PEER = Peer("Celery", "celery")


def eager() -> Any:
    from celery import Celery

    app = Celery("bench", broker="memory://")
    app.conf.task_always_eager = True
    return app


def chain(n: int) -> Measured:
    task, x = eager().task(step), 0
    task.delay(0).get()
    start = now()
    for _ in range(n):
        x = task.delay(x).get()
    return measured(now() - start, n, x == n)


def handed(kind: str) -> Measured:
    app = eager()
    if kind == "numpy":
        app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"])
    produce, consume = app.task(payload, name="payload"), app.task(whole, name="whole")
    produce.delay(kind, 1).get()
    start = now()
    value = produce.delay(kind).get()
    ok = consume.delay(kind, value).get()
    return measured(now() - start, 1, ok, note="with making the payload")


def groups(count: int, length: int) -> Measured:
    from celery import chain as chained
    from celery import group

    task = eager().task(step)
    start = now()
    chains = (chained(task.s(number), *[task.s() for _ in range(length - 1)]) for number in range(count))
    found = group(chains)().get()
    return measured(now() - start, count * length, found == [number + length for number in range(count)])


def repeated() -> Measured:
    task = eager().task(step)

    def run() -> None:
        assert task.delay(task.delay(task.delay(0).get()).get()).get() == 3

    return growth(run)


IMPORT = """from celery import Celery, chain
app = Celery("bench", broker="memory://")
app.conf.task_always_eager = True"""
RUN = "print(chain(extract.s(), transform.s(), load.s())().get())"
CASES: Cases = {
    "W1a": {"import": Case(source="import celery; celery.Celery")},
    "W1b": {"eager": Case(source=chain_program(IMPORT, "@app.task", RUN), prints="12")},
    "W2": {"eager 10k": Case(chain, {"n": 10_000})},
    "W6a": {kind: Case(handed, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W7": {"group of chains": Case(groups, {"count": 100, "length": 10})},
    "W10": {"eager": Case(repeated)},
}
