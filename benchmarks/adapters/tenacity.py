"""tenacity: a ``retry`` wrapper around a function that does not fail, and around one that fails every other time."""

from __future__ import annotations

from benchmarks.case import Case, Cases, Measured, Peer, measured
from benchmarks.work import now

PEER = Peer("tenacity", "limit")


def wrapped(n: int, failing: bool) -> Measured:
    import tenacity

    calls = 0

    def step(x: int) -> int:
        nonlocal calls
        calls += 1
        if failing and calls % 2:
            raise ValueError
        return x + 1

    again = tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_none())(step)
    x, start = 0, now()
    for _ in range(n):
        x = again(x)
    return measured(now() - start, n, x == n)


CASES: Cases = {
    "W1a": {"import": Case(source="import tenacity")},
    "W2": {
        "no failure 1k": Case(wrapped, {"n": 1_000, "failing": False}),
        "one failure a step 1k": Case(wrapped, {"n": 1_000, "failing": True}),
    },
}
