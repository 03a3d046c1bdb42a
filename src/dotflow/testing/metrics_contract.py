"""The contract of metrics, for pytest."""

from __future__ import annotations

from dotflow.abc.metrics import Metrics
from dotflow.core.types import TypeStatus
from dotflow.testing.observer_tasks import HOSTILE, ObserverContract, every_task, task_in, told


class MetricsContract(ObserverContract):
    """The promises of metrics, each as a test.

    Subclass it, and say how one is made::

        class TestMetricsMine(MetricsContract):
            @pytest.fixture
            def make(self):
                return lambda: MetricsMine(...)

    What the provider talks to has to be there, and to accept what it is sent: a clause fails if a call raises.

    .. versionadded:: 2.0
    """

    provider: Metrics

    def test_it_is_one_of_its_kind(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.provider, Metrics)

    def test_runs_are_counted(self) -> None:
        """Those that start, complete and fail."""
        self.provider.workflow_started("kit", mode="sequential")
        self.provider.workflow_completed("kit", 0.5)
        self.provider.workflow_failed("kit", 0.5)

    def test_tasks_are_counted(self) -> None:
        """Those that complete, fail and are tried again; with and without a duration."""
        for task in every_task():
            self.provider.task_completed(task=task)
            self.provider.task_failed(task=task)
            self.provider.task_retried(task=task)

    def test_the_task_is_left_as_it_is(self) -> None:
        """Metrics read, and change nothing, whatever a step says."""
        for text in HOSTILE:
            task = task_in(TypeStatus.FAILED, text)
            before = told(task)
            self.provider.task_failed(task=task)
            assert told(task) == before
