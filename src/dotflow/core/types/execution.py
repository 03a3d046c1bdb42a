"""Execution modes of ``DotFlow.start``."""

from __future__ import annotations

from enum import StrEnum


class TypeExecution(StrEnum):
    """How the tasks of a run follow each other, and where they run."""

    SEQUENTIAL = "sequential"
    SEQUENTIAL_GROUP = "sequential_group"
    BACKGROUND = "background"
    PARALLEL = "parallel"
