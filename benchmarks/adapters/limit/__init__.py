"""The limits: the least code that does each workload with no engine at all."""

from __future__ import annotations

from benchmarks.adapters.limit import buffers, chains, durable, overlap, processes
from benchmarks.case import Case, Cases, Peer, chain_program

PEER = Peer("limit", "limit")

CASES: Cases = {
    "W1a": {"bare Python": Case(source="pass")},
    "W1b": {"plain": Case(source=chain_program("", "", "print(load(transform(extract())))"), prints="12")},
    **chains.CASES,
    **durable.CASES,
    **processes.CASES,
    **buffers.CASES,
    **overlap.CASES,
}
