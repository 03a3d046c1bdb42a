"""The notifier that is there when none is."""

from __future__ import annotations

from typing import Any

from dotflow.abc.notify import Notify


class NotifyDefault(Notify):
    """Tell nobody."""

    silent = True

    def hook_status_task(self, task: Any) -> None:
        """Do nothing."""
