"""The contract of a tracer, for pytest."""

from __future__ import annotations

from dotflow.abc.tracer import Tracer
from dotflow.core.types import TypeStatus
from dotflow.testing.observer_tasks import HOSTILE, ObserverContract, every_task, task_in, told


class TracerContract(ObserverContract):
    """The promises of a tracer, each as a test.

    Subclass it, and say how one is made::

        class TestTracerMine(TracerContract):
            @pytest.fixture
            def make(self):
                return lambda: TracerMine(...)

    What the provider talks to has to be there, and to accept what it is sent: a clause fails if a call raises.

    .. versionadded:: 2.0
    """

    provider: Tracer

    def test_it_is_one_of_its_kind(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.provider, Tracer)

    def test_a_run_is_followed(self) -> None:
        """From its start, through tasks that end in each way, to its end; and a second one like it."""
        for failed in (False, True):
            self.provider.start_workflow("kit", mode="sequential", tasks_count=1)
            for task in every_task():
                self.provider.start_task(task=task)
                self.provider.end_task(task=task)
            self.provider.end_workflow("kit", duration=0.5, failed=failed)

    def test_an_end_without_a_start_is_ignored(self) -> None:
        """A task that was restored, or paused before it began, has no start."""
        self.provider.end_task(task=task_in(TypeStatus.PAUSED))
        self.provider.end_workflow("never started", duration=0.5, failed=True)

    def test_hostile_text_is_taken(self) -> None:
        """Whatever a step says can be traced, and nothing of the task changes."""
        self.provider.start_workflow("kit", mode="sequential", tasks_count=1)
        for text in HOSTILE:
            task = task_in(TypeStatus.FAILED, text)
            before = told(task)
            self.provider.start_task(task=task)
            self.provider.end_task(task=task)
            assert told(task) == before
        self.provider.end_workflow("kit", duration=0.5, failed=True)
