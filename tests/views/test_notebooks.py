"""Tables for notebooks, and the one that follows a run in a real one."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dotflow import Config, DotFlow, action
from dotflow.core.exception import ConfigurationError

HOSTILE = "<script>alert('x')</script> & \u202e"


class Tags(HTMLParser):
    """Collects the tags of a text, and checks that they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@action
def step() -> str:
    return HOSTILE


@action
def bad() -> None:
    raise ValueError(HOSTILE)


def test_tables_are_well_formed_and_escaped() -> None:
    """Names, ids, errors and results are text."""
    workflow = DotFlow(workflow_id=HOSTILE)
    workflow.task.add(step, task_id=HOSTILE)
    workflow.task.add(bad)
    before = workflow._repr_html_()
    manager = workflow.start()

    shown = [before, workflow._repr_html_(), manager._repr_html_(), *(task._repr_html_() for task in manager.tasks)]
    for text in shown:
        assert "script" not in Tags(text).names
        assert "&lt;script&gt;" in text
        assert "\u202e" not in text
    assert "Not started" in before
    assert "Completed" in shown[2]
    assert "ValueError" in shown[2]
    assert "Traceback" in shown[4]


def test_secrets_are_masked_in_tables() -> None:
    """What a table shows is what a log may show."""

    @action
    def tells() -> str:
        raise ValueError("opened with hunter2hunter2")

    workflow = DotFlow(Config(secrets=["hunter2hunter2"]))
    workflow.task.add(tells)
    manager = workflow.start()

    assert "hunter2" not in manager._repr_html_()
    assert "opened with ***" in manager._repr_html_()


def test_long_tables_show_what_failed() -> None:
    """Of very many tasks a hundred rows are shown, failures first."""
    workflow = DotFlow()
    workflow.task.add([step] * 300)
    workflow.task.add(bad, task_id="the-last-one")
    manager = workflow.start(keep_going=True)

    text = manager._repr_html_()
    assert Tags(text).names.count("tr") == 102
    assert "the-last-one" in text
    assert "and 201 more" in text


def test_progress_needs_a_truth_value() -> None:
    """Anything else is refused before something runs."""
    with pytest.raises(ConfigurationError, match="progress"):
        DotFlow().start(progress="yes")  # type: ignore[arg-type]  # that is the point


def test_progress_without_a_terminal_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """From Python a run is shown as on the command line."""
    workflow = DotFlow()
    workflow.task.add([step, bad])
    manager = workflow.start(progress=True)

    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed] == [
        ["started", "step"], ["completed", "step"], ["started", "bad"], ["failed", "bad"],
    ]  # fmt: skip
    assert manager.observer_faults == []


def test_a_view_that_fails_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar is an observer: its failure is counted, and the run goes on."""
    from dotflow.views import progress

    class Broken:
        def __call__(self, event: object) -> None:
            raise OSError("the terminal is gone")

    monkeypatch.setattr(progress, "make_view", Broken)
    workflow = DotFlow()
    workflow.task.add([step, step])

    manager = workflow.start(progress=True)

    assert manager.status == "Completed"
    assert manager.observer_fault_counts == {"Broken": 6}


def test_a_table_follows_the_run_in_a_real_notebook(tmp_path: Path) -> None:
    """One table is shown below the cell, replaced while the run is on, and at its end it is complete."""
    import nbformat
    from nbclient import NotebookClient

    cells = (
        "import threading\nfrom dotflow import DotFlow, action\ngate = threading.Event()\n"
        "@action\ndef first():\n    return 1\n"
        "@action\ndef second():\n    gate.wait(20)\n"
        "workflow = DotFlow(workflow_id='night')\nworkflow.task.add([first, second])\nworkflow",
        "manager = workflow.start(mode='background', progress=True)",
        "import time\nwhile str(manager.tasks[1].status) != 'In progress':\n    time.sleep(0.05)\ntime.sleep(0.6)",
        "gate.set()\nmanager.wait()\nmanager.thread.join()\nmanager",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    seen: list[str] = []
    update = client._update_display_id

    def note(display_id: str, message: Any) -> None:
        seen.append(message["content"]["data"].get("text/html", ""))
        update(display_id, message)

    client._update_display_id = note  # type: ignore[method-assign]  # there is no public hook for it
    asyncio.run(client.async_execute())

    made, running, _, ended = (cell["outputs"] for cell in notebook.cells)
    assert "Not started" in made[0]["data"]["text/html"]
    assert len(running) == 1, "there is one table, which is replaced"
    assert any("1 in progress" in each for each in seen)
    assert "2 of 2 completed" in running[0]["data"]["text/html"]
    assert "2 of 2 completed" in ended[0]["data"]["text/html"]
