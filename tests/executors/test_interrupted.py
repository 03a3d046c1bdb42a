"""Ctrl-C, and SIGKILL, in the middle of a parallel run: no process is left, and the run goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interrupted_flow
import psutil
import pytest

PATIENCE = 60.0


def wait_until(claim: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("process", signal.SIGINT),
        ("pool", signal.SIGINT),
        ("dask", signal.SIGINT),
        ("dask", signal.SIGKILL),
        ("ray", signal.SIGINT),
    ],
)
def test_no_process_is_left_and_the_run_can_be_resumed(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    """The signal goes to the whole process group, as a terminal sends it."""
    token = tmp_path / "token"
    token.write_text("only for these tests, and long enough to be one")
    program = subprocess.Popen(
        [sys.executable, interrupted_flow.__file__, str(tmp_path), kind],
        env={**os.environ, "RAY_AUTH_TOKEN_PATH": str(token)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        wait_until(lambda: (tmp_path / "waits").exists() or program.poll() is not None)
        below = psutil.Process(program.pid).children(recursive=True)
        if number == signal.SIGINT:
            os.killpg(program.pid, number)
        else:
            program.kill()
        _, said = program.communicate(timeout=PATIENCE)

        assert program.returncode == (1 if kind == "ray" else -number), said  # Ray's own handler at exit makes it 1
        assert "KeyboardInterrupt" in said or number == signal.SIGKILL
        assert below
        wait_until(lambda: not any(map(alive, below)))
    finally:
        program.kill()
        program.communicate()
        (tmp_path / "go").touch()
    workflow = interrupted_flow.make(str(tmp_path))
    manager = workflow.start(resume=True)
    workflow.config.storage.close()
    assert manager.status == "Completed"
    assert [task.restored for task in manager.tasks] == [True, False]
