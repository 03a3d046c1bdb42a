"""Every error dotflow raises.

::

    DotflowError
    ├── ConfigurationError (ValueError)
    │   ├── NotCallableObject (TypeError)      a provider or callback of the wrong kind
    │   ├── MissingActionDecorator (TypeError) a step that ``@action`` did not make
    │   ├── StepSignatureError (TypeError)     a step asks for something nobody can give
    │   ├── ExecutionModeNotExist              ``mode=`` is none of the modes
    │   ├── InvalidOnInputChange               ``on_input_change=`` is none of the policies
    │   ├── GraphError                         a cycle, an unknown or a duplicate task name
    │   ├── UnsupportedOption                  an option that this mode or executor cannot honour
    │   ├── ClusterUnreachable (ConnectionError)  a cluster that does not answer, or cannot do the work
    │   ├── InvalidWorkflowFactory (TypeError) ``--workflow`` names no factory of a ``DotFlow``
    │   ├── WorkflowFlagConflict               two flags that exclude each other
    │   └── RunNotFound (LookupError)          a run id, or the beginning of one, that names no run or several
    ├── ImportModuleError (ImportError)        a path to a step or callback leads nowhere
    ├── ModuleNotFound (ImportError)           an extra is not installed
    ├── StepNotPortable (TypeError)            a step, value or result cannot reach another process
    ├── ResultNotStorable (TypeError)          a result that a checkpoint cannot keep
    ├── StorageError (RuntimeError)            a storage failed
    │   ├── StorageUnavailable (ConnectionError)  it cannot be reached now; later it may
    │   ├── CorruptCheckpoint (ValueError)     what was read is not what was written
    │   ├── MissingAbility (NotImplementedError)  an optional ability that this provider lacks
    │   └── LeaseLost                          another process has taken the run over
    ├── WorkflowBusy (RuntimeError)            another run holds the workflow id
    ├── InputChangedError (ValueError)         resume with another input, and the policy is ``raise``
    ├── WorkerDied (RuntimeError)              a worker process ended in the middle of a step
    │   └── WorkerLost                         a pool or a cluster lost it, more often than is made up for
    ├── DeliveryFailed (RuntimeError)          a notifier or a server client could not deliver
    └── WorkflowFailed (RuntimeError)          what ``Manager.raise_for_failure`` raises
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.core.messages import TaskError as TaskError


def _rebuild(kind: type[DotflowError], message: str, state: dict[str, Any]) -> DotflowError:
    maker = OSError if issubclass(kind, OSError) else kind  # of two builtin bases, OSError's own
    error: DotflowError = maker.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class DotflowError(Exception):
    """Base of every error that dotflow raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self.args[0]) if self.args else "", self.__dict__)


class ConfigurationError(DotflowError, ValueError):
    """Something was put together wrongly; raised before anything runs."""


class NotCallableObject(ConfigurationError, TypeError):
    """A provider or a callback is not what its place needs."""

    def __init__(self, name: str, *, expected: str = "a callable", given: object = None, hint: str = "") -> None:
        text = f"{name} needs {expected}, got {_describe(given)}" if given is not None else f"{name} needs {expected}"
        super().__init__(f"{text}; {hint}" if hint else text)
        self.name = name


class MissingActionDecorator(ConfigurationError, TypeError):
    """A step was not made by ``@action``."""

    def __init__(self, step: object = ...) -> None:
        what = "a step" if step is ... else _describe(step)
        text = f"{what} cannot be a step: decorate it with @action (from dotflow import action)"
        if step is not ... and not callable(step):
            text = (
                f"{what} cannot be a step; did you call the step? Add it without parentheses, task.add(step): what it "
                "returns is not known before it runs. A function becomes a step when you decorate it with @action"
            )
        super().__init__(text)


class StepSignatureError(ConfigurationError, TypeError):
    """A step has a required parameter that dotflow does not fill."""

    def __init__(self, step: str, parameters: tuple[str, ...]) -> None:
        from dotflow.core.module import nearest

        names = ", ".join(repr(name) for name in parameters)
        meant = "".join(
            nearest(name, ("initial_context", "previous_context", "task"), least=0.5) for name in parameters
        )
        super().__init__(
            f"step {step!r} has the parameter {names}, which nothing fills; a step may ask for "
            f"'initial_context', 'previous_context' and 'task', anything else needs a default{meant}"
        )
        self.parameters = parameters


class ExecutionModeNotExist(ConfigurationError):
    """``start(mode=...)`` got a mode that does not exist."""

    def __init__(self, mode: object = None, known: tuple[str, ...] = ()) -> None:
        from dotflow.core.module import nearest

        given = "the execution mode" if mode is None else f"mode={mode!r}"
        names = [str(each) for each in known]
        text = f"{given} does not exist" + (f"; use one of {', '.join(names)}" if names else "")
        super().__init__(text + nearest(str(mode), names))


class InvalidOnInputChange(ConfigurationError):
    """``on_input_change=`` is not one of the policies."""

    def __init__(self, value: object) -> None:
        from dotflow.core.module import nearest

        meant = nearest(str(value), ("reuse", "reset", "raise"))
        super().__init__(f"on_input_change={value!r} is not a policy; use 'reuse', 'reset' or 'raise'{meant}")
        self.value = value


class GraphError(ConfigurationError):
    """The tasks do not form a graph that can run."""


class UnsupportedOption(ConfigurationError):
    """An option cannot be honoured where it was given."""


class ClusterUnreachable(ConfigurationError, ConnectionError):
    """A cluster does not answer in time, has no worker, or has another version of dotflow."""


class InvalidWorkflowFactory(ConfigurationError, TypeError):
    """``--workflow`` does not name a callable that returns a ``DotFlow``."""

    def __init__(self, factory: object, reason: str = "must be a callable that returns a DotFlow") -> None:
        super().__init__(f"workflow factory {factory!r} {reason}")


class WorkflowFlagConflict(ConfigurationError):
    """A flag makes no sense together with ``--workflow``."""

    def __init__(self, flag: str) -> None:
        super().__init__(f"{flag} cannot be combined with --workflow; set it in the factory instead")
        self.flag = flag


class RunNotFound(ConfigurationError, LookupError):
    """A run id, or the beginning of one, names no run in the history, or several."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"run {run_id!r}: {reason}")
        self.run_id = run_id


class ImportModuleError(DotflowError, ImportError):
    """A path to a step, callback or factory leads nowhere."""

    def __init__(self, module: str, reason: str = "") -> None:
        super().__init__(f"cannot import {module!r}" + (f": {reason}" if reason else ""))
        self.module = module


class ModuleNotFound(DotflowError, ImportError):
    """An optional library is not installed."""

    def __init__(self, module: str, library: str) -> None:
        super().__init__(f"the package {module!r} is not installed; install it with: pip install '{library}'")
        self.module, self.library = module, library


class StepNotPortable(DotflowError, TypeError):
    """A step, its input or its result cannot cross to another process."""


class ResultNotStorable(DotflowError, TypeError):
    """A result cannot be kept in a checkpoint."""


class StorageError(DotflowError, RuntimeError):
    """A storage failed.

    Attributes:
        provider: Class name of the storage.
        key: The key in question, ``None`` when no single key is.
    """

    def __init__(self, message: str, *, provider: str = "", key: str | None = None) -> None:
        where = provider + (f" (key {key!r})" if key is not None else "")
        super().__init__(f"{where}: {message}" if where else message)
        self.provider, self.key = provider, key


class StorageUnavailable(StorageError, ConnectionError):
    """A storage cannot be reached now; the engine tries again with growing pauses."""


class CorruptCheckpoint(StorageError, ValueError):
    """What was read is not what was written."""


class MissingAbility(StorageError, NotImplementedError):
    """A storage lacks the optional method, or the time to live, that is needed.

    Attributes:
        method: Name of the ability, as ``Storage.can`` takes it.
    """

    def __init__(self, provider: str, method: str, advice: str = "") -> None:
        what = "a time to live (ttl=)" if method == "ttl" else f"the optional method {method}()"
        super().__init__(
            f"this needs {what}, which {provider} does not implement" + (f"; {advice}" if advice else ""),
            provider=provider,
        )
        self.method = method


class LeaseLost(StorageError):
    """A process wrote to a run that another one has taken over; nothing was written."""

    def __init__(self, workflow_id: object, key: str, provider: str = "") -> None:
        super().__init__(
            f"the lease of run {str(workflow_id)!r} is lost: another process has taken the run over; not written",
            provider=provider,
            key=key,
        )
        self.workflow_id = workflow_id


class WorkflowBusy(DotflowError, RuntimeError):
    """Another run holds the workflow id."""

    def __init__(self, workflow_id: object, holder: str) -> None:
        super().__init__(
            f"workflow {str(workflow_id)!r} is being run by {holder}; wait for it with start(wait=seconds), "
            "or use another workflow_id"
        )
        self.workflow_id, self.holder = workflow_id, holder


class InputChangedError(DotflowError, ValueError):
    """A resumed run was given another input than the run it continues."""

    def __init__(self, workflow_id: object) -> None:
        super().__init__(
            f"the input of workflow {str(workflow_id)!r} changed since its checkpoints were written; "
            "pass on_input_change='reset' to run everything again, or 'reuse' to keep them"
        )
        self.workflow_id = workflow_id


class WorkerDied(DotflowError, RuntimeError):
    """A worker process ended in the middle of a step.

    Attributes:
        exitcode: As ``subprocess`` gives it: negative is the number of the signal that killed it.
    """

    def __init__(self, exitcode: int | None) -> None:
        cause = (
            f"was killed by signal {-exitcode}"
            if exitcode is not None and exitcode < 0
            else f"ended with exit code {exitcode}"
        )
        super().__init__(f"the worker process {cause} while it ran the step")
        self.exitcode = exitcode


class WorkerLost(WorkerDied):
    """A pool or a cluster lost the worker that had the attempt; ``exitcode`` is ``None``, since nobody saw it."""

    def __init__(self, reason: str) -> None:
        DotflowError.__init__(self, reason)
        self.exitcode = None


class DeliveryFailed(DotflowError, RuntimeError):
    """A notifier or a server client could not deliver.

    Attributes:
        status: The HTTP status of the answer, ``None`` if there was none.
        later: Whether the same may well work later.
    """

    def __init__(self, message: str, status: int | None = None, *, later: bool = False) -> None:
        super().__init__(message)
        self.status, self.later = status, later


class WorkflowFailed(DotflowError, RuntimeError):
    """A run did not complete."""


def _describe(value: object) -> str:
    kind = type(value)
    if isinstance(value, type):
        return f"the class {value.__qualname__} (pass an instance: {value.__name__}(...))"
    if hasattr(value, "__qualname__"):
        return f"the {kind.__name__} {value.__qualname__}"
    return (
        f"{kind.__module__}.{kind.__qualname__}"
        if kind.__module__ != "builtins"
        else f"{value!r} of type {kind.__name__}"
    )


def __getattr__(name: str) -> Any:
    if name == "TaskError":  # no exception, but imported from here in dotflow 1.x
        from dotflow.core.messages import TaskError

        return TaskError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
