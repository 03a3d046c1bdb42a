"""Child processes of the kits: made by fork or spawn, talked to over a pipe, gone with the clause."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from dotflow.core.module import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PATIENCE = 60.0  # seconds that a child may take for an answer
SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process
FORK = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), SIGKILL)


class Spec:
    """Makes what ``"module:callable"`` makes, in any process."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> Any:
        """Make one."""
        return load(self._path)()


class Pickled:
    """A recipe on its way to a spawned process."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob

    def __call__(self) -> Any:
        """Make one."""
        return pickle.loads(self._blob)()


def portable(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return *make* as something that ``spawn`` can send.

    Raises:
        AssertionError: it cannot be pickled; says what to do.
    """
    if isinstance(make, Spec):
        return make
    try:
        import cloudpickle

        return Pickled(cloudpickle.dumps(make))
    except Exception as error:  # whatever a foreign __reduce__ raises: that is the answer
        raise AssertionError(
            f"make cannot be sent to a spawned process ({type(error).__name__}: {error}); return a function that "
            "holds plain values only (host, port, a path), or set spec = 'module:callable' on the class"
        ) from error


class Talk:
    """The child's end of the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, value: Any) -> None:
        """Send *value* to the parent."""
        self._connection.send(("said", value))

    def hear(self) -> Any:
        """Wait for what the parent sends."""
        return self._connection.recv()


def _main(make: Callable[[], Any], work: Callable[..., Any], args: tuple[Any, ...], connection: Connection) -> None:
    try:
        answer = ("done", work(make, Talk(connection), *args))
    except BaseException:
        answer = ("failed", traceback.format_exc())
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError):
        connection.send(("failed", traceback.format_exc()))


class Child:
    """The parent's end: one child that runs ``work(make, talk, *args)``."""

    def __init__(self, method: str, make: Callable[[], Any], work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        context: Any = multiprocessing.get_context(method)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(make, work, args, theirs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: a fork while threads live, which is the point
            self._process.start()
        theirs.close()

    def say(self, value: Any) -> None:
        """Send *value* to the child."""
        self._connection.send(value)

    def _next(self, wanted: str) -> Any:
        if not self._connection.poll(PATIENCE):
            raise AssertionError(f"a child process gave no answer for {PATIENCE:g} s")
        try:
            kind, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise AssertionError(f"a child process died without an answer, exit code {self.wait()}") from None
        if kind == "failed":
            raise AssertionError(f"in a child process:\n{value}")
        if kind != wanted:
            raise AssertionError(f"a child process sent {kind} {value!r}")
        return value

    def hear(self) -> Any:
        """Wait for what the child says."""
        return self._next("said")

    def result(self) -> Any:
        """Wait for what the work returned; an error of it is an ``AssertionError`` here."""
        value = self._next("done")
        self.wait()
        return value

    def left(self) -> list[Any]:
        """Return what the child said or answered, until it ended or was killed."""
        found: list[Any] = []
        while True:
            if not self._connection.poll(PATIENCE):
                raise AssertionError(f"a child process gave no answer for {PATIENCE:g} s")
            try:
                kind, value = self._connection.recv()
            except (EOFError, ConnectionResetError):
                return found
            if kind == "failed":
                raise AssertionError(f"in a child process:\n{value}")
            found.append(value)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process.is_alive():
            os.kill(self._process.pid, SIGKILL)
        self.wait()

    def wait(self) -> int | None:
        """Wait for its end; return the exit code, negative for a signal."""
        self._process.join(PATIENCE)
        return self._process.exitcode  # type: ignore[no-any-return]  # the context is Any

    def close(self) -> None:
        """Kill it if it lives, and free what it holds."""
        self.kill()
        self._connection.close()
        self._process.close()


class Children:
    """All child processes of one clause."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._all = make, list[Child]()

    def start(self, work: Callable[..., Any], *args: Any, method: str = FORK) -> Child:
        """Start a child that runs ``work(make, talk, *args)``."""
        make = self._make if method == "fork" else portable(self._make)
        child = Child(method, make, work, args)
        self._all.append(child)
        return child

    def close(self) -> None:
        """End those that are left."""
        while self._all:
            self._all.pop().close()
