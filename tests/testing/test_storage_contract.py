"""The storage kit, on storages that keep the contract, in each of its spellings."""

from __future__ import annotations

import threading
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from storages import StorageFolder

from dotflow import Context
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile, StorageSQLite
from dotflow.testing import FlakyStorage, StorageContract, check_storage

Make = Callable[[], Storage]


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Say where ``storages:by_environment`` keeps its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_FOLDER", str(tmp_path_factory.mktemp("kit")))
        yield


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


class TestSpec(StorageContract):
    """Made by a path, without a fixture."""

    spec = "storages:by_environment"


def names(kind: type) -> set[str]:
    return {name for name in dir(kind) if name.startswith("test_") and callable(getattr(kind, name))}


def test_clauses_about_processes_are_left_out_where_there_are_none() -> None:
    """For memory, and in the old spelling; not where a subclass takes them in again."""

    class Shared(TestStorageDefault):
        __test__ = False
        shared_between_processes = True

    everything = names(StorageContract)
    assert everything == names(TestStorageFile) == names(Shared)
    assert names(TestStorageDefault) == names(TestOldSpelling) - {"test_the_storage_is_there"}
    assert {"test_it_survives_a_fork", "test_a_killed_leader_holds_nothing"} <= everything - names(TestStorageDefault)


def test_the_old_spelling_runs_under_unittest() -> None:
    """Nothing is skipped, and nothing fails."""
    result = unittest.TestResult()

    unittest.defaultTestLoader.loadTestsFromTestCase(TestOldSpelling).run(result)

    assert result.testsRun == len(names(TestOldSpelling))
    assert (result.failures, result.errors, result.skipped) == ([], [], [])


def test_without_a_recipe_it_says_so() -> None:
    """What to write."""
    with pytest.raises(TypeError, match="a fixture make, a method make_storage, or spec"):
        StorageContract().setUp()


def test_a_recipe_that_cannot_travel_is_told(tmp_path: Path) -> None:
    """The clause says what to do instead."""
    lock = threading.Lock()

    [verdict] = check_storage(lambda: (lock, StorageFolder(tmp_path))[1], clauses=["test_it_survives_a_spawn"])

    assert "cannot be sent to a spawned process" in verdict.problem
    assert "spec = 'module:callable'" in verdict.problem


def test_an_unknown_clause_is_refused(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(ValueError, match="no clauses test_nothing"):
        check_storage(lambda: StorageFolder(tmp_path), clauses=["test_nothing"])


class WithTtl(StorageFolder):
    """Takes ``ttl=``, as storages of dotflow 1.x do."""

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        super().post(key, Context([context.storage, None if ttl is None else time.time() + ttl]))

    def get(self, key: str) -> Context:
        value, end = super().get(key).storage or (None, None)
        return Context(value if end is None or time.time() < end else None)


class IgnoresTtl(StorageFolder):
    """Takes it, and forgets it."""

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        super().post(key, context)


@pytest.mark.parametrize(("kind", "holds"), [(WithTtl, True), (IgnoresTtl, False), (StorageFolder, True)])
def test_a_time_to_live_is_looked_at(kind: type[StorageFolder], holds: bool, tmp_path: Path) -> None:
    """Where it is taken."""
    [verdict] = check_storage(lambda: kind(tmp_path), clauses=["test_a_time_to_live_ends"])

    assert (verdict.problem == "") is holds


class TestUnreachable(StorageContract):
    """A way to be unreachable may be given."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: StorageFolder(tmp_path / "data")

    def unreachable(self) -> Storage:
        return FlakyStorage(self.client(), fail=1)


def test_a_path_is_a_recipe() -> None:
    """For the command line."""
    [verdict] = check_storage("storages:by_environment", clauses=["test_what_was_saved_is_read"])

    assert verdict.problem == ""
