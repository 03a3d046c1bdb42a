"""Where the tests of the engine run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from doubles import Place

from dotflow.providers import ExecutorInline, ExecutorProcess, ExecutorThread


@pytest.fixture(scope="session")
def workers() -> Iterator[ExecutorProcess]:
    """Two worker processes that the whole suite shares, since starting them is what takes time."""
    executor = ExecutorProcess(2)
    yield executor
    executor.close()


@pytest.fixture(params=["inline", "thread", "process", "async"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each place where steps run, in turn."""
    if request.param == "async":
        yield Place("async", None)
        return
    if request.param == "process":
        yield Place("process", request.getfixturevalue("workers"))
        return
    executor = ExecutorInline() if request.param == "inline" else ExecutorThread(2)
    yield Place(request.param, executor)
    executor.close()
