"""A folder of documents that are replaced whole, shared by threads and processes."""

from __future__ import annotations

import errno
import itertools
import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dotflow.core.context import Context
from dotflow.core.exception import StorageError
from dotflow.providers._common import make_folder, tell_of_forks
from dotflow.providers._endings import Endings
from dotflow.providers._lock import FolderGuard
from dotflow.providers._saved import document_of, file_name, key_of, read_document, read_ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PART, BATCH = ".part", ".batch"
OLD = 3600.0  # seconds after which a temporary file has no writer any more
MUCH = 1 << 16
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
ADVICE = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some of the quota of its disk",
    errno.EROFS: "its disk is read-only; give another path",
    errno.EACCES: "make the folder and its files readable and writable",
    errno.EPERM: "make the folder and its files readable and writable",
    errno.ENOTDIR: "a file is in the place of the folder; give another path",
    errno.EEXIST: "a file is in the place of the folder; give another path",
    errno.EMFILE: "raise the limit of open files",
}
_numbers = itertools.count()


class Folder:
    """Puts, reads and removes the documents in ``<path>/tasks``.

    A file is written beside its place, synced, and renamed. Renaming and removing are done under one guard,
    which makes ``replace`` a compare-and-swap among all users of the folder.

    Measured on ext4, a save that syncs the folder too takes 1.7 to 2 times as long as one that only writes,
    syncs and renames; a save without it 1.2 times. A power cut tears nothing without it, and undoes at most
    what the file system has not committed, which the sync of the next file does. So ``put`` does it only on
    demand; ``close`` and the rarer changes always do.

    Args:
        path: The folder above.
        fsync: Whether files are synced before they are renamed.
        each: Whether the folder is synced after each ``put`` too.
        provider: Named in errors.
    """

    def __init__(self, path: str, fsync: bool, each: bool, provider: str) -> None:
        self._fd, self._opening = -1, threading.Lock()
        self._tasks, self._fsync, self._each, self._provider = (
            os.path.join(path, "tasks"),
            fsync,
            each,
            provider,
        )
        self._batch = os.path.join(self._tasks, BATCH)
        self._endings = Endings(os.path.join(path, "ends"))
        self._guard = FolderGuard(os.path.join(path, "locks", ".tasks"))
        tell_of_forks(self)
        with self.blame():
            make_folder(path)
            os.makedirs(self._tasks, exist_ok=True)
        self.sweep()
        if os.path.exists(self._batch):
            with self.blame(), self._changes():
                pass

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self, key: str) -> Context | None:
        """Return what is there under *key*."""
        path = self._place(key)
        with self.blame(key):
            try:
                data = _content(path)
            except FileNotFoundError:
                if os.path.isdir(self._tasks):
                    return None
                raise  # a folder that is gone is no missing key
        _, found, ends = read_ending(data, self._provider, path, key)
        return None if ends is not None and ends <= time.time() else found

    def put(self, key: str, document: bytes, ends: float | None = None) -> None:
        """Save *document*, which *ends* then."""
        with self.blame(key):
            part = self._write(document)
            with _removed_on_failure(part), self._changes():
                self._endings.note(file_name(key), ends)
                os.replace(part, self._place(key))
            if self._each:
                self._sync()

    def replace(self, key: str, choose: Callable[[Context | None], bytes | None], ends: float | None = None) -> bool:
        """Save what *choose* makes of what is there, unless it is ``None``; return whether it was saved."""
        with self.blame(key), self._changes():
            document = choose(self.read(key))
            if document is None:
                return False
            part = self._write(document)
            with _removed_on_failure(part):
                self._endings.note(file_name(key), ends)
                os.replace(part, self._place(key))
            self._sync()
        return True

    def put_many(self, documents: Mapping[str, bytes], ends: float | None = None) -> None:
        """Save all of *documents*, or none: a list of them is there first, from which it can be finished."""
        whole = Context({file_name(key): document.decode() for key, document in documents.items()})
        batch = document_of(BATCH, whole, self._provider)
        with self.blame(), self._changes():
            part = self._write(batch)
            with _removed_on_failure(part):
                for key in documents:
                    self._endings.note(file_name(key), ends)
                os.replace(part, self._batch)
            self._sync()
            self._finish_batch()

    def remove(self, choose: Callable[[], Iterable[str]]) -> int:
        """Remove the keys that *choose* gives; return how many there were."""
        gone = 0
        with self.blame(), self._changes():
            self._remove_ended()
            for key in choose():
                try:
                    os.unlink(self._place(key))
                    gone += 1
                except FileNotFoundError:
                    pass
            if gone:
                self._sync()
        return gone

    def __iter__(self) -> Iterator[str]:
        """Yield every key; a file that names none is passed over."""
        with self.blame():
            names = os.listdir(self._tasks)
            ended = {name for name in self._endings.due() if self._has_ended(name)}
        for name in names:
            if name.startswith(".") or name in ended:
                continue
            key = key_of(name)
            if key is None:  # shortened: the document tells
                try:
                    path = os.path.join(self._tasks, name)
                    key = read_document(_content(path), self._provider, path, None)[0]
                except (StorageError, OSError):
                    continue
                if key is None or file_name(key) != name:
                    continue
            yield key

    def sweep_ended(self) -> None:
        """Remove the documents that have ended, where the folder can be written."""
        if self._endings.due() and os.access(self._tasks, os.W_OK):
            with self.blame(), self._changes():
                self._remove_ended()

    def sweep(self) -> None:
        """Remove the temporary files that killed processes left."""
        with self.blame():
            for name in os.listdir(self._tasks):
                if name.startswith(".") and name.endswith(PART):
                    path = os.path.join(self._tasks, name)
                    try:
                        if time.time() - os.stat(path).st_mtime > OLD:
                            os.unlink(path)
                    except OSError:
                        pass  # its writer, or another sweeper, was faster; a stranger's stays

    def try_out(self) -> None:
        """Write a file and remove it."""
        with self.blame():
            with self._changes():
                pass
            os.unlink(self._write(b"a trial"))
            self._sync()

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        if os.path.isdir(self._tasks):
            with self.blame():
                self._sync()
        self._guard.close()
        self.after_fork()

    def after_fork(self) -> None:
        """Close the folder; a child opens its own."""
        self._opening = threading.Lock()
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @contextmanager
    def blame(self, key: str | None = None) -> Iterator[None]:
        """Turn an ``OSError`` into one that tells provider, key, path and what to do."""
        try:
            yield
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            advice = ADVICE.get(error.errno or 0, "check the folder and its disk")
            raise StorageError(
                f"the folder {self._tasks!r}: {error}; {advice}", provider=self._provider, key=key
            ) from error

    def _place(self, key: str) -> str:
        return os.path.join(self._tasks, file_name(key))

    @contextmanager
    def _changes(self) -> Iterator[None]:
        with self._guard:
            if os.path.exists(self._batch):
                self._finish_batch()
            yield

    def _remove_ended(self) -> None:
        """Remove what has ended; nobody writes meanwhile."""
        for name in self._endings.due():
            try:
                ends = self._end_of(name)
            except StorageError:
                continue  # damaged: told to whoever reads it
            if ends is not None and ends > time.time():
                self._endings.note(name, ends)  # it was copied here, with other times
                continue
            if ends is not None:
                os.unlink(os.path.join(self._tasks, name))
            self._endings.drop(name)

    def _has_ended(self, name: str) -> bool:
        try:
            ends = self._end_of(name)
        except StorageError:
            return False  # damaged: told to whoever reads it
        return ends is not None and ends <= time.time()

    def _end_of(self, name: str) -> float | None:
        """Return the end of a document, ``None`` if it has none or is not there."""
        path = os.path.join(self._tasks, name)
        try:
            return read_ending(_content(path), self._provider, path, None)[2]
        except FileNotFoundError:
            return None

    def _finish_batch(self) -> None:
        _, whole = read_document(_content(self._batch), self._provider, self._batch, BATCH)
        for name, document in whole.storage.items():
            part = self._write(document.encode())
            with _removed_on_failure(part):
                os.replace(part, os.path.join(self._tasks, name))
        self._sync()
        os.unlink(self._batch)

    def _write(self, document: bytes) -> str:
        path = os.path.join(self._tasks, f".{os.getpid()}-{next(_numbers)}-{time.time_ns():x}{PART}")
        fd = os.open(path, NEW, 0o666)
        with _removed_on_failure(path):
            try:
                view = memoryview(document)
                while view:
                    view = view[os.write(fd, view) :]
                if self._fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)
        return path

    def _sync(self) -> None:
        if not self._fsync or sys.platform == "win32":  # Windows opens no folders
            return
        if self._fd < 0:
            with self._opening:
                if self._fd < 0:
                    self._fd = os.open(self._tasks, os.O_RDONLY)
        os.fsync(self._fd)


def _content(path: str) -> bytes:
    fd = os.open(path, READ)
    try:
        parts = [os.read(fd, MUCH)]
        while len(parts[-1]) == MUCH:
            parts.append(os.read(fd, MUCH))
        return b"".join(parts)
    finally:
        os.close(fd)


@contextmanager
def _removed_on_failure(path: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        try:
            os.unlink(path)
        except OSError:
            pass
        raise
