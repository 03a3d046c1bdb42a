"""The notebook runs, and the outputs it is committed with are those it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from example_tools import EXAMPLES, PATIENCE
from nbclient import NotebookClient

NOTEBOOK = EXAMPLES / "notebook" / "workflow.ipynb"
CHANGING = re.compile(r"[\d.]+ s\b|/[\w/.-]*/\d+\.py|^[ ~^]+\n", re.MULTILINE)  # times, temporary names, markers


def outputs(notebook: Any) -> Iterator[list[str]]:
    """What each cell gave, without what differs between two runs."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            given = [json.dumps(output.get("data", output.get("text", "")), sort_keys=True) for output in cell.outputs]
            yield sorted(CHANGING.sub("", text.replace("\\n", "\n")) for text in given)


def test_notebook_gives_what_it_shows(tmp_path: Path) -> None:
    """A table, a graph, a failed step with its error, and the run that was resumed."""
    committed = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # of nbformat
    fresh = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # of nbformat
    NotebookClient(
        fresh, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    assert list(outputs(fresh)) == list(outputs(committed))
    shown = NOTEBOOK.read_text()
    for claim in ("5 of 5 completed", "Not started", "<svg", "could not convert string to float: '5,40'", "Restored"):
        assert claim in shown
