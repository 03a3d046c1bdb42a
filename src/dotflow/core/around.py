"""What surrounds an attempt where it is made: the trace it belongs to, the ids in its log lines.

Empty unless a provider asks for it, so that a run without such providers pays for one look at an empty list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from dotflow.core.messages import Attempt, Outcome

surroundings: list[Callable[[Attempt], AbstractContextManager[Any]]] = []
carriers: dict[tuple[Any, str], dict[str, str]] = {}  # texts that travel to other processes with a task's attempts


def surround(maker: Callable[[Attempt], AbstractContextManager[Any]]) -> None:
    """Have every attempt of this process made inside of what *maker* returns for it."""
    if maker not in surroundings:
        surroundings.append(maker)


def enter(order: Attempt) -> Callable[[Outcome], Outcome]:
    """Enter what surrounds *order*; return what leaves it, and adds to its outcome what the step printed."""
    from contextlib import ExitStack

    stack = ExitStack()
    found = [stack.enter_context(maker(order)) for maker in surroundings]
    kept = [each for each in found if hasattr(each, "text")]

    def leave(outcome: Outcome) -> Outcome:
        stack.close()
        return outcome._replace(output=kept[0].text()) if kept else outcome

    return leave


def arrive(carrier: dict[str, str]) -> Callable[[], None]:
    """In a worker process: join the trace that *carrier* names; return what leaves it."""
    try:
        from opentelemetry import context, propagate
    except ImportError:  # the worker runs where it is not installed
        return lambda: None
    token = context.attach(propagate.extract(carrier))
    return lambda: context.detach(token)
