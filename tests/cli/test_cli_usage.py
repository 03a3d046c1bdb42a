"""What the command line takes, what it refuses, and with which exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_process import Command

import dotflow

NO_TRACE = "Traceback"


@pytest.mark.parametrize("args", [(), ("-h",), ("--help",)])
def test_help_says_what_there_is(command: Command, args: tuple[str, ...]) -> None:
    """Without arguments, as with --help, the description and the commands are shown."""
    done = command(*args)

    assert done.returncode == 0
    assert dotflow.__description__ in done.stdout
    assert "start" in done.stdout
    assert "schedule" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(command: Command, flag: str) -> None:
    """The version is written as pip writes it."""
    done = command(flag)

    assert (done.returncode, done.stdout) == (0, f"dotflow=={dotflow.__version__}\n")


def test_help_loads_neither_rich_nor_providers() -> None:
    """What only a run needs is not loaded for a text."""
    code = (
        "import sys\nfrom dotflow.cli.command import main\nmain(['start', '--help'])\n"
        "heavy = {'rich', 'sqlite3', 'asyncio', 'logging', 'multiprocessing'}\n"
        "print([n for n in sys.modules if n.split('.')[0] in heavy or n.startswith('dotflow.providers.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_without_a_terminal_does_not_load_rich(command: Command) -> None:
    """Lines need no library."""
    process = command.python(
        "import sys\nfrom dotflow.cli.command import main\n"
        "code = main(sys.argv[1:])\nprint('code', code, 'rich' in sys.modules)",
        *("start", "-s", "flows:first"),
    )

    assert process.end() == 0
    assert process.text.endswith("code 0 False\n")


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("strat",), "did you mean 'start'?"),
    (("start",), "--step or --workflow"),
    (("start", "-s", "flows:first", "-w", "flows:good"), "one of them, not both"),
    (("start", "--stpe", "flows:first"), "--step"),
    (("start", "-s", "flows:first", "-m", "paralel"), "did you mean 'parallel'?"),
    (("start", "-s", "flows:first", "-o", "sqlit"), "did you mean 'sqlite'?"),
    (("start", "-s", "flows:first", "-o", "rediz://host"), "there is no storage 'rediz'; did you mean 'redis'?"),
    (("start", "-s", "flows:first", "-o", "sqlite://x"), "write sqlite:///x"),
    (("start", "-s", "flows:first", "-p", "there"), "add --storage file"),
    (("start", "-s", "flows:first", "--workflow-id", " "), "--workflow-id needs a text that is not empty"),
    (("start", "-s", "flows:first", "--resume"), "--resume finds nothing"),
    (("start", "-s", "flows:first", "-o", "sqlite", "--resume"), "--resume needs the id"),
    (("start", "-s", "flow:first"), "there is no module 'flow'"),
    (("start", "-s", "flows:frist"), "did you mean 'first'?"),
    (("start", "-s", "flows.py:first"), "did you mean 'flows:first'?"),
    (("start", "-s", "./flows.py:first"), "did you mean 'flows:first'?"),
    (("start", "-s", "flows.inner:first"), "cannot import 'flows.inner:first'"),
    (("start", "-s", "first"), "expected 'package.module:attribute'"),
    (("start", "-s", "flows:raises"), "decorate it with @action"),
    (("start", "-s", "flows:first", "-c", "flows:tolt"), "did you mean 'told'?"),
    (("start", "-s", "flows:first", "-c", "flows:asyncio"), "callback"),
    (("start", "-w", "flows:good", "-c", "flows:told"), "--callback cannot be combined with --workflow"),
    (("start", "-w", "flows:good", "-i", "text"), "--initial-context cannot be combined with --workflow"),
    (("start", "-w", "flows:good", "-o", "file"), "--storage cannot be combined with --workflow"),
    (("start", "-w", "flows:good", "-p", "there"), "--path cannot be combined with --workflow"),
    (("start", "-w", "flows:fixed", "--workflow-id", "other"), "sets workflow_id='fixed'"),
    (("start", "-w", "flows:first"), "is a step; run it with --step"),
    (("start", "-w", "flows:__name__"), "must be a DotFlow or a callable"),
    (("start", "-w", "flows:needs"), "'argument'"),
    (("start", "-w", "flows:returns_nothing"), "it returned a NoneType"),
    (("start", "-w", "flows:coroutine"), "it returned a coroutine"),
    (("start", "-w", "flows:started"), "has been started"),
    (("schedule", "-s", "flows:first"), "--every SECONDS"),
    (("schedule", "-w", "flows:good"), "has no scheduler"),
    (("schedule", "-s", "flows:first", "--every", "0"), "needs a number above 0"),
]


@pytest.mark.parametrize(("args", "part"), REFUSED, ids=[" ".join(args) for args, _ in REFUSED])
def test_wrong_usage_is_a_line_and_exit_code_2(command: Command, args: tuple[str, ...], part: str) -> None:
    """Each mistake is named, with what was probably meant; nothing is shown of our insides."""
    done = command(*args)

    assert done.returncode == 2, done.stderr
    assert part in " ".join(done.stderr.split())
    assert NO_TRACE not in done.stderr
    assert args[-2:] == ("-w", "flows:started") or command.marks() == []


def test_error_inside_a_users_module_shows_its_traceback(command: Command) -> None:
    """A module that cannot be imported is not a missing module; the cause is shown without our frames."""
    (command.folder / "broken.py").write_text("import inner\n")
    (command.folder / "inner.py").write_text("def f():\n    import not_installed_anywhere\nf()\n")

    done = command("start", "-s", "broken:step")

    assert done.returncode == 2
    assert done.stderr.count("Traceback") == 1
    assert "inner.py" in done.stderr
    assert "No module named 'not_installed_anywhere'" in done.stderr
    assert "importlib" not in done.stderr
    assert "dotflow/cli" not in done.stderr
    assert "dotflow/core" not in done.stderr


def test_syntax_error_in_a_users_module_shows_the_place(command: Command) -> None:
    """The line is shown."""
    (command.folder / "broken.py").write_text("x = 1\ndef f(:\n")

    done = command("start", "-s", "broken:step")

    assert done.returncode == 2
    assert "def f(:" in done.stderr
    assert "dotflow/c" not in done.stderr


@pytest.mark.parametrize(
    ("factory", "code", "part"),
    [
        ("raises", 2, "LookupError: no such table"),
        ("leaves", 2, "SystemExit"),
        ("misuses", 2, "flows.py, line"),
    ],
)
def test_error_inside_a_factory(command: Command, factory: str, code: int, part: str) -> None:
    """What a factory raises is shown with its place; a program that ends itself has not succeeded."""
    done = command("start", "-w", f"flows:{factory}")

    assert done.returncode == code
    assert part in done.stderr
    assert "dotflow/c" not in done.stderr


def test_working_folder_comes_first(command: Command) -> None:
    """A module of the working folder hides an installed one of the same name."""
    (command.folder / "wave.py").write_text("from dotflow import action\n@action\ndef step():\n    print('MINE')\n")
    process = command.python(
        "import sys; sys.path[:] = [p for p in sys.path if p]; from dotflow.main import main; main()",
        *("start", "-s", "wave:step"),
    )

    assert process.end() == 0
    assert "MINE" in process.text


def test_initial_context_stays_text(command: Command) -> None:
    """What looks like JSON is not read."""
    done = command("start", "-s", "flows:shows", "-i", '{"key": 1}')

    assert done.returncode == 0
    assert 'GOT str {"key": 1}' in done.stdout


def test_callback_is_called(command: Command) -> None:
    """The callback gets the task."""
    assert "CALLED first" in command("start", "-s", "flows:first", "-c", "flows:told").stdout


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ((), None),
        (("-o", "default"), None),
        (("-o", "default", "-p", "x"), None),
        (("-o", "file"), ".output"),
        (("-o", "file", "-p", "kept"), "kept"),
        (("-o", "sqlite"), "dotflow.db"),
        (("-o", "sqlite", "-p", "kept.db"), "kept.db"),
    ],
)
def test_storage_is_where_it_was_asked_for(command: Command, options: tuple[str, ...], made: str | None) -> None:
    """Each storage uses its own default path; without one nothing is written."""
    before = {path.name for path in command.folder.iterdir()}

    done = command("start", "-s", "flows:shows", "-i", "x", *options)

    after = {path.name for path in command.folder.iterdir()} - before - {"__pycache__"}
    assert done.returncode == 0, done.stderr
    assert (made in after) if made else not after


def test_workflow_id_comes_from_the_environment(command: Command) -> None:
    """WORKFLOW_ID names the run, and --workflow-id wins over it."""
    options = ("start", "-s", "flows:first", "-o", "sqlite", "--resume")

    for extra in ((), (), ("--workflow-id", "two")):
        assert command(*options, *extra, WORKFLOW_ID="one").returncode == 0

    assert command.marks() == ["first", "first"]
