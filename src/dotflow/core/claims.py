"""The state of a schedule in a storage, and runs that only the holder of a claim can write to.

A state is one record, replaced with ``atomic_swap``: of several processes that decide a tick, one succeeds. A run of
a claimed tick writes each record with ``atomic_swap`` too. Who takes a run over puts a mark of his own on
every record that may still be written; what the one before writes then finds something else than he left, and is
refused by the storage itself: no clock is involved, and no time passes between check and write (ADR 0024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.storage import Storage
from dotflow.core.checkpoint import FENCE, FINGERPRINT, RECORD, Checkpoint
from dotflow.core.context import Context, make_context
from dotflow.core.exception import LeaseLost
from dotflow.core.outbox import NEWS, OUTBOX
from dotflow.core.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dotflow.core.codec import Codec

STATE = "_dotflow_schedule"


class StorageCell:
    """Where a schedule's state is kept: one record in a storage.

    Args:
        storage: Where.
        codec: Not used for the state, which is plain JSON; for second tries only.
        name: Of the schedule.
    """

    lasting = True

    def __init__(self, storage: Storage, codec: Codec, name: str) -> None:
        self.name = name
        self.shared = storage.can("create") and storage.can("atomic_swap")
        self._storage, self._workflow_id = storage, f"schedule:{name}"
        self._store = Checkpoint(storage, codec, self._workflow_id)
        self._key = self._store.key(self._store._pseudo(STATE))

    def read(self) -> dict[str, Any] | None:
        """Return the state; ``None`` if there is none."""
        found = self._store._get(self._key)
        return found if isinstance(found, dict) else None

    def swap(self, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        """Replace the state *before* by *after*, if it is still that; return whether it was."""
        context = Context(after, STATE, self._workflow_id)
        if not self.shared:
            self._store._call(self._storage.post, self._key, context=context)
            return True
        if before is None:
            return bool(self._store._call(self._storage.create, self._key, context=context))
        return bool(self._store._call(self._storage.atomic_swap, self._key, expected=before, new=context))

    def forget_run(self, workflow_id: str) -> None:
        """Remove the checkpoints of a run that is over."""
        if self._storage.can("clear"):
            self._store._call(self._storage.clear, None, workflow_id=workflow_id)


class Fenced(Storage):
    """A storage as the run of one claimed tick sees it: what is written with a lost claim is refused.

    Args:
        inner: The storage. It can ``atomic_swap``.
        tasks: The tasks of the run.
        workflow_id: The run.
        epoch: How many processes have had it, this one included.
    """

    def __init__(self, inner: Storage, tasks: Sequence[Task], workflow_id: str, epoch: int) -> None:
        import os

        self._inner, self._mark, self._workflow_id = inner, f"{epoch}-{os.urandom(8).hex()}", workflow_id
        self._known: dict[str, Any] = {}
        if epoch > 1:
            pseudo = [Task(name, tasks[0].step, workflow_id=workflow_id) for name in _records(tasks) if tasks]
            for task in [*tasks, *pseudo]:
                key = inner.key(task)
                if task.task_id == OUTBOX and _inside(inner.get(key=key).storage) is None:
                    break  # nobody is notified: there are no news either
                self._take(key, task.task_id)

    def __repr__(self) -> str:
        return f"{self._inner!r}, fenced"

    @property
    def patience(self) -> float:  # type: ignore[override]  # the class variable of the one inside
        """Seconds for which a call is tried again."""
        return self._inner.patience

    def _take(self, key: str, task_id: str) -> None:
        """Put a mark on a record that may still be written."""
        while True:
            raw = self._inner.get(key=key).storage
            was = _inside(raw)
            if was is not None and not task_id.startswith("_dotflow"):
                return  # a result; nobody writes it again
            mark = {FENCE: self._mark, "was": was}
            if raw == mark or self._inner.atomic_swap(
                key=key, expected=raw, new=make_context(mark, task_id, self._workflow_id, 0.0)
            ):
                self._known[key] = mark
                return

    def post(self, key: str, context: Context) -> None:
        """Save *context*, unless somebody else has taken the run over."""
        expected = self._known.get(key)
        if not self._inner.atomic_swap(key=key, expected=expected, new=context):
            found = self._inner.get(key=key).storage
            if found != context.storage:  # else it was saved, and the answer was lost
                raise LeaseLost(self._workflow_id, key, type(self._inner).__name__)
        self._known[key] = context.storage

    def get(self, key: str) -> Context:
        """Return what was saved, without marks."""
        found = self._inner.get(key=key)
        return _unmarked(found)

    def key(self, task: Task) -> str:
        """Return the key that the storage chose."""
        return self._inner.key(task=task)

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist, without marks."""
        found = self._inner.get_many(keys=keys)
        plain = {key: _unmarked(found[key]) for key in found}
        return {key: context for key, context in plain.items() if context.storage is not None}

    def can(self, ability: str) -> bool:
        """Whether this storage implements the optional method named *ability*."""
        return ability in ("get_many", "list_keys") and self._inner.can(ability)

    def hands_on(self) -> bool:
        """Whether the engine may hand on what it posted without reading it back."""
        return self._inner.hands_on()


def _records(tasks: Sequence[Task]) -> list[str]:
    """The names of the records of a run: those of its outbox last."""
    return [RECORD, FINGERPRINT, OUTBOX, NEWS, *(f"{NEWS}.{task.task_id}" for task in tasks)]


def _inside(raw: Any) -> Any:
    return raw["was"] if isinstance(raw, dict) and FENCE in raw else raw


def _unmarked(found: Context) -> Context:
    was = _inside(found.storage)
    return found if was is found.storage else make_context(was, found.task_id or "", found.workflow_id, 0.0)
