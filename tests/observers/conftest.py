"""Fixtures of the observers' tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dotflow.core import redact

sys.path.insert(0, str(Path(__file__).parent))

from receivers import receiver

__all__ = ["receiver"]


@pytest.fixture(autouse=True)
def secrets() -> Iterator[None]:
    """What one test registers is no secret in the next."""
    before = set(redact._registered)
    yield
    redact._registered.clear()
    redact._registered.update(before)
    redact.refresh()
