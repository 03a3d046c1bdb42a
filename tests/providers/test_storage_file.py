"""StorageFile: a file per context, whole or absent, whatever happens."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
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
    WorkflowBusy,
)
from dotflow.providers._saved import file_name, key_of
from dotflow.providers.storage_file import StorageFile

HOSTILE = [
    "../x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "C:\\x",
    "a:b|c*?<>\"'",
    "con",
    "CON.json",
    "lpt1.json",
    "nul",
    "x" * 512,
    "x" * 511 + "y",
    "x" * 512 + ".json",
    "ü" * 200,
    "день-шаг.json",
    "🦆",
    "\ud800",
    "nul\0byte",
    "line\nbreak",
    "A",
    "a",
    "a.json",
    "A.json",
    "aB",
    "Ab",
    "%41",
    "a%2fb",
    "a~b",
    "a ",
    "a.",
    " a",
    "",
    "-",
    "~0123456789abcdef0123456789abcdef",
]
VALUES = [None, 0, "", [], [[]], [1], {"a": [1, 2.5, None, True]}, "ü\ud800\0", 10**40, "x" * 200_000]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[StorageFile]:
    made = StorageFile(path=tmp_path)
    yield made
    made.close()


def files(folder: Path) -> list[Path]:
    return sorted((folder / "tasks").iterdir())


def run(code: str, *args: object) -> subprocess.Popen[str]:
    head = "import sys, time, os\nfrom dotflow.core.context import Context\n"
    head += "from dotflow.providers.storage_file import StorageFile\nstorage = StorageFile(path=sys.argv[1])\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, args)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_was_saved_comes_back_equal(storage: StorageFile, value: object) -> None:
    """Value, ids and time, in another object that reads the same folder."""
    context = Context(value, "task", "workflow")
    context.time = datetime(2026, 11, 24, 20, 31, 5, 123456, tzinfo=UTC)

    storage.post("workflow-task.json", context)

    found = StorageFile(path=storage._path).get("workflow-task.json")
    assert found == context
    assert found.time == context.time


@pytest.mark.parametrize("workflow_id", [None, "any text", UUID(int=5), str(UUID(int=7))])
def test_ids_come_back(storage: StorageFile, workflow_id: UUID | str | None) -> None:
    """An id is what it was: none, a text, a UUID."""
    for task_id in (None, "", "t"):
        storage.post("k", Context(1, task_id, workflow_id))
        assert storage.get("k") == Context(1, task_id, workflow_id)


def test_the_key_is_the_one_of_dotflow_1(storage: StorageFile, tmp_path: Path) -> None:
    """Workflow, dash, task, ``.json``: also the name of the file."""

    @action
    def step() -> None:
        """Do nothing."""

    key = storage.key(Task("load", step, workflow_id="wf"))
    storage.post(key, Context(1))

    assert key == "wf-load.json"
    assert (tmp_path / "tasks" / "wf-load.json").is_file()


def test_the_file_is_json_that_says_whose_it_is(storage: StorageFile, tmp_path: Path) -> None:
    """Anybody can read it."""
    storage.post("k", Context([1], "t", "w"))

    found = json.loads((tmp_path / "tasks" / "k").read_text())

    assert (found["dotflow"], found["key"], found["value"]) == (1, "k", [1])
    assert (found["task_id"], found["workflow_id"]) == ("t", "w")


def test_the_last_save_wins(storage: StorageFile, tmp_path: Path) -> None:
    """Nothing piles up, and no temporary file stays."""
    for value in range(3):
        storage.post("k", Context(value))

    assert storage.get("k").storage == 2
    assert len(files(tmp_path)) == 1


def test_a_missing_key_is_an_empty_context(storage: StorageFile) -> None:
    """It is told apart from a folder that is gone."""
    assert storage.get("nothing") == Context()

    (Path(storage._path) / "tasks").rmdir()

    with pytest.raises(StorageError, match="tasks") as caught:
        storage.get("nothing")
    assert (caught.value.provider, caught.value.key) == ("StorageFile", "nothing")


def test_hostile_keys_stay_in_the_folder_and_apart(storage: StorageFile, tmp_path: Path) -> None:
    """Every key has a file of its own, even where capital letters do not count."""
    for number, key in enumerate(HOSTILE):
        storage.post(key, Context(number))

    assert [storage.get(key).storage for key in HOSTILE] == list(range(len(HOSTILE)))
    assert sorted(storage.list_keys()) == sorted(HOSTILE)
    names = [path.name for path in files(tmp_path)]
    assert len({name.lower() for name in names}) == len(HOSTILE)
    assert all(len(name) <= 200 and not name.startswith(".") for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "tasks"]
    assert all(storage.delete(key) for key in HOSTILE)
    assert files(tmp_path) == []


def test_names_tell_their_keys() -> None:
    """Random keys are told from each other by their names alone, or by their documents."""
    chance, seen = random.Random(1), {}
    for _ in range(3000):
        key = "".join(chance.choice("aAbB.%~/-_é\0") for _ in range(chance.randrange(8)))
        name = file_name(key)
        assert seen.setdefault(name.lower(), key) == key
        assert key_of(name) in (key, None)


def test_every_changed_byte_is_found(storage: StorageFile, tmp_path: Path) -> None:
    """One damaged byte, and every cut, gives the right value or names the file."""
    context = Context({"n": 12}, "t", "w")
    storage.post("k", context)
    path = tmp_path / "tasks" / "k"
    whole = path.read_bytes()

    damaged = [
        whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :] for at in range(len(whole)) for flip in (1, 32, 255)
    ]
    damaged += [whole[:at] for at in range(len(whole))]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(CorruptCheckpoint, match="tasks/k"):
            storage.get("k")
    path.write_bytes(whole)
    assert storage.get("k") == context


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"hello", b'{"dotflow": 1}', b"\0" * 100, b"[1", b"\xff\xfe", b"[" * 99999]
)
def test_a_strange_file_is_refused_and_can_be_replaced(storage: StorageFile, tmp_path: Path, data: bytes) -> None:
    """It is never taken for a missing one."""
    (tmp_path / "tasks" / "k").write_bytes(data)

    with pytest.raises(CorruptCheckpoint, match="tasks/k"):
        storage.get("k")
    with pytest.raises(CorruptCheckpoint):
        storage.create("k", Context(1))
    storage.post("k", Context(2))
    assert storage.get("k").storage == 2


def test_a_right_checksum_does_not_make_a_document(storage: StorageFile, tmp_path: Path) -> None:
    """Fields that are missing or of another type are found too."""
    import zlib

    for body in (
        b'"x": 1}',
        b'"key": "k"',
        b'"key": "k", "time": [], "value": 1, "task_id": 1, "workflow_id": 1}',
    ):
        data = b'{"dotflow": 1, "check": "%08x", ' % zlib.crc32(body) + body
        (tmp_path / "tasks" / "k").write_bytes(data)
        with pytest.raises(CorruptCheckpoint, match="malformed"):
            storage.get("k")


def test_a_file_under_another_name_is_refused(storage: StorageFile, tmp_path: Path) -> None:
    """One task cannot be handed the checkpoint of another by renaming."""
    storage.post("a", Context(1))
    (tmp_path / "tasks" / "a").rename(tmp_path / "tasks" / "b")

    with pytest.raises(CorruptCheckpoint, match="holds the key 'a'"):
        storage.get("b")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("[]", None),
        ('["{\\"a\\": 1}"]', {"a": 1}),
        ('["not json"]', "not json"),
        ('[{"a": 1}]', {"a": 1}),
        ('["1", "2"]', [Context(1), Context(2)]),
    ],
)
def test_files_of_dotflow_1_are_read(storage: StorageFile, tmp_path: Path, data: str, value: object) -> None:
    """A list of JSON texts, and what else 1.x accepted."""
    (tmp_path / "tasks" / "k").write_text(data)

    assert storage.get("k").storage == value


def test_many_are_saved_all_or_none(storage: StorageFile) -> None:
    """A value that cannot be saved keeps the others from being saved; one save of a key is the last."""
    storage.post_many([("a", Context(1)), ("b", Context(2)), ("a", Context(3))])
    with pytest.raises(ResultNotStorable, match="'d'"):
        storage.post_many([("c", Context(1)), ("d", Context(object()))])

    assert storage.get_many(["a", "b", "c", "d"]) == {"a": Context(3), "b": Context(2)}


def test_an_interrupted_batch_is_finished(storage: StorageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What died between the first and the last file is completed by the next user, before anything else."""
    replace, done = os.replace, []

    def breaks(source: str, target: str) -> None:
        done.append(target)
        if len(done) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", breaks)
        with pytest.raises(KeyboardInterrupt):
            storage.post_many([("a", Context(1)), ("b", Context(2)), ("c", Context(3))])
    assert sorted(storage.list_keys()) == ["a"]

    storage.post("b", Context("newer"))

    assert [storage.get(key).storage for key in "abc"] == [1, "newer", 3]
    assert sorted(StorageFile(path=storage._path).list_keys()) == ["a", "b", "c"]


def test_keys_are_listed_and_removed_by_prefix(storage: StorageFile) -> None:
    """The empty prefix is refused."""
    storage.post_many([(key, Context(1)) for key in ("p-1", "p-2", "P-3", "q-1")])

    assert sorted(storage.list_keys("p-")) == ["p-1", "p-2"]
    with pytest.raises(ValueError, match="would remove everything"):
        storage.delete_prefix("")
    assert storage.delete_prefix("p-") == 2
    assert not storage.delete("p-1")
    assert sorted(storage.list_keys()) == ["P-3", "q-1"]


def test_clear_spares_other_workflows(storage: StorageFile) -> None:
    """Neither a longer id nor another one is touched."""
    storage.post_many([(key, Context(1)) for key in ("wf-1-a.json", "wf-1-x-a.json", "wf-10-a.json", "Wf-1-a.json")])

    storage.clear(workflow_id="wf-1")

    assert sorted(storage.list_keys()) == ["Wf-1-a.json", "wf-1-x-a.json", "wf-10-a.json"]


def test_leftovers_are_no_keys_and_go_when_they_are_old(storage: StorageFile, tmp_path: Path) -> None:
    """A temporary file of a writer that may live stays."""
    old, young = (tmp_path / "tasks" / name for name in (".1-1-1.part", ".1-2-1.part"))
    for path in (old, young):
        path.write_text("{")
    os.utime(old, (1, 1))

    assert list(storage.list_keys()) == []
    StorageFile(path=tmp_path)

    assert files(tmp_path) == [young]


def test_create_and_swap_look_before_they_write(storage: StorageFile) -> None:
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
for _ in range(int(sys.argv[2])):
    while not storage.atomic_swap("n", value := storage.get("n").storage, (value or 0) + 1):
        pass
print(won)
"""


def test_two_processes_count_without_losing_one(storage: StorageFile, tmp_path: Path) -> None:
    """Of two that create one wins; swaps are compared and made in one step, among threads too."""
    children = [run(COUNT, tmp_path, 60) for _ in range(2)]

    def work() -> None:
        for _ in range(30):
            while not storage.atomic_swap("n", value := storage.get("n").storage, (value or 0) + 1):
                pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(child.communicate()[0].strip() for child in children) == ["False", "True"]
    assert storage.get("n").storage == 180


POST = """
for n in range(10 ** 9):
    storage.post("k", Context({"n": n, "fill": "x" * (n % 5000), "size": n % 5000}))
    print(n, flush=True)
"""


def test_a_killed_writer_tears_nothing(storage: StorageFile, tmp_path: Path) -> None:
    """After SIGKILL at a random instant the key holds the last value that was announced, or the one after."""
    chance = random.Random(3)
    for _ in range(6):
        child = run(POST, tmp_path)
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
        assert list(storage.list_keys()) == ["k"]


def test_a_second_leader_is_refused_by_name(storage: StorageFile) -> None:
    """In one process as well, and only for the same workflow; giving up twice does no harm."""
    release = storage.lock("wf")

    with pytest.raises(WorkflowBusy, match=rf"process {os.getpid()} on host .+, since \d{{4}}-.+\+00:00"):
        StorageFile(path=storage._path).lock("wf")
    other = storage.lock("../wf")
    release()
    release()
    again = storage.lock("wf")
    release()
    with pytest.raises(WorkflowBusy):
        storage.lock("wf")

    again()
    other()
    assert [path.name for path in (Path(storage._path) / "locks").iterdir() if path.suffix] == []


LEAD = "release = storage.lock('wf')\nprint('held', flush=True)\ntime.sleep(60)"


def test_a_killed_leader_holds_nothing(storage: StorageFile, tmp_path: Path) -> None:
    """Its lock goes with it, and who waits gets it."""
    child = run(LEAD, tmp_path)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(WorkflowBusy, match=f"process {child.pid} on host"):
        storage.lock("wf", wait=0.05)

    threading.Timer(0.2, child.kill).start()
    storage.lock("wf", wait=10)()
    child.wait()
    child.stdout.close()


FORKING = """
release = storage.lock('wf')
if os.fork() == 0:
    release()
    time.sleep(60)
os.write(1, b'held\\n')  # in one piece: two processes write here
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_neither_keeps_nor_gives_up_the_lead(storage: StorageFile, tmp_path: Path) -> None:
    """The lock is the parent's alone: a child that outlives it holds nothing."""
    code = FORKING.replace("release()\n", "release()\n    os.write(1, b'%d\\n' % os.getpid())\n", 1)
    child = run(code, tmp_path)
    assert child.stdout is not None
    lines = [child.stdout.readline().strip() for _ in range(2)]
    grandchild = next(int(line) for line in lines if line.isdigit())
    try:
        with pytest.raises(WorkflowBusy):
            storage.lock("wf")
        child.kill()
        child.wait()
        storage.lock("wf", wait=2)()
    finally:
        os.kill(grandchild, signal.SIGKILL)
        child.stdout.close()


def test_leaders_take_turns(tmp_path: Path) -> None:
    """Many threads that wait for one workflow never lead it together."""
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        release = StorageFile(path=tmp_path).lock("wf", wait=20)
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        inside -= 1
        done += 1
        release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 8)


def write_in_child(storage: StorageFile) -> None:
    for n in range(20):
        storage.post(f"child-{n}", Context(n))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_parent_and_forked_child_write_side_by_side(storage: StorageFile) -> None:
    """What was open before the fork is not shared."""
    storage.post("before", Context(1))
    child = multiprocessing.get_context("fork").Process(target=write_in_child, args=(storage,))
    child.start()
    for n in range(20):
        storage.post(f"parent-{n}", Context(n))
    child.join()

    assert child.exitcode == 0
    assert len(list(storage.list_keys())) == 41


def test_errors_tell_where_and_what_to_do(tmp_path: Path) -> None:
    """A file in the place of the folder, and a value that is not JSON."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/tasks.*give another path") as caught:
        StorageFile(path=tmp_path / "file")
    assert caught.value.provider == "StorageFile"

    with pytest.raises(ResultNotStorable, match="'k'"):
        StorageFile(path=tmp_path).post("k", Context(object()))
    (tmp_path / "tasks" / "folder").mkdir()
    with pytest.raises(StorageError, match="folder") as caught:
        StorageFile(path=tmp_path).post("folder", Context(1))
    assert caught.value.key == "folder"
    assert [path.name for path in files(tmp_path)] == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_named(storage: StorageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old value stays, and no part of the new one."""
    storage.post("k", Context("old"))
    full = os.open("/dev/full", os.O_WRONLY)
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr(os, "write", lambda fd, data: write(full, data))
        with pytest.raises(StorageError, match="free some space"):
            storage.post("k", Context("new"))
        with pytest.raises(StorageError, match="free some space"):
            storage.healthcheck()
    os.close(full)

    assert storage.get("k").storage == "old"
    assert len(files(Path(storage._path))) == 1
    storage.healthcheck()


@pytest.mark.parametrize("arguments", [{"path": ""}, {"path": "a\0b"}, {"fsync": "sometimes"}])
def test_wrong_arguments_are_refused(arguments: dict[str, str]) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigurationError, match=repr(next(iter(arguments)))[1:-1]):
        StorageFile(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("fsync", [True, False, "full"])
def test_it_works_however_it_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool | str) -> None:
    """The path may change meaning later, and the storage may be used after it was closed."""
    monkeypatch.chdir(tmp_path)
    storage = StorageFile(path="out", fsync=fsync, bucket="ignored")
    monkeypatch.chdir("/")
    storage.post("k", Context(1))
    storage.close()
    storage.post("k", Context(2))
    storage.close()

    assert StorageFile(str(tmp_path / "out")).get("k").storage == 2
    assert repr(storage) == f"StorageFile(path={str(tmp_path / 'out')!r})"
