"""What users write is checked as they would want it: mypy and pyright accept right uses and reject wrong ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from once import made_once

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.py") if not path.name.startswith(("test_", "conftest")))
CHECKED = [HERE / "accepted.py", HERE / "rejected.py", *EXAMPLES]
UNTYPED = ("numpy", "pandas", "matplotlib")  # for pyright: what is theirs is not at issue here
EXPECTED = re.compile(r"# mypy: (.+), pyright: (.+)$")

UNANNOTATED = {"no-untyped-def", "no-untyped-call"}  # which an example may be

Found = dict[tuple[str, int], set[str]]


def expected_in(path: Path, checker: int) -> Found:
    """Return the errors that the comments of *path* name, by line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    marks = {number: EXPECTED.search(line) for number, line in enumerate(lines, start=1)}
    return {(path.name, number): set(mark[checker].split()) for number, mark in marks.items() if mark}


def kept(found: Found) -> str:
    return json.dumps([[*place, sorted(codes)] for place, codes in found.items()])


def read(path: Path) -> Found:
    return {(name, line): set(codes) for name, line, codes in json.loads(path.read_text())}


def run_mypy(folder: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--output=json", f"--cache-dir={folder / 'cache'}"]
    command += ["--config-file=", "--ignore-missing-imports", "--no-site-packages", *map(str, CHECKED)]
    command += ["--allow-untyped-decorators", "--allow-subclassing-any"]  # of libraries that are not looked into
    folders = [ROOT / "src", *sorted({path.parent for path in EXAMPLES})]
    environment = {"MYPYPATH": os.pathsep.join(map(str, folders)), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Found = {}
    for line in map(json.loads, done.stdout.splitlines()):
        path = Path(line["file"]).resolve()
        wanted = path in CHECKED and not (path in EXAMPLES and line["code"] in UNANNOTATED)
        if line["severity"] == "error" and wanted:
            found.setdefault((path.name, line["line"]), set()).add(line["code"])
    (folder / "found").write_text(kept(found))


def run_pyright(folder: Path) -> None:
    for name in UNTYPED:
        stub = folder / "typings" / name / "__init__.pyi"
        stub.parent.mkdir(parents=True)
        stub.write_text("from typing import Any\ndef __getattr__(name: str) -> Any: ...\n", encoding="utf-8")
    settings = {
        "typeCheckingMode": "standard",
        "strict": [str(HERE)],
        "include": [*map(str, CHECKED)],
        "extraPaths": [str(ROOT / "src"), *sorted({str(path.parent) for path in EXAMPLES})],
        "stubPath": str(folder / "typings"),
    }
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    command += ["--project", str(project)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Found = {}
    for item in json.loads(done.stdout)["generalDiagnostics"]:
        place = Path(item["file"]).name, item["range"]["start"]["line"] + 1
        found.setdefault(place, set()).add(item.get("rule", item["message"]))
    (folder / "found").write_text(kept(found))


@pytest.fixture(scope="module")
def by_mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return read(made_once(tmp_path_factory, "mypy", run_mypy) / "found")


@pytest.fixture(scope="module")
def by_pyright(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return read(made_once(tmp_path_factory, "pyright", run_pyright) / "found")


def in_file(found: Found, name: str) -> Found:
    return {place: codes for place, codes in found.items() if place[0] == name}


def test_mypy_accepts_what_is_right(by_mypy: Found) -> None:
    """Under --strict: steps, methods, classes, providers, callbacks, results, and the examples."""
    assert {place: codes for place, codes in by_mypy.items() if place[0] != "rejected.py"} == {}


def test_mypy_rejects_what_is_wrong(by_mypy: Found) -> None:
    """Each wrong line is reported, for the reason that its comment gives, and no other line is."""
    assert in_file(by_mypy, "rejected.py") == expected_in(HERE / "rejected.py", 1)


def test_pyright_accepts_what_is_right(by_pyright: Found) -> None:
    """In strict mode; the examples in standard mode."""
    assert {place: codes for place, codes in by_pyright.items() if place[0] != "rejected.py"} == {}


def test_pyright_rejects_what_is_wrong(by_pyright: Found) -> None:
    """Each wrong line is reported, for the reason that its comment gives, and no other line is."""
    assert in_file(by_pyright, "rejected.py") == expected_in(HERE / "rejected.py", 2)
