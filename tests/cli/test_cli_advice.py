"""What the commands advise works, and exit codes tell a run that failed from one that never began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from cli_process import PATIENCE, Command, environment

KEPT = ("--storage", "sqlite:///kept.db")
PROGRAM = """
import os
from flows import *

workflow = flow(first, sleepy, second, lasting=True, workflow_id="night")
{guard}
    workflow.start()
"""


def only(command: Command) -> dict[str, Any]:
    """Return the one run on record."""
    [run] = json.loads(command("runs", "--json", *KEPT).stdout)
    found: dict[str, Any] = run
    return found


def killed_program(command: Command, guard: str) -> str:
    """Kill a program in its second step; return the id of its run."""
    (command.folder / "night.py").write_text(PROGRAM.format(guard=guard))
    process = command.python("import runpy; runpy.run_path('night.py', run_name='__main__')")
    process.until("asleep")
    process.signal(signal.SIGKILL)
    process.end()
    (command.folder / "awake").touch()
    return str(only(command)["run_id"])[:8]


def test_run_of_a_program_is_resumed_as_show_advises(command: Command) -> None:
    """Neither offers a command that is refused; a module may name its DotFlow itself."""
    run = killed_program(command, "if __name__ == '__main__':")

    shown = command("show", run, *KEPT).stdout
    assert "resume with: start(resume=True)" in shown
    assert f"dotflow resume {run} --storage sqlite:///kept.db --workflow MODULE:NAME" in shown

    done = command("resume", run, *KEPT, "--workflow", "night:workflow")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 completed (1 restored)" in done.stdout


def test_module_that_starts_its_workflow_when_imported_is_refused(command: Command) -> None:
    """A command that loads it for what is in it does not run everything on the way."""
    run = killed_program(command, "if True:")

    done = command("resume", run, *KEPT, "--workflow", "night:workflow")

    assert done.returncode == 2
    assert "starts a workflow while it is imported" in done.stderr
    assert "night.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert command.marks() == ["first"]


def test_tick_of_a_schedule_is_left_to_it(command: Command) -> None:
    """Its schedule finishes it; show says so instead of naming a command that refuses."""
    done = command("schedule", "-s", "flows:bad", "--cron", "* * * * * *", "--max-runs", "1", "--name", "tick", *KEPT)
    assert done.returncode == 0, done.stderr

    shown = command("show", only(command)["run_id"], *KEPT).stdout

    assert "it is a tick of the schedule 'tick', which finishes its own runs" in shown
    assert "dotflow resume" not in shown


def test_results_that_were_cleared_are_not_offered(command: Command) -> None:
    """A later start has cleared them."""
    for _ in range(2):
        assert command("start", "-w", "flows:failing", "--workflow-id", "w").returncode == 1
    old = json.loads(command("runs", "--json", *KEPT).stdout)[1]["run_id"]

    assert "it cannot be resumed: its results were cleared" in command("show", old, *KEPT).stdout


def test_sessions_are_told_apart(command: Command) -> None:
    """With several, each failed attempt says whose it was."""
    command("start", "-w", "flows:failing", "--workflow-id", "w")
    command("resume", only(command)["run_id"], *KEPT)

    shown = command("show", only(command)["run_id"], *KEPT).stdout

    assert "bad, attempt 1 of session 1:" in shown
    assert "bad, attempt 2 of session 2:" in shown


def test_cancel_reaches_a_job_in_the_background_of_a_script(command: Command) -> None:
    """A shell without job control starts it with SIGINT ignored; it ends in the middle of its step all the same."""
    script = f"{sys.executable} -m dotflow start -w flows:napping & echo began; wait $!; echo ended with $?"
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=command.folder, env=environment({}), stdout=subprocess.PIPE, text=True
    )
    try:
        assert shell.stdout is not None
        while "asleep" not in shell.stdout.readline():
            pass
        done = command("cancel", only(command)["run_id"], *KEPT)
        assert done.returncode == 0, done.stderr
        assert "is cancelled: 1 of 3 completed" in done.stdout
        assert "ended with 1" in shell.communicate(timeout=PATIENCE)[0]
    finally:
        shell.kill()
        shell.wait()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("start", "-w", "flows:failing"), 1),
        (("start", "-s", "flows:first", "-o", "sqlite", "-p", "/proc/none/x.db"), 2),
        (("start", "-s", "flows:first", "-o", "sqlite", "-p", "flows.py"), 2),
        (("start", "-s", "broken:step"), 2),
        (("start", "-w", "flows:raises"), 2),
        (("start", "-w", "changed:make", "--resume"), 2),
    ],
)
def test_exit_code_tells_whether_anything_ran(command: Command, words: tuple[str, ...], code: int) -> None:
    """1: a run began, and did not complete. 2: none began."""
    (command.folder / "broken.py").write_text("import no_such_module_anywhere\n")
    (command.folder / "changed.py").write_text("raise OSError('no such table')\n")

    done = command(*words)

    assert done.returncode == code, done.stderr
    assert bool(command.marks()) == (code == 1)


def test_storage_is_named_by_its_file(command: Command) -> None:
    """A file in its place is answered with the URL that is meant; --path alone will do."""
    assert command("start", "-w", "flows:failing").returncode == 1

    wrong = command("runs", "-o", "kept.db")
    hinted = command("runs")
    by_path = command("runs", "-p", "kept.db")
    by_url = command("runs", "-o", "sqlite:///kept.db")

    assert wrong.returncode == 2
    assert "did you mean sqlite:///kept.db?" in wrong.stderr
    assert hinted.returncode == 2
    assert "--storage sqlite:///kept.db" in hinted.stderr
    assert by_path.returncode == 0, by_path.stderr
    assert by_path.stdout == by_url.stdout


def test_workflow_that_is_misspelt_or_taken_for_a_run(command: Command) -> None:
    """The nearest one is offered, and the way from a workflow to its runs."""
    command("start", "-w", "flows:failing", "--workflow-id", "nightly")

    assert command("runs", "--workflow", "nigthly", *KEPT).stdout == "no such runs; did you mean 'nightly'?\n"
    shown = command("show", "nightly", *KEPT)
    assert shown.returncode == 2
    assert "that is a workflow; list its runs with: dotflow runs --workflow nightly" in shown.stderr


def test_plan_takes_a_dotflow(command: Command) -> None:
    """As graph does."""
    (command.folder / "own.py").write_text("from flows import *\n\nworkflow = flow(first, second, lasting=True)\n")

    done = command("plan", "-w", "own:workflow", "--workflow-id", "w")

    assert done.returncode == 0, done.stderr
    assert "0 to skip, 2 to run" in done.stdout


def test_timeline_has_an_axis_and_tells_of_failed_attempts(command: Command) -> None:
    """Times at both ends, and how many attempts the bar does not show."""
    command("start", "-w", "flows:failing")

    lines = command("timeline", only(command)["run_id"], *KEPT).stdout.splitlines()

    assert lines[2].endswith(", 1 failed before")
    assert lines[-1].count(":") == 4


def test_runs_can_be_looked_at_without_being_allowed_to_write(command: Command) -> None:
    """A database and its folder that can only be read; what would write says what is missing."""
    command("start", "-w", "flows:failing")
    run = only(command)["run_id"]
    (command.folder / "kept.db").chmod(0o444)
    command.folder.chmod(0o555)
    limited = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        line = [*limited, sys.executable, "-m", "dotflow", *words]
        return subprocess.run(
            line, cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=PATIENCE
        )

    try:
        listed, shown, drawn = (call(*words, *KEPT) for words in (("runs",), ("show", run), ("timeline", run)))
        started = call("start", "-w", "flows:failing")
    finally:
        command.folder.chmod(0o755)

    assert (listed.returncode, shown.returncode, drawn.returncode) == (0, 0, 0), listed.stderr + shown.stderr
    assert "bad" in shown.stdout
    assert started.returncode == 2
    assert started.stderr.startswith("Error: ")
