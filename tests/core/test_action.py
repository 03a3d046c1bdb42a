"""``@action``: what it makes of functions, coroutine functions, methods and classes, and the policy it carries."""

from __future__ import annotations

import asyncio
import functools
import math
import pickle
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from dotflow import Context, action
from dotflow.core.action import Action, Policy, actions_of, is_coroutine_function, signature
from dotflow.core.exception import ConfigurationError, MissingActionDecorator


@action
def importable(previous_context: Context) -> Any:
    """A step that another process can import."""
    return previous_context.storage


# -- a step is still a function -------------------------------------------------------------------------------


def test_calling_a_step_calls_the_function() -> None:
    """S1: outside a workflow a step takes the arguments of its function and returns what that returns."""

    @action(retry=5, timeout=1, retry_delay=9)
    def add(left: int, right: int = 1, *rest: int, **names: int) -> int:
        return left + right + sum(rest) + sum(names.values())

    assert add(1) == 2
    assert add(1, 2, 3, other=4) == 10


def test_calling_a_step_neither_retries_nor_waits() -> None:
    """S1: an error in the function reaches the caller after one call; the policy belongs to the workflow."""
    calls = []

    @action(retry=3, retry_delay=60)
    def fails() -> None:
        calls.append(1)
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        fails()
    assert calls == [1]


def test_calling_a_coroutine_step_gives_its_coroutine() -> None:
    """S1: an ``async def`` step called outside a workflow is awaited by the caller."""

    @action
    async def double(value: int) -> int:
        return 2 * value

    assert asyncio.run(double(4)) == 8


def test_calling_a_class_step_gives_an_instance() -> None:
    """S1: a decorated class called outside a workflow makes an instance, whose steps can be called."""

    @action
    class Greeter:
        def __init__(self, name: str) -> None:
            self.name = name

        @action
        def greet(self) -> str:
            return f"hello {self.name}"

        @action
        def shout():  # type: ignore[misc]
            return "HELLO"

    greeter = Greeter("ada")

    assert greeter.greet() == "hello ada"
    assert greeter.shout() == "HELLO"


def test_step_looks_like_its_function() -> None:
    """Name, docstring, module and the wrapped function are those of what was decorated."""

    def plain() -> None:
        """Do it."""

    step = action(plain)

    assert (step.__name__, step.__doc__, step.__module__, step.__wrapped__) == ("plain", "Do it.", __name__, plain)
    assert isinstance(step, Action)
    assert isinstance(action(retry=2)(plain), Action)


def test_step_read_from_its_class_is_the_step() -> None:
    """A method is bound when it is read from an instance, not when it is read from the class."""

    class Steps:
        @action
        def one(self) -> Any:
            return self

    steps = Steps()

    assert isinstance(Steps.one, Action)
    assert steps.one() is steps


def test_legacy_call_with_a_task_gives_a_context_of_that_task() -> None:
    """1.x: ``step(task=t, …)`` returns a ``Context`` with the ids of the task; what is not asked for is left out."""
    task = SimpleNamespace(task_id="t", workflow_id="w")

    @action
    def double(value: int = 1, *, initial_context: Context) -> int:
        return 2 * value * initial_context.storage

    found: Any = double(5, task=task, initial_context=Context(3), previous_context=Context(9))

    assert found == Context(30, "t", "w")


def test_step_that_asks_for_task_is_called_as_it_is() -> None:
    """A step's own parameter ``task`` is its own: no 1.x rule gets in between."""
    task = SimpleNamespace(task_id="t", workflow_id="w")

    @action
    def names_it(task: Any) -> str:
        return str(task.task_id)

    assert names_it(task=task) == "t"


def test_task_argument_that_is_no_task_reaches_the_function() -> None:
    """A keyword ``task`` that merely has that name is passed on."""

    @action
    def keeps(**names: Any) -> Any:
        return names

    assert keeps(task="t") == {"task": "t"}
    assert keeps(task=None) == {"task": None}


# -- decorating -----------------------------------------------------------------------------------------------


def test_parentheses_carry_the_policy() -> None:
    """``@action(...)`` gives a step with exactly those settings, also as attributes of 1.x."""
    step = action(retry=4, timeout=2.5, retry_delay=0.5, backoff=True, max_delay=3, jitter=0.1, retry_on=OSError)(
        importable.func
    )

    assert step.policy == Policy(4, 2.5, 0.5, True, 3, 0.1, OSError)
    assert (step.retry, step.timeout, step.retry_delay, step.backoff) == (4, 2.5, 0.5, True)


@pytest.mark.parametrize("what", [5, "name", None])
def test_something_that_cannot_be_called_is_refused(what: Any) -> None:
    """``@action(...)`` on a value names the value."""
    if what is None:
        with pytest.raises(MissingActionDecorator, match="decorate it with @action"):
            action(retry=2)()
        return
    with pytest.raises(ConfigurationError, match=repr(what)):
        action(what)
    with pytest.raises(ConfigurationError, match=repr(what)):
        action(retry=2)(what)


def test_decorator_with_parentheses_takes_one_function() -> None:
    """``@action(...)`` called with anything but the one function is a step that was never decorated."""
    with pytest.raises(MissingActionDecorator, match="@action"):
        action(retry=2)(importable, importable)
    with pytest.raises(MissingActionDecorator, match="@action"):
        action(retry=2)(importable, task=1)


# -- the policy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "attempts"), [(0, 1), (1, 1), (3, 3)])
def test_retry_is_the_number_of_calls_in_all(given: int, attempts: int) -> None:
    """``retry=0`` counts as one attempt, as in 1.x."""
    assert action(retry=given)(importable.func).policy.retry == attempts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("retry", value) for value in (-1, 1.5, True, "3", None)],
        *[("timeout", value) for value in (-0.1, True, "1", math.inf, math.nan, None)],
        *[("retry_delay", value) for value in (-1, False, "1", math.inf, None)],
        *[("max_delay", value) for value in (-1, True, "1", math.inf)],
        *[("backoff", value) for value in (1, 0, "yes", None)],
        *[("jitter", value) for value in (-0.1, 1.1, True, "0.5", None)],
        *[("retry_on", value) for value in ((), int, "OSError", (OSError, 3), ValueError("x"), None, [OSError])],
    ],
)
def test_policy_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    """A value out of range or of another type is refused at the decorator, by argument and value."""
    with pytest.raises(ConfigurationError) as caught:
        action(**{name: value})

    assert name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "needs" in str(caught.value)


def test_pause_is_the_same_after_each_attempt() -> None:
    """Without ``backoff`` each pause is ``retry_delay``."""
    policy = Policy(retry=4, retry_delay=1.5)

    assert [policy.delay_after(attempt) for attempt in (1, 2, 3)] == [1.5, 1.5, 1.5]


def test_backoff_doubles_the_pause_up_to_its_limit() -> None:
    """``backoff`` gives d, 2d, 4d…; ``max_delay`` caps each pause; the policy itself does not change."""
    policy = Policy(retry=9, retry_delay=3, backoff=True)

    assert [policy.delay_after(attempt) for attempt in (1, 2, 3, 1)] == [3, 6, 12, 3]
    assert [policy._replace(max_delay=10).delay_after(attempt) for attempt in (1, 2, 3, 4)] == [3, 6, 10, 10]


def test_backoff_does_not_overflow() -> None:
    """A pause after thousands of attempts is still a number, and its limit still holds."""
    policy = Policy(retry=9999, retry_delay=1, backoff=True)

    assert policy.delay_after(5000) == math.inf
    assert policy._replace(max_delay=60).delay_after(5000) == 60
    assert policy._replace(retry_delay=0).delay_after(5000) == 0


def test_jitter_leaves_a_share_of_the_pause_to_chance() -> None:
    """With ``jitter=0.2`` a pause of 10 s takes 8 to 12 s, 10 in the middle."""
    policy = Policy(retry_delay=10, jitter=0.2)

    assert [policy.delay_after(1, chance) for chance in (0, 0.5, 1)] == pytest.approx([8, 10, 12])


def test_retry_on_takes_one_type_or_several() -> None:
    """A single exception type is the same as a tuple of it; the default is everything."""
    assert Policy(retry_on=OSError).retry_on == (OSError,)
    assert Policy(retry_on=(OSError, KeyError)).retry_on == (OSError, KeyError)
    assert Policy().retry_on == (BaseException,)


# -- what a step asks for -------------------------------------------------------------------------------------


def test_only_parameters_count_as_asked_for() -> None:
    """Names of parameters decide, in any order and keyword-only too; a local variable of that name does not."""

    @action
    def both(previous_context: Context, *, initial_context: Context, limit: int = 3) -> int:
        return limit

    @action
    def none() -> Any:
        previous_context = initial_context = task = 1
        return previous_context, initial_context, task

    assert set(both.params) == {"initial_context", "previous_context"}
    assert both.required == ()
    assert none.params == ()


def test_required_parameters_that_nobody_fills_are_known() -> None:
    """Required are those without a default that are not contexts, keyword-only ones included."""

    @action
    def needs(task: Any, path: str, size: int = 1, *, mode: str, flag: bool = False) -> None:
        del task, path, size, mode, flag

    assert needs.params == ("task",)
    assert needs.required == ("path", "mode")


def test_class_asks_by_its_constructor() -> None:
    """For a class the parameters of ``__init__`` count, without ``self``; a class without one asks for nothing."""

    @action
    class Asks:
        def __init__(self, initial_context: Context, size: int) -> None:
            self.size = size

    @action
    class Bare:
        pass

    assert (Asks.params, Asks.required, Asks.is_class) == (("initial_context",), ("size",), True)
    assert (Bare.params, Bare.required) == ((), ())


def test_wrapped_functions_ask_for_what_is_inside() -> None:
    """A decorator of the user's, a partial, an object with ``__call__`` and a bound method are all read rightly."""

    def inner(previous_context: Context, size: int) -> int:
        return previous_context.storage * size

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    class Callable:
        def __call__(self, initial_context: Context) -> Any:
            return initial_context

        def method(self, previous_context: Context, extra: int) -> Any:
            return previous_context, extra

    assert signature(outer) == (("previous_context", "size"), ("previous_context", "size"), "previous_context")
    assert signature(functools.partial(inner, size=2))[1] == ("previous_context",)
    assert action(functools.partial(inner, size=2)).name == "partial"
    assert signature(Callable())[0] == ("initial_context",)
    assert signature(Callable().method) == (("previous_context", "extra"),) * 2 + ("previous_context",)


def test_function_that_tells_nothing_asks_for_nothing() -> None:
    """A C function without a signature is taken to need no argument."""
    assert signature(getattr)[2] is None or signature(getattr)[0]
    assert signature(type("C", (), {"__call__": print.__call__, "__signature__": 5})()) == ((), (), None)


@pytest.mark.parametrize("shape", ["function", "partial", "method", "object", "static"])
def test_coroutine_functions_are_known_in_every_shape(shape: str) -> None:
    """Plain, partial, bound, callable object or static: what gives a coroutine is awaited."""

    async def work() -> int:
        return 1

    class Works:
        async def method(self) -> int:
            return 1

        async def __call__(self) -> int:
            return 1

    shapes: dict[str, Any] = {
        "function": work,
        "partial": functools.partial(functools.partial(work)),
        "method": Works().method,
        "object": Works(),
        "static": staticmethod(work),
    }
    assert is_coroutine_function(shapes[shape])
    assert action(shapes[shape]).is_async
    assert not is_coroutine_function(print)
    assert not is_coroutine_function(test_coroutine_functions_are_known_in_every_shape)


# -- methods of classes ---------------------------------------------------------------------------------------


def test_actions_of_a_class_come_in_order_of_definition_inherited_ones_first() -> None:
    """Inherited steps come first; one that is overridden keeps its place; a plain method takes it away."""

    class Base:
        @action
        def first(self) -> str:
            return "base"

        @action
        def second(self) -> str:
            return "base"

        @action
        def hidden(self) -> None: ...

    class Child(Base):
        @action
        def third(self) -> None: ...

        @action
        def first(self) -> str:
            return "child"

        def hidden(self) -> None: ...

        def plain(self) -> None: ...

    found = actions_of(Child)

    assert list(found) == ["first", "second", "third"]
    assert found["first"].func(Child()) == "child"


def test_looking_for_actions_runs_no_property() -> None:
    """Only class dictionaries are read: no property or ``__getattr__`` of a user's object runs."""

    class Touchy:
        @property
        def explosive(self) -> None:
            raise AssertionError("a property was read")

        def __getattr__(self, name: str) -> None:
            raise AssertionError(name)

    assert actions_of(Touchy) == {}


def test_timeout_of_a_method_makes_the_class_limited() -> None:
    """A class is known to need stopping when one of its methods has a timeout."""

    @action
    class Limited:
        @action(timeout=3)
        def work(self) -> None: ...

    assert Limited.limited
    assert not Limited.timeout


# -- to other processes ---------------------------------------------------------------------------------------


def test_importable_step_is_pickled_by_reference() -> None:
    """A step that the other process can import travels as its name."""
    assert pickle.loads(pickle.dumps(importable)) is importable


def test_closure_is_pickled_by_value_with_policy_and_file_name() -> None:
    """A step made in a function arrives with its code, its policy, and the file name that tracebacks need."""
    factor = 3

    @action(retry=4, timeout=5, retry_on=OSError)
    def times(previous_context: Context) -> Any:
        return factor * previous_context.storage

    copy = pickle.loads(cloudpickle.dumps(times))

    assert copy is not times
    assert copy.func(Context(2)) == 6
    assert copy.policy == times.policy
    assert copy.params == ("previous_context",)
    assert copy.func.__code__.co_filename == __file__


def test_pickled_step_keeps_its_limits() -> None:
    """R6: a step that travelled by value is as limited as before, so that its timeout cannot be lost in silence."""

    @action(timeout=5, retry=3)
    def slow() -> None: ...

    copy = pickle.loads(cloudpickle.dumps(slow))

    assert copy.limited
    assert (copy.retry, copy.timeout) == (3, 5)
