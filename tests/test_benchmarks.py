"""The benchmark: its real program runs, its gates name rows that exist, and its verdict counts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks import environments, report, verdict
from benchmarks.adapters import registry
from benchmarks.gates import GATES, Bound, Gate
from benchmarks.workloads import WORKLOADS, selected

ROOT = Path(__file__).parents[1]


def entry(peer: str, variant: str, seconds: float, ok: bool = True, **more: Any) -> dict[str, Any]:
    result = {"seconds": seconds, "n": 10_000, "ok": ok, "others": 0.0, **more}
    return {"workload": "W2", "peer": peer, "variant": variant, "turn": 0, "result": result}


def run_of(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"facts": {}, "versions": {}, "loops": [50.0], "results": list(entries)}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_gates_name_rows_that_adapters_have(gate: Gate) -> None:
    """Each gate, and each bound of it, is about a case that exists."""
    bounds = [(gate.workload, ("dotflow", gate.row))]
    bounds += [
        (bound.workload or gate.workload, bound.beside)
        for bound in (gate.gate, gate.goal)
        if bound is not None and bound.beside is not None
    ]

    for workload, (peer, variant) in bounds:
        assert variant in registry.load(peer).CASES[workload]


def test_goals_are_no_easier_than_gates() -> None:
    """Where gate and goal are factors of one row, or plain figures, the goal asks for more."""
    for gate in GATES:
        if gate.goal is not None and gate.goal.beside == gate.gate.beside:
            easier = gate.goal.value < gate.gate.value if gate.at_least else gate.goal.value > gate.gate.value
            assert not easier, gate.name


@pytest.mark.parametrize("name", [name for name in registry.EVERY if name != "dotflow"])
def test_adapters_are_complete_without_their_library(name: str) -> None:
    """Each peer has an environment, and cases of workloads that exist."""
    adapter = registry.load(name)

    assert environments.requirements(adapter.PEER.environment).is_file()
    assert adapter.CASES.keys() <= WORKLOADS.keys()
    assert all((case.run is None) != (not case.source) for cases in adapter.CASES.values() for case in cases.values())


def test_every_workload_names_rows_of_limit_and_dotflow() -> None:
    """The columns of the tables compare to rows that exist."""
    for name, workload in WORKLOADS.items():
        assert workload.ours in registry.load("dotflow").CASES[name]
        assert not workload.limit or workload.limit in registry.load("limit").CASES[name]


def test_a_family_of_workloads_is_chosen_by_its_number() -> None:
    """``W3`` stands for all of W3, and a wrong name is refused."""
    assert selected("W3") == ["W3a", "W3b", "W3c", "W3d", "W3v", "W3m"]
    assert "W10" not in selected("W1")
    with pytest.raises(ValueError, match="there is no workload 'W99'"):
        selected("W99")


def test_verdict_of_a_gate_beside_a_peer() -> None:
    """The ratio is taken to the peer's median, gate and goal are told apart, and a miss is a miss."""
    gate = next(gate for gate in GATES if gate.name == "W2 10k")
    slow = verdict.Measurements([entry("dotflow", "10k", 0.04), entry("huey", "immediate 10k", 0.1)])
    fast = verdict.Measurements([entry("dotflow", "10k", 0.02), entry("huey", "immediate 10k", 0.1)])

    assert verdict.judge(gate, slow) == verdict.Line(gate, 4.0, pytest.approx(0.4), True, False)
    assert verdict.judge(gate, fast).reached
    assert verdict.missed([verdict.judge(replace(gate, gate=Bound(0.1, gate.gate.beside)), fast)])


def test_without_the_peer_nothing_is_said_and_a_failed_row_is_a_miss() -> None:
    """A peer that was not measured is no failure of ours; a result of ours that is wrong is."""
    gate = next(gate for gate in GATES if gate.name == "W2 10k")
    alone = verdict.judge(gate, verdict.Measurements([entry("dotflow", "10k", 0.04)]))
    wrong = verdict.judge(gate, verdict.Measurements([entry("dotflow", "10k", 0.04, ok=False)]))

    assert (alone.met, alone.failed) == (None, False)
    assert verdict.missed([alone, wrong]) == [wrong]


def test_report_shows_ratios_and_what_failed() -> None:
    """The page has the verdict, each row's ratio to limit and to dotflow, and why a row failed."""
    page = report.page(
        run_of(
            entry("limit", "least engine 10k", 0.005),
            entry("dotflow", "10k", 0.04),
            entry("huey", "immediate 10k", 0.1),
            entry("dask", "delayed 1k", 1.0, ok=False, error="exit code 1: Boom"),
        )
    )

    assert "| Huey | immediate 10k | 10.00 | – | 20.00 | 2.50 | 1/1 |  |" in page
    assert (
        "| W2 10k | 4.00 µs per step | Huey, immediate 10k: 10.00 | 0.40 | ≤ 0.5 × | yes | ≤ 0.25 × | **no** |" in page
    )
    assert "Boom" in page


def test_the_real_program_measures_limit_and_dotflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest workload, in processes of its own, verified, with the report beside the raw numbers."""
    monkeypatch.setenv("BENCH_INTERPRETER", sys.executable)  # instead of environments, which have to be installed
    command = [sys.executable, "-m", "benchmarks", "--peers", "limit,dotflow", "--workloads", "W7", "--repeat", "1"]

    done = subprocess.run([*command, "--output", tmp_path], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "results.json").read_text())
    assert [(found["peer"], found["result"]["ok"]) for found in run["results"]] == [("limit", True), ("dotflow", True)]
    assert "| dotflow | 100 x 10 |" in (tmp_path / "RESULTS.md").read_text()
    assert "Not measured, for want of the peer: W7." in done.stdout


def test_wrong_usage_is_refused(tmp_path: Path) -> None:
    """A peer that is none ends the program with exit code 2, and names those there are."""
    command = [sys.executable, "-m", "benchmarks", "--peers", "hewey", "--output", tmp_path]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert "there is no peer 'hewey'; there are limit, dotflow," in done.stderr


def test_profile_names_our_functions() -> None:
    """The profile of a workload shows where the time goes."""
    command = [sys.executable, "-m", "benchmarks.profile_step", "W7", "--seconds", "0.5"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "src/dotflow/core/engine.py" in done.stdout
