"""What the storages in buckets ask of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Absent:
    """Stands for the version of an object that is not there."""


ABSENT = Absent()


class Found(NamedTuple):
    """An object: its bytes, its version, and when the server says it was written, in seconds since 1970."""

    data: bytes
    version: Any
    modified: float = 0.0


class Bucket(Protocol):
    """What a backend must be able to do. Errors are ``StorageUnavailable`` and ``StorageError``, key not named."""

    def read(self, name: str, *, dated: bool = False) -> Found | None:
        """Return the object, ``None`` if there is none; *dated*: with the time of its writing."""

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of every object, several requests at a time."""

    def write(self, name: str, data: bytes, version: Any = None) -> Any:
        """Write the object and return its version, or ``None`` if it does not have *version* (``None``: any)."""

    def remove(self, name: str) -> bool:
        """Remove the object; return whether it was there."""

    def remove_many(self, names: Sequence[str]) -> None:
        """Remove objects, several at a time; those that are gone already do not matter."""

    def names(self, start: str) -> list[str]:
        """Return the names that begin with *start*."""

    def check(self) -> None:
        """Raise unless the bucket is there and may be listed."""

    def close(self) -> None:
        """Let go of connections; the next use opens some again."""

    def after_fork(self) -> None:
        """Drop, in a forked child, what belongs to its parent."""
