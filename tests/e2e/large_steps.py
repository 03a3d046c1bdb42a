"""Steps with large values, in worker processes: for ``test_large_values`` and ``test_worker_pool``."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from dotflow import action

LARGE = 3_000_000
kept: list[Any] = []


@action
def makes_array() -> Any:
    return np.arange(LARGE // 8)


@action
def makes_bytes(initial_context: Any) -> bytes:
    return bytes([initial_context.storage % 256]) * LARGE


@action
def makes_megabyte(initial_context: Any) -> bytes:
    return bytes([initial_context.storage % 256]) * 1_000_000


@action
def returns_the_same(previous_context: Any) -> Any:
    return previous_context.storage


@action
def changes_array(previous_context: Any) -> int:
    """Write into what the step before returned."""
    previous_context.storage[:] = -1
    return int(previous_context.storage.sum())


@action
def sums_array(previous_context: Any) -> int:
    return int(previous_context.storage.sum())


@action
def adds_parts(previous_context: Any) -> int:
    return sum(int(part.sum()) if hasattr(part, "sum") else part for part in previous_context.storage.values())


@action
def many_forms() -> dict[str, Any]:
    """Return large bytes, text and arrays of several kinds, inside one another."""
    matrix = np.arange(200_000, dtype=np.float64).reshape(400, 500)
    return {
        "bytes": b"a" * LARGE,
        "bytearray": bytearray(b"b" * LARGE),
        "text": "ç" * LARGE,
        "matrix": matrix,
        "turned": np.asfortranarray(matrix),
        "part": matrix[::2, ::3],
        "objects": np.array([{"n": 1}, None], dtype=object),
        "deep": [{"list": list(range(100_000)), "bytes": b"c" * LARGE}],
    }


@action
def makes_frame() -> Any:
    import pandas

    return pandas.DataFrame({"number": np.arange(100_000), "half": np.arange(100_000) / 2, "name": ["x"] * 100_000})


@action
def dies_with_large(previous_context: Any) -> None:
    kept.append(previous_context.storage)
    os.kill(os.getpid(), signal.SIGKILL)


@action(timeout=0.05)
def hangs_with_large(previous_context: Any) -> None:
    kept.append(previous_context.storage)
    time.sleep(60)
