"""The contract of a server client, for pytest."""

from __future__ import annotations

from dotflow.abc.server import Server
from dotflow.core.types import TypeStatus
from dotflow.testing.observer_tasks import HOSTILE, ObserverContract, every_task, task_in, told


class ServerContract(ObserverContract):
    """The promises of a server client, each as a test.

    Subclass it, and say how one is made::

        class TestServerMine(ServerContract):
            @pytest.fixture
            def make(self):
                return lambda: ServerMine(...)

    What the provider talks to has to be there, and to accept what it is sent: a clause fails if a call raises.

    .. versionadded:: 2.0
    """

    provider: Server

    def test_it_is_one_of_its_kind(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.provider, Server)

    def test_a_run_is_reported(self) -> None:
        """Its tasks in each status, and its own."""
        self.provider.update_workflow(workflow="kit", status="In progress")
        for task in every_task():
            self.provider.create_task(task=task)
            self.provider.update_task(task=task)
        self.provider.update_workflow(workflow="kit", status="Completed")

    def test_hostile_ids_and_text_are_taken(self) -> None:
        """An id is never a path; whatever a step says can be reported, and nothing of the task changes."""
        for text in HOSTILE:
            for workflow_id in ("../../etc/passwd", "a/b?c#d", "."):
                task = task_in(TypeStatus.FAILED, text, workflow_id)
                before = told(task)
                self.provider.create_task(task=task)
                self.provider.update_task(task=task)
                assert told(task) == before
