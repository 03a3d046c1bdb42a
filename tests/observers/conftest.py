"""Fixtures of the observers' tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from receivers import receiver

__all__ = ["receiver"]
