"""Contexts in the memory of this process."""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.providers._common import Lifetimes, needs_prefix, swapped, tell_of_forks, time_to_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class StorageDefault(Storage):
    """Keep contexts in memory, as they are: no copy, no JSON. They end with the process.

    Arguments are accepted and ignored, so that it can be built like any other storage.
    """

    keeps_objects: ClassVar[bool] = True
    faithful: ClassVar[bool] = True
    clears_at_once: ClassVar[bool] = True

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self._kept: dict[str, Context] = {}
        self._ends: dict[str, tuple[float, Context]] = {}  # by the monotonic clock, as long as that context is kept
        self._mutex, self._lifetimes = threading.Lock(), Lifetimes()
        tell_of_forks(self)

    def __repr__(self) -> str:
        return "StorageDefault()"

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """Keep *context* itself under *key*; with *ttl* a copy of it, with the same value, for so many seconds."""
        if ttl is None:
            self._kept[key] = context  # one store into a dictionary is atomic
            return
        time_to_live(ttl)
        with self._mutex:
            self._kept[key] = self._noted(key, context, ttl)

    def get(self, key: str) -> Context:
        """Return what is kept under *key*, or an empty context."""
        if self._ends:
            with self._mutex:
                self._drop_ended((key,))
        found = self._kept.get(key)
        return Context() if found is None else found

    key = staticmethod(default_key)  # ``<workflow_id>-<task_id>``

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist."""
        with self._mutex:
            self._drop_ended(keys)
            return {key: self._kept[key] for key in keys if key in self._kept}

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Keep all of *items*."""
        with self._mutex:
            self._kept.update(items)

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        with self._mutex:
            self._drop_ended((key,))
            return self._kept.pop(key, None) is not None

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        return self._remove(lambda key: key.startswith(prefix))

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        with self._mutex:
            self._drop_ended(tuple(self._ends))
            return [key for key in tuple(self._kept) if key.startswith(prefix)]

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        self._remove(lambda key: workflow_of(key) == str(workflow_id))

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """Keep *context*, for *ttl* seconds, if *key* is absent; return whether it was."""
        time_to_live(ttl)
        with self._mutex:
            self._drop_ended((key,))
            if key in self._kept:
                return False
            kept = self._noted(key, context, ttl)
            return self._kept.setdefault(key, kept) is kept  # not over what is posted just now

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """Replace the value of *key* by *new*, for *ttl* seconds, if it equals *expected*; return whether it did."""
        time_to_live(ttl)
        with self._mutex:
            self._drop_ended((key,))
            found = self._kept.get(key) or Context()
            if found.storage != expected:
                return False
            self._kept[key] = self._noted(key, swapped(found, new), ttl)
            return True

    def healthcheck(self) -> None:
        """Do nothing: memory is always there."""

    def after_fork(self) -> None:
        """Replace the lock, which a thread that the child does not have may hold."""
        self._mutex = threading.Lock()

    def _remove(self, wanted: Callable[[str], bool]) -> int:
        with self._mutex:
            self._drop_ended(tuple(self._ends))
            gone = [key for key in tuple(self._kept) if wanted(key)]
            for key in gone:
                del self._kept[key]
            return len(gone)

    def _noted(self, key: str, context: Context, ttl: float | None) -> Context:
        """Note the end of *context*; return what is to be kept in its place."""
        if ttl is None:
            return context
        if self._lifetimes.sweep_is_due():
            self._drop_ended(tuple(self._ends))
        kept = copy.copy(context)  # the very one whose end is noted, even if it is posted again
        self._ends[key] = (time.monotonic() + ttl, kept)
        return kept

    def _drop_ended(self, keys: Sequence[str]) -> None:
        if not self._ends:
            return
        now = time.monotonic()
        for key in keys:
            end, ended = self._ends.get(key, (now + 1, None))
            if end > now:
                continue
            found = self._kept.pop(key, None)
            if found is not None and found is not ended:  # posted since, without the mutex
                self._kept.setdefault(key, found)
            del self._ends[key]  # last: until then every reader waits for the mutex
