"""A user's program whose steps, classes and closures are those of ``__main__``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dotflow import DotFlow, action

STARTED = os.getpid()  # in a worker that ran this module again, its own


class Colour(Enum):
    RED = 1


@dataclass
class Row:
    number: int
    colour: Colour


class Refusal(Exception):
    pass


@action
def rows() -> list[Row]:
    return [Row(1, Colour.RED)]


@action
def pids() -> tuple[int, int]:
    return STARTED, os.getpid()


@action
def refuses() -> None:
    raise Refusal("of __main__")


@action
class Steps:
    @action
    def first(self) -> Row:
        return Row(2, Colour.RED)

    @action
    def second(self, previous_context: Any) -> int:
        return previous_context.storage.number + 1


def closure(factor: int) -> Any:
    @action
    def times(initial_context: Any) -> int:
        return factor * initial_context.storage.number

    return times


workflow = DotFlow()
workflow.task.add([rows, pids, refuses, Steps])
workflow.task.add(closure(7), initial_context=Row(6, Colour.RED))
workflow.task.add(action(lambda: "lambda"), task_id="lambda")
workflow.start(mode="parallel", keep_going=True)
found = workflow.result_storage()
refused = workflow.result_task()[2]

assert found[0] == [Row(1, Colour.RED)], found[0]
assert type(found[0][0]) is Row
assert found[0][0].colour is Colour.RED
assert found[1][0] == os.getpid() != found[1][1], found[1]
assert (refused.errors[0].exception, refused.errors[0].message) == ("Refusal", "of __main__")
assert "main_flow.py" in refused.errors[0].traceback, refused.errors[0].traceback
assert [context.storage for context in found[3]] == [Row(2, Colour.RED), 3], found[3]
assert type(found[3][0].storage) is Row
assert found[4] == 42
assert found[5] == "lambda"
error = refused.errors[0].error
print("right", repr(error) if isinstance(error, Refusal) else f"but the exception is {error!r}")
