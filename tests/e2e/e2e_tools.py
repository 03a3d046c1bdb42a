"""What the end-to-end tests share: programs of their own, journals that survive a kill, waiting with a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds for what must happen, but not at once


def note(path: str | os.PathLike[str], **fields: Any) -> None:
    """Append one line to a journal; it is on the disk when this returns, whatever becomes of the process."""
    line = json.dumps({"at": time.monotonic(), "pid": os.getpid(), **fields}) + "\n"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, line.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a journal."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()] if os.path.exists(path) else []


def wait_until(claim: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until *claim* holds; return what it gave."""
    until = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < until, f"still waiting after {seconds:g} s: {what}"
        time.sleep(0.005)
    return found


def wait_for_file(path: Path) -> None:
    """Wait for a file that a test makes; a step that nobody lets go fails in the end."""
    wait_until(path.exists, f"{path}", 30)


def alive(pid: int) -> bool:
    """Whether that process runs (one that nobody has collected yet does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(pids: set[int] | list[int], seconds: float = 5.0) -> None:
    """Wait until none of *pids* runs."""
    wait_until(lambda: not any(map(alive, pids)), f"the end of processes {sorted(pids)}", seconds)


ROOM = "DOTFLOW_TEST_ROOM"  # in the environment of the processes that a program starts


def wait_left(room: Path, seconds: float = 5.0) -> None:
    """Wait until no process is left that a program started after it had set ``ROOM`` to *room*."""
    mark = f"{ROOM}={room}".encode()
    wait_until(lambda: not _marked(mark), f"the end of the processes of {room}", seconds)


def _marked(mark: bytes) -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0") and alive(int(name)):
                found.append(name)
        except OSError:
            continue  # it has just ended
    return found


def children() -> list[int]:
    """Return the processes that descend from this one, but for those that have ended."""
    return [child.pid for child in psutil.Process().children(recursive=True) if alive(child.pid)]


def program(*words: object, cwd: Path = HERE) -> subprocess.Popen[str]:
    """Start a Python program; warnings are errors in it, and its output can be read."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE, *, silent: bool = True) -> str:
    """Wait for a program that must end well, and (*silent*) without a word on stderr; return what it printed."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        kill(process)
    assert process.returncode == 0, f"exit code {process.returncode}\n{out}\n{err}"
    assert err == "" or not silent, err
    return out


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a program if it runs, and close its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
