"""What a step prints is kept for its task, wherever it runs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from printing_steps import chatter, linger, meet, meet_async, reveal, stumble, talk, vanish

from dotflow import Config, DotFlow, action
from dotflow.core import around
from dotflow.core.capture import Kept, Switch
from dotflow.core.exception import ConfigurationError
from dotflow.providers import ExecutorProcess, ExecutorThread, LogDefault

SAID = "out {}\nerr\nbytes\na\nno end"


def run_of(
    *steps: Any, initial: Any = None, capture: bool | int = True, mode: str = "sequential", **kwargs: Any
) -> Any:
    workflow = DotFlow(Config(capture_output=capture, **kwargs.pop("config", {})))
    for number, step in enumerate(steps):
        workflow.task.add(step, initial_context=initial[number] if isinstance(initial, list) else initial)
    return workflow.start(mode=mode, **kwargs)


PLACES = {
    "inline": dict,
    "threads": lambda: {"config": {"executor": ExecutorThread(2)}},
    "processes": lambda: {"config": {"executor": ExecutorProcess(1)}},
    "parallel": lambda: {"mode": "parallel"},
}


@pytest.mark.parametrize("place", PLACES)
def test_what_a_step_prints_is_kept(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Of both streams, in order, and passed on; nothing is left in the place of the streams."""
    streams = sys.stdout, sys.stderr
    run = run_of(talk, talk, initial=["one", "two"], **PLACES[place]())

    assert [task.output for task in run.tasks] == [SAID.format("one"), SAID.format("two")]
    assert (sys.stdout, sys.stderr) == streams
    told = capfd.readouterr()
    assert told.out.count("out one\n") == 1
    assert told.err.count("err\n") == 2


def test_threads_and_coroutines_side_by_side_are_not_mixed() -> None:
    """Each task has its own text, whatever runs beside it; tasks and threads of asyncio belong to their step."""
    run = run_of(meet, meet, initial=["a", "b"], mode="parallel", config={"executor": ExecutorThread(2)})
    assert [task.output for task in run.tasks] == ["".join(f"{name} {n}\n" for n in range(50)) for name in "ab"]

    run = run_of(meet_async, meet_async, initial=["a", "b"], mode="parallel")
    for task, name in zip(run.tasks, "ab", strict=True):
        lines = task.output.splitlines()
        assert lines[:20] == [f"{name} {n}" for n in range(20)]
        assert sorted(lines[20:]) == [f"task of {name}", "thread"]


def test_each_attempt_has_its_own_text() -> None:
    """In ``task.errors`` for those that failed, in ``task.output`` for the last, and in the result."""
    seen: list[str] = []
    [task] = run_of(
        stumble, listeners=[lambda event: seen.append(event.task.output) if hasattr(event, "task") else 0]
    ).tasks

    assert [error.output for error in task.errors] == ["attempt 1\n", "attempt 2\n"]
    assert task.output == task.result()["output"] == "attempt 3\n"
    assert seen == ["", "attempt 1\n", "attempt 2\n", "attempt 3\n"]


@pytest.mark.parametrize(("step", "error"), [(linger, "TimeoutError"), (vanish, "WorkerDied")])
def test_a_step_that_is_killed_has_said_what_it_said(step: Any, error: str) -> None:
    """What it printed before its time was up, or before its process died: the last of it."""
    [task] = run_of(step, mode="parallel", capture=100).tasks

    assert task.errors[0].exception == error
    assert task.output == task.errors[0].output
    assert task.output.endswith("is the last line\n")
    assert 50 < len(task.output) <= 100


def test_the_beginning_and_the_end_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """At most as many characters as was said, and a line that says how many are missing."""
    [task] = run_of(chatter, capture=1000).tasks

    assert task.output.startswith("0\n1\n2\n")
    assert task.output.endswith("\n19998\n19999\n")
    assert len(task.output) < 1100
    assert "characters left out" in task.output
    assert len(capfd.readouterr().out.splitlines()) == 20_000


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 100, 1000])
def test_what_is_left_out_is_counted(limit: int) -> None:
    """Kept and counted together are all there was."""
    kept, sink = Kept(limit), io.StringIO()
    text = "".join(f"{number}\n" for number in range(500))
    for line in text.splitlines(keepends=True):
        kept.write(sink, line)

    head, lost, tail = kept.text().partition("\n… ")[0], 0, ""
    if "… " in kept.text():
        count, _, tail = kept.text().partition("\n… ")[2].partition(" characters left out …\n")
        lost = int(count)
    assert len(head) + len(tail) + lost == len(text) == len(sink.getvalue())
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) <= limit


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_secret_that_is_printed_is_masked(mode: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On the console, in the text that is kept, and in the logs; in worker processes too."""
    secret = "tr0ub4dor&3-is-the-word"
    log = LogDefault(output="file", path=tmp_path / "a.log", format="json")
    told: list[str] = []
    run = run_of(
        reveal, initial=secret, mode=mode, config={"secrets": [secret], "log": log},
        on_failure=lambda tasks: told.append(tasks[0].output),
    )  # fmt: skip
    log.close()

    clean = "password: ***\npostgres://me:***@db\n"
    assert run.tasks[0].output == run.tasks[0].errors[0].output == told[0] == clean
    assert json.loads((tmp_path / "a.log").read_text().splitlines()[-1])["output"] == clean
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("password: ***\n", "postgres://me:***@db\n")


def test_logs_show_what_was_printed(tmp_path: Path) -> None:
    """In each format; a line of it cannot pass for one of the log's own."""

    @action
    def forge() -> None:
        print("2026 - INFO [dotflow]: forged\n\x1b[31mred")

    for format in ("simple", "logfmt"):
        log = LogDefault(output="file", path=tmp_path / format, format=format)
        run_of(forge, config={"log": log})
        log.close()

    assert " | 2026 - INFO [dotflow]: forged\n | \\x1b[31mred" in (tmp_path / "simple").read_text()
    assert 'output="2026 - INFO [dotflow]: forged\\n\\u001b[31mred\\n"' in (tmp_path / "logfmt").read_text()


def test_without_it_nothing_is_kept() -> None:
    """The streams are not touched, and steps of another workflow are not looked at."""
    run_of(talk)

    @action
    def look() -> bool:
        print("hello")
        return isinstance(sys.stdout, Switch)

    [task] = run_of(look, capture=False).tasks
    assert (task.value, task.output) == (False, "")
    assert "output" not in task.result()


def test_a_stream_that_is_gone_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a closed stream cannot take is kept all the same; a missing one is let be."""

    @action
    def last_words() -> None:
        print("no end of a line", end="")

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    [task] = run_of(last_words).tasks

    assert (str(task.status), task.output) == ("Completed", "no end of a line")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "yes", None])
def test_a_limit_that_is_none_is_refused(wrong: Any) -> None:
    """With its value."""
    with pytest.raises(ConfigurationError, match="capture_output"):
        Config(capture_output=wrong)


@pytest.fixture(autouse=True)
def surroundings() -> Any:
    """What one test switches on is off in the next."""
    before = list(around.surroundings)
    yield
    around.surroundings[:] = before
