"""A storage that somebody else wrote, in a package of its own: found by its URL, and held to the whole contract."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "examples" / "dotflow-lmdb"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed, without a network."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(site)]
    done = subprocess.run([*pip, *options, str(PACKAGE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(site), *([inherited] if inherited else [])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_package_is_one_module_of_at_most_sixty_lines() -> None:
    """And imports nothing of dotflow but what the documents name."""
    [module] = [path for path in PACKAGE.glob("*.py") if not path.name.startswith("test_")]
    text = module.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 60
    ours = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {name for name in ours if str(name).startswith("dotflow")} == {"dotflow", "dotflow.abc.storage"}


def test_its_own_tests_pass_where_it_is_installed(site: Path, tmp_path: Path, quick_folder: Path) -> None:
    """All clauses of the kit, in the spelling of its test file, and the URL."""
    test = tmp_path / "test_dotflow_lmdb.py"
    test.write_bytes((PACKAGE / "test_dotflow_lmdb.py").read_bytes())
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-o", "addopts=", f"--rootdir={tmp_path}"]

    done = run(site, tmp_path, "-m", "pytest", *options, f"--basetemp={quick_folder / 'kit'}", str(test))

    from dotflow.testing import StorageContract

    clauses = [name for name in dir(StorageContract) if name.startswith("test_")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(clauses) + 1} passed" in done.stdout


def test_a_workflow_is_resumed_from_it_by_url(site: Path, tmp_path: Path) -> None:
    """On the command line, which knows nothing of the package."""
    flows = "from dotflow import action\n\n@action\ndef step():\n    print('RAN')\n    return {1, 2}\n"
    (tmp_path / "flows.py").write_text(flows)
    words = ["-m", "dotflow", "start", "-s", "flows:step", "-o", "lmdb:///kept/flow.lmdb", "--workflow-id", "w"]
    (tmp_path / "kept").mkdir()

    first = run(site, tmp_path, *words)
    again = run(site, tmp_path, *words, "--resume")

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert first.stdout.count("RAN") == 1
    assert "RAN" not in again.stdout
    assert (tmp_path / "kept" / "flow.lmdb" / "data.mdb").exists()
