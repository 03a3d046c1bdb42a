"""The value that travels between steps."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID


class Context:
    """Carries one value between steps.

    Args:
        storage: The value. ``None`` means that there is none. A ``Context`` is unwrapped: its value, time
            and ids are taken over.
        task_id: Name of the task that made the value, ``""`` or ``None`` when no task did.
        workflow_id: The workflow it belongs to; the text of a UUID becomes a ``UUID``, any other text stays.

    Attributes:
        time: When the value was made, an aware UTC datetime.
        scheduled_for: The instant of the tick that started the run, ``None`` outside a schedule.

    Raises:
        TypeError: ``task_id`` is neither text nor ``None``, or ``workflow_id`` is neither text, ``UUID`` nor ``None``.
    """

    __slots__ = ("_made", "scheduled_for", "storage", "task_id", "workflow_id")

    def __init__(self, storage: Any = None, task_id: str | None = "", workflow_id: UUID | str | None = None) -> None:
        if isinstance(storage, Context):
            self._made: float | datetime = storage._made
            self.storage: Any = storage.storage
            self.task_id: str | None = storage.task_id
            self.workflow_id: UUID | str | None = storage.workflow_id
            self.scheduled_for: datetime | None = storage.scheduled_for
            return
        if task_id is not None and not isinstance(task_id, str):
            raise TypeError(f"Context(task_id=...) needs a text or None, got {task_id!r}")
        self._made = time.time()
        self.storage = storage
        self.task_id = task_id
        self.workflow_id = None if workflow_id is None else _as_workflow_id(workflow_id)
        self.scheduled_for = None

    @property
    def time(self) -> datetime:
        """When the value was made, in UTC."""
        made = self._made
        return made if isinstance(made, datetime) else datetime.fromtimestamp(made, UTC)

    @time.setter
    def time(self, value: datetime) -> None:
        self._made = value

    def __eq__(self, other: object) -> bool:
        """Two contexts are equal when value and ids are; the time of making does not count."""
        if not isinstance(other, Context):
            return NotImplemented
        mine, theirs = (
            (self.storage, self.task_id, self.workflow_id),
            (other.storage, other.task_id, other.workflow_id),
        )
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]  # equal by value and mutable

    def __repr__(self) -> str:
        return f"Context(storage={self.storage!r}, task_id={self.task_id!r}, workflow_id={str(self.workflow_id)!r})"


def make_context(
    storage: Any,
    task_id: str,
    workflow_id: UUID | str | None,
    made: float,
    scheduled_for: datetime | None = None,
) -> Context:
    """Build a context from values that are known to be right (the engine's way)."""
    context = Context.__new__(Context)
    context._made = made
    context.storage = storage
    context.task_id = task_id
    context.workflow_id = workflow_id
    context.scheduled_for = scheduled_for
    return context


def _as_workflow_id(value: object) -> UUID | str:
    from uuid import UUID

    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise TypeError(f"workflow_id needs a text, a UUID or None, got {value!r}")
    try:
        return UUID(value)
    except ValueError:
        return value
