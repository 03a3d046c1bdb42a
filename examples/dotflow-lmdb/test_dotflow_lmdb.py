"""The storage keeps the whole contract: ``pytest`` in this folder, once the package is installed."""

import pytest
from dotflow_lmdb import StorageLMDB

from dotflow import Config
from dotflow.testing import StorageContract


class TestStorageLMDB(StorageContract):
    @pytest.fixture
    def make(self, tmp_path):
        path = str(tmp_path / "flow.lmdb")
        return lambda: StorageLMDB(path)


def test_it_is_found_by_its_url(tmp_path):
    """The entry point gives it."""
    storage = Config.from_url(f"lmdb:///{tmp_path}/flow.lmdb").storage

    assert type(storage) is StorageLMDB
    assert not (tmp_path / "flow.lmdb").exists()  # nothing is done until it is used
