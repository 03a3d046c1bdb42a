"""Contexts in PostgreSQL."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, LeaseLost, StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers._common import Lifetimes, needs_prefix, swapped, tell_of_forks
from dotflow.providers._require import require
from dotflow.providers._saved import Rows, context_of, row_of, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dotflow.core.task import Task

NAME = "StoragePostgres"
TIMEOUT = 10  # seconds to connect in
POLL = 0.05  # seconds between two tries to become the leader
PARTING = 1.0  # seconds for which a lead that nobody holds is tried for again
TABLE = re.compile(r"[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?")
COLUMNS = "key, workflow_id, task_id, made, value, checksum"
ALIVE = "(ends is null or ends > now())"  # by the clock of the server
HAS = (
    "select array_agg(attname || ' ' || format_type(atttypid, null)) from pg_attribute "
    "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped"
)
LAYOUT_1 = {"key text", "workflow_id text", "task_id text", "made double precision", "value text", "checksum bigint"}
DDL = (
    'create table if not exists {table} (key text collate "C" primary key, workflow_id text, task_id text, '
    "made double precision not null, value text not null, checksum bigint not null, ends timestamptz)"
)
ENDS = "ends timestamp with time zone"
FROM_1 = "alter table {table} add column if not exists ends timestamptz"
INDEX = "create index if not exists {index} on {table} (ends) where ends is not null"  # the others cost nothing
REPLACE = (
    "on conflict (key) do update set workflow_id = excluded.workflow_id, task_id = excluded.task_id, "
    "made = excluded.made, value = excluded.value, checksum = excluded.checksum, ends = excluded.ends"
)
SAVE = f"insert into {{table}} as old ({COLUMNS}) values (%s, %s, %s, %s, %s, %s) {REPLACE}"
SAVE_FOR = (
    f"insert into {{table}} as old ({COLUMNS}, ends) "
    f"values (%s, %s, %s, %s, %s, %s, now() + %s::float8 * interval '1 second') {REPLACE}"
)
CREATE = f"{SAVE_FOR} where old.ends <= now()"
SWAP = (
    "update {table} set workflow_id = %s, task_id = %s, made = %s, value = %s, checksum = %s, "
    "ends = now() + %s::float8 * interval '1 second' "
    f"where key = %s and made = %s and value = %s and checksum = %s and {ALIVE}"
)
SWEEP = (  # of two who sweep, neither waits for the other
    "delete from {table} where key in (select key from {table} where ends <= now() for update skip locked)"
)
ENDED = (  # whether there is something to sweep for who may
    "select 1 from {table} where ends <= now() and has_table_privilege(%s, 'delete') "
    "and current_setting('transaction_read_only') = 'off' limit 1"
)
LEAD = "select pg_try_advisory_lock(hashtextextended(%s, 0))"
HOLDER = (
    "select a.application_name from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' "
    "and l.granted and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0) and l.objsubid = 1"
)


class StoragePostgres(Storage):
    """Keep contexts in a table of PostgreSQL. Needs the extra ``postgres``.

    The table is made when it is first needed. A save is one statement and one commit, as durable as the server's
    ``synchronous_commit`` makes it.

    Args:
        url: ``postgresql://user:password@host:port/database``, or a libpq connection string.
        table: Name of the table, with its schema if wanted: lower-case letters, digits and ``_``.
        connect: Makes a connection, instead of *url*: a function that returns a new ``psycopg.Connection``.
        ttl: Seconds after its last write at which every key ends that is written without a ``ttl`` of its own; ``None``
            for never. See ``StorageRedis`` for how long.

    Raises:
        ModuleNotFound: the package ``psycopg`` is not installed.
        ConfigurationError: a table name that could be anything else than one, or a *ttl* that is none.
    """

    faithful: ClassVar[bool] = True
    clears_at_once: ClassVar[bool] = True

    def __init__(
        self,
        url: str = "postgresql://localhost/postgres",
        table: str = "dotflow_contexts",
        *,
        connect: Callable[[], Any] | None = None,
        ttl: float | None = None,
    ) -> None:
        self._psycopg = require("psycopg", "postgres")
        if not TABLE.fullmatch(table):
            raise ConfigurationError(f"StoragePostgres(table={table!r}): use lower-case letters, digits and '_'")
        self._make, self._url, self._reached = connect, url, False
        self._table, self._lifetimes = table, Lifetimes(ttl)
        self._idle: list[Any] = []
        self._known = False
        self._leads: dict[str, list[Any]] = {}  # each with its connection of the moment
        self._lost: set[str] = set()
        self._lock = threading.Lock()
        tell_of_forks(self)

    def __repr__(self) -> str:
        return f"StoragePostgres(table={self._table!r})"

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """Save *context* under *key*, for *ttl* seconds: one statement, one commit."""
        row, seconds = row_of(key, context, NAME), self._seconds(ttl)
        with self._use(key) as connection:
            if seconds is None:
                connection.execute(self._sql(SAVE), row)
            else:
                connection.execute(self._sql(SAVE_FOR), (*row, seconds))

    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or an empty context."""
        return self.get_many((key,)).get(key) or Context()

    def key(self, task: Task) -> str:
        """Return ``<workflow_id>-<task_id>``."""
        return default_key(task)

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist, in one query."""
        with self._use(keys[0] if len(keys) == 1 else None) as connection:
            rows = connection.execute(
                self._sql(f"select {COLUMNS} from {{table}} where key = any(%s) and {ALIVE}"), (list(keys),)
            ).fetchall()
        return Rows(rows, NAME, self._table)

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save all of *items* in one transaction."""
        seconds = self._seconds(None)
        rows = [row_of(key, context, NAME) for key, context in items]
        if seconds is not None:
            rows = [(*row, seconds) for row in rows]
        with self._use() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(self._sql(SAVE if seconds is None else SAVE_FOR), rows)

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        with self._use(key) as connection:
            query = self._sql(f"delete from {{table}} where key = %s and {ALIVE}")
            return bool(connection.execute(query, (key,)).rowcount)

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        with self._use() as connection:
            query = self._sql(f"delete from {{table}} where starts_with(key, %s) and {ALIVE}")
            return int(connection.execute(query, (prefix,)).rowcount)

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        query = f"select key from {{table}} where key >= %s and starts_with(key, %s) and {ALIVE} order by key"
        with self._use() as connection:
            return [key for (key,) in connection.execute(self._sql(query), (prefix, prefix)).fetchall()]

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        known = str(workflow_id)
        keys = [key for key in self.list_keys(f"{known}-") if workflow_of(key) == known]
        if keys:
            with self._use() as connection:
                connection.execute(self._sql("delete from {table} where key = any(%s)"), (keys,))

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """Save *context*, for *ttl* seconds, if *key* is absent; return whether it was."""
        row = (*row_of(key, context, NAME), self._seconds(ttl))
        with self._use(key) as connection:
            return bool(connection.execute(self._sql(CREATE), row).rowcount)

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """Replace the value of *key* by *new*, for *ttl* seconds, if it equals *expected*; return whether it did."""
        query, seconds = self._sql(f"select {COLUMNS} from {{table}} where key = %s and {ALIVE}"), self._seconds(ttl)
        with self._use(key) as connection:
            while True:  # no row stays locked between two statements: a process may be frozen there
                row = connection.execute(query, (key,)).fetchone()
                if row:
                    verified([row], NAME, self._table)
                found = context_of(row, NAME, self._table) if row else Context()
                if found.storage != expected:
                    return False
                changed = (*row_of(key, swapped(found, new), NAME), seconds)
                if row is None:
                    return bool(connection.execute(self._sql(CREATE), changed).rowcount)
                if connection.execute(self._sql(SWAP), (*changed[1:], key, *row[3:])).rowcount:
                    return True

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*: for as long as this process holds a connection to the server.

        Where the server was restarted, the lead is taken again before anything is saved; if somebody else has it by
        then, ``LeaseLost`` is raised instead.
        """
        known, until = str(workflow_id), time.monotonic() + wait
        with self._blamed(None):
            connection = self._connect_to_lead()
        try:
            with self._blamed(None):
                while not connection.execute(LEAD, (self._lead_name(known),)).fetchone()[0]:
                    if time.monotonic() >= until:
                        holder = connection.execute(HOLDER, (self._lead_name(known),)).fetchone()
                        if holder is not None or time.monotonic() >= until + PARTING:  # else it has just become free
                            raise WorkflowBusy(workflow_id, _holder(holder))
                    time.sleep(POLL)
        except BaseException:
            connection.close()
            raise
        self._leads[known] = lead = [connection]
        self._lost.discard(known)
        owner = os.getpid()

        def release() -> None:
            if os.getpid() == owner:
                if self._leads.get(known) is lead:
                    del self._leads[known]
                lead[0].close()

        return release

    def healthcheck(self) -> None:
        """Raise if the table cannot be read."""
        self.get("")

    def close(self) -> None:
        """Close the idle connections; the next use opens one again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def after_fork(self) -> None:
        """Forget, in a forked child, the connections of its parent."""
        self._idle, self._leads, self._lock = [], {}, threading.Lock()

    # -- inside -------------------------------------------------------------------------------------------

    def _sql(self, text: str) -> str:
        return text.replace("{table}", self._table).replace("{index}", f"{self._table.rpartition('.')[2]}_ends")

    @contextmanager
    def _use(self, key: str | None = None) -> Iterator[Any]:
        """Lend a connection; keep it if nothing went wrong."""
        with self._blamed(key):
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect()
                self._lead_again()  # the server may have been restarted
            try:
                if self._lost and key is not None and workflow_of(key) in self._lost:
                    raise LeaseLost(workflow_of(key), key, NAME)
                if not self._known:
                    self._make_table(connection)
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)

    def _seconds(self, ttl: float | None) -> float | None:
        seconds = self._lifetimes.of(ttl)
        if seconds is not None and self._lifetimes.sweep_is_due():
            with self._use() as connection:
                self._sweep(connection)
        return seconds

    def _sweep(self, connection: Any) -> None:
        if connection.execute(self._sql(ENDED), (self._table,)).fetchone():
            connection.execute(self._sql(SWEEP))

    def _lead_name(self, workflow_id: str) -> str:
        return f"{self._table}:{workflow_id}"

    def _connect(self) -> Any:
        try:
            made = self._make() if self._make else self._psycopg.connect(self._url, connect_timeout=TIMEOUT)
        except self._psycopg.OperationalError as error:
            if not self._reached and self._answers(error):  # later on it is overload, or a restart, that passes
                advice = "check user, password and database"
                raise StorageError(f"the server refuses: {error}; {advice}", provider=NAME) from error
            raise
        self._reached = made.autocommit = True
        return made

    def _answers(self, error: Any) -> bool:
        """Whether a server is there that would take connections, only not this one."""
        if self._make:
            return error.pgconn is not None and bool(error.pgconn.needs_password or error.pgconn.used_password)
        target = self._psycopg.conninfo.make_conninfo(self._url, connect_timeout=TIMEOUT)
        return bool(self._psycopg.pq.PGconn.ping(target.encode()) == self._psycopg.pq.Ping.OK)

    def _connect_to_lead(self) -> Any:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        me = f"{os.getpid()} {since} {socket.gethostname()}"[:60]  # what the server shows of an application's name
        connection = self._connect()
        connection.execute("select set_config('application_name', %s, false)", (me,))
        return connection

    def _lead_again(self) -> None:
        """Take each lead again whose connection is gone; one that somebody else has by now is lost for good."""
        with self._lock:
            for known, lead in self._leads.items():
                try:
                    lead[0].execute("select 1")
                except self._psycopg.Error:
                    lead[0] = self._connect_to_lead()
                    if not lead[0].execute(LEAD, (self._lead_name(known),)).fetchone()[0]:
                        self._lost.add(known)

    def _make_table(self, connection: Any) -> None:
        there = set(connection.execute(HAS, (self._table,)).fetchone()[0] or ())
        if not there or (there >= LAYOUT_1 and ENDS not in there):  # else it is as it should be, or another program's
            with connection.transaction():  # "if not exists" alone fails when two do it at once
                connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 1))", (self._table,))
                if there:
                    self._add_column(connection)
                else:
                    connection.execute(self._sql(DDL))
                connection.execute(self._sql(INDEX))
        elif there >= LAYOUT_1:
            self._sweep(connection)
        self._known = True

    def _add_column(self, connection: Any) -> None:
        statement = self._sql(FROM_1)
        try:
            connection.execute(statement)
        except self._psycopg.errors.InsufficientPrivilege as error:
            raise StorageError(
                f"the table was made by an earlier dotflow and lacks a column; have its owner run: {statement}",
                provider=NAME,
            ) from error

    @contextmanager
    def _blamed(self, key: str | None) -> Iterator[None]:
        errors = self._psycopg.errors
        try:
            yield
        except (errors.InsufficientPrivilege, errors.InvalidPassword, errors.InvalidCatalogName) as error:
            raise StorageError(f"the server refuses: {error}".strip(), provider=NAME, key=key) from error
        except (self._psycopg.OperationalError, errors.AdminShutdown) as error:
            raise StorageUnavailable(f"{type(error).__name__}: {error}".strip(), provider=NAME, key=key) from error
        except self._psycopg.Error as error:
            raise StorageError(f"{type(error).__name__}: {error}".strip(), provider=NAME, key=key) from error


def _holder(row: Any) -> str:
    if row is None:
        return "a process that has just ended"
    pid, since, host = f"{row[0]} ? ?".split()[:3]
    return f"process {pid} on host {host}, since {since}"
