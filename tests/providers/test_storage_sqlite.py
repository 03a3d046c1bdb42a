"""StorageSQLite: one file, a row per context, for any number of threads and processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from dotflow import Task, action
from dotflow.core.context import Context
from dotflow.core.exception import (
    ConfigurationError,
    CorruptCheckpoint,
    ResultNotStorable,
    StorageError,
    StorageUnavailable,
    WorkflowBusy,
)
from dotflow.providers.storage_sqlite import StorageSQLite

HOSTILE = [
    "../x",
    "'; drop table dotflow_contexts; --",
    '"',
    "%",
    "_",
    "a%",
    "a_",
    "x" * 5000,
    "ü",
    "🦆",
    "\U0010ffff",
    "\U0010ffff\U0010ffff",
    "nul\0byte",
    "nul\0other",
    "line\nbreak",
    "A",
    "a",
    "",
    "?",
    ":key",
    "-",
]
VALUES = [None, 0, "", [], [[]], [1], {"a": [1, 2.5, None, True]}, "ü\ud800\0", 10**40, "x" * 200_000]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "dotflow.db"


@pytest.fixture
def storage(path: Path) -> Iterator[StorageSQLite]:
    made = StorageSQLite(path)
    yield made
    made.close()


def run(code: str, *args: object) -> subprocess.Popen[str]:
    head = "import sys, time, os\nfrom dotflow.core.context import Context\n"
    head += "from dotflow.providers.storage_sqlite import StorageSQLite\nstorage = StorageSQLite(sys.argv[1])\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def execute(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_was_saved_comes_back_equal(storage: StorageSQLite, path: Path, value: object) -> None:
    """Value, ids and time, on another connection."""
    context = Context(value, "task", "workflow")
    context.time = datetime(2026, 11, 24, 20, 31, 5, 123456, tzinfo=UTC)
    storage.post("workflow-task", context)
    storage.close()

    other = StorageSQLite(path)
    found = other.get("workflow-task")
    other.close()

    assert found == context
    assert found.time == context.time


@pytest.mark.parametrize("workflow_id", [None, "any text", UUID(int=5), str(UUID(int=7))])
def test_ids_come_back(storage: StorageSQLite, workflow_id: UUID | str | None) -> None:
    """An id is what it was: none, a text, a UUID."""
    for task_id in (None, "", "t"):
        storage.post("k", Context(1, task_id, workflow_id))
        assert storage.get("k") == Context(1, task_id, workflow_id)


def test_it_can_be_read_without_dotflow(storage: StorageSQLite, path: Path) -> None:
    """A row has the key, the ids and the value as JSON; the last save wins."""

    @action
    def step() -> None:
        """Do nothing."""

    key = storage.key(Task("load", step, workflow_id="wf"))
    for value in ([1], [2]):
        storage.post(key, Context(value, "load", "wf"))

    rows = execute(path, "select key, workflow_id, task_id, value from dotflow_contexts")
    assert rows == [("wf-load", "wf", "load", "[2]")]
    assert storage.hands_on()


def test_making_one_does_nothing(path: Path) -> None:
    """The file is made when it is first used; a missing key is an empty context."""
    storage = StorageSQLite(path)
    assert not path.parent.exists()

    assert storage.get("nothing") == Context()
    assert storage.get_many([]) == {}
    assert path.exists()
    assert repr(storage) == f"StorageSQLite({str(path)!r})"
    storage.close()


@pytest.mark.parametrize("synchronous", ["OFF", "normal", "FULL", "EXTRA"])
def test_it_syncs_as_told_in_wal_mode(path: Path, synchronous: str) -> None:
    """The connection that writes has the level, and the file the journal mode."""
    storage = StorageSQLite(path, synchronous=synchronous)
    with storage._database.use() as connection:
        level = connection.execute("pragma synchronous").fetchone()[0]
        mode = connection.execute("pragma journal_mode").fetchone()[0]
    storage.close()

    assert (level, mode) == (["OFF", "NORMAL", "FULL", "EXTRA"].index(synchronous.upper()), "wal")


def test_hostile_keys_are_only_keys(storage: StorageSQLite) -> None:
    """Each is told from the others, listed, and found by its own prefix."""
    for number, key in enumerate(HOSTILE):
        storage.post(key, Context(number, key, key))

    assert [storage.get(key).storage for key in HOSTILE] == list(range(len(HOSTILE)))
    assert [found.storage for found in storage.get_many(HOSTILE).values()] != []
    assert set(storage.get_many(HOSTILE)) == set(HOSTILE)
    assert sorted(storage.list_keys()) == sorted(HOSTILE)
    for key in HOSTILE:
        assert sorted(storage.list_keys(key)) == sorted(other for other in HOSTILE if other.startswith(key))
    assert storage.delete_prefix("nul\0") == 2
    assert all(storage.delete(key) for key in HOSTILE if not key.startswith("nul"))
    assert list(storage.list_keys()) == []


def test_a_key_that_is_no_unicode_is_refused(storage: StorageSQLite) -> None:
    """With an error that names it."""
    for act in (lambda: storage.post("\ud800", Context(1)), lambda: storage.get("\ud800")):
        with pytest.raises(StorageError, match="valid Unicode") as caught:
            act()
        assert caught.value.key == "\ud800"


def test_thousands_are_read_at_once(storage: StorageSQLite) -> None:
    """More keys than one query takes; those that are missing are left out."""
    storage.post_many([(f"wf-{n}", Context(n)) for n in range(12_000)])

    found = storage.get_many([f"wf-{n}" for n in range(13_000)])

    assert {key: context.storage for key, context in found.items()} == {f"wf-{n}": n for n in range(12_000)}


def test_many_are_saved_all_or_none(storage: StorageSQLite, path: Path) -> None:
    """A value that cannot be saved, or a failure between two rows, keeps the others from being saved."""
    storage.post_many([("a", Context(1)), ("b", Context(2)), ("a", Context(3))])
    with pytest.raises(ResultNotStorable, match="'d'"):
        storage.post_many([("c", Context(1)), ("d", Context(object()))])
    with pytest.raises(StorageError, match="valid Unicode"):
        storage.post_many([("c", Context(1)), ("\ud800", Context(2))])

    assert storage.get_many(["a", "b", "c"]) == {"a": Context(3), "b": Context(2)}
    storage.post("d", Context(4))
    assert execute(path, "select count(*) from dotflow_contexts") == [(3,)]


def test_keys_are_removed_one_by_one_and_by_prefix(storage: StorageSQLite) -> None:
    """The answer tells what was there, and the empty prefix is refused."""
    storage.post_many([(key, Context(1)) for key in ("p-1", "p-2", "P-3", "q-1")])

    with pytest.raises(ValueError, match="would remove everything"):
        storage.delete_prefix("")
    assert storage.delete_prefix("p-") == 2
    assert storage.delete("q-1")
    assert not storage.delete("q-1")
    assert list(storage.list_keys()) == ["P-3"]


def test_clear_spares_other_workflows(storage: StorageSQLite) -> None:
    """Neither a longer id nor another one is touched, whatever the id looks like."""
    keys = [f"{wf}-{task}" for wf in ("wf-1", "wf-1-x", "wf-10", "wf_1", "wf%", "\0", "\0-\0") for task in "ab"]
    storage.post_many([(key, Context(1)) for key in keys])

    storage.clear(workflow_id="wf-1")
    storage.clear(workflow_id="wf%")
    storage.clear(workflow_id="\0")

    left = [key for key in keys if not key.startswith(("wf-1-a", "wf-1-b", "wf%", "\0-a", "\0-b"))]
    assert sorted(storage.list_keys()) == sorted(left)


def test_create_and_swap_look_before_they_write(storage: StorageSQLite) -> None:
    """Only an absent key is created, and only the expected value is replaced."""
    assert storage.create("k", Context([1], "t", "wf"))
    assert not storage.create("k", Context(2))
    assert not storage.atomic_swap("k", 2, 3)
    assert storage.atomic_swap("k", [1], {"n": 2})
    assert storage.get("k") == Context({"n": 2}, "t", "wf")
    assert storage.atomic_swap("new", None, Context(5, "u"))
    assert storage.get("new") == Context(5, "u")


COUNT = """
won = storage.create("once", Context(os.getpid()))
for n in range(int(sys.argv[2])):
    storage.post(f"{os.getpid()}-{n}", Context(n))
    while not storage.atomic_swap("n", value := storage.get("n").storage, (value or 0) + 1):
        pass
print(won)
"""


def test_processes_and_threads_on_one_new_file_lose_nothing(storage: StorageSQLite, path: Path) -> None:
    """All make the file at once, save, and count by swapping; of those that create one wins."""
    children = [run(COUNT, path, 150) for _ in range(3)]

    def work(name: str) -> None:
        for n in range(100):
            storage.post(f"{name}-{n}", Context(n))
            while not storage.atomic_swap("n", value := storage.get("n").storage, (value or 0) + 1):
                pass

    threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(child.communicate()[0].strip() for child in children) == ["False", "False", "True"]
    assert storage.get("n").storage == 650
    assert len(list(storage.list_keys())) == 652


POST = """
for n in range(10 ** 9):
    storage.post("k", Context({"n": n, "fill": "x" * (n % 5000), "size": n % 5000}))
    print(n, flush=True)
"""


def test_a_killed_writer_tears_nothing(storage: StorageSQLite, path: Path) -> None:
    """After SIGKILL at a random instant the key holds the last value that was announced, or the one after."""
    chance = random.Random(5)
    for _ in range(6):
        child = run(POST, path)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.random() * 0.1)
        child.send_signal(signal.SIGKILL)
        announced = int(([*child.stdout.read().splitlines()] or ["0"])[-1])
        child.wait()
        child.stdout.close()

        found = storage.get("k").storage

        assert found["n"] in (announced, announced + 1)
        assert len(found["fill"]) == found["size"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("workflow_id", "x"),
        ("workflow_id", None),
        ("task_id", "x"),
        ("time", 1.0),
        ("value", '{"n": 13}'),
        ("value", b'{"n": 12}'),
        ("checksum", 1),
        ("key", "other"),
    ],
)
def test_a_changed_field_is_found(storage: StorageSQLite, path: Path, column: str, value: object) -> None:
    """Whatever field it is."""
    storage.post("k", Context({"n": 12}, "t", "w"))
    storage.close()
    execute(path, f"update dotflow_contexts set {column} = ?", value)

    with pytest.raises(CorruptCheckpoint) as caught:
        storage.get("other" if column == "key" else "k")
    assert caught.value.provider == "StorageSQLite"


def test_a_right_checksum_does_not_make_a_value(storage: StorageSQLite, path: Path) -> None:
    """A value that is not JSON is found too."""
    storage.post("k", Context(1))
    checksum = zlib.crc32(b"k\0None\0\0{", zlib.crc32(struct.pack("<d", 1.0)))
    execute(path, "update dotflow_contexts set time = 1.0, value = '{', checksum = ?", checksum)

    with pytest.raises(CorruptCheckpoint, match="malformed"):
        storage.get("k")


def test_changed_bytes_of_the_file_give_no_wrong_value(storage: StorageSQLite, path: Path, tmp_path: Path) -> None:
    """With one byte of the file changed every value is right, missing, or an error that says so."""
    values = {f"wf-{n}": f"value {n} " * 30 for n in range(40)}
    storage.post_many([(key, Context(value, "t", "wf")) for key, value in values.items()])
    storage.close()
    whole, chance, found_out = path.read_bytes(), random.Random(7), 0
    for number in range(250):
        at = chance.randrange(len(whole))
        copy = tmp_path / f"{number}.db"
        copy.write_bytes(whole[:at] + bytes([whole[at] ^ chance.randrange(1, 256)]) + whole[at + 1 :])
        damaged = StorageSQLite(copy)
        try:
            for key, context in damaged.get_many(list(values)).items():
                assert context == Context(values[key], "t", "wf")
        except StorageError:
            found_out += 1
        finally:
            damaged.close()
    assert found_out > 100


def test_other_peoples_databases_are_left_alone(tmp_path: Path) -> None:
    """A table, an id or a version of another program; a later version of ours; no database at all."""
    theirs = {
        "table": ("create table books(title)", "another program.*'books'"),
        "ours": ("create table dotflow_contexts(x)", "another program.*'dotflow_contexts'"),
        "id": ("pragma application_id = 7", "another program.*7"),
        "version": ("pragma user_version = 3", "another program"),
    }
    for name, (statement, message) in theirs.items():
        path = tmp_path / f"{name}.db"
        execute(path, statement)
        before = path.read_bytes()
        storage = StorageSQLite(path)
        with pytest.raises(StorageError, match=message):
            storage.post("k", Context(1))
        assert path.read_bytes() == before

    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(StorageError, match=r"text\.db.*give another path"):
        StorageSQLite(tmp_path / "text.db").get("k")


def test_a_later_format_is_refused(storage: StorageSQLite, path: Path) -> None:
    """And the error says what to do."""
    storage.healthcheck()
    storage.close()
    execute(path, "pragma user_version = 3")

    with pytest.raises(StorageError, match=r"later dotflow \(format 3\); upgrade"):
        storage.get("k")


def test_a_writer_that_stays_makes_it_unavailable(path: Path) -> None:
    """Reading goes on; writing waits for the timeout, and the error says that it may pass."""
    storage = StorageSQLite(path, timeout=0.05)
    storage.post("k", Context(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")

    for act in (lambda: storage.post("k", Context(2)), lambda: storage.atomic_swap("k", 1, 2)):
        with pytest.raises(StorageUnavailable, match=str(path)) as caught:
            act()
        assert (caught.value.provider, caught.value.key) == ("StorageSQLite", "k")
    assert storage.get("k").storage == 1

    other.execute("rollback")
    other.close()
    storage.post("k", Context(3))
    storage.close()


def test_a_full_database_is_named(storage: StorageSQLite) -> None:
    """The old value stays, and there is something to do."""
    storage.post("k", Context("old"))
    with storage._database.use() as connection:
        connection.execute("pragma max_page_count = 3")

    with pytest.raises(StorageError, match="free some space") as caught:
        storage.post("k", Context("x" * 1_000_000))

    assert not isinstance(caught.value, StorageUnavailable)
    assert storage.get("k").storage == "old"


def test_paths_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A folder, and a file where a folder should be."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "x.db"):
        storage = StorageSQLite(path)
        with pytest.raises(StorageError, match="check that") as caught:
            storage.healthcheck()
        assert str(path) in str(caught.value)
        assert not isinstance(caught.value, StorageUnavailable)
    with pytest.raises(StorageError, match="check that"):
        StorageSQLite(tmp_path / "file" / "x.db").lock("wf")


@pytest.mark.parametrize(
    "arguments",
    [{"path": ""}, {"path": ":memory:"}, {"path": "a\0"}, {"synchronous": "fast; drop"}, {"timeout": -1}],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object]) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        StorageSQLite(**arguments)  # type: ignore[arg-type]


def test_it_may_be_used_after_it_was_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And from another working folder than it was made in."""
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    storage = StorageSQLite("x.db")
    monkeypatch.chdir("/")
    storage.post("k", Context(1))
    storage.close()
    storage.close()

    assert storage.get("k").storage == 1
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".db"] == ["x.db"]
    storage.close()


def test_an_interrupt_in_a_transaction_leaves_none_open(storage: StorageSQLite, path: Path) -> None:
    """What is saved next is saved for others too."""
    with pytest.raises(KeyboardInterrupt), storage._database.transaction():
        raise KeyboardInterrupt
    storage.post("k", Context(1))

    assert execute(path, "select key from dotflow_contexts") == [("k",)]


def write_in_child(storage: StorageSQLite) -> None:
    for n in range(200):
        storage.post(f"child-{n}", Context(n))
    storage.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_parent_and_forked_children_write_side_by_side(storage: StorageSQLite, path: Path) -> None:
    """A child opens a connection of its own, even if a thread of the parent is writing at the fork."""

    def work() -> None:
        for n in range(400):
            storage.post(f"parent-{n}", Context(n))

    thread = threading.Thread(target=work)
    thread.start()
    for n in range(3):
        storage.post(f"before-{n}", Context(n))
        child = multiprocessing.get_context("fork").Process(target=write_in_child, args=(storage,))
        child.start()
        child.join()
        assert child.exitcode == 0
    thread.join()

    assert len(list(storage.list_keys())) == 603
    assert execute(path, "pragma integrity_check") == [("ok",)]


FORKING = """
storage.post("parent", Context(1))
if os.fork() == 0:
    os.close(1)
    storage.post("child", Context(1))
    time.sleep(0.5)
    for n in range(100):
        storage.post(f"child-{n}", Context(n))
    os._exit(0)
print("forked", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_outlives_its_parent(storage: StorageSQLite, path: Path) -> None:
    """Others that open the file when the parent is gone do not pull it away from the child."""
    child = run(FORKING, path)
    child.communicate()
    for n in range(300):
        storage.post(f"other-{n}", Context(n))
        storage.close()
    until = time.monotonic() + 10
    while len(list(storage.list_keys())) < 402 and time.monotonic() < until:
        time.sleep(0.02)

    assert len(list(storage.list_keys())) == 402
    assert execute(path, "pragma integrity_check") == [("ok",)]


def test_a_second_leader_is_refused_by_name(storage: StorageSQLite, path: Path) -> None:
    """In one process as well, and only for the same workflow; giving up twice does no harm."""
    release = storage.lock("wf")

    with pytest.raises(WorkflowBusy, match=rf"process {os.getpid()} on host .+, since \d{{4}}-.+\+00:00"):
        StorageSQLite(path).lock("wf")
    storage.lock("../wf")()
    release()
    release()
    again = storage.lock("wf")
    release()
    with pytest.raises(WorkflowBusy):
        storage.lock("wf")
    again()

    assert list(Path(f"{path}-locks").iterdir()) == []


LEAD = "release = storage.lock('wf')\nprint('held', flush=True)\ntime.sleep(60)"


def test_a_killed_leader_holds_nothing(storage: StorageSQLite, path: Path) -> None:
    """Its lock goes with it, and who waits gets it."""
    child = run(LEAD, path)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(WorkflowBusy, match=f"process {child.pid} on host"):
        storage.lock("wf", wait=0.05)

    threading.Timer(0.2, child.kill).start()
    storage.lock("wf", wait=10)()
    child.wait()
    child.stdout.close()


def test_a_leader_whose_name_cannot_be_read_is_told_as_such(storage: StorageSQLite, path: Path) -> None:
    """Neither an empty file nor the name of a process that is gone is passed on."""
    release = storage.lock("wf")
    [file] = Path(f"{path}-locks").iterdir()
    gone = {**json.loads(file.read_text()), "pid": 2**22 + 1, "started": "1"}
    for text in ("", "[]", json.dumps(gone)):
        file.write_text(text)
        with pytest.raises(WorkflowBusy, match="run by another process"):
            storage.lock("wf")
    release()


def test_a_copied_file_is_a_database_of_its_own(storage: StorageSQLite, path: Path, tmp_path: Path) -> None:
    """After closing, the one file holds everything."""
    storage.post("k", Context(1))
    storage.close()
    shutil.copy(path, tmp_path / "copy.db")

    copy = StorageSQLite(tmp_path / "copy.db")
    assert copy.get("k").storage == 1
    copy.close()
