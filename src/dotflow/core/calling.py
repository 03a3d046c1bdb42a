"""Calls with arguments that a function does not have: who was called, and which argument was probably meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

F = TypeVar("F", bound=Callable[..., Any])


def explained(function: F) -> F:
    """Answer a call that does not fit the signature of *function* by the name that users write.

    A call that fits costs one more call, so this is not for what is called at each step. The signature stays.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # of what the function does: the call itself did fit
            raise TypeError(_problem(function, call, args, kwargs)) from None

    return cast("F", call)


def _problem(function: Callable[..., Any], call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    import inspect

    signature, name = inspect.signature(function), function.__name__
    if name == "__init__":
        inherited = args and type(args[0]).__init__ is call
        name = type(args[0]).__name__ if inherited else function.__qualname__.split(".")[-2]
        name = "action" if name == "Action" else name
    known = [each.name for each in signature.parameters.values() if each.name != "self"]
    unknown = [each for each in kwargs if each not in known]
    if unknown:
        return no_argument(name, unknown[0], known)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"{name}(): {error}"
    return f"{name}() cannot be called like that"


def no_argument(function: str, name: str, known: Iterable[str]) -> str:
    """Say that *function* has no argument *name*, and which of the *known* was probably meant."""
    from dotflow.core.module import nearest

    names = list(known)
    return f"{function}() has no argument {name!r}{nearest(name, names)} (known: {', '.join(names)})"
