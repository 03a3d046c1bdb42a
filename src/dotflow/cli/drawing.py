"""``dotflow graph``: the workflow as a drawing, with what is saved of a run if that is asked for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotflow.cli.choice import make_storage
from dotflow.cli.files import write_file
from dotflow.cli.target import Wish, found, from_factory, prepare_path
from dotflow.core.action import Action
from dotflow.core.checkpoint import RECORD, Checkpoint
from dotflow.core.dotflow import DotFlow
from dotflow.core.exception import ConfigurationError, RunNotFound, UnsupportedOption
from dotflow.core.module import nearest
from dotflow.core.types import TypeStatus
from dotflow.history import Runs
from dotflow.views.graph import drawn, graph_of
from dotflow.views.layout import cut
from dotflow.views.progress import silence, write
from dotflow.views.state import seconds
from dotflow.views.text import as_text

if TYPE_CHECKING:
    from dotflow.abc.storage import Storage
    from dotflow.history import TaskRun
    from dotflow.views.graph import Graph, Node

ENDINGS = {".txt": "text", ".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".png": "png"}
KEYS_LOOKED_AT = 10_000


def draw(wish: Wish, style: str | None, output: str | None, force: bool, mode: str, run: str | None) -> int:
    """Draw the workflow that *wish* names; return the exit code."""
    chosen = style or style_of(output)
    workflow = target_of(str(wish.workflow))
    graph = graph_of(workflow.task.queue, mode, stated=False)
    if run is not None or wish.storage is not None:
        graph = with_saved(graph, workflow, run, wish)
    elif wish.path is not None:
        raise UnsupportedOption("--path is where --storage keeps its data; add --storage file or --storage sqlite")
    if output is not None:
        result = drawn(graph, chosen)
        write_file(Path(output), result if isinstance(result, bytes) else result.encode(), force)
        write(sys.stderr, f"wrote {output}")
    elif chosen == "text":
        _show(graph)
    else:
        _print(drawn(graph, chosen))
    return 0


def style_of(output: str | None) -> str:
    """Return the format that the ending of *output* names; text for standard output, and for a name without ending.

    Raises:
        ConfigurationError: the ending stands for no format.
    """
    ending = "" if output is None else Path(output).suffix.lower()
    if ending and ending not in ENDINGS:
        raise ConfigurationError(
            f"{output} says no format that there is: {ending!r}{nearest(ending, ENDINGS)} "
            f"(known endings: {', '.join(ENDINGS)}); or name one by --format"
        )
    return ENDINGS.get(ending, "text")


def target_of(path: str) -> DotFlow:
    """Return the workflow that *path* names: made by a function, a ``DotFlow`` itself, or one of a single step."""
    prepare_path()
    thing = found(path)
    if isinstance(thing, DotFlow):
        return thing
    if isinstance(thing, Action):
        workflow = DotFlow()
        workflow.task.add(thing)
        return workflow
    return from_factory(path, None)


def with_saved(graph: Graph, workflow: DotFlow, run: str | None, wish: Wish) -> Graph:
    """Return *graph* as the history tells of the run, or else with those tasks completed whose results are saved."""
    storage = workflow.config.storage if wish.storage is None else make_storage(wish.storage, wish.path)
    if storage.keeps_objects:
        raise UnsupportedOption(f"{type(storage).__name__} keeps nothing that another process could show; "
                                "give the one the run used: --storage URL")  # fmt: skip
    if run is None and not workflow.named:
        raise ConfigurationError("--storage shows what is saved of a run: say of which, --run ID")
    name: Any = run if run is not None else workflow.workflow_id
    for task in workflow.task.queue:
        task.assign(name)
    store = Checkpoint(storage, workflow.config.codec, name)
    done, record = store.load(workflow.task.queue), store.read_record(RECORD)
    known = _history_of(storage, record["run_id"] if isinstance(record, dict) else str(name))
    if not done and record is None and not known:
        raise ConfigurationError(f"nothing is saved under the workflow id {str(name)!r}{_near(storage, str(name))}")
    nodes = [
        _stated(node, known.get(workflow.task.queue[position].task_id), position in done)
        for position, node in enumerate(graph.nodes)
    ]
    return graph._replace(nodes=nodes, stated=True)


def _history_of(storage: Storage, run_id: str) -> dict[str, TaskRun]:
    """Return what is on record of the tasks of a run, by name; nothing if nothing is."""
    if not storage.can("list_keys"):
        return {}
    runs = Runs(storage)
    try:
        return {task.task_id: task for task in runs.tasks(runs.get(run_id))}
    except RunNotFound:
        return {}


def _stated(node: Node, known: TaskRun | None, saved: bool) -> Node:
    if known is not None and known.status is None and not saved:
        return node._replace(status=TypeStatus.NOT_STARTED, word="Unknown")
    if known is not None and known.status is not None and (known.status is TypeStatus.COMPLETED or not saved):
        took = "" if known.duration is None else f" {seconds(known.duration)}"
        return node._replace(status=known.status, word=f"{known.status}{took}")
    if saved:
        return node._replace(status=TypeStatus.COMPLETED, word="Completed")
    return node._replace(status=TypeStatus.NOT_STARTED, word="Not completed")


def _near(storage: Storage, name: str) -> str:
    if not storage.can("list_keys"):
        return ""
    from itertools import islice

    from dotflow.abc.storage import workflow_of

    return nearest(name, {workflow_of(key) for key in islice(storage.list_keys(), KEYS_LOOKED_AT)})


def _show(graph: Graph) -> None:
    """Write the graph as text, no wider than the terminal is."""
    plain = not (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    lines = as_text(graph, plain).splitlines()
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        lines = [cut(line, columns) for line in lines]
    for line in lines:
        write(sys.stdout, line)


def _print(result: str | bytes) -> None:
    if isinstance(result, str):
        write(sys.stdout, result.rstrip("\n"))
        return
    if sys.stdout.isatty():
        raise UnsupportedOption("a PNG is no text for a terminal; write it to a file: --output FILE.png")
    try:
        sys.stdout.buffer.write(result)
        sys.stdout.flush()
    except OSError:  # nobody reads it
        silence(sys.stdout)
