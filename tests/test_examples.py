"""The examples run, and what they show is true."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

FLIGHTS = Path(__file__).parents[1] / "examples" / "flights"
SAMPLE = 40_000


class Demo(NamedTuple):
    code: int
    output: str
    folder: Path


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FLIGHTS / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    done = run("demo.py", "--sample", str(SAMPLE), folder=folder)
    return Demo(done.returncode, done.stdout + done.stderr, folder / ".output" / "flights")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FLIGHTS))
    for name in ("demo", "pipeline"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = importlib.import_module("demo")
    for name in ("demo", "pipeline"):
        monkeypatch.delitem(sys.modules, name)
    return found


def test_flights_demo_shows_what_it_promises(demo: Demo) -> None:
    """The killed run is resumed, no completed step runs twice, and the figures are those of pandas."""
    assert demo.code == 0, demo.output

    journal = Counter(line.split()[0] for line in (demo.folder / "journal.txt").read_text().splitlines())
    assert "What was shown" in demo.output
    assert journal["extract"] == journal["clean"] == journal["airlines"] == journal["plot"] == 1
    assert journal["airport-LGA"] == 2
    assert (demo.folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "Delta Air Lines" in (demo.folder / "table.csv").read_text()


def test_flights_demo_notices_a_step_that_ran_once_too_often(module: ModuleType) -> None:
    """A completed step that runs again, or one in flight that does not, is a fault."""
    steps, saved, done = ["a", "b", "c"], {"a"}, {"a", "b", "c"}
    begun = Counter(["a", "b"])

    assert module.wrong_runs(module.Evidence(steps, begun, saved, Counter(["b", "c"]), done)) == []

    [again] = module.wrong_runs(module.Evidence(steps, begun, saved, Counter(["a", "b", "c"]), done))
    assert again == "a was completed by process 1, and ran 1 + 1 times instead of 1 + 0"
    [missed, _] = module.wrong_runs(module.Evidence(steps, begun, saved, Counter(["c"]), {"a", "c"}))
    assert missed == "b was under way when process 1 was killed, and ran 1 + 0 times instead of 1 + 1"


def test_flights_demo_notices_a_wrong_figure(demo: Demo, module: ModuleType) -> None:
    """A result that differs from that of pandas is a fault."""
    import pandas as pd

    found = pd.read_csv(demo.folder / "table.csv")
    assert module.wrong_numbers(found, SAMPLE) == []

    found.loc[3, "mean_delay"] += 0.001
    assert module.wrong_numbers(found, SAMPLE) == ["column mean_delay differs from what pandas finds"]
    assert module.wrong_numbers(found[1:], SAMPLE) == ["the table has not the rows that pandas finds"]


def test_flights_pipeline_that_is_complete_has_nothing_to_resume(tmp_path: Path) -> None:
    """Run by hand, the pipeline ends well; run again with --resume, no step runs."""
    first = run("pipeline.py", "--sample", "5000", folder=tmp_path)
    second = run("pipeline.py", "--sample", "5000", "--resume", folder=tmp_path)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.count("completed in") == second.stdout.count("has its result from the database") == 10
    assert len((tmp_path / ".output" / "flights" / "journal.txt").read_text().splitlines()) == 10
