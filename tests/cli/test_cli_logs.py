"""``dotflow logs``: the three formats, files that were put aside, filters, and a file that grows."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import PATIENCE, Command, environment

from dotflow import Config, DotFlow, action
from dotflow.cli.command import main
from dotflow.providers import LogDefault, StorageSQLite


@action
def extract() -> None:
    pass


@action
def load() -> None:
    raise ValueError("first line\nsecond line")


def write(folder: Path, format: str, workflow_id: str = "night", **options: Any) -> str:
    """Run a workflow that logs to a file; return the run's id."""
    log = LogDefault(output="file", path=folder / "flow.log", format=format, **options)
    storage = StorageSQLite(folder / "dotflow.db")
    workflow = DotFlow(Config(storage=storage, log=log), workflow_id=workflow_id)
    workflow.task.add([extract, load])
    run_id = workflow.start().run_id
    log.close()
    storage.close()
    return run_id


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logs(*words: str) -> tuple[int, list[str], str]:
    """Return exit code, lines and errors of the command."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(["logs", *words])
    return code, output.getvalue().splitlines(), errors.getvalue()


def found(*words: str) -> list[dict[str, Any]]:
    """Return the records that the command writes as JSON."""
    code, lines, errors = logs("flow.log", "--json", *words)
    assert code == 0, errors
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("format", ["simple", "json", "logfmt"])
def test_records_of_each_format_are_filtered(folder: Path, format: str) -> None:
    """By task, level and workflow; a traceback belongs to the record before it."""
    write(folder, format)
    write(folder, format, "a - b")

    everything = found()

    assert {each["workflow_id"] for each in everything} == {"night", "a - b"}
    assert {each["task_id"] for each in found("--task", "load")} == {"load"}
    failures = found("--level", "error")
    assert [(each["workflow_id"], each["task_id"], each["level"]) for each in failures] == [
        ("night", "load", "ERROR"), ("a - b", "load", "ERROR"),
    ]  # fmt: skip
    assert ("Traceback" in failures[0]["text"]) == (format == "simple")
    assert "second line" in failures[0]["text"]
    assert [each["workflow_id"] for each in found("--workflow", "a - b")].count("a - b") == len(everything) // 2
    assert found("-n", "1") == everything[-1:]
    assert found("-n", "0") == []


@pytest.mark.parametrize("format", ["simple", "json"])
def test_records_of_one_run(folder: Path, format: str) -> None:
    """Found by its workflow and its time, with the history of runs."""
    write(folder, format, "other")
    run_id = write(folder, format)

    records = found("--run", run_id[:10])

    assert records
    assert {each["workflow_id"] for each in records} == {"night"}
    assert logs("flow.log", "--run", "zzz")[0] == 2


def test_files_that_were_put_aside_come_first(folder: Path) -> None:
    """The oldest first, each line once."""
    for number in range(8):
        write(folder, "json", f"w{number}", max_bytes=1000, backups=20)

    assert (folder / "flow.log.2").exists()
    ids = [each["workflow_id"] for each in found("--task", "extract")]
    assert list(dict.fromkeys(ids)) == [f"w{number}" for number in range(8)]


def test_wrong_input_is_one_line(folder: Path) -> None:
    """The nearest level, and where a log would come from."""
    assert "did you mean 'error'" in logs("--level", "eror")[2]
    code, _, errors = logs()
    assert code == 2
    assert "there is no log file '.output/flow.log'" in errors
    assert "add that" in logs("--storage", "sqlite")[2]


def test_what_is_no_record_is_shown_without_control_characters(folder: Path) -> None:
    """A line of somebody else's stays a line."""
    (folder / "flow.log").write_bytes(
        b"{broken\n\x1b[31mred\xff\n2026-01-01 00:00:00,000 - INFO [x]: free text\nno end"
    )

    _, lines, _ = logs("flow.log")

    assert lines == ["{broken", r"\x1b[31mred" + "\ufffd", "2026-01-01 00:00:00,000 - INFO [x]: free text"]


def test_follow_shows_what_comes(command: Command) -> None:
    """Lines that are added, and those of the next file when one is put aside; Ctrl-C ends it in order."""
    path = command.folder / "flow.log"
    path.write_text('{"level": "INFO", "task_id": "one"}\n')
    process = command.begin("logs", "flow.log", "-f")
    process.until('"one"')
    with path.open("a") as file:
        file.write('{"level": "INFO", "task_id": "two"}\n')
    process.until('"two"')
    path.rename(f"{path}.1")
    path.write_text('{"level": "INFO", "task_id": "three"}\n')
    process.until('"three"')
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert process.text.count('"two"') == 1
    assert "Traceback" not in process.text


def test_follow_waits_for_a_file_that_is_not_there_yet(command: Command) -> None:
    """It may be started before the workflow is."""
    code = "import dotflow.cli.logs as it, sys; print('ready', flush=True); from dotflow.cli.command import main; "
    process = command.python(code + "main(sys.argv[1:])", "logs", "flow.log", "-f")
    process.until("ready")
    (command.folder / "flow.log").write_text('{"task_id": "late"}\n')
    process.until('"late"')


def test_closed_pipe_ends_in_silence(folder: Path) -> None:
    """``dotflow logs | head -1``."""
    line = '{"task_id": "' + "x" * 1000 + '"}\n'
    (folder / "flow.log").write_text(line * 100)  # more than what standard output keeps back
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "dotflow", "logs", "flow.log"]
    done = subprocess.run(
        words, env=environment({}), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")
