"""What the commands write with; it lives in ``dotflow.views``."""

from __future__ import annotations

from dotflow.views.progress import escape, make_view, raw_write, silence, write
from dotflow.views.state import error_line, seconds

__all__ = ["error_line", "escape", "make_view", "raw_write", "seconds", "silence", "write"]
