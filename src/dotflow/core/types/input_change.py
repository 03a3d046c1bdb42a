"""What a resumed run does when its input has changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class TypeInputChange(StrEnum):
    """``reuse`` keeps the checkpoints, ``reset`` drops them, ``raise`` refuses the run."""

    REUSE = "reuse"
    RESET = "reset"
    RAISE = "raise"


VALID_POLICIES: tuple[TypeInputChange, ...] = tuple(TypeInputChange)

InputChangeName = TypeInputChange | Literal["reuse", "reset", "raise"]
"""How a policy may be written."""
