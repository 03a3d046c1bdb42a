"""Fixtures for pytest, which finds them by itself; ``-p no:dotflow`` leaves them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.core.config import Config
    from dotflow.core.workflow import Manager
    from dotflow.testing.clock import FakeClock
    from dotflow.testing.fakes import (
        Events,
        FakeScheduler,
        FakeStorage,
        RecordingLog,
        RecordingMetrics,
        RecordingNotify,
        RecordingServer,
        RecordingTracer,
    )


@pytest.fixture
def dotflow_clock() -> Iterator[FakeClock]:
    """A clock that stands still, by which every run in this test waits: a pause takes no time, and is in ``slept``.

    Pauses between attempts, second tries of a storage, and the grace time of a cancelled run are skipped. How long a
    step takes is not: its timeout is real.
    """
    from dotflow.core.pace import paced_by
    from dotflow.testing.clock import FakeClock

    clock = FakeClock()
    with paced_by(clock):
        yield clock


@pytest.fixture
def dotflow_events() -> Events:
    """The events of the runs that ``dotflow_run`` makes, and of those it is given to as a listener."""
    from dotflow.testing.fakes import Events

    return Events()


@pytest.fixture
def dotflow_storage() -> FakeStorage:
    """A storage in memory that keeps JSON, writes down its calls, and can fail."""
    from dotflow.testing.fakes import FakeStorage

    return FakeStorage()


@pytest.fixture
def dotflow_notify() -> RecordingNotify:
    """A notifier that keeps what it was told, and can fail."""
    from dotflow.testing.fakes import RecordingNotify

    return RecordingNotify()


@pytest.fixture
def dotflow_log() -> RecordingLog:
    """A log that keeps what it was told, and can fail."""
    from dotflow.testing.fakes import RecordingLog

    return RecordingLog()


@pytest.fixture
def dotflow_tracer() -> RecordingTracer:
    """A tracer that keeps what it was told, and can fail."""
    from dotflow.testing.fakes import RecordingTracer

    return RecordingTracer()


@pytest.fixture
def dotflow_metrics() -> RecordingMetrics:
    """Metrics that keep what they were told, and can fail."""
    from dotflow.testing.fakes import RecordingMetrics

    return RecordingMetrics()


@pytest.fixture
def dotflow_server() -> RecordingServer:
    """A server that keeps what it was told, and can fail."""
    from dotflow.testing.fakes import RecordingServer

    return RecordingServer()


@pytest.fixture
def dotflow_scheduler() -> FakeScheduler:
    """A scheduler that makes one tick at once, or as many as its ``ticks`` says."""
    from dotflow.testing.fakes import FakeScheduler

    return FakeScheduler()


@pytest.fixture
def dotflow_config(
    dotflow_storage: FakeStorage,
    dotflow_notify: RecordingNotify,
    dotflow_log: RecordingLog,
    dotflow_server: RecordingServer,
    dotflow_scheduler: FakeScheduler,
    dotflow_tracer: RecordingTracer,
    dotflow_metrics: RecordingMetrics,
) -> Config:
    """A ``Config`` of the fixtures above."""
    from dotflow.core.config import Config

    return Config(
        dotflow_storage, dotflow_notify, dotflow_log, dotflow_server, dotflow_scheduler, dotflow_tracer, dotflow_metrics
    )


@pytest.fixture
def dotflow_run(
    request: pytest.FixtureRequest, dotflow_clock: FakeClock, dotflow_events: Events
) -> Callable[..., Manager]:
    """Runs a workflow to its end without waiting; its events are in ``dotflow_events``, its pauses in the clock.

    ``dotflow_run(workflow, **options)``, with the options of ``start``, or ``dotflow_run(step, step, ...)``, which
    makes a workflow of those steps with ``dotflow_config``.
    """
    from types import FunctionType

    from dotflow.core.dotflow import DotFlow
    from dotflow.core.exception import ConfigurationError

    def run(*what: Any, **options: Any) -> Manager:
        if len(what) == 1 and isinstance(what[0], DotFlow):
            workflow = what[0]
        else:
            workflow = DotFlow(request.getfixturevalue("dotflow_config"))
            for step in what:
                if isinstance(step, FunctionType):
                    raise ConfigurationError(
                        f"dotflow_run needs a DotFlow or steps, got the function {step.__name__}: if it makes the "
                        f"workflow, write dotflow_run({step.__name__}()); if it is a step, decorate it with @action"
                    )
                workflow.task.add(step)
        manager = workflow.start(**{**options, "listeners": [*options.get("listeners", ()), dotflow_events]})
        manager.wait()
        return manager

    return run
