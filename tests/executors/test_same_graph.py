"""One graph of 200 tasks, with values, retries and failures, gives the same wherever its steps run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import loky
import pytest
from graph_steps import SIZE, async_step, run_graph, step

from dotflow.providers import ExecutorInline, ExecutorPool, ExecutorProcess, ExecutorThread


@pytest.fixture(scope="module")
def expected() -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What comes of it in the thread of the run."""
    found = run_graph(ExecutorInline())
    statuses = Counter(status for status, *_ in found[0].values())
    assert statuses["Completed"] > SIZE / 2
    assert statuses["Failed"] > SIZE / 20
    assert sum("TaskRetried" in str(each) for each in found[1].values()) > SIZE / 10
    return found


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


def test_clusters(cluster: Any, expected: Any) -> None:
    """Dask and Ray, on workers of their own."""
    assert run_graph(cluster) == expected


def test_pool_is_wrapped_by_config(pool: Pool) -> None:
    """The executor of the config is the provider."""
    from dotflow import Config

    assert isinstance(Config(executor=pool).executor, ExecutorPool)
