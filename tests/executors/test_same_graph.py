"""One graph of 200 tasks, with values, retries and failures, gives the same wherever its steps run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import loky
import pytest
from graph_steps import async_step, run_graph, step

from dotflow.providers import ExecutorPool, ExecutorProcess, ExecutorThread


@pytest.fixture(params=["threads", "processes", "loky"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Pools that are not ours."""
    made: dict[str, Any] = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
        "loky": lambda: loky.ProcessPoolExecutor(2),
    }
    found = made[request.param]()
    yield found
    found.shutdown(wait=True)


@pytest.mark.parametrize("kind", [ExecutorThread, ExecutorProcess])
def test_our_executors(kind: Any, expected: Any) -> None:
    """Threads, and worker processes."""
    executor = kind(2)
    assert run_graph(executor) == expected
    executor.close()


def test_event_loop(expected: Any) -> None:
    """Coroutines that do the same."""
    assert run_graph(None, async_step) == expected


def test_pools(pool: Pool, expected: Any) -> None:
    """Anything with the submit of concurrent.futures."""
    assert run_graph(pool, step) == expected  # type: ignore[arg-type]  # Config wraps it


def test_pool_is_wrapped_by_config(pool: Pool) -> None:
    """The executor of the config is the provider."""
    from dotflow import Config

    assert isinstance(Config(executor=pool).executor, ExecutorPool)
