"""The command in a process of its own, in a folder with a user's modules."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

PATIENCE = 20.0
DROPPED = ("WORKFLOW_ID", "NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "PYTHONPATH", "PYTHONUNBUFFERED")

FLOWS = """
import asyncio, os, time
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.providers import StorageSQLite


@action
def greet(initial_context):
    return f"hello {initial_context.storage!r}"

@action
def first():
    mark("first")
    return 1

@action
def second():
    mark("second")

@action(retry=2, retry_delay=0.01)
def bad():
    raise ValueError("a [red]bad[/red] \\x1b[31m row")

@action
def sleepy():
    print("asleep", flush=True)
    if not Path("awake").exists():
        time.sleep(60)
    mark("sleepy")

@action
async def sleepy_async():
    print("asleep", flush=True)
    await asyncio.sleep(60)

@action
def stubborn():
    print("asleep", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass

@action
def brief():
    print("asleep", flush=True)
    time.sleep(0.4)
    mark("brief")

@action
def held():
    print("held", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)

@action
def chatty():
    print("a word of the step")

@action
def shows(initial_context):
    print("GOT", type(initial_context.storage).__name__, initial_context.storage)

def mark(name):
    with open("marks", "a") as file:
        file.write(name + "\\n")

def told(task):
    print("CALLED", task.task_id)

def flow(*steps, lasting=False, **kwargs):
    workflow = DotFlow(Config(storage=StorageSQLite("kept.db")) if lasting else None, **kwargs)
    for step in steps:
        workflow.task.add(step=step)
    return workflow

def good():
    return flow(first, second)

def failing():
    return flow(first, bad, second, lasting=True)

def napping():
    return flow(first, sleepy, second, lasting=True)

def napping_in_memory():
    return flow(first, sleepy)

def napping_async():
    return flow(first, sleepy_async, second)

def napping_briefly():
    return flow(brief, second, lasting=True)

def sulking():
    return flow(stubborn, lasting=True)

def fixed():
    return flow(first, workflow_id="fixed")

def hundred():
    return flow(*[first] * 100)

def named():
    workflow = DotFlow()
    workflow.task.add(step=first, task_id="[bold]a very long name that no narrow window can show in full[/bold]")
    return workflow

def started():
    workflow = good()
    workflow.start()
    return workflow

def chatting():
    return flow(chatty, chatty)

def returns_nothing():
    pass

async def coroutine():
    pass

def needs(argument):
    pass

def raises():
    raise LookupError("no such table")

def misuses():
    return flow(raises)

def leaves():
    raise SystemExit(0)

ready = DotFlow()
"""


class Process:
    """A running command, what it has written so far, and ways to wait for it."""

    def __init__(self, popen: subprocess.Popen[bytes], fd: int) -> None:
        self._popen, self._fd, self.text = popen, fd, ""
        self._deadline = time.monotonic() + PATIENCE

    def until(self, text: str) -> None:
        """Read until *text* has been written."""
        while text not in self.text:
            assert self._read(), f"ended without {text!r}: {self.text}"

    def signal(self, number: int) -> None:
        """Send a signal to the process group, as a terminal does."""
        os.killpg(self._popen.pid, number)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self._popen.wait(max(0.1, self._deadline - time.monotonic()))

    def close(self) -> None:
        """Kill what is left."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        os.close(self._fd)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0, self._deadline - time.monotonic()))
        assert ready, f"still waiting after {PATIENCE} s: {self.text}"
        try:
            chunk = os.read(self._fd, 1 << 16)
        except OSError:  # the other end of a terminal is closed
            return False
        self.text += chunk.decode(errors="replace").replace("\r\n", "\n")
        return bool(chunk)


class Command:
    """Runs the command in a folder with a user's modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: list[Process] = []
        (folder / "flows.py").write_text(FLOWS)

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to the end, without a terminal."""
        return subprocess.run(
            self.words(args), cwd=self.folder, env=environment(env), capture_output=True, text=True, timeout=PATIENCE
        )

    def begin(self, *args: str, **env: str) -> Process:
        """Start it without a terminal; both outputs in one pipe."""
        mine, theirs = os.pipe()
        return self._launch(self.words(args), mine, theirs, env)

    def on_terminal(self, *args: str, columns: int = 80, lines: int = 24, **env: str) -> Process:
        """Start it on a terminal."""
        mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        return self._launch(self.words(args), mine, theirs, {"TERM": "xterm-256color", **env})

    def python(self, code: str, *args: str) -> Process:
        """Start Python code that runs the command with *args*, with patched grace times, say."""
        mine, theirs = os.pipe()
        return self._launch([sys.executable, "-c", code, *args], mine, theirs, {})

    def marks(self) -> list[str]:
        """Return the names of the steps that ran to their end."""
        path = self.folder / "marks"
        return path.read_text().split() if path.exists() else []

    def words(self, args: tuple[str, ...]) -> list[str]:
        """Return the whole command line."""
        return [sys.executable, "-m", "dotflow", *args]

    def _launch(self, words: list[str], mine: int, theirs: int, env: dict[str, str]) -> Process:
        popen = subprocess.Popen(
            words,
            cwd=self.folder,
            env=environment(env),
            stdin=theirs if os.isatty(theirs) else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        process = Process(popen, mine)
        self.open.append(process)
        return process


def environment(extra: dict[str, str]) -> dict[str, str]:
    """Return this process's environment without what changes the outcome."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return {**kept, "PYTHONWARNINGS": "error", **extra}
