"""Contexts in Redis or Valkey."""

from __future__ import annotations

import math
import re
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import LeaseLost, StorageError, StorageUnavailable
from dotflow.providers._common import Lifetimes, needs_prefix, swapped
from dotflow.providers._redis_lead import SWAP, Lead
from dotflow.providers._require import require
from dotflow.providers._saved import document_of, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dotflow.core.task import Task

NAME = "StorageRedis"
BATCH = 1000  # keys of one command
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
        ttl: Seconds after its last write at which every key ends that is written without a ``ttl`` of its own; ``None``
            for never. Take much more than the longest run, the longest time until a run is resumed, and the longest
            pause of a schedule: what has ended was never saved.
        client: A ready-made ``redis.Redis``, which stays yours; but for *prefix* and *ttl*, the other arguments are
            then not used.
        **options: Handed to ``redis.Redis``: ``username``, ``password``, ``ssl`` and so on.

    Raises:
        ModuleNotFound: the package ``redis`` is not installed.
        ConfigurationError: a *ttl* that is none.
    """

    faithful: ClassVar[bool] = True

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        prefix: str = "dotflow:",
        ttl: float | None = None,
        client: Any = None,
        **options: Any,
    ) -> None:
        redis = require("redis", "redis")
        self._ours = client is None
        if client is None:  # second tries are the engine's; one at once is for a connection that the server has closed
            options.setdefault("retry", redis.retry.Retry(redis.backoff.NoBackoff(), 1))
            options.setdefault("redis_connect_func", self._connected)
            client = redis.Redis(host=host, port=port, db=db, **options)
        self._client = client
        self._passing = (
            redis.exceptions.ConnectionError,
            redis.exceptions.TimeoutError,
            redis.exceptions.BusyLoadingError,
        )
        self._refused = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
        self._error = redis.exceptions.RedisError
        self._prefix, self._lifetimes = prefix, Lifetimes(ttl)
        self._leads: dict[str, Lead] = {}
        self._lost: set[str] = set()
        self._busy = threading.local()

    def __repr__(self) -> str:
        pool = self._client.connection_pool.connection_kwargs
        return f"StorageRedis({pool.get('host', pool.get('path'))!r}, {pool.get('port')})"

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """Save *context* under *key*, for *ttl* seconds."""
        self._ask(key, self._client.set, self._name(key), document_of(key, context, NAME), px=self._px(ttl))

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
        """Save all of *items* in one command; where they end, in one transaction."""
        documents = {self._name(key): document_of(key, context, NAME) for key, context in items}
        if not documents:
            return
        px = self._px(None)
        if px is None:
            self._ask(None, self._client.mset, documents)
            return
        with self._client.pipeline(transaction=True) as together:
            for name, document in documents.items():
                together.set(name, document, px=px)
            self._ask(None, together.execute)

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

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """Save *context*, for *ttl* seconds, if *key* is absent; return whether it was."""
        document, px = document_of(key, context, NAME), self._px(ttl)
        return bool(self._ask(key, self._client.set, self._name(key), document, nx=True, px=px))

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """Replace the value of *key* by *new*, for *ttl* seconds, if it equals *expected*; return whether it did."""
        px = self._px(ttl)
        while True:
            data = self._ask(key, self._client.get, self._name(key))
            found = self._read(key, data)
            if found.storage != expected:
                return False
            if data is None:
                return self.create(key, swapped(found, new), ttl)
            document = document_of(key, swapped(found, new), NAME)
            end = () if px is None else (px,)
            if self._ask(key, self._client.eval, SWAP, 1, self._name(key), data, document, *end):
                return True

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*: for as long as this process holds a connection to the server.

        Where the server was restarted, the lead is taken again before anything is saved; if somebody else has it by
        then, ``LeaseLost`` is raised instead. A ready-made client takes no lead again.
        """
        lead = Lead(self._client, self._name(f"lock:{workflow_id}"), self._ask)
        lead.take(workflow_id, wait)
        known = str(workflow_id)
        self._leads[known] = lead
        self._lost.discard(known)

        def release() -> None:
            if self._leads.get(known) is lead:
                del self._leads[known]
            try:
                lead.give_up()
            except self._error:
                pass  # the server has noticed, or will, that the connection is gone

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
            answer = command(*args, **kwargs)
        except self._refused as error:
            raise StorageError(
                f"the server refuses: {error}; check user and password", provider=NAME, key=key
            ) from error
        except self._passing as error:
            raise StorageUnavailable(f"{self!r} cannot be reached: {error}", provider=NAME, key=key) from error
        except self._error as error:
            raise StorageError(f"{type(error).__name__}: {error}", provider=NAME, key=key) from error
        if self._lost and key is not None and workflow_of(key) in self._lost:
            raise LeaseLost(workflow_of(key), key, NAME)
        return answer

    def _connected(self, connection: Any) -> None:
        """Greet the server on a new connection; where it was restarted, take the leads again first."""
        connection.on_connect()
        if self._leads and not getattr(self._busy, "leading", False):
            self._busy.leading = True
            try:
                self._lost.update(known for known, lead in list(self._leads.items()) if not lead.take_again())
            finally:
                self._busy.leading = False

    def _px(self, ttl: float | None) -> int | None:
        seconds = self._lifetimes.of(ttl)
        return None if seconds is None else math.ceil(seconds * 1000)

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
