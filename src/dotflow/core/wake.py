"""Signals that come just before a sleep.

Python notes a signal when it comes, and calls the handler when the main thread next runs Python code. A signal that
comes after the last such moment before a long system call, the start of ``time.sleep`` say, is therefore handled when
that call ends. A thread that hears of every signal ends the call.
"""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

POKES = (0.02, 0.1, 0.5)  # seconds before each
POKE = getattr(signal, "SIGURG", None)  # nobody uses it, and by itself it does nothing


class Wake:
    """Lets signals be handled at once while it is entered, in the main thread."""

    def __init__(self) -> None:
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._before: tuple[int, Any] = (-1, None)
        self._over = threading.Event()

    def __enter__(self) -> Wake:
        main = threading.current_thread() is threading.main_thread()
        if not main or POKE is None or signal.getsignal(POKE) is not signal.SIG_DFL:
            return self
        heard, told = self._ends = socket.socketpair()
        told.setblocking(False)
        handler = signal.signal(POKE, lambda number, frame: None)
        self._before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False), handler
        self._thread = threading.Thread(target=self._watch, args=(heard,), name="dotflow-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends is None or self._thread is None or POKE is None:
            return
        heard, told = self._ends
        self._over.set()
        signal.set_wakeup_fd(self._before[0])
        told.close()
        self._thread.join()
        heard.close()
        signal.signal(POKE, self._before[1])

    def _watch(self, heard: socket.socket) -> None:
        main = threading.main_thread().ident or 0
        while numbers := heard.recv(4096):
            if set(numbers) == {POKE}:
                continue
            for pause in POKES:
                if self._over.wait(pause):
                    return
                signal.pthread_kill(main, signal.Signals(POKE or 0))
