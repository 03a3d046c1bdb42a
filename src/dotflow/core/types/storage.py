"""Names of storages on the command line."""

from __future__ import annotations

from enum import StrEnum


class TypeStorage(StrEnum):
    """Short names of the built-in storages."""

    DEFAULT = "default"
    FILE = "file"
    SQLITE = "sqlite"
    S3 = "s3"
    GCS = "gcs"
