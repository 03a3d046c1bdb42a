"""``dotflow provider new``: a provider that works, and a test that holds it to its contract."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from dotflow.cli.files import write_file
from dotflow.core.exception import ConfigurationError

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")

STORAGE = '''"""Where results are kept."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from dotflow import Context
from dotflow.abc.storage import Storage


class {name}(Storage):
    """Keep each result as a JSON file in the folder *path*; put your database in its place."""

    def __init__(self, path="results"):
        self.folder = Path(path).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def post(self, key, context):
        """Save a result; must be durable when it returns, and never be seen by halves."""
        descriptor, part = tempfile.mkstemp(dir=self.folder, prefix=".")
        with open(descriptor, "w") as file:
            file.write(json.dumps(context.storage))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._place(key))

    def get(self, key):
        """Return a result, or an empty context; raise where the storage cannot be reached."""
        try:
            return Context(storage=json.loads(self._place(key).read_text()))
        except FileNotFoundError:
            self.folder.stat()  # a folder that is gone is no missing key
            return Context(storage=None)

    def key(self, task):
        """Return the same key in every process, and another one for every pair of the two."""
        return json.dumps([str(task.workflow_id), task.task_id])

    def _place(self, key):
        return self.folder / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
'''

NOTIFY = '''"""Who is told when the status of a task changes."""

from dotflow.abc.notify import Notify


class {name}(Notify):
    """Hand a line about each change to *send*; put your service in its place."""

    def __init__(self, send=print):
        self.send = send

    def hook_status_task(self, task):
        """Tell of a task; may take its time, and may raise: the run goes on."""
        self.send(ascii(f"{{task.workflow_id}} {{task.task_id}}: {{task.status}}"))
'''

LOG = '''"""Where changes are written."""

from dotflow.abc.log import Log


class {name}(Log):
    """Hand a line about each change to *write*; put your log in its place."""

    def __init__(self, write=print):
        self.write = write

    def info(self, **kwargs):
        """Write that a task started, completed or is tried again."""
        task = kwargs["task"]
        self.write(ascii(f"{{task.task_id}} {{task.status}}"))

    def error(self, **kwargs):
        """Write that a task failed for good."""
        task = kwargs["task"]
        self.write(ascii(f"{{task.task_id}} failed: {{task.errors[-1].message if task.errors else ''}}"))
'''

SCHEDULER = '''"""When a workflow runs."""

import threading

from dotflow.abc.scheduler import Scheduler


class {name}(Scheduler):
    """Run the workflow every *seconds*; put your rule in its place."""

    def __init__(self, seconds=0.05):
        self.seconds = seconds
        self._stopped = threading.Event()

    def start(self, workflow, **kwargs):
        """Block, and call the workflow on each tick, until ``stop``."""
        self._stopped.clear()
        while not self._stopped.is_set():
            workflow(**kwargs)
            self._stopped.wait(self.seconds)

    def stop(self):
        """End ``start``, from any thread, also from inside a run."""
        self._stopped.set()
'''

TRACER = '''"""What follows runs."""

import time

from dotflow.abc.tracer import Tracer


class {name}(Tracer):
    """Keep a list of spans: name, begin and end. Put your tracer in its place."""

    def __init__(self):
        self.spans, self._open = [], {{}}

    def start_workflow(self, workflow_id, **kwargs):
        """A run begins."""
        self._open["workflow", str(workflow_id)] = time.time()

    def end_workflow(self, workflow_id, **kwargs):
        """It ends, well or not: ``kwargs["failed"]``."""
        self._end("workflow", str(workflow_id))

    def start_task(self, task):
        """A task begins."""
        self._open["task", task.task_id] = time.time()

    def end_task(self, task):
        """It ends; a task that was paused may have had no start."""
        self._end("task", task.task_id)

    def _end(self, kind, name):
        begun = self._open.pop((kind, name), None)
        if begun is not None:
            self.spans.append((kind, name, begun, time.time()))
'''

METRICS = '''"""What counts."""

from collections import Counter

from dotflow.abc.metrics import Metrics


class {name}(Metrics):
    """Count in memory; put your metrics in its place."""

    def __init__(self):
        self.counts = Counter()

    def workflow_started(self, workflow_id, **kwargs):
        """A run begins."""
        self.counts["workflow started"] += 1

    def workflow_completed(self, workflow_id, duration):
        """A run completed, after *duration* seconds."""
        self.counts["workflow completed"] += 1

    def workflow_failed(self, workflow_id, duration):
        """A run did not."""
        self.counts["workflow failed"] += 1

    def task_completed(self, task):
        """A task completed."""
        self.counts["task completed"] += 1

    def task_failed(self, task):
        """A task failed for good."""
        self.counts["task failed"] += 1

    def task_retried(self, task):
        """An attempt failed, and another one follows."""
        self.counts["task retried"] += 1
'''

SERVER = '''"""A server that keeps a picture of workflows."""

from dotflow.abc.server import Server


class {name}(Server):
    """Keep the picture in memory; put your server in its place."""

    def __init__(self):
        self.workflows, self.tasks = {{}}, {{}}

    def create_workflow(self, workflow):
        """A workflow is about to run."""
        self.workflows[str(workflow.workflow_id)] = "In progress"

    def update_workflow(self, workflow, status=""):
        """The workflow with the id *workflow* has another status."""
        self.workflows[str(workflow)] = str(status)

    def create_task(self, task):
        """A task of it is about to run."""
        self.tasks[str(task.workflow_id), task.task_id] = str(task.status)

    def update_task(self, task):
        """A task ended."""
        self.tasks[str(task.workflow_id), task.task_id] = str(task.status)
'''

TEST = '''"""{name} keeps its contract."""

import pytest
from {module} import {name}

from dotflow.testing import {contract}Contract


class Test{name}({contract}Contract):
    @pytest.fixture
    def make(self{fixture}):
        {make}
'''
TEST_OF_SCHEDULER = '''"""{name} keeps its contract."""

from {module} import {name}

from dotflow.testing import SchedulerContract


class Test{name}(SchedulerContract):
    def make(self):
        return {name}(0.01)
'''

SOURCES = {
    "storage": STORAGE,
    "notify": NOTIFY,
    "log": LOG,
    "scheduler": SCHEDULER,
    "tracer": TRACER,
    "metrics": METRICS,
    "server": SERVER,
}


def write_skeleton(kind: str, name: str, folder: str, *, force: bool) -> int:
    """Write a provider and its test; return the exit code.

    Raises:
        ConfigurationError: the name is none, the folder is not there, or a file is there and *force* is not given.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} names no class; use letters and digits, as in 'Mongo' or 'big-query'")
    words = [word for part in re.split(r"[_-]", name) for word in WORD.findall(part)]
    if len(words) > 1 and words[0].lower() == kind:
        words = words[1:]
    contract, module = kind.capitalize(), "_".join([kind, *(word.lower() for word in words)])
    made = contract + "".join(word[0].upper() + word[1:] for word in words)
    place, where = Path(folder), {"name": made, "module": module, "contract": contract}
    storage = kind == "storage"
    make = f'return lambda: {made}(tmp_path / "data")' if storage else f"return {made}"
    test = TEST_OF_SCHEDULER if kind == "scheduler" else TEST
    files = {
        place / f"{module}.py": SOURCES[kind].format(name=made),
        place / f"test_{module}.py": test.format(**where, make=make, fixture=", tmp_path" if storage else ""),
    }
    if not place.is_dir():
        raise ConfigurationError(f"there is no folder {folder!r}; make it, or give another one by --folder")
    there = [path.name for path in files if path.exists()]
    if there and not force:
        raise ConfigurationError(f"{' and '.join(there)} would be replaced; use another name, or --force")
    for path, text in files.items():
        write_file(path, text.encode(), force)
        click.echo(f"wrote {path}")
    test_path = shlex.quote(str(place / f"test_{module}.py"))
    click.echo(f"check it: python -m pytest {test_path}, or dotflow provider check {module}:{made}")
    return 0
