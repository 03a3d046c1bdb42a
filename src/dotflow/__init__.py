"""A workflow engine that is imported, not deployed."""

from dotflow.core.action import action
from dotflow.core.config import Config
from dotflow.core.context import Context
from dotflow.core.dotflow import DotFlow
from dotflow.core.task import Task

__version__ = "2.0.0"
__description__ = "A workflow engine you import, not deploy."

__all__ = ["Config", "Context", "DotFlow", "Task", "action"]
