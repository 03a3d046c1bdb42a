"""Real clusters on this machine, as small as they can be, one of each for all tests of this folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dotflow.abc.executor import Executor
from dotflow.providers import ExecutorDask, ExecutorRay


@pytest.fixture(scope="session")
def dask_executor() -> Iterator[ExecutorDask]:
    """Two Dask workers."""
    executor = ExecutorDask(workers=2, patience=60)
    yield executor
    executor.close()


@pytest.fixture(scope="session")
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
