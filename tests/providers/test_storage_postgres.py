"""StoragePostgres, against a real server that the suite starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers import StoragePostgres
from dotflow.testing import StorageContract


@pytest.fixture
def url(postgres: str) -> str:
    """The server that the whole suite shares."""
    return postgres


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """A table of the test's own."""
    return f"t{abs(hash(request.node.nodeid)) % 10**9}"


class TestStoragePostgres(StorageContract):
    """The whole contract."""

    @pytest.fixture
    def make(self, url: str, table: str) -> Callable[[], Storage]:
        return lambda: StoragePostgres(url, table)


def test_changed_row_is_a_clear_error(url: str, table: str) -> None:
    """A row that somebody changed is never taken for the right value."""
    import psycopg

    storage = StoragePostgres(url, table)
    storage.post("w-a", Context({"paid": 10}, "a", "w"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"update {table} set value = replace(value, '10', '99')")

    with pytest.raises(CorruptCheckpoint, match="StoragePostgres"):
        storage.get("w-a")
    storage.close()


def test_table_name_is_never_sql() -> None:
    """What could be anything but a table's name is refused by the constructor."""
    for hostile in ("x; drop table y", 'a"b', "A", "", "a.b.c"):
        with pytest.raises(ConfigurationError, match="table="):
            StoragePostgres("postgresql://h/d", hostile)


def test_server_that_is_not_there_is_unavailable_and_absent_database_said() -> None:
    """Unreachable is not missing, and the provider is named."""
    storage = StoragePostgres("postgresql://127.0.0.1:1/none")

    with pytest.raises(StorageUnavailable, match="StoragePostgres"):
        storage.get("w-a")


def test_table_of_another_program_is_a_storage_error(url: str, table: str) -> None:
    """A table with other columns is not written to."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create table {table} (id int)")

    with pytest.raises(StorageError, match="StoragePostgres"):
        StoragePostgres(url, table).get("w-a")


def test_leader_is_named_and_a_killed_one_holds_nothing(url: str, table: str) -> None:
    """The lock goes with the connection of its holder."""
    code = (
        "import sys, time; from dotflow.providers import StoragePostgres\n"
        f"release = StoragePostgres({url!r}, {table!r}).lock('etl'); print('held', flush=True); time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    storage = StoragePostgres(url, table)
    with pytest.raises(WorkflowBusy, match=f"process {holder.pid} on host"):
        storage.lock("etl")

    holder.kill()
    holder.communicate()
    before = time.monotonic()
    storage.lock("etl", wait=30)()

    assert time.monotonic() - before < 10
    storage.close()


def test_password_is_nowhere_in_the_repr() -> None:
    """A repr shows the table only."""
    assert "hunter2" not in repr(StoragePostgres("postgresql://me:hunter2@h/d"))


def test_missing_package_names_the_extra(tmp_path: Path) -> None:
    """Without psycopg the constructor says what to install."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from dotflow.providers import StoragePostgres\n"
        "try: StoragePostgres('x')\n"
        "except ImportError as error: print(error)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dotflow[postgres]" in run.stdout
