"""Large values on their way between processes: one copy into a segment of memory, and its descriptor.

A segment has no name: the kernel frees it with the last descriptor or mapping, whatever ended the processes that
held one. It is never written again, and whoever maps it gets pages of its own for what it changes (ADR 0038).
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
import pickle
import socket
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.context import make_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dotflow.core.context import Context
    from dotflow.core.messages import Outcome

LARGE = 131_072  # bytes; any smaller message fits the buffer of a socket, so that sending it never waits
ALIGNMENT = 64
PAGE = 65_536  # bytes read at once of what is not one large object
SHARE = 4  # of the descriptors that a process may open, one in so many is for segments
MOST = 100  # items of a container that are looked at


LEAVES = {int, str, float, bool, type(None), bytes}
PROGRESS = 4  # bytes of the number in which a worker says how far it has come
FEW = 100  # items of a value that may travel with others


class Layout(NamedTuple):
    """Where in a segment the buffers and the pickle stream are: offsets and lengths."""

    buffers: tuple[tuple[int, int], ...]
    stream: tuple[int, int]


class Slot(NamedTuple):
    """Stands for the value in a parcel of a message."""

    number: int


class Promise(NamedTuple):
    """Stands for a context whose value, or some values of whose dictionary, are in parcels."""

    content: Slot | dict[str, Any]
    task_id: Any
    workflow_id: Any
    made: Any
    scheduled_for: Any

    def keep(self, parcels: Sequence[Parcel]) -> Context:
        """Return the context."""
        value: Any = self.content
        if type(value) is Slot:
            value = parcels[value.number]()
        else:
            value = {name: parcels[item.number]() if type(item) is Slot else item for name, item in value.items()}
        return make_context(value, self.task_id, self.workflow_id, self.made, self.scheduled_for)


class Packed(NamedTuple):
    """A result on its way: an outcome without its value, and that.

    Attributes:
        content: The pickled value, ``None`` if it is in a parcel.
        layout: That of the parcel.
        sure: Whether rebuilding it cannot fail.
    """

    outcome: Outcome
    content: bytes | None
    layout: Layout | None
    sure: bool


class Parcel:
    """A pickled value in a segment.

    Args:
        fd: The descriptor of the segment; the parcel closes it.
        layout: What is where.
    """

    __slots__ = ("__weakref__", "_value", "fd", "layout")

    def __init__(self, fd: int, layout: Layout) -> None:
        self.fd, self.layout = fd, layout
        self._value: list[Any] = []
        _open.add(self)

    def __call__(self) -> Any:
        """Return the value, the same each time."""
        if not self._value:
            self._value.append(self._build())
        return self._value[0]

    def close(self) -> None:
        """Give the descriptor up; arrays that were made of it stay."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _open.discard(self)
            os.close(fd)

    __del__ = close

    def __reduce__(self) -> Any:
        raise TypeError("a segment belongs to its process; its value can travel")

    def _build(self) -> Any:
        views: list[Any] = []
        if self.layout.buffers and len(_open) < _most():
            mapped = mmap.mmap(self.fd, self.layout.stream[0], flags=mmap.MAP_PRIVATE)
            _open.add(mapped)  # it keeps a descriptor too
            views = [memoryview(mapped)[start : start + length] for start, length in self.layout.buffers]
        else:
            for start, length in self.layout.buffers:
                views.append(bytearray(length))
                _Window(self.fd, start, length).readinto(views[-1])
        window = _Window(self.fd, *self.layout.stream)
        return pickle.Unpickler(io.BufferedReader(window, PAGE), buffers=views).load()


class _Window(io.RawIOBase):
    """A part of a file, read without its position, which other processes share."""

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd, self._at, self._end = fd, start, start + length

    def readable(self) -> bool:
        """Answer that this can be read."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill *target* as far as there is something."""
        view, done = memoryview(target).cast("B"), 0
        while done < len(view) and self._at < self._end:
            count = os.preadv(self._fd, [view[done : done + self._end - self._at]], self._at)
            if not count:
                raise EOFError("a segment is shorter than it should be")
            done += count
            self._at += count
        return done


class _Sink:
    """Takes what a pickler writes: small pieces, and large bytes objects as they are."""

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray] = []
        self.size = 0
        self.buffers: list[memoryview] = []

    def write(self, piece: bytes | bytearray) -> None:
        """Keep *piece*, without a copy."""
        self.pieces.append(piece)
        self.size += len(piece)

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Keep a large buffer out of the stream; answer whether it belongs into it."""
        view = buffer.raw()
        if view.nbytes < LARGE:
            return True
        self.buffers.append(view)
        return False


def pack(value: Any, pickler: Callable[..., Any] = pickle.Pickler) -> bytes | Parcel:
    """Pickle *value*: small ones to bytes, large ones with one copy into a new segment.

    Raises:
        OSError: there is no memory or no descriptor left.
    """
    sink = _Sink()
    writer = pickler(sink, 5, buffer_callback=sink.take)
    writer.dump(value)
    if sink.size < LARGE and not sink.buffers:
        return b"".join(sink.pieces)
    fd = segment()
    try:
        places, at = [], 0
        for view in sink.buffers:
            places.append((at, view.nbytes))
            at = -(-_write(fd, view, at) // ALIGNMENT) * ALIGNMENT
        start = at
        for piece in sink.pieces:
            at = _write(fd, memoryview(piece), at)
        _seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return Parcel(fd, Layout(tuple(places), (start, at - start)))


def is_sure(value: Any, left: int = MOST) -> bool:
    """Whether *value* can be rebuilt anywhere without a failure: plain data and arrays of it, not too many."""
    kind = type(value)
    if kind in (bytes, bytearray, str, int, float, bool, type(None)):
        return True
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return not value.dtype.hasobject
    if kind is dict:
        value = [*value, *value.values()] if len(value) <= left else ()
        return 0 < len(value) <= left and all(is_sure(item, left // len(value)) for item in value)
    if kind is list or kind is tuple:
        return 0 < len(value) <= left and all(is_sure(item, left // len(value)) for item in value)
    return False


_open: weakref.WeakSet[Any] = weakref.WeakSet()  # whatever keeps the descriptor of a segment here


def _most() -> int:
    """How many segments this process keeps open; beyond that, values are copied."""
    import resource

    return max(8, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65_536) // SHARE)


def crowded() -> bool:
    """Whether this process should keep no more segments open."""
    return len(_open) >= _most()


def segment() -> int:
    """Make an empty file in memory that has no name; return its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dotflow", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    import tempfile

    with tempfile.TemporaryFile() as file:  # unlinked at once; its pages are written out only under pressure
        return os.dup(file.fileno())


def _write(fd: int, data: memoryview, at: int) -> int:
    """Write all of *data* at an offset; return the offset behind it."""
    data = data.cast("B")
    while data:
        count = os.pwrite(fd, data, at)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data, at = data[count:], at + count
    return at


def _seal(fd: int) -> None:
    import fcntl

    if hasattr(fcntl, "F_ADD_SEALS") and hasattr(os, "memfd_create"):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)


def send(sock: int, parcels: Sequence[Parcel]) -> None:
    """Hand *parcels*, a hundred or so at most, to the process at the other end of a socket."""
    if parcels:
        with _borrowed(sock) as end:
            socket.send_fds(end, [b"!"], [parcel.fd for parcel in parcels])


def receive(sock: int, layouts: Sequence[Layout]) -> list[Parcel]:
    """Take the parcels that were sent with these *layouts*.

    Raises:
        EOFError: the other process has ended.
        LostParcel: this process may open no more descriptors.
    """
    if not layouts:
        return []
    with _borrowed(sock) as end:
        told, fds, _, _ = socket.recv_fds(end, 1, len(layouts))
    if not told:
        raise EOFError
    found = [Parcel(fd, layout) for fd, layout in zip(fds, layouts, strict=False)]
    if len(found) < len(layouts):
        raise LostParcel(errno.EMFILE, os.strerror(errno.EMFILE))
    return found


class LostParcel(OSError):
    """A segment could not be taken over."""


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
    try:
        yield end
    finally:
        end.detach()


def bare(context: Context | None) -> tuple[Any, ...] | None:
    """Return what ``make_context`` takes, which pickles faster than a context."""
    if context is None:
        return None
    return (context.storage, context.task_id, context.workflow_id, context._made, context.scheduled_for)


def is_small(value: Any) -> bool:
    """Whether *value* holds little, and nothing but plain values."""
    return _plain(value, FEW) >= 0


def _plain(value: Any, left: int) -> int:
    """Return what is left of *left* items after those of *value*, negative if it is too much or not plain."""
    kind = type(value)
    if kind in LEAVES:
        return left - 1 if (kind is not str and kind is not bytes) or len(value) < 1000 else -1
    if kind is list or kind is tuple:
        items = value
    elif kind is dict:
        items = [*value, *value.values()]
    else:
        return -1
    if len(items) > left:
        return -1
    for item in items:
        left = _plain(item, left)
        if left < 0:
            return -1
    return left
