"""A web application that starts runs in the background, tells how far they are, and finishes them after a restart.

uvicorn app:app

POST /runs        {"below": 2000000, "parts": 8}   start a run that counts primes; the answer has its id
GET  /runs/{id}                                    the status of the run and of its tasks, and the result
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import primes
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from dotflow import Config, Context, Task
from dotflow.core.types import TypeStatus
from dotflow.providers import ExecutorProcess, StorageSQLite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dotflow.core.workflow import Manager

DATABASE = os.environ.get("RUNS_DB", "runs.db")
WORKERS = 2  # processes, for all runs together
GRACE = 5.0  # seconds that steps in progress have at shutdown
ORDERS = "order "  # an order is kept under this and the id of its run


class Order(BaseModel):
    """What a run is to do."""

    below: int = Field(ge=2, le=10_000_000)
    parts: int = Field(default=8, ge=1, le=200)


class Runs:
    """The runs of this application, by id."""

    def __init__(self) -> None:
        self._storage, self._executor = StorageSQLite(DATABASE), ExecutorProcess(WORKERS)
        self._config = Config(storage=self._storage, executor=self._executor)
        self._managers: dict[str, Manager] = {}

    def start(self, order: Order) -> str:
        """Start a run in the background, and return its id."""
        run_id = uuid4().hex
        self._storage.post(ORDERS + run_id, Context(order.model_dump()))
        self._launch(run_id, order, resume=False)
        return run_id

    def resume(self) -> None:
        """Go on with the runs of the process before; one that had ended has its results, and runs nothing."""
        for key in sorted(self._storage.list_keys(ORDERS)):
            self._launch(key.removeprefix(ORDERS), Order(**self._storage.get(key).storage), resume=True)

    def get(self, run_id: str) -> Manager | None:
        """Return the run of that id, ``None`` if there is none."""
        return self._managers.get(run_id)

    def close(self) -> None:
        """Stop all runs; steps in progress may end within the grace time. What is done stays saved."""
        for manager in self._managers.values():
            manager.cancel(GRACE)
        for manager in self._managers.values():
            manager.wait()
        self._executor.close()
        self._storage.close()

    def _launch(self, run_id: str, order: Order, *, resume: bool) -> None:
        workflow = primes.build(self._config, run_id, order.below, order.parts)
        self._managers[run_id] = workflow.start(mode="background", resume=resume)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Resume at the start what the last shutdown, or crash, left; stop at the end what runs."""
    app.state.runs = runs = Runs()
    await asyncio.to_thread(runs.resume)
    yield
    await asyncio.to_thread(runs.close)


app = FastAPI(lifespan=lifespan)


@app.post("/runs", status_code=202)
def start_run(order: Order, request: Request) -> dict[str, str]:
    """Start a run; answer at once."""
    return {"id": request.app.state.runs.start(order)}


@app.get("/runs/{run_id}")
def show_run(run_id: str, request: Request) -> dict[str, Any]:
    """Tell how far a run is."""
    manager: Manager | None = request.app.state.runs.get(run_id)
    if manager is None:
        raise HTTPException(404, f"there is no run {run_id!r}")
    return {
        "id": run_id,
        "status": manager.status,
        "tasks": [describe(task) for task in manager.tasks],
        "result": manager.tasks[-1].value,
    }


def describe(task: Task) -> dict[str, Any]:
    """Return what a client may know of a task."""
    error = f"{task.error.exception}: {task.error.message}" if task.status is TypeStatus.FAILED else None
    return {"id": task.task_id, "status": task.status, "restored": task.restored, "error": error}
