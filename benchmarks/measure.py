"""One measurement of one case, in a process and a folder of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import environments, processes
from benchmarks.adapters.registry import Adapter, load
from benchmarks.case import Case
from benchmarks.child import MARK
from benchmarks.workloads import WORKLOADS

PEAK = """
if __name__ == "__main__":
    with open("/proc/self/status") as file:
        print("@@rss", *[line.split()[1] for line in file if line.startswith("VmHWM")])
"""


SEEDING = 240.0  # seconds that it may take


@dataclass(frozen=True)
class Measurer:
    """Measures cases.

    Attributes:
        variables: Environment variables for every measuring process: where servers are, how long a burn is.
        root: Folder for the scratch folders; ``None`` for the system's.
    """

    variables: dict[str, str] = field(default_factory=dict)
    root: Path | None = None

    def measure(self, name: str, workload: str, variant: str, *, sampled: bool = False) -> dict[str, Any]:
        """Measure once. What fails is a result too: ``ok`` is false and ``error`` says why."""
        adapter = load(name)
        case = adapter.CASES[workload][variant]
        folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-{workload}-", dir=self.root))
        try:
            return self._measure(name, adapter, workload, variant, case, folder, sampled)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _measure(
        self, name: str, adapter: Adapter, workload: str, variant: str, case: Case, folder: Path, sampled: bool
    ) -> dict[str, Any]:
        environment = adapter.PEER.environment
        more = {key: value.replace("{folder}", str(folder)) for key, value in adapter.PEER.variables.items()}
        variables = environments.variables(environment, folder, {**self.variables, **more})
        python = str(environments.python_of(environment))
        if adapter.PEER.seed and not case.fresh:
            failure = _seed(adapter, python, variables, folder)
            if failure:
                return failure
        if case.source:
            return _measure_program(case, [python, *_as_program(workload, case, folder)], variables, folder)
        command = [python, "-m", "benchmarks.child", name, workload, variant]
        for phase in case.phases[:-1]:
            ended = processes.run([*command, phase], variables, folder, case.timeout)
            if MARK not in ended.out:
                return _failed(ended, f"phase {phase}: ")
        ended = processes.run([*command, *case.phases[-1:]], variables, folder, case.timeout, sampled=sampled)
        for line in ended.out.splitlines():
            if line.startswith(MARK):
                found = json.loads(line[len(MARK) :])
                return {**found, "others": ended.others, **({"tree_mib": ended.tree_mib} if sampled else {})}
        return _failed(ended)


def _as_program(workload: str, case: Case, folder: Path) -> list[str]:
    """Return the arguments that have Python run the source: as ``-c`` where the import is what is measured."""
    if workload == "W1a":
        return ["-c", case.source]
    (folder / "program.py").write_text(case.source + (PEAK if workload == "W1b" else ""))
    return ["program.py"]


def _measure_program(case: Case, command: list[str], variables: dict[str, str], folder: Path) -> dict[str, Any]:
    bare = {key: value for key, value in variables.items() if key != "PYTHONPATH"}
    ended = processes.run(command, bare, folder, case.timeout)
    if ended.code != 0 or case.prints not in ended.out:
        return _failed(ended)
    found = {"seconds": ended.seconds, "n": 1, "ok": True, "others": ended.others}
    for line in ended.out.splitlines():
        if line.startswith("@@rss "):
            found["rss_mib"] = int(line[6:]) / 1024
    return found


def _failed(ended: processes.Ended, where: str = "") -> dict[str, Any]:
    why = "timed out" if ended.timed_out else f"exit code {ended.code}"
    last = (ended.err or ended.out).strip()[-600:]
    return {"ok": False, "error": f"{where}{why}: {last}"}


def _seed(adapter: Adapter, python: str, variables: dict[str, str], folder: Path) -> dict[str, Any] | None:
    """Copy the peer's seeded folder, made when it is first needed; return a failure if it could not be made."""
    kept = environments.FOLDER / adapter.PEER.environment / "seeded"
    if not kept.exists():
        (folder / "seed.py").write_text(adapter.PEER.seed)
        ended = processes.run([python, "seed.py"], variables, folder, SEEDING)
        if ended.code != 0:
            return _failed(ended, "its seed: ")
        shutil.copytree(folder / adapter.PEER.seeded, kept)
    else:
        shutil.copytree(kept, folder / adapter.PEER.seeded)
    return None


def variants(name: str, workload: str) -> list[str]:
    """Return the variants of *workload* that the contestant *name* has."""
    return list(load(name).CASES.get(workload, {}))


def repetitions(name: str, workload: str, variant: str, wanted: int | None) -> int:
    """Return how often that case is measured: as wanted, but once where once is enough, and no more than it allows."""
    case, usual = load(name).CASES[workload][variant], WORKLOADS[workload].repeat
    count = wanted if wanted and usual > 1 else usual
    return count if case.repeat is None else min(count, case.repeat)
