"""The value that travels between steps."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_making = threading.RLock()


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


class Later:
    """A value that is made when somebody asks for it, and is the same object from then on.

    Args:
        source: Makes it.

    Attributes:
        source: ``None`` once the value was given to somebody, who may have changed it.
    """

    __slots__ = ("_value", "source")

    def __init__(self, source: Callable[[], Any]) -> None:
        self.source: Callable[[], Any] | None = source
        self._value: Any = None

    def get(self) -> Any:
        """Return the value."""
        with _making:
            if self.source is not None:
                self._value = self.source()
                self.source = None
            return self._value

    def __reduce__(self) -> Any:
        return _itself, (self.get(),)


def _itself(value: Any) -> Any:
    return value


class LaterContext(Context):
    """A context whose value is made when somebody asks for it; it is a plain ``Context`` from then on."""

    __slots__ = ()

    @property
    def later(self) -> Later | None:
        """The value that is still to be made, ``None`` if somebody has asked for it."""
        found = _slot.__get__(self)
        return found if type(found) is Later else None

    @property
    def storage(self) -> Any:
        """The value."""
        later = self.later
        if later is not None:
            self.storage = later.get()
        return _slot.__get__(self)

    @storage.setter
    def storage(self, value: Any) -> None:
        _slot.__set__(self, value)
        self.__class__ = Context  # type: ignore[assignment]  # of the same layout

    def __reduce__(self) -> Any:
        return make_context, (self.storage, self.task_id, self.workflow_id, self._made, self.scheduled_for)


class Together:
    """Makes one dictionary of values of which some are made when somebody asks for them."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __call__(self) -> dict[str, Any]:
        """Return the dictionary."""
        return {name: value.get() if type(value) is Later else value for name, value in self.values.items()}


def together(values: dict[str, Any]) -> Any:
    """Return *values*, later if one of them is made later; ``None`` if there are none."""
    for value in values.values():
        if type(value) is Later:
            return Later(Together(values))
    return values or None


_slot: Any = Context.__dict__["storage"]
_bare: Callable[[type[Context]], Context] = object.__new__


def make_context(
    storage: Any,
    task_id: str,
    workflow_id: UUID | str | None,
    made: float,
    scheduled_for: datetime | None = None,
) -> Context:
    """Build a context from values that are known to be right (the engine's way)."""
    context = _bare(Context)
    context._made = made
    context.storage = storage
    if type(storage) is Later:
        context.__class__ = LaterContext
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
