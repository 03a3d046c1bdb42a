"""The commands about runs that were: runs, show, resume, cancel, plan, timeline."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import xml.dom.minidom
from typing import Any

import pytest
from cli_process import PATIENCE, Command, environment

from dotflow.cli.command import main

KEPT = "sqlite:///kept.db"
COMMANDS = ("runs", "show", "resume", "cancel", "plan", "timeline", "logs")


@pytest.fixture
def killed(command: Command) -> str:
    """The id of a run of ``flows:napping`` that was killed in its second step."""
    process = command.begin("start", "-w", "flows:napping", "--workflow-id", "night")
    process.until("asleep")
    process.signal(signal.SIGKILL)
    process.end()
    (command.folder / "awake").touch()
    return str(only(command)["run_id"])


def only(command: Command, *filters: str) -> dict[str, Any]:
    """Return the one run that is listed."""
    done = at(command, "runs", "--json", *filters)
    assert done.returncode == 0, done.stderr
    [run] = json.loads(done.stdout)
    found: dict[str, Any] = run
    return found


def at(command: Command, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that looks into the storage of the flows: in this process, unless it loads the flows."""
    if words[0] == "resume":
        return command(*words, "--storage", KEPT)
    return inside(command, *words, "--storage", KEPT)


def inside(command: Command, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which is faster."""
    before, output, errors = os.getcwd(), io.StringIO(), io.StringIO()
    os.chdir(command.folder)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main(list(words))
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def test_killed_run_is_listed_shown_planned_and_resumed(command: Command, killed: str) -> None:
    """The short way back from a crash: see what there is, and go on."""
    listed = at(command, "runs").stdout.splitlines()
    assert listed[0].split() == ["RUN", "WORKFLOW", "STATUS", "STARTED", "DURATION", "TASKS"]
    assert listed[1].startswith(f"{killed[:8]}  night     Interrupted  ")
    assert listed[1].endswith("1/3")

    shown = at(command, "show", killed[:6]).stdout
    assert f"run        {killed}" in shown
    assert "from       flows:napping, in " in shown
    assert shown.rstrip().endswith(f"resume with: dotflow resume {killed[:8]} --storage {KEPT}")
    assert "sleepy  Paused (interrupted)" in shown

    planned = command("plan", "-w", "flows:napping", "--workflow-id", "night")
    assert [line.split()[:2] for line in planned.stdout.splitlines()[3:]] == [
        ["first", "skip"], ["sleepy", "run"], ["second", "run"],
    ]  # fmt: skip
    assert command.marks() == ["first"]

    done = at(command, "resume", killed[:6])
    assert done.returncode == 0, done.stderr
    assert "3 of 3 completed (1 restored)" in done.stdout
    assert command.marks() == ["first", "sleepy", "second"]
    run = only(command, "--status", "completed")
    assert (run["run_id"], [each["number"] for each in run["sessions"]]) == (killed, [1, 2])


def test_resume_says_that_there_is_nothing_to_resume(command: Command, killed: str) -> None:
    """After a later start the results are gone."""
    command("start", "-w", "flows:napping", "--workflow-id", "night")

    done = at(command, "resume", killed)

    assert done.returncode == 2
    assert "its results were cleared" in done.stderr


def test_resume_of_a_failed_run_ends_like_start(command: Command) -> None:
    """The exit code is that of start, and the command that resumes is the same again."""
    command("start", "-w", "flows:failing")
    run = only(command)

    done = at(command, "resume", run["run_id"])

    assert done.returncode == 1
    assert f"dotflow resume {run['run_id']} --storage sqlite:///kept.db" in done.stdout


def test_resume_finds_the_step_it_came_from(command: Command) -> None:
    """So can a run of one step, text and storage included."""
    command("start", "-s", "flows:shows", "-i", "a text", "-o", "file", "-p", "kept", "--workflow-id", "w")
    run = json.loads(inside(command, "runs", "-o", "file", "-p", "kept", "--json").stdout)[0]

    planned = command("plan", "-s", "flows:shows", "-i", "a text", "-o", "file", "-p", "kept", "--workflow-id", "w")
    done = command("resume", run["run_id"], "-o", "file", "-p", "kept")

    assert "1 to skip, 0 to run" in planned.stdout
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"run {run['run_id'][:8]} has completed; there is nothing to resume\n"


def test_record_that_others_may_have_written_names_no_code(command: Command, killed: str) -> None:
    """What a storage says is loaded only if nobody else can write it, or a person agrees."""
    (command.folder / "kept.db").chmod(0o666)

    refused = at(command, "resume", killed)
    on_terminal = command.on_terminal("resume", killed, "--storage", KEPT)
    on_terminal.until("Load and resume it?")
    os.write(on_terminal._fd, b"n\n")

    assert refused.returncode == 2
    assert "add --yes, or --workflow flows:napping" in refused.stderr
    assert on_terminal.end() == 130
    assert command.marks() == ["first"]
    assert at(command, "resume", killed, "--yes").returncode == 0


@pytest.mark.parametrize("words", [("-w", "elsewhere:make"), ("-w", "flows:fixed"), ("-w", "flows:good")])
def test_resume_with_another_workflow_is_refused(command: Command, killed: str, words: tuple[str, ...]) -> None:
    """One that keeps its results elsewhere, or has another id, would run everything again."""
    (command.folder / "elsewhere.py").write_text(
        "from flows import *\n\ndef make():\n    made = DotFlow(Config(storage=StorageSQLite('other.db')))\n"
        "    made.task.add(first)\n    return made\n"
    )
    reasons = {"elsewhere:make": "keeps its results elsewhere", "flows:fixed": "--workflow-id 'night' has no effect"}

    done = at(command, "resume", killed, *words)

    assert done.returncode == 2
    assert reasons.get(words[1], "--resume finds nothing") in done.stderr
    assert command.marks() == ["first"]


def test_resume_elsewhere_is_refused(command: Command, killed: str) -> None:
    """A module is looked for in the working folder, so it has to be the same one."""
    (command.folder / "sub").mkdir()

    done = subprocess.run(
        command.words(("resume", killed, "--storage", "sqlite:///../kept.db")),
        cwd=command.folder / "sub",
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert done.returncode == 2
    assert "was started in the folder" in done.stderr


def test_cancel_ends_a_run_of_the_command_at_once(command: Command) -> None:
    """Even in the middle of a step; it is cancelled, not interrupted, on both sides."""
    process = command.begin("start", "-w", "flows:napping")
    process.until("asleep")
    run = only(command)
    assert (run["status"], run["tasks_completed"]) == ("In progress", 1)

    done = at(command, "cancel", run["run_id"][:10])

    assert done.returncode == 0, done.stdout + done.stderr
    assert "is cancelled: 1 of 3 completed" in done.stdout
    assert process.end() == 1
    assert "cancelled: 1 of 3 completed, 1 paused, 1 not started" in process.text
    assert only(command)["status"] == "Cancelled"
    again = at(command, "cancel", run["run_id"])
    assert (again.returncode, again.stdout) == (1, f"run {run['run_id'][:8]} does not run: cancelled\n")


def test_cancel_of_a_program_asks_it_and_can_kill_it(command: Command) -> None:
    """A program of its own gets no signal, since it may do other things; --kill says otherwise."""
    process = command.python("from flows import *; flow(first, sleepy, lasting=True, workflow_id='w').start()")
    process.until("asleep")
    run = only(command)["run_id"]

    asked = at(command, "cancel", run, "--wait", "0.1")
    killed = at(command, "cancel", run, "--wait", "0.1", "--kill")

    assert asked.returncode == 1
    assert "is asked to end and goes on" in asked.stderr
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert f"run {run[:8]} is killed" in killed.stdout
    assert process.end() == -signal.SIGKILL


def test_cancel_of_a_run_whose_process_is_gone_says_so(command: Command, killed: str) -> None:
    """There is nothing to cancel."""
    done = at(command, "cancel", killed)

    assert done.returncode == 1
    assert done.stdout == f"run {killed[:8]} does not run: its process is gone, it was interrupted\n"


def test_errors_are_shown_with_their_traceback(command: Command) -> None:
    """Of each attempt, without control characters."""
    command("start", "-w", "flows:failing")
    run = only(command)

    shown = at(command, "show", run["run_id"])
    fields = json.loads(at(command, "show", run["run_id"], "--json").stdout)

    assert shown.stdout.count("in bad") == 2
    assert "bad, attempt 1:" in shown.stdout
    assert "bad, attempt 2:" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert [each["status"] for each in fields["tasks"]] == ["Completed", "Failed", "Not started"]
    assert [each["attempt"] for each in fields["tasks"][1]["errors"]] == [1, 2]
    planned = command("plan", "-w", "flows:failing", "--workflow-id", run["workflow_id"], "--json")
    [_, bad, second] = json.loads(planned.stdout)["tasks"]
    assert (bad["action"], bad["reason"][:25], bad["after"]) == ("run", "it failed with ValueError", ["first"])
    assert second["reason"] == "it was not started"


def test_timeline_as_text_and_as_picture(command: Command) -> None:
    """Names cannot break the picture; a file is replaced only if told so."""
    (command.folder / "odd.py").write_text(
        "from flows import *\n\ndef make():\n    made = flow(lasting=True)\n"
        "    made.task.add(first, task_id='<a> & \"b\" 日本')\n"
        "    made.task.add(brief, task_id='x' * 60)\n    return made\n"
    )
    command("start", "-w", "odd:make")
    run = only(command)["run_id"]

    drawn = at(command, "timeline", run).stdout.splitlines()
    first = at(command, "timeline", run, "--svg", "run.svg")
    second = at(command, "timeline", run, "--svg", "run.svg")
    forced = at(command, "timeline", run, "--svg", "run.svg", "--force")
    piped = at(command, "timeline", run, "--svg", "-")

    assert drawn[1].startswith('<a> & "b" 日本')
    assert drawn[2].count("█") > 40
    assert first.returncode == forced.returncode == 0, first.stderr
    assert second.returncode == 2
    assert "'run.svg': the file exists; add --force" in second.stderr
    for content in ((command.folder / "run.svg").read_text(), piped.stdout):
        titles = xml.dom.minidom.parseString(content).getElementsByTagName("title")
        assert titles[1].firstChild.data.startswith('<a> & "b" 日本: completed')  # type: ignore[union-attr]
    assert at(command, "timeline", run, "--svg", "no/such/run.svg").returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "zzz"), "there is no such run"),
        (("resume", "zzz"), "there is no such run"),
        (("cancel", "zzz"), "there is no such run"),
        (("timeline", "zzz"), "there is no such run"),
        (("runs", "--status", "fialed"), "did you mean 'failed'?"),
        (("runs", "--since", "yesterday"), "is no time: write 90m"),
        (("runs", "--since", "999999999999w", "--status", "failed"), ""),
        (("runs", "--path", "x"), ""),
    ],
)
def test_wrong_input_is_one_line(command: Command, killed: str, words: tuple[str, ...], message: str) -> None:
    """With the nearest right one, no traceback, and exit code 2."""
    done = at(command, *words)

    assert done.returncode == (2 if message else 0), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_where_to_look_is_said_or_found(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, environment, pyproject.toml or what lies in the folder; nothing is made by looking."""
    nowhere = inside(command, "runs")
    wrong = inside(command, "runs", "--storage", "sqlite:///missing.db")
    memory = inside(command, "runs", "--storage", "default")
    before = sorted(path.name for path in command.folder.iterdir() if path.name != "__pycache__")
    command("start", "-s", "flows:first", "-o", "sqlite")
    found = inside(command, "runs")
    (command.folder / "pyproject.toml").write_text('[tool.dotflow]\nstorage = "sqlite:///other.db"\n')
    configured = inside(command, "runs")
    monkeypatch.setenv("DOTFLOW_STORAGE", "sqlite:///dotflow.db")
    by_environment = inside(command, "runs")

    assert nowhere.returncode == wrong.returncode == memory.returncode == configured.returncode == 2
    assert "this folder has neither dotflow.db nor .output" in nowhere.stderr
    assert "nothing has been kept in 'missing.db' yet" in wrong.stderr
    assert "no history of runs" in memory.stderr
    assert before == ["flows.py"]
    assert found.stdout == by_environment.stdout
    assert "1/1" in found.stdout
    assert "'other.db'" in configured.stderr


def test_tables_fit_the_window(command: Command, killed: str) -> None:
    """Forty columns are enough; nothing is coloured."""
    for words in (("runs",), ("show", killed), ("timeline", killed)):
        process = command.on_terminal(*words, "--storage", KEPT, columns=40)
        assert process.end() == 0, process.text
        assert "\x1b" not in process.text
        rows = [line for line in process.text.splitlines() if words[0] != "show" or line.startswith(("TASK", "first"))]
        assert rows
        assert max(map(len, rows)) <= 40, process.text


def test_closed_pipe_ends_in_silence(command: Command, killed: str) -> None:
    """``dotflow show RUN | head -1``."""
    for words in (("runs",), ("show", killed), ("timeline", killed), ("runs", "--json")):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            command.words((*words, "--storage", KEPT)),
            cwd=command.folder,
            env=environment({}),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does(command: Command, name: str) -> None:
    """Each has its page."""
    done = inside(command, name, "--help")

    assert done.returncode == 0
    assert f"Usage: dotflow {name}" in done.stdout


def test_plan_says_what_a_changed_workflow_or_input_does(command: Command) -> None:
    """Steps that are gone or new are named, and so is a start that would be refused."""
    (command.folder / "changing.py").write_text(
        "import os\nfrom flows import *\n\ndef make():\n    made = flow(lasting=True, workflow_id='c')\n"
        "    names = os.environ['STEPS'].split()\n"
        "    for name in names:\n        made.task.add(first, task_id=name, initial_context=os.environ.get('INPUT'))\n"
        "    return made\n"
    )
    command("start", "-w", "changing:make", STEPS="a b", INPUT="1")

    def plan(*words: str, **env: str) -> tuple[int, dict[str, Any]]:
        done = command("plan", "-w", "changing:make", "--json", *words, **env)
        return done.returncode, json.loads(done.stdout)

    code, changed = plan(STEPS="b c", INPUT="1")
    assert (code, changed["gone"], [(each["task_id"], each["action"]) for each in changed["tasks"]]) == (
        0, ["a"], [("b", "skip"), ("c", "run")],
    )  # fmt: skip
    assert changed["tasks"][1]["reason"] == "it is new since the last run"
    code, refused = plan("--on-input-change", "raise", STEPS="a b", INPUT="2")
    assert (code, refused["refused"], refused["input_changed"]) == (1, True, True)
    code, reset = plan("--on-input-change", "reset", STEPS="a b", INPUT="2")
    assert (code, [each["action"] for each in reset["tasks"]]) == (0, ["run", "run"])
    assert "there is no earlier run" in command("plan", "-w", "flows:good").stdout
