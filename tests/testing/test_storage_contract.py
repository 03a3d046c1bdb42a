"""The storage kit, on storages that keep the contract, in each of its spellings."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path

import pytest
from storages import StorageFolder

from dotflow import Context
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile, StorageSQLite
from dotflow.testing import StorageContract

Make = Callable[[], Storage]


class TestStorageDefault(StorageContract):
    shared_between_processes = False

    @pytest.fixture
    def make(self) -> Make:
        storage = StorageDefault()
        return lambda: storage


class TestStorageFile(StorageContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: StorageFile(path=tmp_path / "data")


class TestStorageSQLite(StorageContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: StorageSQLite(tmp_path / "data.db")


class TestThreeMethods(StorageContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: StorageFolder(tmp_path)


class TestOldSpelling(StorageContract, unittest.TestCase):
    """Each call makes another folder, as tests written for dotflow 1.x may do."""

    supports_ttl = False

    def make_storage(self) -> Storage:
        import tempfile

        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return StorageFile(path=folder.name)

    def test_the_storage_is_there(self) -> None:
        """As in dotflow 1.x."""
        self.storage.post(key="k", context=Context({"a": 1}))
        self.assertEqual(self.storage.get(key="k").storage, {"a": 1})  # noqa: PT009  # the old spelling
