"""Where contexts are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.core.exception import MissingAbility

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dotflow.core.context import Context
    from dotflow.core.task import Task


class Storage(ABC):
    """Keeps what steps returned, so that later steps and resumed runs can read it.

    Three methods are the contract; a class with only those works everywhere. Every other method is an
    optional ability: the engine finds it by what the class overrides, and uses it where it helps.

    Called only from the process that drives a run, one call at a time per run; runs in several threads may
    share one storage. A method may raise anything: a failed ``post`` is tried again with growing pauses, and
    then fails the task whose result could not be kept, without running its step again.

    One ability is an argument: a storage whose ``post`` declares ``ttl: float | None = None`` can let a key end. After
    that many seconds it is absent to every method. ``create`` and ``atomic_swap``, where it has them, take ``ttl``
    too, and a write without one ends the one before. The engine never passes it.

    ``context.storage`` is always something that ``json.dumps`` takes and ``json.loads`` gives back equal: a
    value that JSON cannot keep as it is arrives as a JSON envelope.

    Attributes:
        keeps_objects: Set by a storage that lives in this process's memory: it is given the values
            themselves, with no envelope.
        faithful: Set by a storage that the contract kit has proved: the engine hands on the value it just
            posted instead of reading it back. A subclass that overrides ``post`` or ``get`` must set it anew.
        clears_at_once: Set by a storage whose ``clear`` is all or nothing, whatever interrupts it.
        patience: Seconds for which a call is tried again while the storage cannot be reached.
    """

    keeps_objects: ClassVar[bool] = False
    faithful: ClassVar[bool] = False
    clears_at_once: ClassVar[bool] = False
    patience: ClassVar[float] = 30.0

    @abstractmethod
    def post(self, key: str, context: Context) -> None:
        """Save *context* under *key*, replacing what was there.

        Called once for every task that completed. Must be durable when it returns: the task is announced as
        completed only afterwards. A reader sees the old or the new context, never a mixture.
        """

    @abstractmethod
    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or ``Context(storage=None)`` if nothing was.

        Raise if the storage cannot be reached: "unreachable" must never look like "missing".
        """

    @abstractmethod
    def key(self, task: Task) -> str:
        """Return the key of *task*, made of ``task.workflow_id`` and ``task.task_id``.

        Must be the same in every process, and different for every pair of the two.
        """

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist, in one round trip."""
        raise self._lacks("get_many")

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save several contexts at once: all of them or none, durable when it returns."""
        raise self._lacks("post_many")

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        raise self._lacks("delete")

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*, which must not be empty; return how many there were."""
        raise self._lacks("delete_prefix")

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        raise self._lacks("list_keys")

    def clear(self, workflow_id: Any) -> None:
        """Remove everything that belongs to *workflow_id*, and nothing of any other workflow."""
        raise self._lacks("clear")

    def create(self, key: str, context: Context) -> bool:
        """Save *context* if *key* is absent; return whether it was. Of several callers one gets ``True``."""
        raise self._lacks("create")

    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        """Replace the value of *key* by *new* if it equals *expected* (``None``: absent); return whether it did."""
        raise self._lacks("atomic_swap")

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*, waiting up to *wait* seconds; return what gives it up.

        A leader that was killed holds nothing.

        Raises:
            WorkflowBusy: another leader holds it, named by host, process and since when.
        """
        raise self._lacks("lock")

    def healthcheck(self) -> None:
        """Raise if the storage cannot be used."""
        raise self._lacks("healthcheck")

    def close(self) -> None:
        """Release connections and files. The default has none."""

    def can(self, ability: str) -> bool:
        """Whether this storage implements the optional method named *ability*, or, for ``"ttl"``, lets keys end."""
        if ability == "ttl":
            return _declares_ttl(getattr(self.post, "__func__", self.post))
        return getattr(type(self), ability) is not getattr(Storage, ability)

    def hands_on(self) -> bool:
        """Whether the engine may hand on what it posted without reading it back."""
        for kind in type(self).__mro__:  # the first class with one of these says whether it was proved
            own = kind.__dict__
            if "faithful" in own or "post" in own or "get" in own:
                return "faithful" in own and self.faithful
        return False

    def _lacks(self, method: str) -> MissingAbility:
        return MissingAbility(type(self).__name__, method)


@lru_cache(maxsize=64)
def _declares_ttl(post: Callable[..., None]) -> bool:
    import inspect

    return "ttl" in inspect.signature(post).parameters


_last: tuple[Any, str] = (None, "None")


def default_key(task: Task) -> str:
    """``<workflow_id>-<task_id>``; dashes in the task id are escaped, so that no two tasks share a key."""
    global _last
    task_id, workflow_id, last = task.task_id, task.workflow_id, _last
    if last[0] is not workflow_id:
        _last = last = (workflow_id, str(workflow_id))  # the text of a UUID costs more than all the rest
    if "%" in task_id:
        task_id = task_id.replace("%", "%25")
    if "-" in task_id:
        task_id = task_id.replace("-", "%2D")
    return f"{last[1]}-{task_id}"


def workflow_of(key: str) -> str:
    """The workflow id in a key that ``default_key`` made."""
    return key.rpartition("-")[0]
