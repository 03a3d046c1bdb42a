"""Tasks and workflows as plain values: ``result()``, its limit, and lines for logs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from doubles import flow, task

from dotflow import Context, Task, action
from dotflow.core import record
from dotflow.core.messages import TaskError
from dotflow.core.types import TypeStatus

KEYS = [
    "task_id", "id", "workflow_id", "status", "duration", "initial_context", "previous_context", "current_context",
    "group_name", "retry_count", "created_at", "started_at", "finished_at", "errors", "error",
]  # fmt: skip


@action
def extract(initial_context: Context) -> Any:
    return {"rows": initial_context.storage}


@action(retry=2, retry_delay=0)
def broken(previous_context: Context) -> None:
    raise ValueError(f"no {sorted(previous_context.storage)}")


def run() -> dict[str, Any]:
    """Run a small workflow, one step of which fails, and return its result."""
    workflow = flow(workflow_id="w")
    workflow.task.add(extract, initial_context=[1, 2]).add(broken, group_name="default").add(extract)
    workflow.start()
    return workflow.result()


def test_result_of_a_workflow_has_the_shape_of_1x() -> None:
    """API §15: ids twice, name twice, a dictionary for each task with exactly these keys, all of it JSON."""
    result = run()

    assert [result[name] for name in ("workflow_id", "id", "workflow_name", "name")] == ["w", "w", None, None]
    assert list(result) == ["workflow_id", "workflow_name", "id", "name", "tasks"]
    first, second, third = result["tasks"]
    assert list(first) == KEYS
    assert json.loads(json.dumps(result)) == result
    assert (first["task_id"], first["id"], first["workflow_id"]) == ("extract", "extract", "w")
    assert first["status"] == "Completed"
    assert first["initial_context"] == {"raw:0": "1", "raw:1": "2"}
    assert json.loads(first["current_context"]) == {"rows": [1, 2]}
    assert (first["previous_context"], first["errors"], first["error"]) == (None, [], None)
    assert isinstance(first["duration"], float)
    assert (second["status"], second["retry_count"], second["error"]) == ("Failed", 1, second["errors"][1])
    assert [error["attempt"] for error in second["errors"]] == [1, 2]
    assert list(second["errors"][0]) == ["attempt", "exception", "traceback", "message"]
    assert second["error"]["exception"] == "ValueError"
    assert second["error"]["message"] == "no ['rows']"
    assert json.loads(second["previous_context"]) == {"rows": [1, 2]}
    assert (third["status"], third["started_at"], third["duration"]) == ("Not started", None, None)


def test_result_of_a_task_without_a_workflow() -> None:
    """A task made by hand has no workflow id."""
    assert Task("a", extract).result()["workflow_id"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (0, "0"),
        ("", '""'),
        ({"a": 1}, '{"a": 1}'),
        ({1, 2}, "{1, 2}"),
        ([], {}),
        ((1, "b"), {"raw:0": "1", "raw:1": '"b"'}),
        ([Context(5, "x"), Context(None, None), 3], {"x": "5", "ctx:1": None, "raw:2": "3"}),
        ([Context([Context(1, "y")], "x")], {"x": {"y": "1"}}),
    ],
)
def test_context_is_json_text_or_a_dictionary_of_them(value: Any, expected: Any) -> None:
    """API §15: JSON text, ``str()`` where JSON cannot, and an object for lists, recursively."""
    made = Task("a", extract, initial_context=value)

    assert made.result()["initial_context"] == expected


def test_value_that_contains_itself_is_told_by_its_text() -> None:
    """A circular value does not break ``result()``."""
    loop: dict[str, Any] = {}
    loop["self"] = loop

    assert Task("a", extract, initial_context=loop).result()["initial_context"] == "{'self': {...}}"


def big() -> Task:
    """A task with contexts of different sizes and an error."""
    made = Task("a", extract, initial_context="i" * 500)
    made._previous, made._current = Context("p" * 3000), "c" * 1000
    made.errors.append(TaskError(ValueError("e" * 100), 1))
    return made


def size(result: dict[str, Any]) -> int:
    """Return the number of characters of a result."""
    return len(json.dumps(result))


def test_result_that_fits_is_not_changed() -> None:
    """With enough room everything stays."""
    made = big()

    assert made.result(max=size(made.result())) == made.result(max=None) == made.result()


@pytest.mark.parametrize(
    ("less", "left_out"),
    [
        (1, {"previous_context"}),
        (3200, {"previous_context", "current_context"}),
        (4100, {"previous_context", "current_context", "initial_context"}),
    ],
)
def test_largest_contexts_go_first(less: int, left_out: set[str]) -> None:
    """Contexts are left out one by one, largest first, until the text fits; the task itself keeps them."""
    made = big()
    most = size(made.result()) - less
    result = made.result(max=most)

    assert {name for name in KEYS if result[name] == {"message": "Context size exceeded"}} == left_out
    assert size(result) <= most
    assert len(result["errors"]) == 1
    assert made.current_context.storage == "c" * 1000


def test_errors_go_after_the_contexts_and_then_the_contexts_themselves() -> None:
    """Then errors go; if even that is too much, contexts become null, but for ``max=0``."""
    result = big().result(max=600)
    assert (result["errors"], result["error"]) == ([], None)
    assert size(result) <= 600

    result = big().result(max=10)
    assert [result[name] for name in record.CONTEXTS] == [None] * 3
    result = big().result(max=0)
    assert [result[name] for name in record.CONTEXTS] == [{"message": "Context size exceeded"}] * 3


def failed() -> Task:
    """A task that failed with a text that would forge a log line."""
    made = task("bad\nname")
    made.status, made.retry_count, made.duration = TypeStatus.FAILED, 1, 2.5
    try:
        raise ValueError("one\ntwo\x1b[31m")
    except ValueError as error:
        made.errors.append(TaskError(error, 1))
    return made


def test_line_of_a_task_names_workflow_task_and_status() -> None:
    """The simple form is one line; a failure brings its traceback, each line of it indented."""
    assert record.as_text("INFO", task=task("a")).startswith("ID w - a - Not started")
    assert record.as_text("INFO", one=1, two="b\nc") == "one=1 two=b\\nc"

    text = record.as_text("ERROR", task=failed())

    assert "ID w - bad\\nname - Failed" in text
    assert "ValueError: one" in text
    assert "\x1b" not in text
    assert all(line.startswith(" ") for line in text.split("\n")[1:])


def test_json_line_has_what_is_known() -> None:
    """The JSON form is one object: ids, status, and duration, retries and error where there are any."""
    calm = json.loads(record.as_json("INFO", task=task("a")))
    assert (calm["level"], calm["task_id"], calm["status"]) == ("INFO", "a", "Not started")
    assert "duration" not in calm

    found = json.loads(record.as_json("ERROR", task=failed()))
    assert (found["duration"], found["retry_count"]) == (2.5, 1)
    assert found["error"]["exception"] == "ValueError"
    assert "\n" not in record.as_json("ERROR", task=failed())
    assert json.loads(record.as_json("INFO", count=3))["count"] == "3"


def test_logfmt_line_has_pairs() -> None:
    """The logfmt form is one line of ``name=value``, quoted where it must be."""
    line = record.as_logfmt("ERROR", task=failed())

    assert "workflow_id=w" in line
    assert 'task_id="bad\\nname"' in line
    assert 'message="one\\ntwo\\u001b[31m"' in line
    assert "exception=ValueError" in line
    assert "\n" not in line
    assert record.as_logfmt("INFO", empty="").endswith('level=INFO empty=""')


def test_text_is_put_on_one_line() -> None:
    """X5: line breaks and control characters cannot forge a log line; other text stays as it is."""
    assert record.one_line("plain é 漢") == "plain é 漢"
    assert record.one_line("a\nb\r\x1b\u2028\ud800") == "a\\nb\\r\\x1b\\u2028\\ud800"
