"""The tree of errors: what they derive from, that they cross processes, and what their messages say."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
import threading
from typing import Any

import pytest

from dotflow.core import exception
from dotflow.core.exception import DotflowError
from dotflow.core.messages import MISSING, TaskError
from dotflow.providers import StorageDefault

MADE: dict[str, DotflowError] = {
    "DotflowError": exception.DotflowError("text"),
    "ConfigurationError": exception.ConfigurationError("text"),
    "NotCallableObject": exception.NotCallableObject("Config(storage=...)", expected="a Storage", given=3, hint="wrap"),
    "MissingActionDecorator": exception.MissingActionDecorator(len),
    "StepSignatureError": exception.StepSignatureError("load", ("path", "size")),
    "ExecutionModeNotExist": exception.ExecutionModeNotExist("fast", ("sequential", "parallel")),
    "InvalidOnInputChange": exception.InvalidOnInputChange("maybe"),
    "GraphError": exception.GraphError("a cycle"),
    "UnsupportedOption": exception.UnsupportedOption("timeout"),
    "ClusterUnreachable": exception.ClusterUnreachable("tcp://10.0.0.1:8786 does not answer"),
    "InvalidWorkflowFactory": exception.InvalidWorkflowFactory("m:f"),
    "WorkflowFlagConflict": exception.WorkflowFlagConflict("--callback"),
    "RunNotFound": exception.RunNotFound("abc", "there is no such run"),
    "ImportModuleError": exception.ImportModuleError("m:f", "no module"),
    "ModuleNotFound": exception.ModuleNotFound("redis", "dotflow[redis]"),
    "StepNotPortable": exception.StepNotPortable("a socket"),
    "ResultNotStorable": exception.ResultNotStorable("a socket"),
    "StorageError": exception.StorageError("full", provider="StorageFile", key="w-a"),
    "StorageUnavailable": exception.StorageUnavailable("down", provider="StorageRedis"),
    "CorruptCheckpoint": exception.CorruptCheckpoint("checksum", key="w-a"),
    "MissingAbility": exception.MissingAbility("StorageMine", "clear"),
    "LeaseLost": exception.LeaseLost("w", "w-a", "StorageMine"),
    "WorkflowBusy": exception.WorkflowBusy("w", "process 3 on host h"),
    "InputChangedError": exception.InputChangedError("w"),
    "WorkerDied": exception.WorkerDied(-9),
    "WorkerLost": exception.WorkerLost("the pool broke"),
    "DeliveryFailed": exception.DeliveryFailed("refused", 503, later=True),
    "WorkflowFailed": exception.WorkflowFailed("step 'a' failed"),
}


def through_pickle(error: DotflowError) -> DotflowError:
    """Send an error to another process and back."""
    found: DotflowError = pickle.loads(pickle.dumps(error))
    return found


def kinds(kind: type[DotflowError] = DotflowError) -> list[type[DotflowError]]:
    """Return the whole tree that the module defines."""
    found = [kind] if kind.__module__ == exception.__name__ else []
    return found + [each for child in kind.__subclasses__() for each in kinds(child)]


def test_every_error_is_tried_here() -> None:
    """A new error has to be added to this file, so that it is pickled below."""
    assert {kind.__name__ for kind in kinds()} == set(MADE)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("cross", [through_pickle, copy.copy, copy.deepcopy])
def test_error_survives_the_way_to_another_process(name: str, cross: Any) -> None:
    """Type, text, arguments and attributes arrive as they were."""
    error = MADE[name]

    arrived = cross(error)

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("name", MADE)
def test_error_derives_from_what_it_is(name: str) -> None:
    """STYLE §8: each error but the base is a ``DotflowError`` and a builtin, as the drawing in the docstring says."""
    kind = type(MADE[name])
    line = next(line for line in (exception.__doc__ or "").splitlines() if re.search(rf"\b{name}\b", line))

    assert issubclass(kind, DotflowError)
    for builtin in re.findall(r"\((\w+Error)\)", line):
        assert issubclass(kind, getattr(builtins, builtin))
    if name != "DotflowError":
        assert issubclass(kind, (ValueError, TypeError, ImportError, RuntimeError))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MADE["NotCallableObject"], ["Config(storage=...)", "a Storage", "3 of type int", "wrap"]),
        (exception.NotCallableObject("callback"), ["callback needs a callable"]),
        (exception.NotCallableObject("x", given=StorageDefault), ["the class StorageDefault (pass an instance"]),
        (exception.NotCallableObject("x", given=len), ["the builtin_function_or_method len"]),
        (
            exception.NotCallableObject("x", given=StorageDefault()),
            ["dotflow.providers.storage_default.StorageDefault"],
        ),
        (MADE["MissingActionDecorator"], ["len", "@action"]),
        (exception.MissingActionDecorator(None), ["None of type NoneType", "did you call the step?", "@action"]),
        (exception.MissingActionDecorator(), ["a step cannot be a step", "@action"]),
        (MADE["StepSignatureError"], ["'load'", "'path', 'size'", "default"]),
        (MADE["ExecutionModeNotExist"], ["mode='fast'", "sequential, parallel"]),
        (exception.ExecutionModeNotExist("paralel", ("background", "parallel")), ["did you mean 'parallel'?"]),
        (exception.InvalidOnInputChange("rest"), ["did you mean 'reset'?"]),
        (exception.StepSignatureError("load", ("previous",)), ["did you mean 'previous_context'?"]),
        (exception.ExecutionModeNotExist(), ["the execution mode does not exist"]),
        (MADE["InvalidOnInputChange"], ["on_input_change='maybe'", "'reuse', 'reset' or 'raise'"]),
        (MADE["ModuleNotFound"], ["pip install 'dotflow[redis]'"]),
        (exception.ImportModuleError("m:f"), ["cannot import 'm:f'"]),
        (MADE["StorageError"], ["StorageFile", "'w-a'", "full"]),
        (exception.StorageError("full"), ["full"]),
        (MADE["MissingAbility"], ["clear()", "StorageMine"]),
        (MADE["WorkflowBusy"], ["'w'", "process 3 on host h", "start(wait=seconds)"]),
        (MADE["InputChangedError"], ["'w'", "on_input_change='reset'"]),
        (MADE["WorkerDied"], ["killed by signal 9"]),
        (exception.WorkerDied(3), ["ended with exit code 3"]),
        (MADE["InvalidWorkflowFactory"], ["'m:f'", "returns a DotFlow"]),
        (MADE["WorkflowFlagConflict"], ["--callback", "--workflow"]),
    ],
)
def test_message_names_what_was_given_and_the_fix(error: DotflowError, words: list[str]) -> None:
    """STYLE §8: a message tells what was wrong with its value, what was expected, what to do."""
    for word in words:
        assert word in str(error)


def test_error_without_arguments_survives() -> None:
    """Even an error that says nothing can cross."""
    assert pickle.loads(pickle.dumps(DotflowError())).args in ((), ("",))


# -- TaskError, which is no exception -------------------------------------------------------------------------


class Stubborn(Exception):
    """Cannot be pickled: it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Fragile(Exception):
    """Can be pickled, and cannot be rebuilt."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


class Mute(Exception):
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(error: BaseException) -> TaskError:
    """Return the entry of an error that really was raised."""
    try:
        raise error
    except BaseException as caught:
        return TaskError(caught, 2)


def test_task_error_tells_class_text_attempt_and_traceback() -> None:
    """S2: what was raised is recorded as it is; the traceback ends in the line of the error."""
    entry = raised(KeyError("name"))

    assert (entry.attempt, entry.exception, entry.message) == (2, "KeyError", "'name'")
    assert entry.traceback.startswith("Traceback")
    assert entry.traceback.endswith("KeyError: 'name'")
    assert isinstance(entry.error, KeyError)
    assert repr(entry) == "TaskError(attempt=2, exception='KeyError', message=\"'name'\")"


def test_task_error_without_an_error_is_empty() -> None:
    """1.x: with no error every text is empty."""
    empty = TaskError()

    assert (empty.exception, empty.message, empty.traceback, empty.attempt, empty.error) == ("", "", "", None, None)


def test_task_error_crosses_with_its_exception() -> None:
    """The exception itself arrives where it can be pickled."""
    arrived = pickle.loads(pickle.dumps(raised(ZeroDivisionError("x"))))

    assert isinstance(arrived.error, ZeroDivisionError)
    assert (arrived.attempt, arrived.exception, arrived.message) == (2, "ZeroDivisionError", "x")


@pytest.mark.parametrize("error", [Stubborn("s"), Fragile("s", "t")])
def test_text_of_an_exception_that_cannot_cross_arrives_all_the_same(error: BaseException) -> None:
    """Class, text and traceback travel alone when the exception cannot."""
    entry = raised(error)

    arrived = pickle.loads(pickle.dumps(entry))

    assert arrived.error is None
    assert (arrived.exception, arrived.message, arrived.traceback) == (entry.exception, "s", entry.traceback)
    assert pickle.loads(pickle.dumps(arrived)).message == "s"


def test_exception_that_is_known_by_value_only_is_made_portable() -> None:
    """An exception whose class the other side cannot import travels with its class, if anything can carry it."""

    class Local(Exception):
        pass

    entry, stubborn, plain = raised(Local("l")), raised(Stubborn("s")), raised(KeyError("k"))
    for each in (entry, stubborn, plain):
        each.make_portable()

    arrived = pickle.loads(pickle.dumps(entry))
    assert type(arrived.error).__name__ == "Local"
    assert arrived.error.args == ("l",)
    assert pickle.loads(pickle.dumps(stubborn)).error is None
    assert isinstance(pickle.loads(pickle.dumps(plain)).error, KeyError)


def test_exception_that_cannot_be_turned_into_text_is_recorded() -> None:
    """A broken ``__str__`` does not hide the failure."""
    assert raised(Mute()).message == "<Mute.__str__ raised RuntimeError>"


def test_missing_is_one_object_in_every_process() -> None:
    """The mark of absence is compared by identity, also after a pickle."""
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert repr(MISSING) == "MISSING"
