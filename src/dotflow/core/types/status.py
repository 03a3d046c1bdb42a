"""Status of one task."""

from __future__ import annotations

from enum import StrEnum


class TypeStatus(StrEnum):
    """Where a task stands.

    ``PAUSED`` marks a task whose run was interrupted or cancelled while it was running; a resumed run
    starts it again.
    """

    NOT_STARTED = "Not started"
    IN_PROGRESS = "In progress"
    COMPLETED = "Completed"
    PAUSED = "Paused"
    RETRY = "Retry"
    FAILED = "Failed"

    @staticmethod
    def get_symbol(status: str) -> str | None:
        """Return the symbol of *status*, ``None`` for a text that is no status."""
        return _SYMBOLS.get(status)


_SYMBOLS: dict[str, str] = {
    TypeStatus.NOT_STARTED: "⚪",
    TypeStatus.IN_PROGRESS: "🔵",
    TypeStatus.COMPLETED: "✅",
    TypeStatus.PAUSED: "◼️",
    TypeStatus.RETRY: "❗",
    TypeStatus.FAILED: "❌",
}
