"""The contract of a notifier, for pytest."""

from __future__ import annotations

from dotflow.abc.notify import Notify
from dotflow.core.types import TypeStatus
from dotflow.testing.observer_tasks import HOSTILE, ObserverContract, every_task, task_in, told


class NotifyContract(ObserverContract):
    """The promises of a notifier, each as a test.

    Subclass it, and say how one is made::

        class TestNotifyMine(NotifyContract):
            @pytest.fixture
            def make(self):
                return lambda: NotifyMine(...)

    What the provider talks to has to be there, and to accept what it is sent: a clause fails if a call raises.

    .. versionadded:: 2.0
    """

    provider: Notify

    def test_it_is_one_of_its_kind(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.provider, Notify)

    def test_every_status_is_taken(self) -> None:
        """Each status of a task can be told, by keyword, and again."""
        for task in [*every_task(), *every_task()]:
            self.provider.hook_status_task(task=task)

    def test_hostile_text_is_taken(self) -> None:
        """Whatever a step says can be told."""
        for text in HOSTILE:
            self.provider.hook_status_task(task=task_in(TypeStatus.FAILED, text))

    def test_the_task_is_left_as_it_is(self) -> None:
        """A notifier reads, and changes nothing."""
        task = task_in(TypeStatus.FAILED)
        before = told(task)
        self.provider.hook_status_task(task=task)
        assert told(task) == before
