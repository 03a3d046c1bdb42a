"""Contexts in Redis or Valkey."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers._common import needs_prefix, swapped
from dotflow.providers._require import require
from dotflow.providers._saved import document_of, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dotflow.core.task import Task

NAME = "StorageRedis"
BATCH = 1000  # keys of one command
POLL = 0.05  # seconds between two tries to become the leader
SWAP = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2]) return 1 end return 0"
LEAVE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
GLOB = re.compile(r"([*?\[\]\\])")


class StorageRedis(Storage):
    """Keep contexts in Redis or Valkey as JSON documents with a checksum. Needs the extra ``redis``.

    How much a saved result survives is up to the server: with ``appendonly yes`` and ``appendfsync always`` it
    survives a power failure.

    Args:
        host: Where the server is.
        port: Its port.
        db: Number of the database.
        prefix: Put before every key.
        client: A ready-made ``redis.Redis``, which stays yours; the other arguments are then not used.
        **options: Handed to ``redis.Redis``: ``username``, ``password``, ``ssl`` and so on.

    Raises:
        ModuleNotFound: the package ``redis`` is not installed.
    """

    faithful: ClassVar[bool] = True

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        prefix: str = "dotflow:",
        client: Any = None,
        **options: Any,
    ) -> None:
        redis = require("redis", "redis")
        self._ours = client is None
        if client is None:  # second tries are the engine's; one at once is for a connection that the server has closed
            options.setdefault("retry", redis.retry.Retry(redis.backoff.NoBackoff(), 1))
            client = redis.Redis(host=host, port=port, db=db, **options)
        self._client = client
        self._passing = (
            redis.exceptions.ConnectionError,
            redis.exceptions.TimeoutError,
            redis.exceptions.BusyLoadingError,
        )
        self._refused = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
        self._error = redis.exceptions.RedisError
        self._prefix = prefix

    def __repr__(self) -> str:
        pool = self._client.connection_pool.connection_kwargs
        return f"StorageRedis({pool.get('host', pool.get('path'))!r}, {pool.get('port')})"

    def post(self, key: str, context: Context) -> None:
        """Save *context* under *key*."""
        self._ask(key, self._client.set, self._name(key), document_of(key, context, NAME))

    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or an empty context."""
        return self._read(key, self._ask(key, self._client.get, self._name(key)))

    def key(self, task: Task) -> str:
        """Return ``<workflow_id>-<task_id>``."""
        return default_key(task)

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist, a thousand in one round trip."""
        found: dict[str, Context] = {}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            values = self._ask(None, self._client.mget, [self._name(key) for key in some])
            found.update(
                {key: self._read(key, data) for key, data in zip(some, values, strict=True) if data is not None}
            )
        return found

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save all of *items* in one command."""
        if items:
            documents = {self._name(key): document_of(key, context, NAME) for key, context in items}
            self._ask(None, self._client.mset, documents)

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        return bool(self._ask(key, self._client.delete, self._name(key)))

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        return self._remove(list(self.list_keys(prefix)))

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        return sorted(self._ask(None, lambda: set(self._scan(prefix))))

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        known = str(workflow_id)
        self._remove([key for key in self.list_keys(f"{known}-") if workflow_of(key) == known])

    def create(self, key: str, context: Context) -> bool:
        """Save *context* if *key* is absent; return whether it was."""
        return bool(self._ask(key, self._client.set, self._name(key), document_of(key, context, NAME), nx=True))

    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        """Replace the value of *key* by *new* if it equals *expected*; return whether it did."""
        while True:
            data = self._ask(key, self._client.get, self._name(key))
            found = self._read(key, data)
            if found.storage != expected:
                return False
            if data is None:
                return self.create(key, swapped(found, new))
            document = document_of(key, swapped(found, new), NAME)
            if self._ask(key, self._client.eval, SWAP, 1, self._name(key), data, document):
                return True

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*: for as long as this process holds a connection to the server."""
        name = self._name(f"lock:{workflow_id}")
        connection = self._client.client()  # one of its own, which dies with the process
        until = time.monotonic() + wait
        try:
            mine = self._ask(None, lambda: _token(connection.client_id()))
            while not self._ask(None, connection.set, name, mine, nx=True):
                self._bury(name)
                if time.monotonic() >= until and not self._ask(None, connection.set, name, mine, nx=True):
                    raise WorkflowBusy(workflow_id, self._holder(name))
                time.sleep(POLL if time.monotonic() < until else 0)
                if self._ask(None, connection.get, name) == mine:
                    break
        except BaseException:
            connection.close()
            raise

        def release() -> None:
            try:
                connection.eval(LEAVE, 1, name, mine)
            except self._error:
                pass  # the server has noticed, or will, that the connection is gone
            connection.close()

        return release

    def healthcheck(self) -> None:
        """Raise if the server does not answer."""
        self._ask(None, self._client.ping)

    def close(self) -> None:
        """Close the connections, unless the client is yours."""
        if self._ours:
            self._client.close()

    # -- inside -------------------------------------------------------------------------------------------

    def _ask(self, key: str | None, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except self._refused as error:
            raise StorageError(
                f"the server refuses: {error}; check user and password", provider=NAME, key=key
            ) from error
        except self._passing as error:
            raise StorageUnavailable(f"{self!r} cannot be reached: {error}", provider=NAME, key=key) from error
        except self._error as error:
            raise StorageError(f"{type(error).__name__}: {error}", provider=NAME, key=key) from error

    def _name(self, key: str) -> bytes:
        return (self._prefix + key).encode("utf-8", "surrogatepass")

    def _read(self, key: str, data: Any) -> Context:
        if data is None:
            return Context()
        raw = data if isinstance(data, bytes) else str(data).encode()
        return read_document(raw, NAME, f"{self._prefix}{key}", key)[1]

    def _scan(self, prefix: str) -> Iterator[str]:
        start = len(self._name(""))
        for found in self._client.scan_iter(match=GLOB.sub(r"\\\1", self._prefix + prefix) + "*", count=BATCH):
            name = found if isinstance(found, bytes) else str(found).encode()
            key = name[start:].decode("utf-8", "surrogatepass")
            if not key.startswith("lock:"):
                yield key

    def _remove(self, keys: list[str]) -> int:
        chunks = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
        return sum(self._ask(None, self._client.delete, *map(self._name, chunk)) for chunk in chunks)

    def _bury(self, name: bytes) -> None:
        """Remove the lock of a leader whose connection is gone."""
        held = self._ask(None, self._client.get, name)
        if held is not None and not self._ask(None, self._client.client_list, client_id=[json.loads(held)["client"]]):
            self._ask(None, self._client.eval, LEAVE, 1, name, held)

    def _holder(self, name: bytes) -> str:
        held = self._ask(None, self._client.get, name)
        if held is None:
            return "a process that has just ended"
        found = json.loads(held)
        return f"process {found['pid']} on host {found['host']}, since {found['since']}"


def _token(client_id: int) -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"client": client_id, "host": socket.gethostname(), "pid": os.getpid(), "since": since}).encode()
