"""100 MiB from one step to the next."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import shared_memory
from typing import Any

from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import MIB, PAYLOAD, now, payload, whole

SIZE = PAYLOAD * MIB


def reference(kind: str) -> Measured:
    value = payload(kind)
    start = now()
    ok = whole(kind, value)
    return measured(now() - start, 1, ok)


def copy(kind: str) -> Measured:
    value = payload(kind)
    start = now()
    other = bytes(bytearray(value)) if kind == "bytes" else value.copy()
    return measured(now() - start, 1, whole(kind, other))


def mapped_whole(kind: str, buffer: memoryview[int]) -> bool:
    if kind == "bytes":
        return whole(kind, buffer)
    import numpy

    return whole(kind, numpy.frombuffer(buffer, dtype=numpy.int64))


def shared(kind: str, warm: bool) -> Measured:
    """One process makes the payload and copies it into shared memory (touched before if *warm*), another maps it."""
    context = multiprocessing.get_context("fork")
    (a, b), (c, d) = context.Pipe(), context.Pipe()
    memory = shared_memory.SharedMemory(create=True, size=SIZE)
    buffer = memory.buf
    assert buffer is not None

    def produce() -> None:
        if warm:
            buffer[:] = bytes(SIZE)
        payload(kind, 1)
        a.send("ready")
        a.recv()
        value: Any = payload(kind)
        buffer[:] = value if kind == "bytes" else value.data.cast("B")
        a.send("made")

    def consume() -> None:
        if warm:
            assert len(bytes(buffer)) == SIZE
        c.send("ready")
        c.recv()
        c.send(mapped_whole(kind, buffer))

    start_both(produce, consume)
    b.recv()
    d.recv()
    start = now()
    b.send("make")
    b.recv()
    d.send("check")
    ok = d.recv()
    seconds = now() - start
    buffer.release()
    memory.close()
    memory.unlink()
    return measured(seconds, 1, ok, note="with making the payload")


def piped(kind: str) -> Measured:
    """One process sends the payload to another over a pipe, pickled with protocol 5."""
    context = multiprocessing.get_context("fork")
    (a, b), (c, d) = context.Pipe(), context.Pipe()

    def produce() -> None:
        payload(kind, 1)
        a.send("ready")
        a.recv()
        c.send(payload(kind))

    start_both(produce, lambda: a.send(whole(kind, d.recv())))
    b.recv()
    start = now()
    b.send("make")
    ok = b.recv()
    return measured(now() - start, 1, ok, note="with making the payload")


def start_both(*works: Any) -> None:
    for work in works:
        if os.fork() == 0:
            work()
            os._exit(0)


KINDS = ("bytes", "numpy")
CASES: Cases = {
    "W6a": {
        **{f"reference, {kind}": Case(reference, {"kind": kind}) for kind in KINDS},
        **{f"memory copy, {kind}": Case(copy, {"kind": kind}) for kind in KINDS},
    },
    "W6b": {
        **{f"fresh shared memory, {kind}": Case(shared, {"kind": kind, "warm": False}) for kind in KINDS},
        **{f"reused shared memory, {kind}": Case(shared, {"kind": kind, "warm": True}) for kind in KINDS},
        **{f"pipe, {kind}": Case(piped, {"kind": kind}) for kind in KINDS},
    },
}
