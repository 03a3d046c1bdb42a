"""dotflow: this checkout."""

from __future__ import annotations

from benchmarks.adapters.dotflow import chains, durable, observers, overlap, processes
from benchmarks.adapters.pipeline import PIPELINE
from benchmarks.case import Case, Cases, Peer

PEER = Peer("dotflow", "dotflow")

HELP = "import sys\nfrom dotflow.main import main\nsys.argv = ['dotflow', '--help']\nmain()"  # as its entry point

CASES: Cases = {
    "W1a": {"import": Case(source="import dotflow")},
    "W1b": {"default": Case(source=PIPELINE, prints="12")},
    "W1d": {"--help": Case(source=HELP, prints="schedule")},
    **chains.CASES,
    **observers.CASES,
    **durable.CASES,
    **processes.CASES,
    **overlap.CASES,
}
