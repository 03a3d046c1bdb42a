"""Locks of the storages on disk: one leader per workflow, one writer per folder.

The locks are the kernel's own. They go with the process that holds them, however it ends, and each use has a
file descriptor of its own, so that two locks of one process exclude each other too. The package ``filelock``
is not used here: importing it takes longer than resuming a thousand steps.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import WorkflowBusy
from dotflow.core.identity import alive, host, identity
from dotflow.providers._common import tell_of_forks
from dotflow.providers._saved import file_name

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.02  # seconds between two tries to become the leader

if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30  # Windows makes a locked byte unreadable: lock one that the file does not have

    def _flock(fd: int, block: bool) -> None:
        os.lseek(fd, FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_LOCK if block else msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _flock(fd: int, block: bool) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX if block else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class _Leading:
    """The locks that this process holds, by token, with their open files."""

    def __init__(self) -> None:
        self.files: dict[object, int] = {}
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Close the child's copies, which would keep the lock of a killed leader alive."""
        while self.files:
            os.close(self.files.popitem()[1])


_leading = _Leading()


def lead(folder: str, workflow_id: Any, wait: float) -> Callable[[], None]:
    """Become the one leader of *workflow_id* among all who use *folder*; return what gives it up.

    Raises:
        WorkflowBusy: another leader holds it still after *wait* seconds.
        OSError: *folder* cannot be used.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{file_name(str(workflow_id))}.lock")
    until = time.monotonic() + wait
    while (fd := _take(path)) is None:
        if (left := until - time.monotonic()) <= 0:
            raise WorkflowBusy(workflow_id, _holder(path))
        time.sleep(min(POLL, left))
    token, owner = object(), os.getpid()
    _leading.files[token] = fd

    def release() -> None:
        if os.getpid() != owner or (held := _leading.files.pop(token, None)) is None:
            return
        try:
            os.unlink(path)  # whoever waits with this file open sees that it has no name any more
        except OSError:
            pass  # a file that stays is taken over by the next leader
        os.close(held)

    return release


def _take(path: str) -> int | None:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(fd, block=False)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        if os.fstat(fd).st_nlink:
            break
        os.close(fd)  # the leader before removed the file between open and lock
    try:
        os.ftruncate(fd, 0)
        holder = {**identity(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.write(fd, json.dumps(holder).encode())
    except OSError:
        pass  # it only serves the message to others; the lock holds without it
    return fd


def _holder(path: str) -> str:
    for _ in range(5):
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if found["host"] != host() or alive(found) is not False:
                return f"process {found['pid']} on host {found['host']}, since {found['since']}"
        except (OSError, ValueError, TypeError, KeyError):
            pass
        time.sleep(0.005)  # the new leader is about to write its name
    return "another process"


class FolderGuard:
    """Lets one thread of one process at a time change a folder. Used with ``with``; not reentrant."""

    def __init__(self, path: str) -> None:
        self._path, self._fd, self._mutex = path, -1, threading.Lock()
        tell_of_forks(self)

    def __del__(self) -> None:
        self._drop()

    def __enter__(self) -> None:
        self._mutex.acquire()
        try:
            while True:
                if self._fd < 0:
                    os.makedirs(os.path.dirname(self._path), exist_ok=True)
                    self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                _flock(self._fd, block=True)
                if os.fstat(self._fd).st_nlink:
                    return
                self._drop()  # somebody removed the file, and others lock its successor
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            _unlock(self._fd)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._mutex:
            self._drop()

    def after_fork(self) -> None:
        """Leave the parent's open file, whose lock the two would share."""
        self._mutex = threading.Lock()
        self._drop()

    def _drop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
