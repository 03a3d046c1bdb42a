"""The fixtures for pytest, as a user's suite meets them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]

USES = """
import asyncio
import pytest
from dotflow import Config, Context, DotFlow, action
from dotflow.core.events import TaskRetried
from dotflow.core.exception import StorageUnavailable
from dotflow.providers import SchedulerCron


@action
def load():
    return [1, 2]


@action(retry=4, retry_delay=3600, backoff=True)
def flaky(previous_context):
    flaky.calls = getattr(flaky, "calls", 0) + 1
    if flaky.calls % 4:
        raise OSError(f"call {flaky.calls}")
    return len(previous_context.storage)


@action(retry=2, retry_delay=600)
async def never():
    raise ValueError("no")


def test_a_step_is_a_function():
    assert load() == [1, 2]
    with pytest.raises(OSError, match="call 1"):
        flaky(Context([]))
    flaky.calls = 0


def test_pauses_are_skipped_and_recorded(dotflow_run, dotflow_clock, dotflow_events):
    manager = dotflow_run(load, flaky)

    assert manager.raise_for_failure().tasks[1].value == 2
    assert dotflow_clock.slept == [3600, 7200, 14400]
    assert manager.tasks[1].duration == 25200
    assert [event.error.message for event in dotflow_events.of(TaskRetried)] == ["call 1", "call 2", "call 3"]
    assert dotflow_events.names == [
        "WorkflowStarted", "TaskStarted load", "TaskCompleted load", "TaskStarted flaky", "TaskRetried flaky",
        "TaskRetried flaky", "TaskRetried flaky", "TaskCompleted flaky", "WorkflowFinished",
    ]


def test_a_function_that_is_no_step_is_not_guessed_about(dotflow_run):
    def build():
        return DotFlow()

    with pytest.raises(ValueError, match=r"if it makes the workflow, write dotflow_run\\(build\\(\\)\\)"):
        dotflow_run(build)


def test_async_steps_and_loops_do_not_wait_either(dotflow_run, dotflow_clock, dotflow_events):
    assert dotflow_run(never).status == "Failed"
    workflow = DotFlow()
    workflow.task.add(never)
    manager = asyncio.run(workflow.start_async(listeners=[dotflow_events]))

    assert manager.tasks[0].errors[-1].message == "no"
    assert dotflow_clock.slept == [600, 600]


def test_own_code_that_starts_runs_does_not_wait(dotflow_clock):
    workflow = DotFlow()
    workflow.task.add(never)
    assert workflow.start(mode="background").wait(30)
    assert dotflow_clock.slept == [600]


@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
def test_processes(dotflow_run, mode):
    assert dotflow_run(load, load, mode=mode).status == "Completed"


def test_recorders_of_every_kind(
    dotflow_run, dotflow_notify, dotflow_log, dotflow_tracer, dotflow_metrics, dotflow_server, dotflow_storage
):
    run_id = dotflow_run(load).workflow_id

    assert dotflow_notify.lines == ["hook_status_task load: In progress", "hook_status_task load: Completed"]
    assert dotflow_log.lines == ["info load: In progress", "info load: Completed"]
    assert [call.method for call in dotflow_tracer.calls] == [
        "start_workflow", "start_task", "end_task", "end_workflow"
    ]
    assert [call.method for call in dotflow_metrics.calls] == [
        "workflow_started", "task_completed", "workflow_completed"
    ]
    assert [call.method for call in dotflow_server.calls][-1] == "update_workflow"
    assert dotflow_notify.calls[-1].task.value == [1, 2]
    assert dotflow_storage.kept[f"{run_id}-load"] == "[1, 2]"


def test_storage_that_fails_for_a_while(dotflow_run, dotflow_storage, dotflow_clock):
    dotflow_storage.fail(StorageUnavailable("away"), method="post", times=3)

    assert dotflow_run(load).status == "Completed"
    assert len(dotflow_clock.slept) == 3


def test_storage_that_stays_away(dotflow_run, dotflow_storage):
    dotflow_storage.fail(method="post", times=1000)
    manager = dotflow_run(load)

    assert manager.status == "Failed"
    assert manager.tasks[0].error.exception == "StorageError"


def test_observer_that_fails_is_reported(dotflow_run, dotflow_notify):
    dotflow_notify.fail(OSError("no network"))
    assert dotflow_run(load).status == "Completed"


def test_resume_in_the_next_workflow(dotflow_run, dotflow_storage, dotflow_events):
    for resume in (False, True):
        workflow = DotFlow(Config(storage=dotflow_storage), workflow_id="nightly")
        workflow.task.add(load)
        dotflow_run(workflow, resume=resume)

    assert dotflow_events.names[-2:] == ["TaskRestored load", "WorkflowFinished"]


def test_schedule(dotflow_config, dotflow_scheduler):
    dotflow_scheduler.ticks = 3
    workflow = DotFlow(dotflow_config)
    workflow.task.add(load)
    workflow.schedule()

    assert [run.status for run in dotflow_scheduler.runs] == ["Completed"] * 3


def test_cron_by_the_fake_clock(dotflow_clock):
    workflow = DotFlow(Config(scheduler=SchedulerCron("0 6 * * *", tz="UTC", max_runs=2, clock=dotflow_clock)))
    workflow.task.add(load)
    before = dotflow_clock.time()
    workflow.schedule()

    assert 86400 <= dotflow_clock.time() - before <= 2 * 86400


def test_method_that_no_recorder_has_is_refused(dotflow_log):
    with pytest.raises(ValueError, match="'inform'"):
        dotflow_log.fail(method="inform")
"""


@pytest.fixture
def installed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder in which the entry point of pyproject.toml is found as that of an installed package is."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    site = pytester.mkdir("site")
    info = site / "dotflow_entry-1.dist-info"
    info.mkdir()
    lines = [f"{name} = {module}" for name, module in declared.items()]
    info.joinpath("entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: dotflow-entry\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT / 'src'}")
    return pytester


def test_fixtures_do_what_the_page_says(installed: pytest.Pytester) -> None:
    """Without a line of configuration: no waiting, a fake clock, events, a recorder of each kind, failing storages."""
    installed.makepyfile(USES)

    result = installed.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=USES.count("\ndef test_") + 1)


def test_plugin_can_be_left_out(installed: pytest.Pytester) -> None:
    """With ``-p no:dotflow`` the fixtures are not there, and nothing else changes."""
    installed.makepyfile("def test_nothing(): pass\ndef test_run(dotflow_run): pass")

    result = installed.runpytest_subprocess("-p", "no:dotflow")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'dotflow_run' not found*"])


def test_plugin_loads_next_to_nothing(installed: pytest.Pytester) -> None:
    """A suite that does not use the fixtures pays for a few light modules only."""
    installed.makepyfile(
        """
        import sys

        def test_loaded():
            ours = sorted(name for name in sys.modules if name.startswith("dotflow"))
            assert ours == ["dotflow", "dotflow.testing", "dotflow.testing.plugin"]
        """
    )

    installed.runpytest_subprocess().assert_outcomes(passed=1)


def test_dotflow_testing_needs_no_pytest() -> None:
    """The kits and fakes can be used from unittest; only the plugin imports pytest."""
    import subprocess

    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from dotflow.testing import FakeClock, FakeStorage, StorageContract, Events, RecordingLog"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
