"""The commands that surround a run: a new project, a drawing, a diagnosis, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from cli_process import Command, environment

from dotflow.cli import doctor, tools
from dotflow.cli.doctor import KEYS, VARIABLES
from dotflow.views.graph import FORMATS

ROOT = Path(__file__).parents[2]
GRAPH_FLOWS = """
import sys
from dotflow import Config, DotFlow, action
from dotflow.providers import StorageSQLite

@action
def extract():
    return 1

@action
def load():
    if "--resume" not in sys.argv:
        raise ValueError("not yet")

def build():
    workflow = DotFlow(Config(storage=StorageSQLite("kept.db")), workflow_id="night")
    workflow.task.add([extract, load])
    return workflow

def wild():
    workflow = DotFlow()
    workflow.task.add(extract, task_id="wild\\u2028<b>\\"]")
    return workflow

def wide():
    workflow = DotFlow()
    workflow.task.add(extract, task_id="a" * 100)
    return workflow

ready = build()
"""


@pytest.fixture
def graphs(command: Command) -> Command:
    """A command in a folder with workflows to draw."""
    (command.folder / "night.py").write_text(GRAPH_FLOWS)
    return command


# -- init -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", tools.TEMPLATES)
def test_new_project_runs_and_passes_its_tests(command: Command, template: str) -> None:
    """Every command of its README works as it is written, and so do its tests; nothing is asked."""
    made = command("init", "My Project", "--template", template)
    assert made.returncode == 0, made.stderr
    project = command.folder / "My Project"
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "my-project"
    lines = re.findall(r"^    (dotflow|python) (.+?)(?:  +#.*)?$", (project / "README.md").read_text(), re.MULTILINE)
    assert len(lines) >= 5

    for program, rest in lines:
        if rest.startswith("schedule --workflow"):
            continue  # it does not end by itself; `schedule next` checks the same
        words = ["-m", "dotflow"] if program == "dotflow" else []
        done = subprocess.run(
            [sys.executable, *words, *shlex.split(rest)],
            cwd=project, env=environment({}), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {rest}\n{done.stdout}{done.stderr}"
    ignored = (project / ".gitignore").read_text().split()
    new = {path.name for path in project.iterdir()} - set(re.findall(r"wrote My Project/(\S+)", made.stdout))
    assert {name.partition("-")[0].partition(".db")[0] for name in new} <= {
        "__pycache__", ".pytest_cache", "flow", "report.txt", ".benchmarks",
    }, ignored  # fmt: skip


def test_new_project_overwrites_nothing(command: Command) -> None:
    """What is there is named, nothing is written; --force overwrites."""
    (command.folder / "flows.py").write_text("mine")

    done = command("init")

    assert done.returncode == 2
    assert "this folder has flows.py already, and nothing was written" in done.stderr
    assert not (command.folder / "pyproject.toml").exists()
    assert command("init", "--force").returncode == 0
    assert "DotFlow" in (command.folder / "flows.py").read_text()


def test_folder_that_cannot_be_made(command: Command) -> None:
    """A file in the way is one line."""
    (command.folder / "file").write_text("")

    done = command("init", "file/project")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the folder 'file/project' cannot be made: Not a directory" in done.stderr


def test_new_project_can_be_installed(command: Command) -> None:
    """With its module alone; the extra of its tests brings pytest, and the next steps say so."""
    made = command("init", "my orders")
    lines = made.stdout.partition("Next:\n")[2].split("\n")
    assert lines[0] == "  cd 'my orders'"
    assert lines[-3:-1] == ["  python -m pip install -e '.[test]'", "  python -m pytest"]

    options = ["-q", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "-w", "built"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "./my orders"],
        cwd=command.folder, env=environment({"PYTHONWARNINGS": "ignore"}),  # those of pip itself
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((command.folder / "built").glob("*.whl"))) as wheel:
        assert [name for name in wheel.namelist() if "dist-info" not in name] == ["flows.py"]
        metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    assert re.search(r"^Requires-Dist: pytest; extra == .test.$", metadata, re.MULTILINE)


def test_wheel_contains_the_templates(tmp_path: Path) -> None:
    """What `init` writes is part of the package that users install."""
    code = (
        "from hatchling.builders.wheel import WheelBuilder;"
        f"print(next(WheelBuilder({str(ROOT)!r}).build(directory={str(tmp_path)!r}, versions=['standard'])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())

    templates = ROOT / "src" / "dotflow" / "cli" / "templates"
    wanted = {str(path.relative_to(ROOT / "src")) for path in templates.rglob("*.template")}
    assert len(wanted) >= 8
    assert wanted <= names


# -- graph ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["night:build", "night:ready"])
def test_graph_is_text_by_default(graphs: Command, target: str) -> None:
    """A function that makes a workflow, or the workflow itself; nothing runs."""
    done = graphs("graph", target)

    assert (done.returncode, done.stdout, done.stderr) == (0, "extract\n↓ load\n", "")
    assert not (graphs.folder / "kept.db").exists()


def test_graph_of_one_step(graphs: Command) -> None:
    """A step is a workflow of one."""
    assert graphs("graph", "night:extract").stdout == "extract\n"


def test_formats_are_those_of_the_library() -> None:
    """The command line repeats the names, since the table costs an import."""
    assert tuple(FORMATS) == tools.FORMATS


@pytest.mark.parametrize(
    ("name", "start"), [("a.svg", b"<svg "), ("a.PNG", b"\x89PNG"), ("a.mmd", b"flowchart"), ("a.txt", b"extract")]
)
def test_ending_of_the_file_is_the_format(graphs: Command, name: str, start: bytes) -> None:
    """Nothing else has to be said; what is there stays, unless --force."""
    path = graphs.folder / name

    assert graphs("graph", "night:build", "-o", name).returncode == 0
    assert path.read_bytes().startswith(start)

    path.write_bytes(b"mine")
    done = graphs("graph", "night:build", "-o", name)
    assert done.returncode == 2
    assert f"{name} is there already" in done.stderr
    assert path.read_bytes() == b"mine"
    assert graphs("graph", "night:build", "-o", name, "--force").returncode == 0
    assert path.read_bytes().startswith(start)
    assert not list(graphs.folder.glob(".*.part"))


def test_format_that_is_named_beats_the_ending(graphs: Command) -> None:
    """Whoever names the format may call the file what they like; a name without ending is text."""
    assert graphs("graph", "night:build", "-o", "a.picture", "-f", "svg").returncode == 0
    assert graphs("graph", "night:build", "-o", "plain").returncode == 0

    assert (graphs.folder / "a.picture").read_text().startswith("<svg")
    assert (graphs.folder / "plain").read_text() == "extract\n↓ load\n"


def test_graph_shows_how_a_run_went(graphs: Command) -> None:
    """Before, in the middle and at the end, by workflow id and by run id; nothing runs for it."""
    assert graphs("graph", "night:build", "--run", "night").returncode == 2
    assert graphs("start", "-w", "night:build").returncode == 1

    for options in (("--run", "night"), ("--storage", "sqlite", "-p", "kept.db")):
        done = graphs("graph", "night:build", *options)
        assert re.sub(r" \d.*", "", done.stdout) == "extract  ✔ Completed\n↓ load   ✘ Failed\n", done.stderr
    failed = json.loads(graphs("runs", "--storage", "sqlite:///kept.db", "--json").stdout)[0]["run_id"]
    assert graphs("start", "-w", "night:build").returncode == 1
    assert graphs("start", "-w", "night:build", "--resume").returncode == 0
    assert graphs("graph", "night:build", "--run", "night").stdout.count("✔ Completed") == 2
    assert "✘ Failed" in graphs("graph", "night:build", "--run", failed).stdout


def test_graph_shows_what_is_saved_of_a_run_without_a_history(graphs: Command) -> None:
    flow = (graphs.folder / "night.py").read_text()
    (graphs.folder / "night.py").write_text(
        flow.replace('StorageSQLite("kept.db")', 'StorageSQLite("kept.db"), keep_runs=0')
    )
    assert graphs("start", "-w", "night:build").returncode == 1

    done = graphs("graph", "night:build", "--run", "night")

    assert done.stdout == "extract  ✔ Completed\n↓ load   ○ Not completed\n", done.stderr


def test_misspelt_run_gets_the_nearest(graphs: Command) -> None:
    """A run that is not there is said to be not there."""
    graphs("start", "-w", "night:build")

    done = graphs("graph", "night:build", "--run", "nigth")

    assert done.returncode == 2
    assert "nothing is saved under the workflow id 'nigth'; did you mean 'night'?" in done.stderr


def test_devices_and_links_stay_what_they_are(graphs: Command) -> None:
    """A device is written to and not replaced, a link leads where it did."""
    (graphs.folder / "target.svg").write_text("mine")
    (graphs.folder / "link.svg").symlink_to("target.svg")

    assert graphs("graph", "night:build", "-o", "/dev/stdout").stdout == "extract\n↓ load\n"
    assert graphs("graph", "night:build", "-o", "link.svg").returncode == 2
    assert graphs("graph", "night:build", "-o", "link.svg", "--force").returncode == 0
    assert (graphs.folder / "link.svg").is_symlink()
    assert (graphs.folder / "target.svg").read_text().startswith("<svg")
    assert "cannot be written: Is a directory" in graphs("graph", "night:build", "-o", ".", "--force").stderr


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("night:biuld",), "did you mean 'build'?"),
        (("nigth:build",), "did you mean 'night'?"),
        (("night.py",), "did you mean 'night:name'?"),
        (("night:build", "-f", "pgn"), "did you mean 'png'?"),
        (("night:wild", "--run", "x"), "keeps nothing that another process could show"),
        (("night:wild", "--storage", "file"), "--run ID"),
        (("night:build", "--path", "x"), "add --storage"),
        (("night:build", "-o", "no/such/folder.svg"), "cannot be written: No such file"),
        (("night:build", "-m", "paralel"), "did you mean 'parallel'?"),
        (("night:build", "-o", "a.pdf"), "'.pdf' (known endings: .txt, .mmd, .mermaid, .svg, .png); or name one by"),
        (("night:build", "-o", "a.pgn"), "'.pgn'; did you mean '.png'?"),
    ],
)
def test_wrong_use_of_graph(graphs: Command, args: tuple[str, ...], part: str) -> None:
    """One sentence, which names the way out."""
    done = graphs("graph", *args)

    assert done.returncode == 2, done.stdout
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_wild_names_do_not_break_the_text(graphs: Command) -> None:
    """Line separators are shown, not obeyed."""
    assert graphs("graph", "night:wild").stdout == 'wild\\u2028<b>"]\n'


def test_png_to_a_pipe_and_to_a_terminal(graphs: Command) -> None:
    """A pipe gets the picture; a terminal gets a sentence."""
    words = shlex.join(graphs.words(("graph", "night:build", "-f", "png")))
    done = subprocess.run(
        f"{words} | head -c 4", shell=True, cwd=graphs.folder, env=environment({}), capture_output=True, timeout=20
    )
    assert (done.stdout, done.stderr) == (b"\x89PNG", b"")

    process = graphs.on_terminal("graph", "night:build", "-f", "png")
    assert process.end() == 2
    assert "--output FILE.png" in process.text


# -- doctor -----------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong(command: Command) -> None:
    """A healthy installation: every part is named, exit code 0, and JSON says the same."""
    done = command("doctor", "--storage", "sqlite")
    told = json.loads(command("doctor", "--storage", "sqlite", "--json").stdout)

    assert done.returncode == 0, done.stdout
    for part in ("python", "dotflow", "time zones", "start methods", "StorageSQLite works", "nothing is wrong"):
        assert part in done.stdout
    assert told["ok"] is True
    assert {check["name"] for check in told["checks"]} >= {"python", "dotflow", "storage", "processes"}
    assert {tuple(check) for check in told["checks"]} == {("name", "state", "text", "fix")}


def test_doctor_has_a_deadline(command: Command) -> None:
    """A server that takes the connection and says nothing is waited for as long as was asked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = command("doctor", "--storage", f"redis://127.0.0.1:{port}/0", "--timeout", "0.5")

    assert done.returncode == 1
    assert "WRONG  storage" in done.stdout
    assert "no answer within 0.5 s" in done.stdout
    assert "fix: check that the server runs" in done.stdout


def test_doctor_says_what_is_wrong_and_hides_secrets(command: Command) -> None:
    """A server that is not there, a misspelt key, a variable that means nothing; passwords are not shown."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    (command.folder / "pyproject.toml").write_text('[tool.dotflow]\nstorge = "sqlite:///x.db"\n')
    secret = "hunter2hunter2"

    done = command(
        "doctor",
        DOTFLOW_STORAGE=f"postgresql://me:{secret}@127.0.0.1:{port}/db", DOTFLOW_CODEC_KEY=secret, DOTFLOW_STORGE="x",
    )  # fmt: skip

    assert done.returncode == 1
    assert "[tool.dotflow] has no 'storge'; did you mean 'storage'?" in done.stdout
    assert "WRONG  storage" in done.stdout
    assert "means nothing to dotflow; did you mean 'DOTFLOW_STORAGE'?" in done.stdout
    assert secret not in done.stdout + done.stderr
    assert "2 of" in done.stdout


def test_doctor_begins_with_what_is_wrong(command: Command) -> None:
    """Whoever looks because something is wrong sees it first."""
    done = command("doctor", DOTFLOW_STORAGE="s3://")

    assert done.returncode == 1
    assert done.stdout.startswith("WRONG  storage")
    assert "WRONG" not in done.stdout.partition("OK")[2].removesuffix("something wrong\n")


def test_doctor_names_extras_that_are_not_installed_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there, or of which a part is missing, have a line of their own."""
    wanted = [f"{name}>=1; extra == '{extra}'" for name, extra in
              (("gone-a", "a"), ("pytest", "b"), ("gone-c", "c"), ("pytest", "d"), ("gone-d", "d"))]  # fmt: skip
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: wanted)

    found = {check.name: check for check in doctor.package_checks()}

    assert list(found)[1:] == ["extra b", "extra d", "other extras"]
    assert found["other extras"] == (
        "other extras", "note", "not installed: a, c", "if you need one: pip install 'dotflow[a]', and so on",
    )  # fmt: skip
    assert "gone-d is missing" in found["extra d"].text


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("--storage", "s3://"), "needs the name of a bucket"),
        (("-w", "flows:raises"), "LookupError: no such table"),
        (("-w", "flows:gone"), "no attribute 'gone'"),
    ],
)
def test_doctor_reports_what_cannot_be_opened(command: Command, args: tuple[str, ...], part: str) -> None:
    """A storage that cannot even be made is a finding, like any other."""
    done = command("doctor", *args)

    assert done.returncode == 1, done.stderr
    assert part in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_doctor_finds_a_table_that_is_none(command: Command) -> None:
    """What is in the place of the table is shown, here and by every command."""
    (command.folder / "pyproject.toml").write_text('[tool]\ndotflow = "x"\n')

    assert command("doctor").stdout.count("WRONG") == 2
    done = command("start", "-s", "flows:first")
    assert done.returncode == 2
    assert "needs to be a table, got 'x'" in done.stderr


# -- completion -------------------------------------------------------------------------------------------


def completed(command: Command, line: str) -> list[str]:
    """Type *line* in a real bash with the script loaded; return what it offers for the last word."""
    folder = command.folder / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "dotflow"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dotflow "$@"\n')
    program.chmod(0o755)
    code = f"""
        eval "$(dotflow completion bash)"
        line={shlex.quote(line)}
        {SPLIT}
        COMPREPLY=()
        $(complete -p dotflow | sed 's/.*-F \\([^ ]*\\).*/\\1/') dotflow
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "--norc", "-c", code], cwd=command.folder, env=environment({"PATH": path}),
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


# As readline does: a colon is a word of its own.
SPLIT = r"""
COMP_WORDS=()
for word in $line; do
    while [[ $word == *:* ]]; do
        [[ -n ${word%%:*} ]] && COMP_WORDS+=("${word%%:*}")
        COMP_WORDS+=(":"); word=${word#*:}
    done
    [[ -n $word ]] && COMP_WORDS+=("$word")
done
[[ $line == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dotflow gr", ["graph"]),
        ("dotflow schedule ba", ["backfill"]),
        ("dotflow graph --mo", ["--mode"]),
        ("dotflow graph x --format m", ["mermaid"]),
        ("dotflow graph ni", ["night:"]),
        ("dotflow graph night:bu", ["build"]),
        ("dotflow start -w night:", ["extract", "load", "build", "wild", "wide", "ready"]),
        ("dotflow start -o sq", ["sqlite"]),
        ("dotflow completion ", ["bash", "zsh", "fish"]),
        ("dotflow graph broken:", []),
    ],
)
def test_bash_completes(graphs: Command, line: str, expected: list[str]) -> None:
    """Commands, options, choices, and names in modules, which are not run for it."""
    (graphs.folder / "broken.py").write_text("def f(:\n")
    (graphs.folder / "night.py").write_text("raise SystemExit('imported')\n" + GRAPH_FLOWS)

    assert completed(graphs, line) == expected


def test_bash_completes_what_is_in_the_storage(command: Command) -> None:
    """Runs by the beginning of their ids, and statuses."""
    command("start", "-w", "flows:failing")
    run = json.loads(command("runs", "-o", "sqlite:///kept.db", "--json").stdout)[0]["run_id"]

    assert completed(command, "dotflow show -p kept.db ") == [run[:8]]
    assert completed(command, "dotflow runs --status c") == ["completed", "cancelled"]
    assert completed(command, "dotflow show -p none.db ") == []


@pytest.mark.parametrize(
    ("shell", "part"), [("zsh", "#compdef dotflow"), ("fish", "complete --no-files --command dotflow")]
)
def test_scripts_of_other_shells(command: Command, shell: str, part: str) -> None:
    """They are printed whether the shell is there or not."""
    done = command("completion", shell)

    assert done.returncode == 0
    assert part in done.stdout
    assert "_DOTFLOW_COMPLETE" in done.stdout


def test_unknown_shell_gets_the_nearest(command: Command) -> None:
    """Nothing is guessed."""
    done = command("completion", "bahs")

    assert done.returncode == 2
    assert "did you mean 'bash'?" in done.stderr


# -- what is told of all of them --------------------------------------------------------------------------


def test_reference_names_every_command_and_setting() -> None:
    """A page for all of it: commands, variables, and the keys of ``[tool.dotflow]``."""
    import click

    from dotflow.cli.command import commands

    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    names = commands.list_commands(click.Context(commands))

    assert len(names) > 10
    assert [name for name in names if f"`{name}" not in page and f"## dotflow {name}" not in page] == []
    assert [name for name in (*VARIABLES, *KEYS) if f"`{name}`" not in page] == []


def test_doctor_knows_every_variable_that_is_read() -> None:
    """What the source looks up by a name of ours, or of 1.x, is no misspelling."""
    read = re.compile(r"""[^_A-Z"']["']((?:DOTFLOW|WORKFLOW|SERVER)_[A-Z_]+)["']""")
    found = {name for file in (ROOT / "src").rglob("*.py") for name in read.findall(file.read_text(encoding="utf-8"))}

    assert found == set(VARIABLES)
