"""Contexts in one SQLite file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError
from dotflow.providers._common import Lifetimes, needs_prefix, swapped
from dotflow.providers._lock import lead
from dotflow.providers._saved import Rows, context_of, row_of, verified
from dotflow.providers._sqlite import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


NAME = "StorageSQLite"
LEVELS = ("OFF", "NORMAL", "FULL", "EXTRA")
FEW = 50  # keys that are looked up one by one
BATCH = 5000  # keys in one query; SQLite takes 32,766 parameters

STARTS = "where key >= ?1 and key < ?1 || cast(x'ff' as text)"  # no UTF-8 text has the byte ff
ALIVE = "(ends is null or ends > ?2)"
READ = "select key, workflow_id, task_id, time, value, checksum from dotflow_contexts"
READ_ONE = f"{READ} where key = ?1 and {ALIVE}"
SAVE = (  # ``None`` among the values would cost half a microsecond
    "insert or replace into dotflow_contexts(key, workflow_id, task_id, time, value, checksum) values(?,?,?,?,?,?)"
)
SAVE_UNTIL = "insert or replace into dotflow_contexts values(?,?,?,?,?,?,?)"
CREATE = (
    "insert into dotflow_contexts values(?,?,?,?,?,?,?) on conflict(key) do update set workflow_id = "
    "excluded.workflow_id, task_id = excluded.task_id, time = excluded.time, value = excluded.value, "
    "checksum = excluded.checksum, ends = excluded.ends where dotflow_contexts.ends <= ?"
)
DELETE = "delete from dotflow_contexts where key = ?1"


class StorageSQLite(Storage):
    """Keep contexts as JSON in a SQLite file in WAL mode, which threads and processes may share.

    Args:
        path: The file. It and its folders are made when they are first needed.
        synchronous: When a save waits for the disk. ``NORMAL`` survives the death of the process, but a
            power failure may undo the last saves; ``FULL`` and ``EXTRA`` survive that too. ``OFF`` risks all.
        timeout: Seconds to wait for another writer.
        ttl: Seconds after its last write at which every key ends that is written without a ``ttl`` of its own; ``None``
            for never. See ``StorageRedis`` for how long.
    """

    faithful: ClassVar[bool] = True
    clears_at_once: ClassVar[bool] = True

    def __init__(
        self,
        path: str | os.PathLike[str] = "dotflow.db",
        synchronous: str = "NORMAL",
        timeout: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        file, level = os.fspath(path), str(synchronous).upper()
        if not file or "\0" in file or file == ":memory:":
            raise ConfigurationError(f"path={path!r} is no file; StorageDefault() keeps contexts in memory")
        if level not in LEVELS:
            raise ConfigurationError(f"synchronous={synchronous!r} is not one of {', '.join(LEVELS)}")
        if not 0 <= timeout <= 1e6:
            raise ConfigurationError(f"timeout={timeout!r} must be a number of seconds from 0 to 1e6")
        self._lifetimes = Lifetimes(ttl)
        self._database = Database(os.path.abspath(file), level, timeout, NAME)

    def __repr__(self) -> str:
        return f"StorageSQLite({self._database.path!r})"

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """Save *context* under *key*, for *ttl* seconds: one statement, one commit."""
        row = row_of(key, context, NAME)
        if ttl is None and self._lifetimes.default is None:
            self._database.change(SAVE, row, key)
        else:
            self._database.change(SAVE_UNTIL, (*row, self._end(ttl)), key)

    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or an empty context."""
        return self.get_many((key,)).get(key) or Context()

    key = staticmethod(default_key)  # ``<workflow_id>-<task_id>``

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist."""
        rows: list[Any] = []
        now = time.time()
        if len(keys) > FEW and workflow_of(min(keys)) == workflow_of(max(keys)):  # a whole run: one range is faster
            with self._database.use() as connection:
                found = connection.execute(f"{READ} {STARTS} and {ALIVE}", (f"{workflow_of(keys[0])}-", now))
                return Rows(found, NAME, self._database.path, set(keys))
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            with self._database.use(some[0] if len(keys) == 1 else None) as connection:
                wanted_ones = f"{READ} where key in ({','.join('?' * len(some))}) and (ends is null or ends > ?)"
                rows += connection.execute(wanted_ones, (*some, now)).fetchall()
        return Rows(rows, NAME, self._database.path)

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save all of *items* in one commit."""
        rows, end = [row_of(key, context, NAME) for key, context in items], self._end(None)
        with self._database.transaction() as connection:
            if end is None:
                connection.executemany(SAVE, rows)
            else:
                connection.executemany(SAVE_UNTIL, [(*row, end) for row in rows])

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        return self._database.change(f"{DELETE} and {ALIVE}", (key, time.time()), key) > 0

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        return self._database.change(f"delete from dotflow_contexts {STARTS} and {ALIVE}", (prefix, time.time()))

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        query = f"select key from dotflow_contexts {STARTS} and {ALIVE}"
        with self._database.use() as connection:
            return [key for (key,) in connection.execute(query, (prefix, time.time()))]

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        known = str(workflow_id)
        with self._database.transaction() as connection:
            found = connection.execute(f"select key from dotflow_contexts {STARTS}", (f"{known}-",)).fetchall()
            connection.executemany(DELETE, [row for row in found if workflow_of(row[0]) == known])

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """Save *context*, for *ttl* seconds, if *key* is absent; return whether it was."""
        row = (*row_of(key, context, NAME), self._end(ttl), time.time())
        return self._database.change(CREATE, row, key) > 0

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """Replace the value of *key* by *new*, for *ttl* seconds, if it equals *expected*; return whether it did."""
        end = self._end(ttl)
        with self._database.transaction(key) as connection:
            row = connection.execute(READ_ONE, (key, time.time())).fetchone()
            if row:
                verified([row], NAME, self._database.path)
            found = context_of(row, NAME, self._database.path) if row else Context()
            if found.storage != expected:
                return False
            connection.execute(SAVE_UNTIL, (*row_of(key, swapped(found, new), NAME), end))
            return True

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*, by a file in the folder ``<path>-locks``."""
        try:
            return lead(f"{self._database.path}-locks", workflow_id, wait)
        except OSError as error:
            raise self._database.blame(error) from error

    def healthcheck(self) -> None:
        """Raise if the file cannot be written."""
        with self._database.transaction():
            pass

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._database.close()

    def _end(self, ttl: float | None) -> float | None:
        end = self._lifetimes.end(ttl)
        if end is not None and self._lifetimes.sweep_is_due():
            self._database.sweep()
        return end
