"""How a run is shown, and with which exit code it ends."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys

import pytest
from cli_process import Command, environment

LINE_ENDS = re.compile(r"\n|\x1b\[2K|\x1b\[1A")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
GRACE = "import dotflow.cli.interruption as it; from dotflow.main import main; it.GRACE, it.LAST_GRACE = {}, {}; main()"


def resume_words(text: str) -> list[str]:
    """Return the arguments of the command that a report says to resume with."""
    line = text.partition("resume with: ")[2].partition("\n")[0]
    words = shlex.split(line)
    assert words[1:3] == ["-m", "dotflow"], text
    return words[3:]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background", "parallel"])
def test_completed_run_is_exit_code_0(command: Command, mode: str) -> None:
    """Each mode runs to its end; a background run is waited for."""
    done = command("start", "-w", "flows:good", "-m", mode)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(command.marks()) == ["first", "second"]
    assert "completed: 2 of 2 completed in" in done.stdout


def test_lines_say_what_changed(command: Command) -> None:
    """Without a terminal there is one line for each change, the summary, the cause, and how to resume."""
    done = command("start", "-w", "flows:failing")

    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[:5]] == [
        ["started", "first"],
        ["completed", "first"],
        ["started", "bad"],
        ["retry", "bad"],
        ["failed", "bad"],
    ]
    assert "failed: 1 of 3 completed, 1 failed, 1 not started in" in done.stdout
    assert r"ValueError: a [red]bad[/red] \x1b[31m row" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count("in bad") == 1
    assert "--resume" in resume_words(done.stdout)


def test_keep_going(command: Command) -> None:
    """What follows a failed task runs, and the run has failed."""
    done = command("start", "-w", "flows:failing", "--keep-going")

    assert done.returncode == 1
    assert command.marks() == ["first", "second"]


@pytest.mark.parametrize("storage", ["file", "sqlite"])
def test_resume_after_kill_9(command: Command, storage: str) -> None:
    """What had completed does not run again, in a new process, after the worst end of the first."""
    (command.folder / "factory.py").write_text(
        "from flows import *\nfrom dotflow.providers import StorageFile\n"
        "def make():\n"
        f"    workflow = DotFlow(Config(storage={'StorageSQLite()' if storage == 'sqlite' else 'StorageFile()'}))\n"
        "    for step in (first, sleepy, second):\n        workflow.task.add(step=step)\n    return workflow\n"
    )
    options = ("start", "-w", "factory:make", "--workflow-id", "night")
    process = command.begin(*options)
    process.until("asleep")
    process.signal(signal.SIGKILL)
    assert process.end() == -signal.SIGKILL
    (command.folder / "awake").touch()

    done = command(*options, "--resume")

    assert done.returncode == 0, done.stderr
    assert "restored   first" in done.stdout
    assert "3 of 3 completed (1 restored)" in done.stdout
    assert command.marks() == ["first", "sleepy", "second"]


@pytest.mark.parametrize(
    ("factory", "mode"),
    [("napping", "sequential"), ("napping", "parallel"), ("napping_async", "sequential")],
)
def test_sigint_stops_what_runs(command: Command, factory: str, mode: str) -> None:
    """Ctrl-C ends a sleeping step at once, with one line and exit code 130."""
    process = command.begin("start", "-w", f"flows:{factory}", "-m", mode)
    process.until("asleep")
    if mode == "parallel":
        process.until("completed  second")
    process.signal(signal.SIGINT)

    assert process.end() == 130
    last = process.text.splitlines()[-1]
    assert last.startswith("interrupted: ")
    assert "1 paused" in last
    assert "Traceback" not in process.text
    assert ("resume with:" in last) == (factory == "napping")


def test_the_command_that_resumes_is_exact(command: Command) -> None:
    """The command in the report, typed as it is, finishes the run, though its id was random."""
    process = command.begin("start", "--workflow", "flows:napping")
    process.until("asleep")
    process.signal(signal.SIGINT)
    process.end()
    (command.folder / "awake").touch()

    line = process.text.partition("resume with: ")[2].strip()
    done = subprocess.run(
        line, shell=True, cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 0, done.stderr
    assert command.marks() == ["first", "sleepy", "second"]


def test_sigint_before_anything_ran(command: Command) -> None:
    """Ctrl-C during a slow import is one line too."""
    (command.folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = command.begin("start", "-s", "slow:step")
    process.until("importing")
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert process.text == "importing\ninterrupted before anything ran\n"


def test_sigterm_lets_a_step_finish(command: Command) -> None:
    """The first SIGTERM waits for what runs, saves it, and launches nothing more."""
    process = command.begin("start", "-w", "flows:napping_briefly")
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert command.marks() == ["brief"]
    assert "completed  brief" in process.text
    assert "terminated: 1 of 2 completed, 1 not started" in process.text

    resumed = command(*resume_words(process.text))

    assert resumed.returncode == 0, resumed.stderr
    assert command.marks() == ["brief", "second"]


def test_sigterm_interrupts_after_the_grace_time(command: Command) -> None:
    """A step that needs longer than the grace time is interrupted, and recorded as such."""
    process = command.python(GRACE.format(0.3, 5), "start", "-w", "flows:napping")
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert "paused     sleepy" in process.text
    assert "terminated: 1 of 3 completed, 1 paused, 1 not started" in process.text


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_sigterm_ends_a_step_that_does_not_end(command: Command, mode: str) -> None:
    """A step that no exception reaches does not keep the process alive."""
    process = command.python(GRACE.format(0.2, 0.2), "start", "-w", "flows:sulking", "-m", mode)
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert "terminated before what ran had ended; resume with:" in process.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_second_signal_ends_at_once(command: Command, number: int, code: int) -> None:
    """Who asks twice does not wait."""
    process = command.begin("start", "-w", "flows:sulking", "-m", "background")
    process.until("asleep")
    process.signal(number)
    process.until("ends at once")
    process.signal(number)

    assert process.end() == code
    assert "before what ran had ended" in process.text
    assert "Traceback" not in process.text


def test_closed_pipe_does_not_disturb_the_run(command: Command) -> None:
    """A reader that leaves after one line costs nothing but the lines."""
    words = shlex.join([sys.executable, "-m", "dotflow", "start", "-w", "flows:hundred"])
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=20,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "started    first\n"
    assert len(command.marks()) == 100


@pytest.mark.parametrize("target", ["/dev/full", None])
def test_output_that_cannot_be_written(command: Command, target: str | None) -> None:
    """A full disk behind the output, or no output at all, does not disturb the run."""
    redirect = f"> {target}" if target else ">&-"
    words = shlex.join([sys.executable, "-m", "dotflow", "start", "-w", "flows:good"])
    done = subprocess.run(
        ["bash", "-c", f"{words} {redirect}"],
        cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=20,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert command.marks() == ["first", "second"]


def test_names_beyond_the_encoding_are_escaped(command: Command) -> None:
    """An output that knows ASCII only gets escapes."""
    (command.folder / "names.py").write_text(
        "from flows import *\ndef make():\n    workflow = DotFlow()\n"
        "    workflow.task.add(step=first, task_id='größe')\n    return workflow\n",
        encoding="utf-8",
    )

    done = command("start", "-w", "names:make", PYTHONIOENCODING="ascii")

    assert done.returncode == 0, done.stderr
    assert r"gr\xf6\xdfe" in done.stdout


@pytest.mark.parametrize("columns", [80, 40])
def test_picture_fits_the_window(command: Command, columns: int) -> None:
    """On a terminal a table is drawn that is never wider than the window."""
    process = command.on_terminal("start", "-w", "flows:failing", columns=columns)

    assert process.end() == 1
    assert "\x1b[?25h" in process.text
    drawn = process.text.partition("failed: 1 of 3")[0]
    lines = [ESCAPES.sub("", line) for line in LINE_ENDS.split(drawn)]
    assert max(map(len, lines)) <= columns
    final = lines[-5:-1]
    assert [line.split()[:2] for line in final[:3]] == [["✔", "first"], ["✘", "bad"], ["○", "second"]]
    assert ("Completed" in final[0]) == (columns == 80)
    assert "2/2" in final[1]
    assert final[3].startswith("1/3 completed · 1 failed")


def test_picture_is_cut_to_the_window(command: Command) -> None:
    """Of a long workflow as many tasks are shown as there is room for, and how many are not."""
    process = command.on_terminal("start", "-w", "flows:hundred", lines=12)

    assert process.end() == 0
    last = ESCAPES.sub("", process.text).rpartition("100/100 completed")
    assert "91 not shown" in last[2]
    assert "completed: 100 of 100 completed" in last[2]


def test_picture_escapes_names(command: Command) -> None:
    """Markup in a name is text, and a long name is cut."""
    process = command.on_terminal("start", "-w", "flows:named", columns=40)

    assert process.end() == 0
    assert "[bold]a very long" in process.text
    assert "…" in process.text


def test_picture_leaves_room_for_what_steps_print(command: Command) -> None:
    """A step's own lines stay above the table."""
    process = command.on_terminal("start", "-w", "flows:chatting")

    assert process.end() == 0
    assert ESCAPES.sub("", process.text).count("a word of the step") == 2


def test_no_color(command: Command) -> None:
    """NO_COLOR leaves no colour."""
    coloured = command.on_terminal("start", "-w", "flows:failing")
    plain = command.on_terminal("start", "-w", "flows:failing", NO_COLOR="1")
    coloured.end()
    plain.end()

    def colours(text: str) -> set[str]:
        codes = {code for found in COLOURS.findall(text) for code in found[2:-1].split(";")}
        return {code for code in codes if re.fullmatch(r"3\d|4\d|9\d|10\d", code)}

    assert colours(coloured.text) >= {"31", "32"}
    assert colours(plain.text) == set()


def test_dumb_terminal_gets_lines(command: Command) -> None:
    """A terminal that cannot move its cursor gets lines."""
    process = command.on_terminal("start", "-w", "flows:good", TERM="dumb")

    assert process.end() == 0
    assert "\x1b" not in process.text
    assert "completed  second" in process.text


def test_ctrl_c_on_a_terminal(command: Command) -> None:
    """The cursor comes back, and the last line says how to go on."""
    process = command.on_terminal("start", "-w", "flows:napping")
    process.until("asleep")
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert "\x1b[?25h" in process.text
    assert "interrupted: 1 of 3 completed" in process.text
    assert "Traceback" not in process.text


def test_schedule_runs_at_each_tick(command: Command) -> None:
    """Every tick is a run of its own; SIGINT ends the schedule with exit code 130."""
    process = command.begin("schedule", "-s", "flows:first", "--every", "0.05")
    while len(command.marks()) < 3:
        process.until("completed")
        process.text = ""
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert process.text.endswith("interrupted: the schedule has ended\n")


def test_schedule_finishes_the_run_in_progress(command: Command) -> None:
    """SIGTERM lets the tick's run save what it does."""
    process = command.begin("schedule", "-w", "flows:napping_briefly", "--every", "60")
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert command.marks() == ["brief"]


def test_schedule_survives_failures(command: Command) -> None:
    """A failed run is shown, and the next tick comes."""
    process = command.begin("schedule", "-w", "flows:failing", "--every", "0.05")
    for _ in range(2):
        process.until("failed: 1 of 3 completed")
        process.text = process.text.partition("failed: 1 of 3 completed")[2]
    process.signal(signal.SIGTERM)

    assert process.end() == 143


def test_warnings_of_the_library_are_shown(command: Command) -> None:
    """A callback that fails is reported, and the run completes."""
    (command.folder / "broken.py").write_text("def told(task):\n    raise RuntimeError('callback \\x1b[31m')\n")

    done = command("start", "-s", "flows:first", "-c", "broken:told")

    assert done.returncode == 0
    assert "warning: callback failed at TaskCompleted" in done.stderr
    assert r"RuntimeError: callback \x1b[31m" in done.stderr


def test_busy_workflow(command: Command) -> None:
    """A second process on one workflow id is refused with the holder's name, or waits."""
    options = ("-o", "sqlite", "--workflow-id", "one")
    process = command.begin("start", "-s", "flows:held", *options)
    process.until("held")
    done = command("start", "-s", "flows:first", *options)
    waiting = command.begin("start", "-s", "flows:first", *options, "--wait", "60")
    (command.folder / "go").touch()

    assert process.end() == 0
    assert done.returncode == 2
    assert "is being run by process" in done.stderr
    assert "wait for it with --wait SECONDS, or use another --workflow-id" in done.stderr
    assert "Traceback" not in done.stderr
    assert waiting.end() == 0, waiting.text


def test_schedule_interrupts_after_the_grace_time(command: Command) -> None:
    """A tick that needs longer than the grace time does not keep the schedule alive."""
    process = command.python(
        "import dotflow.core.ticking as it; from dotflow.main import main; it.GRACE = 0.3; main()",
        *("schedule", "-w", "flows:napping", "--every", "60"),
    )
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert "paused     sleepy" in process.text


def test_schedule_of_background_runs_ends(command: Command) -> None:
    """A run in the background that a signal leaves behind is stopped, and what completes is saved."""
    process = command.begin("schedule", "-w", "flows:napping_briefly", "-m", "background", "--every", "60")
    process.until("asleep")
    process.signal(signal.SIGTERM)

    assert process.end() == 143
    assert command.marks() == ["brief"]
    assert "completed  brief" in process.text


def test_storage_that_cannot_be_used(command: Command) -> None:
    """A storage that fails before anything ran is a line, and exit code 2."""
    (command.folder / "taken.db").write_text("this is no database, but it is long enough to look like one" * 20)

    done = command("start", "-s", "flows:first", "-o", "sqlite", "-p", "taken.db")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert command.marks() == []
