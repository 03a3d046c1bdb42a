"""Keys that end: what the contract kit does not say of our storages."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from object_servers import ACCOUNT_KEY
from storage_uses import resumes

from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, MissingAbility, StorageError
from dotflow.providers import (
    StorageAzure,
    StorageDefault,
    StorageFile,
    StoragePostgres,
    StorageRedis,
    StorageS3,
    StorageSQLite,
)
from dotflow.providers._objects import ObjectStorage
from dotflow.providers._saved import row_of
from dotflow.providers.by_url import storage_from

SHORT = 0.05
TICK_FLOW = str(Path(__file__).parents[1] / "schedule" / "tick_flow.py")
TABLE_OF_1 = """create table dotflow_contexts(key text primary key, workflow_id text, task_id text,
time real not null, value text not null, checksum integer not null) without rowid"""
TABLE_OF_1_IN_POSTGRES = (
    'create table {} (key text collate "C" primary key, workflow_id text, task_id text, '
    "made double precision not null, value text not null, checksum bigint not null)"
)
KINDS = ["default", "file", "sqlite", "postgres", "redis"]
names = itertools.count()


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Return what makes a storage of a kind, on data of the test's own."""
    name = f"ttl{uuid.uuid4().hex[:10]}"
    made: list[Storage] = []

    def storage(kind: str, **options: Any) -> Any:
        if kind == "default":
            made.append(StorageDefault())
        elif kind == "file":
            made.append(StorageFile(path=tmp_path / "files", fsync=False, **options))
        elif kind == "sqlite":
            made.append(StorageSQLite(tmp_path / "data.db", **options))
        elif kind == "postgres":
            made.append(StoragePostgres(request.getfixturevalue("postgres"), name, **options))
        else:
            made.append(StorageRedis(*request.getfixturevalue("valkey"), prefix=f"{name}:", **options))
        return made[-1]

    yield storage
    for each in made:
        each.close()


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


WRONG = [0, -1, 0.0, float("nan"), float("inf"), 1e11, True, "5", [1]]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_ttl_is_refused_before_anything_is_written(kind: str, make: Callable[..., Any]) -> None:
    """With its value, by every method that takes one, and by the constructor."""
    storage = make(kind)
    storage.post("w-old", Context(1))
    for wrong in WRONG:
        for act in (
            lambda ttl: storage.post("w-new", Context(2), ttl=ttl),
            lambda ttl: storage.post("w-old", Context(2), ttl=ttl),
            lambda ttl: storage.create("w-new", Context(2), ttl=ttl),
            lambda ttl: storage.atomic_swap("w-old", 1, 2, ttl=ttl),
            lambda ttl: storage.atomic_swap("w-old", "another", 2, ttl=ttl),
            *([] if kind == "default" else [lambda ttl: make(kind, ttl=ttl)]),
        ):
            with pytest.raises(ConfigurationError) as caught:
                act(wrong)
            assert f"ttl={wrong!r} must be a number of seconds above 0" in str(caught.value)

    assert storage.get("w-old").storage == 1
    assert list(storage.list_keys("w-")) == ["w-old"]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_and_very_short_times_are_taken(kind: str, make: Callable[..., Any]) -> None:
    """A nanosecond is rounded up to what the backend counts in."""
    storage = make(kind)

    storage.post("w-a", Context(1), ttl=3600)
    storage.post("w-b", Context(1), ttl=1e10)
    storage.post("w-c", Context(1), ttl=1e-9)

    until(lambda: storage.get("w-c").storage is None)
    assert (storage.get("w-a").storage, storage.get("w-b").storage) == (1, 1)
    assert storage.can("ttl")


@pytest.mark.parametrize(
    "storage",
    [
        StorageS3(bucket="flows", access_key_id="a", secret_access_key="b", region="eu-west-1"),
        StorageAzure(bucket="flows", account="a", account_key=ACCOUNT_KEY),
    ],
    ids=repr,
)
def test_bucket_says_what_to_do_instead(storage: Any) -> None:
    """It has no time to live, is asked before any request is made, and names the lifecycle rule."""
    for act in (
        lambda: storage.post("w-a", Context(1), ttl=5),
        lambda: storage.create("w-a", Context(1), ttl=5),
        lambda: storage.atomic_swap("w-a", None, 1, ttl=5),
    ):
        with pytest.raises(MissingAbility, match=r"a time to live \(ttl=\).*lifecycle rule") as caught:
            act()
        assert (caught.value.method, caught.value.provider) == ("ttl", type(storage).__name__)
    assert isinstance(storage, ObjectStorage)
    assert not storage.can("ttl")
    assert storage.can("create")


# -- swept --------------------------------------------------------------------------------------------------------


def test_ended_rows_of_sqlite_go_when_it_is_opened_and_while_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never one that was saved again meanwhile."""

    def rows() -> list[str]:
        with sqlite3.connect(tmp_path / "data.db") as connection:
            return [key for (key,) in connection.execute("select key from dotflow_contexts order by key")]

    storage = StorageSQLite(tmp_path / "data.db")
    for key in ("w-a", "w-b", "w-c"):
        storage.post(key, Context(1), ttl=SHORT)
    storage.post("w-b", Context(2))
    storage.post("w-c", Context(3), ttl=3600)
    until(lambda: storage.get("w-a").storage is None)
    assert rows() == ["w-a", "w-b", "w-c"]

    storage.close()
    storage.healthcheck()
    assert rows() == ["w-b", "w-c"]

    storage.post("w-a", Context(1), ttl=1e-9)
    storage.post("w-d", Context(1), ttl=3600)
    assert rows() == ["w-a", "w-b", "w-c", "w-d"]
    monkeypatch.setattr(storage._lifetimes, "_due", 0.0)
    storage.post("w-e", Context(1), ttl=3600)
    assert rows() == ["w-b", "w-c", "w-d", "w-e"]
    storage.close()


def test_reader_does_not_wait_for_a_writer_where_something_has_ended(tmp_path: Path) -> None:
    """The file is opened without sweeping it; the next one does."""
    path = tmp_path / "data.db"
    storage = StorageSQLite(path)
    storage.post("w-a", Context(1), ttl=1e-9)
    storage.post("w-b", Context(2))
    storage.close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("begin immediate")

    before = time.monotonic()
    assert (storage.get("w-a").storage, storage.get("w-b").storage) == (None, 2)
    assert time.monotonic() - before < 10
    storage.close()

    writer.execute("rollback")
    storage.healthcheck()
    assert writer.execute("select key from dotflow_contexts").fetchall() == [("w-b",)]
    assert storage._database._connection.execute("pragma busy_timeout").fetchone() == (30_000,)  # type: ignore[union-attr]
    storage.close()
    writer.close()


def test_many_sweep_a_table_at_once(make: Callable[..., Any]) -> None:
    """While others save again what has ended: nothing of that is lost, and nobody fails."""
    storages, problems = [make("postgres") for _ in range(4)], list[Exception]()
    storages[0].healthcheck()

    def work(number: int) -> None:
        storage = storages[number]
        try:
            for round_ in range(30):
                for key in range(5):
                    storage.post(f"w-{key}", Context(round_), ttl=1e-6)
                storage._lifetimes._due = 0.0
                storage.post(f"w-mine-{number}", Context(round_), ttl=1e-6)
                storage.post(f"w-mine-{number}", Context(round_))
                assert storage.get(f"w-mine-{number}").storage == round_
        except Exception as error:  # raised below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []


def test_ended_rows_of_postgres_go(postgres: str, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """When a storage first uses the table, and while others are written."""
    import psycopg

    storage = make("postgres")
    storage.post("w-a", Context(1), ttl=SHORT)
    storage.post("w-b", Context(1), ttl=SHORT)
    storage.post("w-b", Context(2))
    until(lambda: storage.get("w-a").storage is None)

    with psycopg.connect(postgres, autocommit=True) as connection:

        def rows() -> list[str]:
            return [key for (key,) in connection.execute(f"select key from {storage._table} order by key")]

        assert rows() == ["w-a", "w-b"]
        make("postgres").healthcheck()
        assert rows() == ["w-b"]
        storage.post("w-a", Context(1), ttl=1e-6)
        until(lambda: storage.get("w-a").storage is None)
        monkeypatch.setattr(storage._lifetimes, "_due", 0.0)
        storage.post("w-c", Context(1), ttl=3600)
        assert rows() == ["w-b", "w-c"]


def test_ended_files_go_when_keys_are_listed(tmp_path: Path) -> None:
    """With the notes of their ends; what was saved again stays, with a ttl or without."""
    storage = StorageFile(path=tmp_path)
    for key in ("w-b", "w-c", "w-a"):
        storage.post(key, Context(1), ttl=SHORT)
    storage.post("w-b", Context(2))
    storage.post("w-c", Context(3), ttl=3600)
    until(lambda: storage.get("w-a").storage is None)

    assert sorted(storage.list_keys()) == ["w-b", "w-c"]

    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["w-b", "w-c"]
    assert [path.name for path in (tmp_path / "ends").iterdir()] == ["w-c"]
    storage.close()


def test_copied_folder_keeps_its_ends(tmp_path: Path) -> None:
    """The document says when it ends, whatever times a copy gives to files, and also where the notes are lost."""
    storage = StorageFile(path=tmp_path / "one")
    storage.post("w-a", Context(1), ttl=3600)
    storage.post("w-b", Context(2), ttl=SHORT)
    storage.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    shutil.copytree(tmp_path / "one" / "tasks", tmp_path / "three" / "tasks")
    until(lambda: storage.get("w-b").storage is None)

    two, three = StorageFile(path=tmp_path / "two"), StorageFile(path=tmp_path / "three")
    assert list(two.list_keys()) == ["w-a"]
    assert (two.get("w-a").storage, three.get("w-a").storage) == (1, 1)
    assert three.get("w-b").storage is None
    assert os.stat(tmp_path / "two" / "ends" / "w-a").st_mtime > time.time() + 3000
    storage.close()


def test_read_only_folder_lists_what_has_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without removing anything."""
    storage = StorageFile(path=tmp_path)
    storage.post("w-a", Context(1), ttl=SHORT)
    storage.post("w-b", Context(2))
    until(lambda: storage.get("w-a").storage is None)
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert list(storage.list_keys()) == ["w-b"]
    assert (tmp_path / "tasks" / "w-a").exists()
    storage.close()


def test_damaged_file_with_an_end_stays_to_be_told(tmp_path: Path) -> None:
    """It is no reason for ``list_keys`` to fail, and ``get`` says what is wrong."""
    storage = StorageFile(path=tmp_path)
    storage.post("w-a", Context(1), ttl=SHORT)
    place = tmp_path / "tasks" / "w-a"
    place.write_bytes(place.read_bytes()[:-5])
    until(lambda: os.stat(tmp_path / "ends" / "w-a").st_mtime < time.time())

    assert list(storage.list_keys()) == ["w-a"]
    with pytest.raises(StorageError, match="w-a"):
        storage.get("w-a")
    storage.close()


def test_memory_forgets_what_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is listed, when it is asked for, and while others are written."""
    storage = StorageDefault()
    for key in ("a", "b", "c"):
        storage.post(key, Context(1), ttl=1e-9)
    storage.post("d", Context(1))

    assert storage.get("a").storage is None
    assert sorted(storage._kept) == ["b", "c", "d"]
    monkeypatch.setattr(storage._lifetimes, "_due", 0.0)
    storage.post("e", Context(1), ttl=3600)
    assert sorted(storage._kept) == ["d", "e"]
    assert list(storage._ends) == ["e"]


def test_the_same_context_posted_again_in_memory_has_no_end() -> None:
    """Nor does it get one by way of another key."""
    storage, context = StorageDefault(), Context({1, 2})
    storage.post("a", context, ttl=SHORT)
    storage.post("b", context)
    storage.post("a", context)
    storage.post("last", context, ttl=SHORT)
    until(lambda: storage.get("last").storage is None)

    assert storage.get("a") is storage.get("b") is context
    assert sorted(storage.list_keys()) == ["a", "b"]


def test_memory_loses_nothing_that_was_saved_while_ends_are_swept() -> None:
    """One thread lets a key end over and over, another saves it without an end and finds it each time."""
    storage, over = StorageDefault(), threading.Event()

    def sweep() -> None:
        while not over.is_set():
            storage.post("other", Context("ends"), ttl=1e-9)
            storage.create("k", Context("ends"), ttl=1e-9)
            list(storage.list_keys())

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for number in range(3000):
            storage.post("k", Context(number))
            assert storage.get("k").storage == number
            if number % 10 == 0:
                storage.delete("k")
    finally:
        over.set()
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()


# -- earlier layouts ----------------------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A database as it was before keys could end."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as connection:
        connection.execute(TABLE_OF_1)
        connection.execute(f"pragma application_id = {0x646F7466}")
        connection.execute("pragma user_version = 1")
        connection.execute(
            "insert into dotflow_contexts values(?,?,?,?,?,?)", row_of("w-a", Context([1], "a", "w"), "test")
        )
    connection.close()
    return path


def test_file_of_the_earlier_layout_is_opened_and_can_do_it(old_file: Path) -> None:
    """What was in it is read, and ends if it is told to."""
    storage = StorageSQLite(old_file)

    assert storage.get("w-a") == Context([1], "a", "w")
    storage.post("w-b", Context(2), ttl=SHORT)
    assert storage.atomic_swap("w-a", [1], 3, ttl=SHORT)
    until(lambda: storage.get("w-a").storage is None)
    assert storage.get_many(["w-a", "w-b"]) == {}
    storage.close()


def test_many_open_a_file_of_the_earlier_layout_at_once(old_file: Path) -> None:
    """Processes, of which one adds the column."""
    code = (
        "import sys; from dotflow.core.context import Context; from dotflow.providers import StorageSQLite\n"
        "sys.stdin.read(); storage = StorageSQLite(sys.argv[1])\n"
        "storage.post(f'w-{sys.argv[2]}', Context(1), ttl=3600); print(storage.get('w-a').storage); storage.close()"
    )
    command = [sys.executable, "-c", code, str(old_file)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    all_of_them = [subprocess.Popen([*command, str(number)], **pipes) for number in range(5)]
    time.sleep(0.2)  # imported by then, mostly; nothing depends on it
    for each in all_of_them:
        assert each.stdin is not None
        each.stdin.close()
        each.stdin = None
    assert [each.communicate()[0] for each in all_of_them] == ["[1]\n"] * 5
    storage = StorageSQLite(old_file)
    assert len(list(storage.list_keys("w-"))) == 6
    storage.close()


def test_read_only_file_of_the_earlier_layout_is_read(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be changed, so its rows are seen as they are; what writes is told so."""
    monkeypatch.setattr("dotflow.providers._sqlite.only_readable", lambda path: True)
    storage = StorageSQLite(old_file)

    assert storage.get("w-a").storage == [1]
    assert list(storage.list_keys()) == ["w-a"]
    assert storage.get_many([f"w-{name}" for name in ("a", *range(60))])["w-a"].storage == [1]
    for act in (
        lambda: storage.post("w-b", Context(1)),
        lambda: storage.post("w-b", Context(1), ttl=5),
        lambda: storage.create("w-b", Context(1)),
        lambda: storage.atomic_swap("w-a", [1], 2),
        lambda: storage.delete("w-a"),
        lambda: storage.delete_prefix("w-"),
        lambda: storage.clear("w"),
        lambda: storage.post_many([("w-b", Context(1))]),
    ):
        with pytest.raises(StorageError, match=r"read-?only.*make the file and its folder writable"):
            act()
    storage.close()


def test_tables_of_the_earlier_layout_are_used_by_many_at_once(postgres: str, make: Callable[..., Any]) -> None:
    """The column is added once, whoever comes first; rows stay."""
    import psycopg

    table = make("postgres")._table
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(TABLE_OF_1_IN_POSTGRES.format(table))
        connection.execute(
            f"insert into {table} values (%s, %s, %s, %s, %s, %s)", row_of("w-a", Context([1], "a", "w"), "test")
        )
    gate, found = threading.Barrier(6), list[Any]()

    def use(number: int) -> None:
        storage = make("postgres")
        gate.wait()
        storage.post(f"w-{number}", Context(number), ttl=3600)
        found.append(storage.get("w-a").storage)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [[1]] * 6
    storage = make("postgres")
    assert len(list(storage.list_keys("w-"))) == 7
    assert storage.atomic_swap("w-a", [1], 2, ttl=SHORT)
    until(lambda: storage.get("w-a").storage is None)


def test_role_that_may_only_read_is_served_and_one_that_may_not_add_the_column_is_told(
    postgres: str, make: Callable[..., Any]
) -> None:
    """Ended rows that a reader meets stay; a table of the earlier layout needs its owner once."""
    import psycopg

    storage, role = make("postgres"), f"reader{uuid.uuid4().hex[:8]}"
    storage.post("w-a", Context(1), ttl=SHORT)
    storage.post("w-b", Context(2))
    until(lambda: storage.get("w-a").storage is None)

    def as_role() -> Any:
        connection = psycopg.connect(postgres, autocommit=True)
        connection.execute(f"set role {role}")
        return connection

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create role {role}")
        connection.execute(f"grant select on {storage._table} to {role}")
        connection.execute(TABLE_OF_1_IN_POSTGRES.format(f"{storage._table}_old"))
        connection.execute(f"grant all on {storage._table}_old to {role}")
    reader = StoragePostgres(connect=as_role, table=storage._table)
    assert list(reader.list_keys("w-")) == ["w-b"]
    with pytest.raises(StorageError, match="permission denied"):
        reader.post("w-c", Context(1), ttl=5)
    reader.close()
    other = StoragePostgres(connect=as_role, table=f"{storage._table}_old")
    with pytest.raises(StorageError, match=r"alter table .*_old add column if not exists ends timestamptz"):
        other.get("w-a")
    other.close()


# -- a ttl for all that a storage writes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "sqlite", "postgres", "redis"])
def test_storage_with_a_ttl_gives_it_to_every_key(kind: str, make: Callable[..., Any]) -> None:
    """However it is written, but for what has one of its own."""
    storage, for_ever = make(kind, ttl=SHORT), make(kind)
    storage.post("w-a", Context(1))
    storage.post_many([("w-b", Context(1)), ("w-c", Context(1))])
    storage.create("w-d", Context(1))
    storage.atomic_swap("w-e", None, 1)
    for_ever.post("w-f", Context(1))
    storage.atomic_swap("w-f", 1, 2)
    storage.post("w-g", Context(1), ttl=3600)
    for_ever.post("w-h", Context(1))
    storage.post("w-last", Context(1))
    until(lambda: storage.get("w-last").storage is None)

    assert sorted(for_ever.list_keys("w-")) == ["w-g", "w-h"]


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db?ttl=60", "file:x?ttl=60", "redis://h/0?ttl=60", "postgresql://h/d?table=t&ttl=60.0"]
)
def test_ttl_stands_in_the_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a number; what is none is refused as it was written."""
    monkeypatch.chdir(tmp_path)

    storage: Any = storage_from(url)
    assert storage._lifetimes.of(None) == 60.0

    for wrong in ("week", "0", "-5", "nan", "1e3x"):
        with pytest.raises(ConfigurationError, match="ttl") as caught:
            storage_from(url.replace("60.0", "60").replace("ttl=60", f"ttl={wrong}"))
        assert wrong in str(caught.value)
    with pytest.raises(ConfigurationError, match="'ttl'"):
        storage_from("az://container?ttl=60")


def left(server: tuple[str, int], prefix: str) -> dict[str, int]:
    """Return the milliseconds that each key has to live, -1 for ever."""
    with redis.Redis(*server) as client:
        found = [key.decode() for key in client.scan_iter(f"{prefix}*", count=1000)]
        return {key.removeprefix(prefix): client.pttl(key) for key in found}


def test_runs_leave_nothing_for_ever_on_a_server(valkey: tuple[str, int], make: Callable[..., Any]) -> None:
    """Results, records and history of a run, of one that is resumed, and of one in the background."""
    storage = make("redis", ttl=3600)
    resumes(storage)

    found = left(valkey, storage._prefix)

    assert len(found) > 3
    assert all(3_500_000 < each <= 3_600_000 for each in found.values()), found


def test_lead_of_a_run_has_no_end(valkey: tuple[str, int], make: Callable[..., Any]) -> None:
    """It is held as long as its connection lives, however short the ttl is."""
    storage = make("redis", ttl=SHORT)
    release = storage.lock("w")
    storage.post("w-a", Context(1))
    until(lambda: storage.get("w-a").storage is None)

    assert left(valkey, storage._prefix) == {"lock:w": -1}
    release()
    assert left(valkey, storage._prefix) == {}


@pytest.mark.parametrize("kind", ["file", "sqlite", "postgres", "redis"])
def test_resumed_run_repeats_what_has_ended(kind: str, make: Callable[..., Any]) -> None:
    """A step whose result has ended runs again, and the run completes."""
    calls: list[str] = []

    @action
    def first() -> int:
        calls.append("first")
        return 1

    @action
    def second(previous_context: Context) -> int:
        calls.append("second")
        if calls.count("second") == 1:
            raise ValueError("not yet")
        return previous_context.storage + 1  # type: ignore[no-any-return]  # a number

    storage = make(kind, ttl=0.3)
    workflow = DotFlow(Config(storage=storage), workflow_id="w")
    workflow.task.add([first, second])
    assert workflow.start().status == "Failed"
    until(lambda: not list(storage.list_keys("w-")))

    assert workflow.start(resume=True).status == "Completed"

    assert calls == ["first", "second", "first", "second"]
    assert workflow.result_storage() == [1, 2]


def test_schedule_is_kept_by_two_processes_on_a_server_where_all_ends(valkey: tuple[str, int], tmp_path: Path) -> None:
    """Its claims hold: each tick runs once; and everything of it ends some day."""
    host, port = valkey
    prefix, log = f"t{uuid.uuid4().hex[:8]}:", tmp_path / "log"
    url = f"redis://{host}:{port}/0?prefix={prefix}&ttl=600"
    command = [sys.executable, "-W", "error", TICK_FLOW, url, "ticks", str(log), "0.1", "8", "0.6", "0.01"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    told = [each.communicate(timeout=60)[0] for each in both]

    assert [each.returncode for each in both] == [0, 0], told
    ran = [line.split()[:2] for line in log.read_text().splitlines()]
    assert len(ran) == len({tuple(each) for each in ran}) == 16
    found = left(valkey, prefix)
    assert any("_dotflow_schedule" in key for key in found)
    assert all(500_000 < each <= 600_000 for each in found.values()), found


def test_schedule_that_nobody_kept_for_longer_begins_anew(valkey: tuple[str, int], tmp_path: Path) -> None:
    """Its state has ended like everything else: ticks are counted from the start again."""
    host, port = valkey
    prefix = f"t{uuid.uuid4().hex[:8]}:"
    for round_ in range(2):
        log = tmp_path / f"log{round_}"
        url = f"redis://{host}:{port}/0?prefix={prefix}&ttl=0.9"
        command = [sys.executable, "-W", "error", TICK_FLOW, url, "ticks", str(log), "0.1", "2", "0.6", "0.01"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(log.read_text().splitlines()) == 4
        until(lambda: not left(valkey, prefix))
