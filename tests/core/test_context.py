"""``Context``: the value that travels between steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from dotflow import Context
from dotflow.core.context import make_context


def test_empty_context_carries_none() -> None:
    """A context made of nothing has no value, no task and no workflow."""
    empty = Context()

    assert (empty.storage, empty.task_id, empty.workflow_id, empty.scheduled_for) == (None, "", None, None)


@pytest.mark.parametrize("value", [0, "", [], False, {"a": 1}, object()])
def test_value_is_kept_as_it_is(value: Any) -> None:
    """The very object that was given comes back, falsy ones too."""
    assert Context(value).storage is value
    assert Context(storage=value).storage is value


def test_context_in_a_context_is_unwrapped() -> None:
    """Value, time and ids of the inner one are taken over; those given beside it are not."""
    inner = Context(3, "inner", "w")
    inner.scheduled_for = datetime(2026, 1, 1, tzinfo=UTC)

    outer = Context(inner, "outer", "other")

    assert outer == inner
    assert (outer.time, outer.scheduled_for) == (inner.time, inner.scheduled_for)


def test_text_of_a_uuid_becomes_a_uuid_and_other_text_stays() -> None:
    """§19-4: any text is a workflow id; the text of a UUID is that UUID."""
    known = uuid4()

    assert Context(workflow_id=str(known)).workflow_id == known
    assert Context(workflow_id=known).workflow_id is known
    assert Context(workflow_id="etl-daily").workflow_id == "etl-daily"
    assert isinstance(Context(workflow_id=str(known)).workflow_id, UUID)


def test_task_id_is_text_or_none() -> None:
    """An id of another type is refused, with what was given."""
    assert Context(task_id=None).task_id is None
    with pytest.raises(TypeError, match=r"task_id=.*needs a text or None, got 3"):
        Context(task_id=3)  # type: ignore[arg-type]


def test_workflow_id_of_another_type_is_refused() -> None:
    """A number is no workflow id."""
    with pytest.raises(TypeError, match=r"workflow_id needs a text, a UUID or None, got 3"):
        Context(workflow_id=3)  # type: ignore[arg-type]


def test_time_is_an_aware_instant_that_can_be_set() -> None:
    """A context knows when it was made, in UTC; a storage may put the saved time back."""
    context = make_context(1, "t", "w", 0.0)
    assert context.time == datetime(1970, 1, 1, tzinfo=UTC)

    context.time = datetime(2020, 1, 1, tzinfo=UTC)

    assert context.time == datetime(2020, 1, 1, tzinfo=UTC)
    assert abs((Context().time - datetime.now(UTC)).total_seconds()) < 10


def test_contexts_are_equal_by_value_and_ids() -> None:
    """The time does not count; a context equals no other type, and cannot be hashed."""
    assert Context(1, "t", "w") == make_context(1, "t", "w", 0.0)
    assert Context(1, "t", "w") != Context(1, "u", "w")
    assert Context(1) != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Context(1))


def test_repr_shows_value_and_ids() -> None:
    """What one sees in a debugger is enough to make it again."""
    assert repr(Context([1], "t", "w")) == "Context(storage=[1], task_id='t', workflow_id='w')"
