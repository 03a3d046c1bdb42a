"""Disks that are full and folders that cannot be written, real ones; and keys of Valkey that are somebody else's."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import StorageError, StorageUnavailable
from dotflow.providers import StorageFile, StorageRedis, StorageSQLite

PROGRAM = """
import os, random, resource, subprocess, sys
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.core.exception import StorageError
from dotflow.providers import StorageFile, StorageSQLite

kind, folder, how = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
effects = []

@action
def small():
    effects.append("small")
    return 1

@action
def large():
    effects.append("large")
    return random.Random(1).randbytes(3_000_000)

@action
def after(previous_context):
    effects.append("after")
    return len(previous_context.storage)

def flow():
    storage = StorageFile(path=folder / "data") if kind == "file" else StorageSQLite(folder / "data.db")
    made = DotFlow(Config(storage=storage), workflow_id="w")
    made.task.add([small, large, after])
    return made

def room(megabytes):
    if how == "mount":
        words = [] if megabytes == 2 else ["-o", "remount"]
        subprocess.run(["mount", *words, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, resource.RLIM_INFINITY))
"""

FULL = """
room(2)
workflow = flow()
manager = workflow.start()
error = manager.tasks[1].errors[-1].error
assert str(manager.status) == "Failed" and isinstance(error, StorageError), (manager.status, error)
assert error.provider == type(workflow.config.storage).__name__ and error.key.startswith("w-large"), error
assert effects == ["small", "large"], effects
workflow.config.storage.close()
room(40)
manager = flow().start(resume=True)
assert str(manager.status) == "Completed", manager.tasks[1].errors
assert effects == ["small", "large", "large", "after"], effects
print(error)
"""

READ_ONLY = """
flow().start()
if how == "mount":
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder, folder], check=True)
else:
    for path in (folder, *folder.rglob("*")):
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        os.setuid(65534)
effects.clear()
for start in ({"resume": True}, {}):
    try:
        manager = flow().start(**start)
        error = next(task.errors[-1].error for task in manager.tasks if task.errors)
    except StorageError as raised:
        error = raised
    assert isinstance(error, StorageError) and error.provider.startswith("Storage"), error
    assert effects in ([], ["small"]), effects
print(error)
"""


@functools.cache
def can_mount() -> bool:
    """Whether this machine lets a process have mounts of its own."""
    try:
        trial = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(trial, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run(program: str, kind: str, folder: Path) -> str:
    folder.mkdir()
    folder.chmod(0o755)
    unshare, how = (["unshare", "--map-root-user", "--mount"], "mount") if can_mount() else ([], "limit")
    command = [*unshare, sys.executable, "-W", "error", "-c", PROGRAM + program, kind, str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_full_disk_fails_the_run_which_goes_on_when_there_is_room(kind: str, tmp_path: Path) -> None:
    """A file system of two megabytes: provider, key and what to do are told, and nothing half-written is in the way."""
    told = run(FULL, kind, tmp_path / "place")

    assert "free some space on its disk" in told or not can_mount()


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_read_only_folder_is_a_clear_error(kind: str, tmp_path: Path) -> None:
    """Mounted read-only; where that is not possible, without the right to write."""
    told = run(READ_ONLY, kind, tmp_path / "place")

    assert str(tmp_path / "place") in told


@action
def one() -> int:
    return 1


def test_key_of_another_program_is_a_clear_error(valkey: tuple[str, int]) -> None:
    """Of another type, no document of ours, or half of one: it is never taken for a value or for nothing."""
    prefix = f"t{uuid.uuid4().hex[:8]}:"
    storage = StorageRedis(*valkey, prefix=prefix)
    storage.post("w-whole", Context([1, 2, 3]))
    with redis.Redis(*valkey) as client:
        whole = client.get(f"{prefix}w-whole")
        client.rpush(f"{prefix}w-list", "a")
        client.set(f"{prefix}w-foreign", b"\xff\x00 not ours")
        client.set(f"{prefix}w-half", whole[: len(whole) // 2])
        client.set(f"{prefix}w-moved", whole)
    for key in ("w-list", "w-foreign", "w-half", "w-moved"):
        with pytest.raises(StorageError, match=f"StorageRedis.*{key}") as caught:
            storage.get(key)
        assert not isinstance(caught.value, StorageUnavailable)

    with redis.Redis(*valkey) as client:
        client.rpush(f"{prefix}w-one", "a")
    flow = DotFlow(Config(storage=storage), workflow_id="w")
    flow.task.add(one)
    with pytest.raises(StorageError, match="StorageRedis"):
        flow.start(resume=True)
    storage.close()


def test_database_that_is_not_there_is_an_error_at_once(valkey: tuple[str, int]) -> None:
    """A number that the server does not have."""
    storage = StorageRedis(*valkey, db=10_000)

    with pytest.raises(StorageError, match="StorageRedis.*out of range") as caught:
        storage.get("w-a")

    assert not isinstance(caught.value, StorageUnavailable)
    storage.close()


@pytest.mark.parametrize("kind", [StorageFile, StorageSQLite])
def test_folder_that_is_made_is_told_once(kind: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its name, as information: a place that is misspelt is made like any other."""
    caplog.set_level(logging.INFO, "dotflow")
    folder = tmp_path / "no" / "such"
    place = folder if kind is StorageFile else folder / "flow.db"

    for _ in range(2):
        storage = kind(place)
        storage.lock("w")()
        storage.post(key="w-a", context=Context(1))
        storage.close()

    assert caplog.messages == [f"made the folder {folder}"]
