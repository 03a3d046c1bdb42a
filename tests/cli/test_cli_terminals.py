"""The commands on a real terminal, wide and narrow, without colours, without a terminal, and without a reader."""

from __future__ import annotations

import fcntl
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
import pytest
from cli_process import PATIENCE, Command, Process, environment

from dotflow.views.layout import columns_of

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = {
    "help": ("--help",),
    "start": ("start", "-w", "flows:good"),
    "failing": ("start", "-w", "flows:failing"),
    "graph": ("graph", "flows:good"),
    "doctor": ("doctor",),
    "init": ("init", "new", "--force"),
    "schedule": ("schedule", "next", "--cron", "@daily"),
    "schedule help": ("schedule", "--help"),
    "completion": ("completion", "bash"),
}
TREE = """
import time
from pathlib import Path
from dotflow import DotFlow, action

@action
def quick():
    pass

@action
async def waits():
    import asyncio
    while not Path("go").exists():
        await asyncio.sleep(0.02)

@action(retry=3, retry_delay=0.01)
def bad():
    raise ValueError("no")

def tree():
    workflow = DotFlow()
    add = workflow.task.add
    add(quick, task_id="extract", depends_on=[])
    add(waits, task_id="clean", depends_on="extract")
    add(waits, task_id="enrich", depends_on="extract")
    add(quick, task_id="report", depends_on=["clean", "enrich"])
    return workflow

def many():
    workflow = DotFlow()
    for number in range(250):
        step = waits if number in (100, 200) else quick
        workflow.task.add(step, task_id=f"task-{number:03}", depends_on=[])
    return workflow

def tried():
    workflow = DotFlow()
    workflow.task.add([quick, bad])
    return workflow
"""


def screen_of(text: str, columns: int, lines: int = 24) -> list[str]:
    """Return what a terminal of that size shows after *text*."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display if line.strip()]


@pytest.fixture
def trees(command: Command) -> Command:
    """A command in a folder with workflows that are more than a chain."""
    (command.folder / "trees.py").write_text(TREE)
    return command


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 40])
def test_command_on_a_terminal(command: Command, name: str, columns: int) -> None:
    """It ends as without one; pictures fit the window; without colours there are none."""
    plain = command.on_terminal(*COMMANDS[name], columns=columns, NO_COLOR="1")
    code = plain.end()

    assert code == (1 if name == "failing" else 0), plain.text
    assert not [found for found in COLOURS.findall(plain.text) if re.search(r"[34]\d|38|48", found)]
    assert plain.text.count("Traceback") == (name == "failing")
    if name in ("graph", "help"):
        assert max(map(columns_of, plain.text.splitlines())) <= columns


@pytest.mark.parametrize("name", COMMANDS)
def test_command_without_a_reader(command: Command, name: str) -> None:
    """`| head -1` gets one line, and nothing complains."""
    words = shlex.join(command.words(COMMANDS[name]))
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=20,
    )  # fmt: skip

    assert done.returncode == (1 if name == "failing" else 0), done.stderr
    assert done.stdout.count("\n") == 1
    if name != "failing":
        assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_command_without_a_terminal(command: Command, name: str) -> None:
    """No escape sequence goes to a file, whatever FORCE_COLOR and the encoding say."""
    done = command(*COMMANDS[name], PYTHONIOENCODING="ascii", LC_ALL="C")

    assert done.returncode == (1 if name == "failing" else 0), done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_ctrl_c_is_never_a_traceback(command: Command) -> None:
    """Not while a module is imported for a drawing or a diagnosis either."""
    (command.folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = command.begin("graph", "slow:flow")
    process.until("importing")
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert process.text.split() == ["importing", "interrupted"]


def test_ctrl_c_while_waiting_for_a_storage(command: Command) -> None:
    """A diagnosis that waits can be ended."""
    (command.folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = command.begin("doctor", "-w", "slow:flow", "--timeout", "50")
    process.until("importing")
    process.signal(signal.SIGINT)

    assert process.end() == 130
    assert process.text.split() == ["importing", "interrupted"]


@pytest.mark.parametrize("args", [("graph", "own:flow"), ("start", "-w", "own:flow")])
def test_broken_module_shows_the_users_traceback(command: Command, args: tuple[str, ...]) -> None:
    """The first line of it is in the user's file, and none is in ours."""
    (command.folder / "own.py").write_text("def helper():\n    return 1 / 0\n\nhelper()\n")

    done = command(*args)

    assert done.returncode == 2
    frames = re.findall(r'File "(.+?)", line (\d+)', done.stderr)
    assert [(Path(file).name, line) for file, line in frames] == [("own.py", "4"), ("own.py", "2")]
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("strat",), "did you mean 'start'?"),
        (("schedule", "backfil"), "did you mean 'backfill'?"),
        (("start", "-w", "flows:goood"), "did you mean 'good'?"),
        (("start", "-w", "flow:good"), "did you mean 'flows'?"),
        (("start", "-w", "flows:good", "-m", "backgruond"), "did you mean 'background'?"),
        (("start", "-s", "flows:first", "-o", "sqlit"), "did you mean 'sqlite'?"),
        (("start", "-s", "flows:first", "-o", "redsi://x"), "did you mean"),
        (("start", "--workflw", "x"), "--workflow"),
    ],
)
def test_misspelt_word_gets_the_nearest(command: Command, args: tuple[str, ...], part: str) -> None:
    """Commands, modules, attributes, options and their values."""
    done = command(*args)

    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr


# -- the live view ----------------------------------------------------------------------------------------


def wait_for(process: Process, columns: int, lines: int, *parts: str) -> list[str]:
    """Read until the screen shows all of *parts*; return the screen."""
    while True:
        shown = screen_of(process.text, columns, lines)
        if all(any(part in line for line in shown) for part in parts):
            return shown
        assert process._read(), f"ended without {parts}:\n" + "\n".join(shown)


@pytest.mark.parametrize("columns", [80, 40])
def test_live_view_is_a_tree_that_says_what_runs(trees: Command, columns: int) -> None:
    """Each task once, below what it waits for, with its state; what runs counts its seconds."""
    process = trees.on_terminal("start", "-w", "trees:tree", columns=columns, lines=20)
    shown = wait_for(process, columns, 20, "● ├─ clean", "● ├─ enrich", "└─ report")

    names = [re.sub(r"^\S (\S* ?\w+).*", r"\1", line) for line in shown[:4]]
    assert names == ["extract", "├─ clean", "├─ enrich", "└─ report"]
    assert [line[0] for line in shown[:4]] == ["✔", "●", "●", "○"]
    assert ("In progress" in shown[1]) == (columns == 80)
    assert re.search(r"\d s$", shown[1])
    (trees.folder / "go").touch()

    assert process.end() == 0
    last = screen_of(process.text, columns, 20)
    assert [line[0] for line in last[:4]] == ["✔"] * 4
    assert last[-1].startswith("completed: 4 of 4 completed")


def test_live_view_of_250_tasks_fits_a_small_window(trees: Command) -> None:
    """What runs is shown, the others are counted, and no picture is taller than the window."""
    process = trees.on_terminal("start", "-w", "trees:many", columns=40, lines=12)
    shown = wait_for(process, 40, 12, "● task-100", "● task-200", "248/250")

    assert len(shown) <= 11
    assert any("not shown" in line for line in shown)
    ups = [len(found) // 4 for found in re.findall(r"(?:\x1b\[1A)+", re.sub(r"\x1b\[2K|\r", "", process.text))]
    assert max(ups) <= 11
    (trees.folder / "go").touch()
    assert process.end() == 0


def test_live_view_does_not_flicker(trees: Command) -> None:
    """The screen is never cleared, the cursor is hidden while it is drawn on and shown at the end."""
    process = trees.on_terminal("start", "-w", "trees:tree")
    wait_for(process, 80, 24, "├─ clean")
    (trees.folder / "go").touch()
    process.end()

    assert "\x1b[2J" not in process.text
    assert "\x1b[H" not in process.text
    assert process.text.index("\x1b[?25l") < process.text.rindex("\x1b[?25h")


def test_live_view_follows_a_resize(trees: Command) -> None:
    """A window made narrow is drawn narrow from the next picture on."""
    process = trees.on_terminal("start", "-w", "trees:tree", columns=80)
    wait_for(process, 80, 24, "In progress")
    before = len(process.text)
    fcntl.ioctl(process._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    while "1/4 completed" not in process.text[before + 2000 :]:
        assert process._read()
    (trees.folder / "go").touch()
    assert process.end() == 0

    drawn = COLOURS.sub("", process.text).rpartition("✔ extract")[2].splitlines()
    assert max(map(columns_of, drawn[:4])) <= 40


def test_live_view_shows_attempts(trees: Command) -> None:
    """A step that is tried again says how often."""
    process = trees.on_terminal("start", "-w", "trees:tried")

    assert process.end() == 1
    assert re.search(r"✘ bad +Failed +3/3", "\n".join(screen_of(process.text, 80)))


def test_progress_from_python_is_the_live_view(trees: Command) -> None:
    """`start(progress=True)` on a terminal draws the same tree, and leaves it there."""
    (trees.folder / "go").touch()
    (trees.folder / "own.py").write_text(
        "import trees\nprint(trees.tree().start(progress=True).status)\n", encoding="utf-8"
    )
    trees.words = lambda args: [sys.executable, *args]  # type: ignore[method-assign]  # any program
    process = trees.on_terminal("own.py")

    assert process.end() == 0
    shown = screen_of(process.text, 80)
    assert [line[0] for line in shown[:4]] == ["✔"] * 4, shown
    assert shown[-1] == "Completed"


def test_terminal_that_takes_nothing_does_not_stop_the_run(trees: Command) -> None:
    """With the output stopped, as by Ctrl-S, the run and the program go on."""
    (trees.folder / "own.py").write_text(
        "import trees\nfrom pathlib import Path\nPath('status').write_text(trees.many().start(progress=True).status)\n",
        encoding="utf-8",
    )
    trees.words = lambda args: [sys.executable, *args]  # type: ignore[method-assign]  # any program
    process = trees.on_terminal("own.py")
    same, before = 0, -1
    while same < 10:
        waiting = struct.unpack("i", fcntl.ioctl(process._fd, termios.FIONREAD, b"    "))[0]
        same = same + 1 if waiting == before and waiting > 3000 else 0
        before = waiting
        time.sleep(0.1)
    (trees.folder / "go").touch()
    until = time.monotonic() + PATIENCE
    while not (trees.folder / "status").exists() and time.monotonic() < until:
        time.sleep(0.05)

    assert (trees.folder / "status").read_text() == "Completed"
    assert process.end() == 0


@pytest.mark.alone
def test_help_is_quick() -> None:
    """Help takes at most ten times what Python takes to start: far below 150 ms where that is 10 ms."""

    def seconds(*args: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=True, timeout=20)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(seconds("-m", "dotflow", "--help"), seconds("-c", "pass")) for _ in range(7)]

    assert min(help for help, _ in pairs) <= 10 * min(bare for _, bare in pairs)
