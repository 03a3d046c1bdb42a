"""Servers that several test files of providers use. One that cannot be started is a failure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from object_servers import azurite_server, google_server, moto_server


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The URL of an S3 with a bucket ``flows``."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def azure_url() -> Iterator[str]:
    """The URL of an account of Azure with a container ``flows``."""
    with azurite_server() as url:
        yield url


@pytest.fixture(scope="session")
def google_url() -> Iterator[str]:
    """The URL of a Google Cloud Storage with a bucket ``flows``."""
    with google_server() as url:
        yield url


@pytest.fixture
def folder() -> str:
    """A prefix of the test's own."""
    return f"{uuid.uuid4().hex[:12]}/"
