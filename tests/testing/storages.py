"""Storages that the tests of the kit and of the fault tools use, importable by child processes."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from dotflow import Context, Task
from dotflow.abc.storage import Storage


class StorageFolder(Storage):
    """The seed page's three methods over a folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def place(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def post(self, key: str, context: Context) -> None:
        part = self.folder / f".{os.getpid()}-{threading.get_ident()}"
        part.write_text(json.dumps(context.storage))
        part.replace(self.place(key))

    def get(self, key: str) -> Context:
        try:
            data = self.place(key).read_text()
        except FileNotFoundError:
            data = None
        return Context(storage=json.loads(data) if data else None)

    def key(self, task: Task) -> Any:
        return f"{task.workflow_id}:{task.task_id}"


def by_environment() -> Storage:
    """Make a client in the folder that the environment names."""
    return StorageFolder(os.environ["KIT_FOLDER"])
