"""``@action``: a step and its policy."""

from __future__ import annotations

import functools
import math
import sys
import types
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from dotflow.core.calling import explained
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, MissingActionDecorator
from dotflow.core.named import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself costs 5 ms to import
INJECTED = ("initial_context", "previous_context", "task")
ONLY_PREVIOUS = ("previous_context",)  # by far the most common: compared by identity


class _Policy(NamedTuple):
    retry: int = 1
    timeout: float = 0
    retry_delay: float = 1
    backoff: bool = False
    max_delay: float | None = None
    jitter: float = 0
    retry_on: tuple[type[BaseException], ...] = (BaseException,)


class Policy(_Policy):
    """How often and how long one step may be tried.

    Attributes:
        retry: Calls in all, whatever fails: ``3`` means at most three. ``0`` counts as ``1``.
        timeout: Seconds one attempt may take; ``0`` means no limit.
        retry_delay: Seconds between a failed attempt and the next.
        backoff: Double the pause after each failed attempt.
        max_delay: Upper limit of one pause in seconds, ``None`` for none.
        jitter: Share of the pause that is left to chance, 0 to 1: with ``0.2`` a pause of 10 s takes 8 to 12 s.
        retry_on: Exception types that are worth another attempt; everything, unless said otherwise.
    """

    __slots__ = ()

    def __new__(
        cls,
        retry: int = 1,
        timeout: float = 0,
        retry_delay: float = 1,
        backoff: bool = False,
        max_delay: float | None = None,
        jitter: float = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (BaseException,),
    ) -> Policy:
        """Check every value; raise ``ConfigurationError`` for one that makes no sense."""
        if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
            raise ConfigurationError(f"retry needs a whole number of attempts, 0 or more, got {retry!r}")
        _seconds("timeout", timeout)
        _seconds("retry_delay", retry_delay)
        if max_delay is not None:
            _seconds("max_delay", max_delay)
        if not isinstance(backoff, bool):
            raise ConfigurationError(f"backoff needs True or False, got {backoff!r}")
        if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter <= 1:
            raise ConfigurationError(f"jitter needs a number from 0 to 1, got {jitter!r}")
        kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise ConfigurationError(f"retry_on needs an exception type or a tuple of them, got {retry_on!r}")
        return super().__new__(cls, max(1, retry), timeout, retry_delay, backoff, max_delay, jitter, kinds)

    def delay_after(self, attempt: int, chance: float = 0.5) -> float:
        """Seconds to wait after failed attempt number *attempt*, counted from 1.

        *chance*, from 0 to 1, is where in the span of the jitter the pause falls.
        """
        delay = self.retry_delay
        if self.backoff:
            delay *= 2.0 ** (attempt - 1) if attempt <= 1000 else math.inf if delay else 0
        if self.max_delay is not None:
            delay = min(delay, self.max_delay)
        return delay * (1 + self.jitter * (2 * chance - 1))


def _seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name} needs a number of seconds, 0 or more, got {value!r}")


class Action(Generic[P, R]):
    """A function, coroutine function or class with the policy under which it runs as a step.

    Calling it calls what it wraps. Retry and timeout belong to the workflow; a call by hand has neither.

    Args:
        func: What is decorated; ``None`` when the decorator is written with parentheses.
        task: Ignored; kept for callers of dotflow 1.x.
        retry: Calls in all; ``0`` counts as ``1``.
        timeout: Seconds per attempt, ``0`` for no limit. The step is stopped: a plain function with a timeout
            runs in a worker process for that, a coroutine is cancelled.
        retry_delay: Seconds between attempts.
        backoff: Double the pause after each failed attempt.
        max_delay: Upper limit of one pause in seconds.
        jitter: Share of a pause left to chance, 0 to 1.
        retry_on: Exception types worth another attempt; all of them by default.

    Raises:
        ConfigurationError: a value that makes no sense, with that value.

    .. versionchanged:: 2.0
        ``max_delay``, ``jitter`` and ``retry_on`` are new.
    """

    func: Callable[P, R]

    @explained
    def __init__(
        self,
        func: Callable[P, R] | None = None,
        task: object = None,
        retry: int = 1,
        timeout: float = 0,
        retry_delay: float = 1,
        backoff: bool = False,
        *,
        max_delay: float | None = None,
        jitter: float = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (BaseException,),
    ) -> None:
        self.policy = Policy(retry, timeout, retry_delay, backoff, max_delay, jitter, retry_on)
        self.task = task
        self.retry, self.timeout, self.retry_delay, self.backoff = retry, timeout, retry_delay, backoff
        self.params: tuple[str, ...] = ()
        self.required: tuple[str, ...] = ()
        self.is_class = self.is_async = self.takes_self = False
        self.limited = timeout > 0
        self.name = ""
        if func is None:
            return
        if not callable(func):
            raise ConfigurationError(f"@action decorates a function, coroutine function or class, got {func!r}")
        self._wrap(func)

    def _wrap(self, func: Callable[P, R]) -> None:
        self.func = func
        functools.update_wrapper(self, func, updated=())
        self.is_class = isinstance(func, type)
        self.name = str(getattr(func, "__name__", None) or type(func).__name__)
        names, required, first = signature(func)
        params = tuple(name for name in INJECTED if name in names)
        self.params = ONLY_PREVIOUS if params == ONLY_PREVIOUS else params
        self.takes_self = first is not None and first not in INJECTED
        by_position = positional_only(func)
        self.required = tuple(name for name in required if name not in INJECTED or name in by_position)
        if isinstance(func, type):
            self.required += asked_by_methods(func)
            self.limited = self.limited or any(step.limited for step in actions_of(func).values())
        else:
            self.is_async = is_coroutine_function(func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what was decorated (or, as ``@action(...)``, decorate).

        With ``task=``, as dotflow 1.x called steps by hand, contexts that the step does not ask for are left
        out and the result comes as a ``Context`` of that task.
        """
        if not self.name:
            if len(args) != 1 or kwargs:
                raise MissingActionDecorator
            return Action(args[0], self.task, **self.policy._asdict())  # type: ignore[return-value, arg-type]  # decorating
        task = kwargs.get("task")
        if task is None or "task" in self.params or not hasattr(task, "task_id"):
            return self.func(*args, **kwargs)
        wanted: Any = {name: kwargs[name] for name in self.params if name in kwargs}
        found = self.func(*args, **wanted)
        return Context(found, task.task_id, task.workflow_id)  # type: ignore[return-value, attr-defined]  # 1.x

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: Action[Concatenate[Any, Q], R], instance: object, owner: type | None = None) -> Action[Q, R]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind like a function does; what is bound has the attributes of the action."""
        if instance is None:
            return self
        return types.MethodType(self, instance) if self.takes_self else self

    def __reduce__(self) -> Any:
        """By reference where the other process can import it, else by value."""
        module, name = getattr(self, "__module__", "__main__"), getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(module) if module != "__main__" else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        func = self.__dict__.get("func")
        return _rebuild, (func, tuple(self.policy), getattr(getattr(func, "__code__", None), "co_filename", None))


def _rebuild(func: Any, policy: tuple[Any, ...], filename: str | None) -> Action[..., Any]:
    if filename is not None and func.__code__.co_filename != filename:  # cloudpickle leaves it out; tracebacks need it
        func.__code__ = func.__code__.replace(co_filename=filename)
    return Action(func, **Policy(*policy)._asdict())


def signature(func: Any) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Names of the parameters of *func*, those without a default, and the first positional one."""
    bound = isinstance(func, (type, types.MethodType))
    if isinstance(func, type):
        func = func.__init__  # type: ignore[misc]  # of exactly this class
        if func is object.__init__:
            return (), (), None
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None or hasattr(func, "__wrapped__"):
        return _inspected(func)
    names = code.co_varnames[bound : code.co_argcount + code.co_kwonlyargcount]
    positional = names[: code.co_argcount - bound]
    with_default = positional[len(positional) - len(func.__defaults__ or ()) :]
    optional = {*with_default, *(func.__kwdefaults__ or ())}
    return names, tuple(name for name in names if name not in optional), positional[0] if positional else None


def positional_only(func: Any) -> tuple[str, ...]:
    """Names of the parameters that cannot be given by name."""
    code = getattr(getattr(func, "__func__", func), "__code__", None)
    return () if code is None else code.co_varnames[: code.co_posonlyargcount]


def asked_by_methods(kind: type) -> tuple[str, ...]:
    """Parameters of the ``@action`` methods of a class that nothing fills."""
    return tuple(name for step in actions_of(kind).values() for name in step.required[step.takes_self :])


def _inspected(func: Any) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    import inspect

    try:
        found = inspect.signature(func).parameters.values()
    except (
        TypeError,
        ValueError,
    ):  # a C function that tells nothing: it can only be called without arguments
        return (), (), None
    usable = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    first = next((p.name for p in usable if p.kind is not p.KEYWORD_ONLY), None)
    return tuple(p.name for p in usable), tuple(p.name for p in usable if p.default is p.empty), first


def is_coroutine_function(func: Any) -> bool:
    """Whether calling *func* gives a coroutine."""
    while isinstance(func, functools.partial):
        func = func.func
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None:  # an object with __call__
        code = getattr(vars(type(func)).get("__call__"), "__code__", None)
    return code is not None and bool(code.co_flags & COROUTINE)


def actions_of(kind: type) -> dict[str, Action[..., Any]]:
    """The ``@action`` methods of a class, inherited ones first, in the order of definition.

    Only class dictionaries are read: no property runs, and no value is looked into.
    """
    return {name: found for name, found in _members(kind) if isinstance(found, Action)}


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    order: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        order.update(vars(base))
    yield from order.items()


if TYPE_CHECKING:

    @overload
    def action(func: Callable[P, R], /) -> Action[P, R]: ...
    @overload
    def action(
        func: None = None,
        task: object = None,
        retry: int = 1,
        timeout: float = 0,
        retry_delay: float = 1,
        backoff: bool = False,
        *,
        max_delay: float | None = None,
        jitter: float = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = ...,
    ) -> Callable[[Callable[P, R]], Action[P, R]]: ...
    def action(*args: Any, **kwargs: Any) -> Any:
        """Make a step of a function, coroutine function or class: see ``Action``."""

else:
    action = Action
