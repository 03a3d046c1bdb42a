"""The contract of a log, for pytest."""

from __future__ import annotations

from dotflow.abc.log import Log
from dotflow.core.types import TypeStatus
from dotflow.testing.observer_tasks import HOSTILE, ObserverContract, every_task, task_in, told


class LogContract(ObserverContract):
    """The promises of a log, each as a test.

    Subclass it, and say how one is made::

        class TestLogMine(LogContract):
            @pytest.fixture
            def make(self):
                return lambda: LogMine(...)

    What the provider talks to has to be there, and to accept what it is sent: a clause fails if a call raises.

    .. versionadded:: 2.0
    """

    provider: Log

    def test_it_is_one_of_its_kind(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.provider, Log)

    def test_every_level_takes_every_status(self) -> None:
        """All four methods can be called by keyword ``task=``."""
        for task in every_task():
            for write in (self.provider.info, self.provider.warning, self.provider.error, self.provider.debug):
                write(task=task)

    def test_hostile_text_is_taken(self) -> None:
        """Whatever a step says can be written."""
        for text in HOSTILE:
            self.provider.error(task=task_in(TypeStatus.FAILED, text))

    def test_the_task_is_left_as_it_is(self) -> None:
        """A log reads, and changes nothing."""
        task = task_in(TypeStatus.FAILED)
        before = told(task)
        self.provider.error(task=task)
        assert told(task) == before
