"""Execution modes of ``DotFlow.start``."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class TypeExecution(StrEnum):
    """How the tasks of a run follow each other, and where they run."""

    SEQUENTIAL = "sequential"
    SEQUENTIAL_GROUP = "sequential_group"
    BACKGROUND = "background"
    PARALLEL = "parallel"


ModeName = TypeExecution | Literal["sequential", "sequential_group", "background", "parallel"]
"""How a mode may be written."""
