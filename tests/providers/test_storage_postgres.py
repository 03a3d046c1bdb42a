"""StoragePostgres, against a real server that the suite starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers import StoragePostgres
from dotflow.testing import StorageContract


@action
def nothing() -> None: ...


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("postgresql://nobody_here@{place}/postgres", "nobody_here"),
        ("postgresql://postgres@{place}/absent", 'database "absent" does not exist'),
        ("host=127.0.0.1 nonsense", "nonsense"),
    ],
)
def test_server_that_refuses_at_the_start_is_an_error_at_once(url: str, table: str, wrong: str, said: str) -> None:
    """A role or a database that is not there does not come by waiting; the run can be started again."""
    wrong = wrong.format(place=url.removeprefix("postgresql://postgres@").removesuffix("/postgres"))
    flow = DotFlow(Config(storage=StoragePostgres(wrong, table)), workflow_id="w")
    flow.task.add(nothing)
    before = time.monotonic()

    with pytest.raises(StorageError, match="StoragePostgres") as caught:
        flow.start()

    assert not isinstance(caught.value, StorageUnavailable)
    assert said in str(caught.value)
    assert time.monotonic() - before < 10
    flow.config.storage = StoragePostgres(url, table)
    assert str(flow.start(resume=True).status) == "Completed"
    flow.config.storage.close()


def test_wrong_password_is_refused_at_once_and_not_shown(tmp_path: Path) -> None:
    """By a server that asks for one; no password at all is the same, and so is a connection of the user's making."""
    import psycopg

    server = PostgresServer()
    rules = server.data / "pg_hba.conf"
    rules.write_text("host all me 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    try:
        with psycopg.connect(server.start().url, autocommit=True) as connection:
            connection.execute("create role me login password 'right'")
        for who in ("me:hunter2", "me"):
            wrong = server.url.replace("postgres@", f"{who}@")
            for storage in (StoragePostgres(wrong), StoragePostgres(connect=lambda: psycopg.connect(wrong))):  # noqa: B023  # called here
                with pytest.raises(StorageError, match="check user, password and database") as caught:
                    storage.get("w-a")
                assert not isinstance(caught.value, StorageUnavailable)
                assert "hunter2" not in str(caught.value) + repr(storage)
        allowed = StoragePostgres(server.url.replace("postgres@", "me:right@"))
        with pytest.raises(StorageError, match="permission denied for schema public"):
            allowed.get("w-a")
        allowed.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    "columns", ["id int", "key int, workflow_id int, task_id int, made int, value int, checksum int"]
)
def test_workflow_on_a_table_of_another_program_fails_and_leaves_it_alone(url: str, table: str, columns: str) -> None:
    """Other columns, or the same with other types."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create table {table} ({columns})")
    storage = StoragePostgres(url, table)
    flow = DotFlow(Config(storage=storage), workflow_id="w")
    flow.task.add(nothing)

    with pytest.raises(StorageError, match="StoragePostgres"):
        flow.start()

    storage.close()
    with psycopg.connect(url) as connection:
        found = connection.execute(f"select * from {table}")
        assert [column.name for column in found.description or ()] == [each.split()[0] for each in columns.split(", ")]
        assert found.fetchall() == []


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
        "from dotflow.providers import StoragePostgres\n"
        "try: StoragePostgres('x')\n"
        "except ImportError as error: print(error)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dotflow[postgres]" in run.stdout
