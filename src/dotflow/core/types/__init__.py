"""Closed sets of names."""

from dotflow.core.types.execution import ModeName, TypeExecution
from dotflow.core.types.input_change import VALID_POLICIES, InputChangeName, TypeInputChange
from dotflow.core.types.overlap import TypeOverlap
from dotflow.core.types.status import TypeStatus
from dotflow.core.types.storage import TypeStorage
from dotflow.core.types.workflow import WorkflowStatus

__all__ = [
    "VALID_POLICIES",
    "InputChangeName",
    "ModeName",
    "TypeExecution",
    "TypeInputChange",
    "TypeOverlap",
    "TypeStatus",
    "TypeStorage",
    "WorkflowStatus",
]
