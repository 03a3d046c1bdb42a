"""What a step prints, kept for its task, with a limit (ADR 0044).

While an attempt that is captured runs, ``sys.stdout`` and ``sys.stderr`` are a ``Switch``. It asks a context variable
whose text it is given, so that steps side by side, in threads or on one event loop, are not mixed, and text that
belongs to no step goes its way. Each line is masked, kept, and passed on to where it would have gone.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.around import surround
from dotflow.core.exception import ConfigurationError
from dotflow.core.redact import know, mask, registered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dotflow.core.messages import Attempt

USUAL_LIMIT = 65_536  # characters kept of one attempt, if nobody says otherwise
LONGEST_LINE = 65_536  # characters that wait for the end of their line
STREAMS = ("stdout", "stderr")


class Capture(NamedTuple):
    """What an attempt has to know to be captured, wherever it is made."""

    limit: int
    secrets: tuple[str, ...]

    def __reduce__(self) -> Any:
        return _arrive, tuple(self)


def _arrive(limit: int, secrets: tuple[str, ...]) -> Capture:
    """In another process: see to it that its attempts are captured there."""
    surround(capturing)
    return Capture(limit, secrets)


def checked_limit(given: object) -> int:
    """Return the limit that ``Config(capture_output=...)`` asks for, 0 for no capture."""
    if given is True:
        return USUAL_LIMIT
    if given is False:
        return 0
    if not isinstance(given, int) or given < 1:
        raise ConfigurationError(
            f"Config(capture_output=...) needs True, False or a number of characters, at least 1, got {given!r}"
        )
    return given


def prepare(limit: int) -> Capture:
    """Return what the attempts of a run are given, and see to it that this process obeys it."""
    surround(capturing)
    return Capture(limit, registered())


class Kept:
    """The text of one attempt: all of it, or its beginning and its end.

    Args:
        limit: Characters to keep.
    """

    def __init__(self, limit: int) -> None:
        self._head_room, self._tail_room = limit - limit // 2, limit // 2
        self._head: list[str] = []
        self._tail = ""
        self._lost = 0
        self._pending: dict[Any, str] = {}
        self._lock = threading.Lock()

    def write(self, stream: Any, text: str) -> None:
        """Take *text*; pass the lines that it ends on to *stream*."""
        with self._lock:
            text = self._pending.pop(stream, "") + text
            end = text.rfind("\n") + 1
            if len(text) - end > LONGEST_LINE:
                end = len(text)
            if end < len(text):
                self._pending[stream] = text[end:]
        if end:
            self._pass(stream, text[:end])

    def flush(self) -> None:
        """Pass on what has no end of a line yet."""
        with self._lock:
            pending, self._pending = self._pending, {}
        for stream, text in pending.items():
            self._pass(stream, text)

    def text(self) -> str:
        """Return what was kept."""
        tail, lost = self._tail, self._lost
        if len(tail) > self._tail_room:
            cut = len(tail) - self._tail_room
            tail, lost = tail[cut:], lost + cut
        between = f"\n… {lost} characters left out …\n" if lost else ""
        return "".join(self._head) + between + tail

    def _pass(self, stream: Any, text: str) -> None:
        text = mask(text)
        with self._lock:
            head = text[: self._head_room]
            self._head_room -= len(head)
            self._head.append(head)
            self._tail += text[len(head) :]
            if len(self._tail) > 2 * self._tail_room + 1000:
                cut = len(self._tail) - self._tail_room
                self._tail, self._lost = self._tail[cut:], self._lost + cut
            if mirror is not None:
                mirror.add(text)
        stream.write(text)


mirror: Any = None  # in worker processes, what keeps the text where it outlives them
current: ContextVar[Kept | None] = ContextVar("dotflow_capture", default=None)


class Switch:
    """Stands for a text stream; what a captured step writes is kept and masked on its way."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write *text*."""
        kept = current.get()
        if kept is None:
            return self.stream.write(text)  # type: ignore[no-any-return]  # a number
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        kept.write(self.stream, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what waits for the end of its line."""
        kept = current.get()
        if kept is not None:
            kept.flush()
        self.stream.flush()

    @property
    def buffer(self) -> Any:
        """Where bytes are written."""
        return self.stream.buffer if current.get() is None else _Bytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Bytes:
    """The ``buffer`` of a stream whose text is kept."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def write(self, data: Any) -> int:
        self._switch.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._switch, name)


@contextmanager
def capturing(order: Attempt) -> Iterator[Kept | None]:
    """Keep what the attempt *order* prints, if it asks for that."""
    wanted = order.capture
    if wanted is None:
        yield None
        return
    know(wanted.secrets)
    kept = Kept(wanted.limit)
    if mirror is not None:
        mirror.begin(wanted.limit)
    _switch_on()
    token = current.set(kept)
    try:
        yield kept
    finally:
        current.reset(token)
        try:
            kept.flush()
        except (OSError, ValueError):
            pass  # the stream is closed, or takes no such characters; the text is kept all the same
        finally:
            _switch_off()


_depth = 0
_lock = threading.Lock()


def _switch_on() -> None:
    global _depth
    with _lock:
        _depth += 1
        for name in STREAMS:
            stream = getattr(sys, name)
            if stream is not None and type(stream) is not Switch:
                setattr(sys, name, Switch(stream))


def _switch_off() -> None:
    global _depth
    with _lock:
        _depth -= 1
        for name in STREAMS if not _depth else ():
            stream = getattr(sys, name)
            if type(stream) is Switch:
                setattr(sys, name, stream.stream)
