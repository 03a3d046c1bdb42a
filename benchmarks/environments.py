"""The environments of the peers: made when they are first used, with the versions that ``requirements/`` pins."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".environments"
SOURCE = HERE.parent / "src"
INTERPRETER = os.environ.get("BENCH_INTERPRETER")  # used for every peer instead, when nothing is to be installed


class InstallFailed(Exception):
    """An environment could not be made."""


def requirements(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"


def python_of(name: str) -> Path:
    """Return the interpreter of the environment *name*, which exists after ``make``."""
    if INTERPRETER:
        return Path(INTERPRETER)
    return FOLDER / name / "bin" / "python"


def make(name: str) -> None:
    """Make the environment *name* unless it is there with these very versions.

    Raises:
        InstallFailed: a package could not be installed; the text is pip's.
    """
    if INTERPRETER:
        return
    stamp = FOLDER / name / "installed"
    wanted = f"{sys.version} {hashlib.sha256(requirements(name).read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"making the environment {name}", file=sys.stderr, flush=True)
    venv.create(FOLDER / name, clear=True, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python_of(name))]
    done = subprocess.run(
        [*pip, "install", "--no-deps", "--requirement", requirements(name)], capture_output=True, text=True
    )
    if done.returncode:
        raise InstallFailed(f"{name}: {done.stderr.strip()[-2000:]}")
    if name == "dotflow":
        [packages] = (FOLDER / name / "lib").glob("python*/site-packages")
        (packages / "dotflow.pth").write_text(f"{SOURCE}\n")
    stamp.write_text(wanted)


def version_of(name: str, distribution: str) -> str:
    """Return the version of *distribution* that the environment *name* pins."""
    found = re.search(rf"^{re.escape(distribution)}==(\S+)", requirements(name).read_text(), re.MULTILINE)
    return found[1] if found else ""


def variables(name: str, folder: Path, more: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of a measuring process: few, and none that changes how Python works."""
    return {
        "PATH": f"{python_of(name).parent}:{os.defpath}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(HERE.parent),
        "BENCH_FOLDER": str(folder),
        **more,
    }
