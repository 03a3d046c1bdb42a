"""Real clusters on this machine, as small as they can be.

One module uses them, so that each is started once, and has ended when tests elsewhere count processes.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graph_steps import SIZE, run_graph

from dotflow.abc.executor import Executor
from dotflow.providers import ExecutorDask, ExecutorInline, ExecutorRay


@pytest.fixture(scope="module")
def dask_executor() -> Iterator[ExecutorDask]:
    """Two Dask workers."""
    executor = ExecutorDask(workers=2, patience=60)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def ray_executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutorRay]:
    """A Ray node with two workers; its token stays out of the home folder."""
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(tmp_path_factory.mktemp("ray") / "token")
    Path(os.environ["RAY_AUTH_TOKEN_PATH"]).write_text("only for these tests, and long enough to be one")
    executor = ExecutorRay(workers=2, patience=60)
    yield executor
    executor.close()
    del os.environ["RAY_AUTH_TOKEN_PATH"]


@pytest.fixture(params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Executor:
    """Each cluster, in turn."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it logs what these tests do to it
    found: Executor = request.getfixturevalue(f"{request.param}_executor")
    return found


@pytest.fixture(scope="module")
def expected() -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What comes of it in the thread of the run."""
    found = run_graph(ExecutorInline())
    statuses = Counter(status for status, *_ in found[0].values())
    assert statuses["Completed"] > SIZE / 2
    assert statuses["Failed"] > SIZE / 20
    assert sum("TaskRetried" in str(each) for each in found[1].values()) > SIZE / 10
    return found
