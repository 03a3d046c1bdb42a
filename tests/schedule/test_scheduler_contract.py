"""The contract of schedulers holds for ours and for the seed page's own, and finds those that do not keep it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dotflow.abc.scheduler import Scheduler
from dotflow.providers import SchedulerAt, SchedulerCron, SchedulerInterval
from dotflow.testing import SchedulerContract


class TestSchedulerInterval(SchedulerContract):
    def make(self) -> Any:
        return SchedulerInterval(0.02)


class TestSchedulerIntervalOnThreads(SchedulerContract):
    def make(self) -> Any:
        return SchedulerInterval(0.02, "parallel")


class TestSchedulerCron(SchedulerContract):
    def make(self) -> Any:
        from dotflow.core.when import Every

        return SchedulerCron(Every(0.05), "queue")


class TestSchedulerAt(SchedulerContract):
    def make(self) -> Any:
        now = datetime.now(UTC)
        return SchedulerAt(*[now + timedelta(milliseconds=50 * number) for number in range(1, 200)])


class SeedInterval(Scheduler):
    """The sample of the seed page."""

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds
        self.running = False

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        self.running = True
        while self.running:
            workflow(**kwargs)
            time.sleep(self.seconds)

    def stop(self) -> None:
        self.running = False


class TestSeedInterval(SchedulerContract):
    def make(self) -> Any:
        return SeedInterval(0.02)


class Deaf(SeedInterval):
    def stop(self) -> None:
        """Forget to end the loop."""


class Once(SeedInterval):
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        workflow(**kwargs)


class Mute(SeedInterval):
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        super().start(lambda **_: workflow())


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (Deaf, "test_stop_from_another_thread_ends_start"),
        (Once, "test_start_blocks_and_ticks_again_and_again"),
        (Mute, "test_each_tick_gets_the_arguments"),
    ],
)
def test_faults_are_found(kind: type[SeedInterval], clause: str) -> None:
    class Kit(SchedulerContract):
        patience = 0.3

        def make(self) -> Any:
            made.append(kind(0.02))
            return made[-1]

    made: list[SeedInterval] = []
    with pytest.raises(AssertionError):
        getattr(Kit(), clause)()
    for each in made:
        each.running = False
