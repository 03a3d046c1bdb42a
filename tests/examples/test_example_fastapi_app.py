"""The web application, served by a real uvicorn: it is stopped while a run is on, and finishes it afterwards."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from example_tools import EXAMPLES, PATIENCE, wait_until

APPLICATION = EXAMPLES / "fastapi_app"
BELOW, PARTS, PRIMES = 1_500_000, 100, 114_155


class Application:
    """The application in a process of its own, on a socket that outlives it."""

    def __init__(self, folder: Path, listening: socket.socket) -> None:
        number = listening.fileno()
        self.log = (folder / "log.txt").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(APPLICATION), "--fd", str(number)],
            cwd=folder, pass_fds=[number], stdout=self.log, stderr=self.log,
        )  # fmt: skip
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=PATIENCE)

    def show(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/runs/{run_id}").raise_for_status().json()
        return found

    def done(self, run_id: str) -> int:
        return sum(task["status"] == "Completed" for task in self.show(run_id)["tasks"])

    def terminate(self) -> int:
        self.client.close()
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def application(folder: Path, listening: socket.socket) -> Iterator[Application]:
    made = Application(folder, listening)
    try:
        yield made
    finally:
        made.client.close()
        made.process.kill()
        made.process.wait()
        made.log.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_application_finishes_after_a_restart_what_it_was_stopped_in(tmp_path: Path, listening: socket.socket) -> None:
    """Stopped by SIGTERM, then by SIGKILL, and started again, it goes on behind what was done."""
    with application(tmp_path, listening) as first:
        assert first.client.get("/runs/nothing").status_code == 404
        assert first.client.post("/runs", json={"below": -1}).status_code == 422
        small = first.client.post("/runs", json={"below": 100, "parts": 3}).json()["id"]
        large = first.client.post("/runs", json={"below": BELOW, "parts": PARTS}).raise_for_status().json()["id"]
        wait_until(lambda: first.show(small)["status"] == "Completed")
        wait_until(lambda: first.done(large) >= 3)
        assert first.show(large)["status"] == "In progress"
        assert first.terminate() in {0, -15}, (tmp_path / "log.txt").read_text()

    with application(tmp_path, listening) as second:
        wait_until(lambda: second.done(large) >= 8)
        assert second.show(large)["status"] == "In progress"
        second.process.kill()
        second.process.wait()

    with application(tmp_path, listening) as third:
        wait_until(lambda: third.show(large)["status"] == "Completed")
        shown = third.show(large)
        assert shown["result"] == PRIMES
        assert 8 <= sum(task["restored"] for task in shown["tasks"]) < PARTS
        assert third.show(small)["result"] == 25
        assert third.terminate() in {0, -15}
    log = (tmp_path / "log.txt").read_text()
    assert log.count("Application shutdown complete") == 2
    assert "Traceback" not in log
