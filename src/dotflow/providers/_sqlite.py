"""A SQLite database of contexts: how it is opened, shared, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakSet

from dotflow.core.exception import CorruptCheckpoint, StorageError, StorageUnavailable
from dotflow.providers._common import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION, VERSION = 0x646F7466, 2  # "dotf"; 1 had no ends

# The key is the one index, so that a save writes one B-tree (one more, on workflow_id, makes a save 60 %
# slower); the keys of a workflow are a range of it.
TABLE = """create table dotflow_contexts(key text primary key, workflow_id text, task_id text,
time real not null, value text not null, checksum integer not null, ends real) without rowid"""
# Made where a row ends for the first time, so that others pay nothing for it.
INDEX = "create index if not exists dotflow_ends on dotflow_contexts(ends) where ends is not null"
SWEEP = "delete from dotflow_contexts where ends <= ?"
FROM_1 = "alter table dotflow_contexts add column ends real"
SEEN_FROM_1 = "create temp view dotflow_contexts as select *, null as ends from main.dotflow_contexts"

PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
ADVICE = {
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "check that it is a file, and that it and its folder can be read and written",
    sqlite3.SQLITE_PERM: "make the file and its folder readable and writable",
    sqlite3.SQLITE_IOERR: "check its disk",
    sqlite3.SQLITE_NOTADB: "give another path, or restore the file",
    sqlite3.SQLITE_CORRUPT: "restore the file from a copy, or remove it to start anew",
    sqlite3.SQLITE_TOOBIG: "return less from the step, or a reference to where the data is",
}
_inherited: list[sqlite3.Connection] = []  # never closed: that would harm the parent


class Database:
    """One connection, opened when it is first used, for all threads of a process.

    SQLite's own state in memory does not survive a fork: a child that opened the file again would believe in
    locks that only its parent has. So the connection is closed for the time of a fork.
    """

    def __init__(self, path: str, synchronous: str, timeout: float, provider: str) -> None:
        self._connection: sqlite3.Connection | None = None
        self.path, self._synchronous, self._timeout, self._provider = path, synchronous, timeout, provider
        self._mutex, self._forking = threading.Lock(), False
        self.read_only = False
        _databases.add(self)

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def change(self, statement: str, values: tuple[Any, ...], key: str | None = None) -> int:
        """Run one statement and commit it; return the number of rows it changed."""
        with self._mutex:
            try:
                return (self._connection or self._open()).execute(statement, values).rowcount
            except (sqlite3.Error, OSError, UnicodeError) as error:
                raise self.blame(error, key) from error

    @contextmanager
    def use(self, key: str | None = None) -> Iterator[sqlite3.Connection]:
        """Lend the connection."""
        with self._mutex:
            try:
                yield self._connection or self._open()
            except (sqlite3.Error, OSError, UnicodeError) as error:
                raise self.blame(error, key) from error

    @contextmanager
    def transaction(self, key: str | None = None) -> Iterator[sqlite3.Connection]:
        """Lend the connection for changes that are made together, with no other writer between them."""
        with self.use(key) as connection, _immediate(connection):
            yield connection

    def sweep(self) -> None:
        """Remove the rows that have ended."""
        with self.use() as connection:
            connection.execute(INDEX)
            _sweep(connection)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def before_fork(self) -> None:
        """Close the connection, and keep other threads from opening one."""
        if self._mutex.acquire(timeout=self._timeout + 1):
            self._forking = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def after_fork(self, *, child: bool) -> None:
        """Let the connection be opened again."""
        if child:
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._mutex, self._forking = None, threading.Lock(), False
        elif self._forking:
            self._forking = False
            self._mutex.release()

    def blame(self, error: Exception, key: str | None = None) -> StorageError:
        """Return what *error* means for who asked for *key*."""
        kind, advice = StorageError, "check that its folder can be written"
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, UnicodeError):
            advice = "the key and the ids must be valid Unicode"
        elif code is not None:
            primary = code & 0xFF
            advice = ADVICE.get(primary, "see SQLite's documentation")
            if self.read_only and primary == sqlite3.SQLITE_ERROR:  # a view in the place of a table that lacks a column
                error, advice = sqlite3.OperationalError("it is read-only"), ADVICE[sqlite3.SQLITE_READONLY]
            if primary in PASSING:
                kind, advice = StorageUnavailable, "another connection holds it"
            elif primary == sqlite3.SQLITE_CORRUPT:
                kind = CorruptCheckpoint
        elif isinstance(error, sqlite3.OperationalError):  # the module's own: a text that is not UTF-8
            kind, advice = CorruptCheckpoint, ADVICE[sqlite3.SQLITE_CORRUPT]
        return kind(f"the database {self.path!r}: {error}; {advice}", provider=self._provider, key=key)

    def _open(self) -> sqlite3.Connection:
        make_folder(os.path.dirname(self.path))
        name, read_only = self.path, only_readable(self.path)
        self.read_only = read_only
        if read_only:
            name = f"file:{quote(name)}?mode=ro" + ("" if os.path.exists(f"{name}-wal") else "&immutable=1")
        new = sqlite3.connect(name, timeout=self._timeout, isolation_level=None, check_same_thread=False, uri=read_only)
        try:
            new.execute("pragma trusted_schema = off")
            new.execute("pragma cell_size_check = on")
            version = self._version(new)  # before anything is changed in it
            if not read_only:
                self._write_ahead(new)
                new.execute(f"pragma synchronous = {self._synchronous}")
            if read_only:
                if version == 1:
                    new.execute(SEEN_FROM_1)
            elif version < VERSION:
                self._lay_out(new)
            elif new.execute("select 1 from sqlite_master where name = 'dotflow_ends'").fetchone():
                self._sweep_if_idle(new)
        except BaseException:
            new.close()
            raise
        self._connection = new
        return new

    def _sweep_if_idle(self, new: sqlite3.Connection) -> None:
        """Remove what has ended, unless somebody writes: reading waits for nobody, and needs no room on the disk."""
        new.execute("pragma busy_timeout = 0")
        try:
            _sweep(new)
        except sqlite3.OperationalError:
            pass  # it is absent all the same; whoever opens the file next, or writes what ends, sweeps
        finally:
            new.execute(f"pragma busy_timeout = {round(self._timeout * 1000)}")

    def _version(self, new: sqlite3.Connection) -> int:
        """Return the version of the layout, 0 where there is none yet."""
        # In this order: whoever sees the tables of another process that is just creating them sees its marks too.
        tables = [name for (name,) in new.execute("select name from sqlite_master limit 3")]
        (version,) = new.execute("pragma user_version").fetchone()
        (application,) = new.execute("pragma application_id").fetchone()
        if application == APPLICATION:
            if version > VERSION:
                raise self._refusal(f"was made by a later dotflow (format {version}); upgrade dotflow")
            return int(version)
        if application or version or tables:
            what = f"tables {', '.join(map(repr, tables))}" if tables else f"application_id {application}"
            raise self._refusal(f"belongs to another program ({what}); give another path")
        return 0

    def _lay_out(self, new: sqlite3.Connection) -> None:
        with _immediate(new):
            version = self._version(new)
            if version == VERSION:
                return  # another process was faster
            new.execute(FROM_1 if version else TABLE)
            new.execute(f"pragma application_id = {APPLICATION}")
            new.execute(f"pragma user_version = {VERSION}")

    def _write_ahead(self, new: sqlite3.Connection) -> None:
        until = time.monotonic() + self._timeout
        while True:  # SQLite does not wait by itself for another connection that changes the mode
            try:
                (mode,) = new.execute("pragma journal_mode = wal").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in PASSING or time.monotonic() > until:
                    raise
            time.sleep(0.005)
        if mode != "wal":
            raise self._refusal(f"has the journal mode {mode!r}, not WAL; put it on a local, writable disk")

    def _refusal(self, reason: str) -> StorageError:
        return StorageError(f"the database {self.path!r} {reason}", provider=self._provider)


def only_readable(path: str) -> bool:
    """Whether the database is there and can be read but not written: what is in it can be looked at all the same."""
    if not os.access(path, os.R_OK):
        return False
    alone = not os.path.exists(f"{path}-wal")  # else somebody has it open, and its files are there
    return not os.access(path, os.W_OK) or (alone and not os.access(os.path.dirname(path), os.W_OK))


def _sweep(connection: sqlite3.Connection) -> None:
    now = time.time()
    if connection.execute("select 1 from dotflow_contexts where ends <= ? limit 1", (now,)).fetchone():
        connection.execute(SWEEP, (now,))  # not what was saved again meanwhile: that has another end, or none


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        connection.execute("begin immediate")
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


_databases: WeakSet[Database] = WeakSet()
_one_fork = threading.Lock()


def _before_fork() -> None:
    _one_fork.acquire()
    for database in list(_databases):
        database.before_fork()


def _after_fork(child: bool) -> None:
    for database in list(_databases):
        database.after_fork(child=child)
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(child=False),
        after_in_child=lambda: _after_fork(child=True),
    )
