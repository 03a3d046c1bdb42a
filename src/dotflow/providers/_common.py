"""What every storage here needs, with nothing that takes long to import."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol
from weakref import WeakSet

from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError

SWEEP = 60.0  # seconds between two looks for what has ended
LONGEST = 1e10  # seconds, 317 years: every backend can add it to the present


class Forks(Protocol):
    """Holds something that a forked child must not share with its parent."""

    def after_fork(self) -> None:
        """Drop it, in the child, without touching what the parent uses."""


_holders: WeakSet[Forks] = WeakSet()


def tell_of_forks(holder: Forks) -> None:
    """Have ``holder.after_fork`` called in every child that this process forks."""
    _holders.add(holder)


def _after_fork() -> None:
    for holder in list(_holders):
        holder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def make_folder(path: str) -> None:
    """Make the folder *path* and those above it, where they are missing, and say so: it may be misspelt."""
    if os.path.isdir(path):
        return
    os.makedirs(path, exist_ok=True)
    if "logging" in sys.modules:  # else nobody listens
        sys.modules["logging"].getLogger("dotflow").info("made the folder %s", path)


def needs_prefix(prefix: str) -> None:
    """Refuse the empty prefix, which every key starts with."""
    if not prefix:
        raise ValueError("delete_prefix() needs a prefix; the empty one would remove everything")


def swapped(found: Context, new: Any) -> Context:
    """Return what ``atomic_swap`` saves in the place of *found*."""
    return new if isinstance(new, Context) else Context(new, found.task_id, found.workflow_id)


class Lifetimes:
    """How long what a storage saves is there, and when what has ended is looked for.

    Args:
        default: Seconds for what is saved without a ttl of its own; ``None`` for ever.
    """

    def __init__(self, default: float | None = None) -> None:
        self.default, self._due = time_to_live(default), 0.0

    def of(self, ttl: float | None) -> float | None:
        """Return the seconds for what is saved with *ttl*."""
        return self.default if ttl is None else time_to_live(ttl)

    def end(self, ttl: float | None) -> float | None:
        """Return the end, by the clock of this machine, of what is saved now with *ttl*."""
        if ttl is None and self.default is None:
            return None
        return time.time() + (self.default if ttl is None else time_to_live(ttl))  # type: ignore[operator]  # not None

    def sweep_is_due(self) -> bool:
        """Whether a minute has passed since this was true."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + SWEEP
        return True


def time_to_live(given: float | None) -> float | None:
    """Return *given*, seconds after which a key is absent; refuse what are none."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST:
        raise ConfigurationError(f"ttl={given!r} must be a number of seconds above 0, up to 1e10; None is for ever")
    return float(given)


def whole_number(name: str, given: int | None) -> int | None:
    """Return *given*, a count that may be left out; refuse what is none, in the name of *name*."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise ConfigurationError(f"{name} needs a whole number, at least 1, got {given!r}")
    return given
