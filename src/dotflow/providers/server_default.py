"""The server that is there when none is."""

from __future__ import annotations

from typing import Any

from dotflow.abc.server import Server


class ServerDefault(Server):
    """Report to nobody until it is given an address."""

    silent = True

    def create_workflow(self, workflow: Any) -> None:
        """Do nothing."""

    def update_workflow(self, workflow: Any, status: str = "") -> None:
        """Do nothing."""

    def create_task(self, task: Any) -> None:
        """Do nothing."""

    def update_task(self, task: Any) -> None:
        """Do nothing."""
