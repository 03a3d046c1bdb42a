"""What the run and the places where steps run say to each other.

Named tuples, not frozen dataclasses: they are made once per step, and ``dataclasses`` would double the
time of ``import dotflow`` (ADR 0009).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dotflow.core.named import NamedTuple

if TYPE_CHECKING:
    from dotflow.core.action import Action
    from dotflow.core.capture import Capture
    from dotflow.core.context import Context
    from dotflow.core.types import WorkflowStatus


class _Missing:
    """Marks the absence of a value, since ``None`` is one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class StepInfo(NamedTuple):
    """What a step is given when it asks for ``task``.

    Attributes:
        task_id: Name of the task.
        workflow_id: The workflow it belongs to.
        attempt: Number of this call, counted from 1.
        idempotency_key: 32 hexadecimal digits that are the same for each attempt and each resume of this run, and for
            no other task or run: hand it to a service that must not do the same thing twice.
    """

    task_id: str
    workflow_id: Any
    attempt: int
    idempotency_key: str


class Attempt(NamedTuple):
    """One call of a step, ready to be made anywhere."""

    position: int
    number: int
    step: Action[..., Any]
    timeout: float
    initial: Context | None
    previous: Context | None
    task_id: str
    workflow_id: Any
    idempotency_key: str
    capture: Capture | None = None


class Stop(NamedTuple):
    """A request to end a run.

    Attributes:
        status: What the run then counts as.
        grace: Seconds that what runs has to come to its end before it is stopped.
    """

    status: WorkflowStatus
    grace: float = 0


class TaskError:
    """One failed attempt: the entry of ``task.errors``.

    Attributes:
        attempt: Number of the attempt, counted from 1; ``None`` when no attempt failed (the storage did).
        exception: Class name of what was raised.
        message: Its text.
        traceback: The whole traceback, ending in the line of the error.
        error: The exception itself, ``None`` if it could not cross from another process.
        output: What the attempt printed, if ``Config(capture_output=...)`` asks for that.
    """

    __slots__ = ("_error", "attempt", "exception", "message", "output", "traceback")

    def __init__(self, error: BaseException | None = None, attempt: int | None = None) -> None:
        self._error: BaseException | bytes | None = error
        self.attempt = attempt
        self.exception = self.message = self.traceback = self.output = ""
        if error is not None:
            self.exception = type(error).__name__
            self.message = _text_of(error)
            self.traceback = _traceback_of(error) or f"{self.exception}: {self.message}"

    @property
    def error(self) -> BaseException | None:
        """The exception itself, ``None`` if it could not cross from another process."""
        if isinstance(self._error, bytes):
            import pickle

            try:
                self._error = pickle.loads(self._error)
            except Exception:  # whatever a user's exception does when it is rebuilt (ADR 0010)
                self._error = None
        return self._error  # type: ignore[return-value]  # bytes were replaced above

    def make_portable(self) -> None:
        """Pickle the exception so that it can leave this process even if its class is one of ``__main__``."""
        import pickle

        try:
            pickle.dumps(self._error)
        except Exception:  # ADR 0010
            import cloudpickle

            try:
                self._error = cloudpickle.dumps(self._error)
            except Exception:  # an exception that holds a socket, say (ADR 0010)
                self._error = None

    def __reduce__(self) -> Any:
        import pickle

        blob = self._error
        if isinstance(blob, BaseException):
            try:
                blob = pickle.dumps(blob)
            except Exception:  # an exception that holds a socket, say: its text travels alone (ADR 0010)
                blob = None
        return _rebuild, (blob, self.attempt, self.exception, self.message, self.traceback, self.output)

    def __repr__(self) -> str:
        return f"TaskError(attempt={self.attempt}, exception={self.exception!r}, message={self.message!r})"


def _rebuild(
    blob: bytes | None, attempt: int | None, exception: str, message: str, traceback: str, output: str
) -> TaskError:
    found = TaskError(None, attempt)
    found._error = blob
    found.exception, found.message, found.traceback, found.output = exception, message, traceback, output
    return found


def _traceback_of(error: BaseException) -> str:
    try:
        import traceback
    except (ImportError, OSError):  # no descriptor is left to read the module with
        return ""
    return "".join(traceback.format_exception(error)).rstrip("\n")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # a user's __str__ that fails (ADR 0010)
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"


class Refused(NamedTuple):
    """A storage did not take a result."""

    error: TaskError


class Outcome(NamedTuple):
    """What came of one attempt.

    Attributes:
        position: Place of the task in the run.
        number: The attempt's number.
        value: What the step returned.
        error: The failure, ``None`` if there was none.
        again: Whether the failure is one that the policy retries.
        started: Seconds since the epoch when the step began, 0 if unknown.
        interrupted: The step raised ``KeyboardInterrupt``, or was stopped since the run was.
        output: What it printed, if that is captured.
    """

    position: int
    number: int
    value: Any = None
    error: TaskError | None = None
    again: bool = True
    started: float = 0
    interrupted: bool = False
    output: str = ""


make: Callable[[type[Any], tuple[Any, ...]], Any] = tuple.__new__
"""Makes a named tuple from all of its fields; calling the class goes through a Python function, which shows."""
