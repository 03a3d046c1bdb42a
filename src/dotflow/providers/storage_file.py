"""Contexts in a folder, one file each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError
from dotflow.providers._common import Lifetimes, needs_prefix, swapped
from dotflow.providers._folder import Folder
from dotflow.providers._lock import lead
from dotflow.providers._saved import document_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dotflow.core.task import Task

NAME = "StorageFile"


class StorageFile(Storage):
    """Keep each context as a JSON file in ``<path>/tasks/``, which threads and processes may share.

    Files are replaced whole, so that a reader, and a run after a crash, sees the old context or the new one.

    Args:
        path: The folder, made at once. The first argument by position is the same; others are ignored.
        fsync: When a save waits for the disk. ``True`` survives the death of the process, and a power failure
            tears nothing but may undo the last saves; ``"full"`` survives that too. ``False`` never waits: a
            power failure may damage what was saved, which is found when it is read.
        ttl: Seconds after its last write at which every key ends that is written without a ``ttl`` of its own; ``None``
            for never. See ``StorageRedis`` for how long.
    """

    faithful: ClassVar[bool] = True

    def __init__(
        self,
        *args: Any,
        path: str | os.PathLike[str] = ".output",
        fsync: bool | str = True,
        ttl: float | None = None,
        **_kwargs: Any,
    ) -> None:
        where = os.fspath(args[0] if args else path)
        if not where or "\0" in where:
            raise ConfigurationError(f"path={where!r} names no folder")
        if fsync not in (True, False, "full"):
            raise ConfigurationError(f"fsync={fsync!r} is none of True, False and 'full'")
        self._path, self._lifetimes = os.path.abspath(where), Lifetimes(ttl)
        self._folder = Folder(self._path, bool(fsync), fsync == "full", NAME)

    def __repr__(self) -> str:
        return f"StorageFile(path={self._path!r})"

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """Save *context* under *key*, for *ttl* seconds: write another file, then put it in the old one's place."""
        end = self._end(ttl)
        self._folder.put(key, document_of(key, context, NAME, end), end)

    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or an empty context."""
        return self._folder.read(key) or Context()

    def key(self, task: Task) -> str:
        """Return ``<workflow_id>-<task_id>.json``."""
        return f"{default_key(task)}.json"

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist."""
        return {key: found for key in keys if (found := self._folder.read(key)) is not None}

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save all of *items*; what a crash interrupts is finished by the next user of the folder."""
        end = self._end(None)
        self._folder.put_many({key: document_of(key, context, NAME, end) for key, context in items}, end)

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        return self._folder.remove(lambda: [key]) > 0

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        return self._folder.remove(lambda: [key for key in self._folder if key.startswith(prefix)])

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        self._folder.sweep_ended()
        return [key for key in self._folder if key.startswith(prefix)]

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        known = str(workflow_id)
        self._folder.remove(lambda: [key for key in self._folder if workflow_of(key) == known])
        self._folder.sweep()

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """Save *context*, for *ttl* seconds, if *key* is absent; return whether it was."""
        end = self._end(ttl)
        document = document_of(key, context, NAME, end)
        return self._folder.replace(key, lambda found: document if found is None else None, end)

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """Replace the value of *key* by *new*, for *ttl* seconds, if it equals *expected*; return whether it did."""
        end = self._end(ttl)

        def choose(found: Context | None) -> bytes | None:
            old = found or Context()
            return document_of(key, swapped(old, new), NAME, end) if old.storage == expected else None

        return self._folder.replace(key, choose, end)

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*, by a file in the folder ``<path>/locks``."""
        with self._folder.blame():
            return lead(os.path.join(self._path, "locks"), workflow_id, wait)

    def healthcheck(self) -> None:
        """Raise if no file can be written."""
        self._folder.try_out()

    def close(self) -> None:
        """Close the folder; the next use opens it again."""
        self._folder.close()

    def _end(self, ttl: float | None) -> float | None:
        end = self._lifetimes.end(ttl)
        if end is not None and self._lifetimes.sweep_is_due():
            self._folder.sweep_ended()
        return end
