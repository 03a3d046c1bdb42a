"""Steps in the calling thread, results in memory."""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.dotflow.flows import add_chain, following, seeded, warm
from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import growth, now, payload, whole
from dotflow import DotFlow, action


def chain(n: int) -> Measured:
    warm()
    start = now()
    workflow = add_chain(DotFlow(), n)
    built = now() - start
    workflow.start()
    seconds = now() - start
    return measured(seconds, n, workflow.result_storage()[-1] == n, build_us=built / n * 1e6)


def groups(count: int, length: int) -> Measured:
    warm()
    start = now()
    workflow = DotFlow()
    for group in range(count):
        workflow.task.add(seeded, initial_context=group, task_id=f"g{group}_0", depends_on=())
        for number in range(1, length):
            workflow.task.add(following, task_id=f"g{group}_{number}", depends_on=f"g{group}_{number - 1}")
    workflow.start()
    seconds = now() - start
    ok = workflow.result_storage()[length - 1 :: length] == [group + length for group in range(count)]
    return measured(seconds, count * length, ok)


def handed(kind: str) -> Measured:
    warm()
    value = payload(kind)

    @action
    def produce() -> Any:
        return value

    @action
    def consume(previous_context: Any) -> bool:
        return whole(kind, previous_context.storage)

    workflow = DotFlow()
    workflow.task.add([produce, consume])
    start = now()
    workflow.start()
    return measured(now() - start, 1, workflow.result_storage()[-1] is True)


def repeated() -> Measured:
    @action
    def extract() -> list[int]:
        return [1, 2, 3]

    @action
    def transform(previous_context: Any) -> list[int]:
        return [value * 2 for value in previous_context.storage]

    @action
    def load(previous_context: Any) -> int:
        return sum(previous_context.storage)

    def run() -> None:
        workflow = DotFlow()
        workflow.task.add([extract, transform, load])
        workflow.start()
        assert workflow.result_storage()[-1] == 12

    return growth(run)


CASES: Cases = {
    "W2": {
        "1k": Case(chain, {"n": 1_000}),
        "10k": Case(chain, {"n": 10_000}),
        "100k": Case(chain, {"n": 100_000}, repeat=3),
    },
    "W6a": {kind: Case(handed, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W7": {"100 x 10": Case(groups, {"count": 100, "length": 10})},
    "W10": {"default": Case(repeated)},
}
