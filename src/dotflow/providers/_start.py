"""Two ways to start a worker process: an interpreter of its own, or a copy of a process that has no threads."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time

from dotflow.providers._common import tell_of_forks

ASK_AGAIN = 0.001  # seconds between two questions whether a process has ended
NUMBER = struct.Struct("=q")
RUNS, FORK = -1000, 0  # an exit code that no process has; a request that names no process


def spawn(name: str, fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Run a function of ``dotflow.providers`` in an interpreter of its own, which inherits nothing but *fds*."""
    module, function = name.split(":")
    code = f"import sys; sys.path[:] = {sys.path!r}; from dotflow.providers.{module} import {function}; {function}{fds}"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=fds, start_new_session=True
    )


class Forks:
    """A process without threads that makes copies of itself, each of which is a worker.

    Args:
        lifeline: A pipe's end that the workers watch.
    """

    def __init__(self, lifeline: int) -> None:
        self._end, self._theirs = socket.socketpair()
        tell_of_forks(self)
        try:
            self._process = spawn("_start:serve", (self._theirs.fileno(), lifeline))
        except BaseException:
            self._end.close()
            raise
        finally:
            self._theirs.close()

    def start(self, pipe: int, progress: int) -> Forked:
        """Start a worker.

        Raises:
            OSError: the system has no process left, or this one was killed.
        """
        socket.send_fds(self._end, [NUMBER.pack(FORK)], [pipe, progress])
        pid = self._answer()
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return Forked(pid, self)

    def code(self, pid: int) -> int:
        """Return the exit code of a worker, or ``RUNS``."""
        self._end.sendall(NUMBER.pack(pid))
        return self._answer()

    def close(self) -> None:
        """End the process. Workers that run go on."""
        self._end.close()
        self._process.kill()
        self._process.wait()

    def after_fork(self) -> None:
        """Leave the process to the parent."""
        self._theirs.close()
        self._end.close()

    def _answer(self) -> int:
        found = self._end.recv(NUMBER.size, socket.MSG_WAITALL)
        if len(found) < NUMBER.size:
            raise ConnectionResetError("the process that starts workers has ended")
        return int(NUMBER.unpack(found)[0])


class Forked:
    """A worker that ``Forks`` started: what is used of ``subprocess.Popen``."""

    def __init__(self, pid: int, forks: Forks) -> None:
        self.pid = pid
        self._forks = forks

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                code = self._forks.code(self.pid)
            except OSError:  # the process that could tell was killed; its workers are nobody's children then
                return -signal.SIGKILL
            if code != RUNS:
                return code
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            time.sleep(ASK_AGAIN)


def serve(pipe: int, lifeline: int) -> None:
    """Start workers, and tell what became of them, until the connection *pipe* closes."""
    from dotflow.providers import worker

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=pipe)
    codes: dict[int, int] = {}
    while True:
        request, fds, _, _ = socket.recv_fds(end, NUMBER.size, 2)
        if not request:
            os._exit(0)
        pid = NUMBER.unpack(request)[0]
        if pid != FORK:
            end.sendall(NUMBER.pack(_code(pid, codes)))
            continue
        try:
            made = os.fork()
        except OSError as error:
            made = -(error.errno or 1)
        if made == 0:
            os.setsid()
            end.close()
            worker.main(fds[0], lifeline, fds[1])
            os._exit(0)
        for fd in fds:
            os.close(fd)
        end.sendall(NUMBER.pack(made))


def _code(pid: int, codes: dict[int, int]) -> int:
    if pid not in codes:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return RUNS
        codes.clear()  # only the last one is asked for again
        codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]
