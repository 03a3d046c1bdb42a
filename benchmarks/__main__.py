"""Run the benchmark: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import environments, machine, report, services, verdict
from benchmarks.adapters.registry import chosen, load
from benchmarks.measure import Measurer, repetitions, variants
from benchmarks.workloads import WORKLOADS, selected

HERE = Path(__file__).parent
DISTRIBUTIONS = {"hamilton": "sf-hamilton", "ray": "ray", "dask": "distributed", "limit": "psycopg", "ppe": "tenacity"}
INTERRUPTED = 130
Entry = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", default="light", help="light (default), all, or names with commas")
    parser.add_argument("--workloads", default="", help="names with commas, such as W2,W3; all by default")
    parser.add_argument("--repeat", type=int, help="repetitions, instead of what each workload has (W9 and W10: one)")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for RESULTS.md and results.json")
    parser.add_argument("--report", type=Path, nargs="+", metavar="JSON", help="only make the report again, from these")
    return parser.parse_args()


def main() -> int:
    """Return the exit code: 0 if every gate that was measured is met, 1 if not, 2 for wrong usage, 130 interrupted."""
    asked = arguments()
    try:
        peers, workloads = chosen(asked.peers), selected(asked.workloads)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.report:
        run = merged([json.loads(path.read_text()) for path in asked.report])
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped then too
        run = measure_all(peers, workloads, asked.repeat)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "results.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    (asked.output / "RESULTS.md").write_text(report.page(run))
    lines = report.verdict(run, {entry["workload"] for entry in run["results"]})
    print(report.gates_table(lines, verdict.Measurements(run["results"])))
    print(report.summary(lines), end="")
    print(f"The tables are in {asked.output / 'RESULTS.md'}.")
    if run.get("interrupted"):
        return INTERRUPTED
    return 1 if verdict.missed(lines) else 0


def measure_all(peers: list[str], workloads: list[str], repeat: int | None) -> Entry:
    """Measure every case of the *peers* in the *workloads*."""
    needed = {name for name in peers if any(variants(name, workload) for workload in workloads)}
    for environment in sorted({load(name).PEER.environment for name in needed}):
        environments.make(environment)
    run: Entry = {"started": time.strftime("%Y-%m-%d"), "facts": machine.facts(), "versions": {}, "loops": []}
    for name in peers:
        environment = load(name).PEER.environment
        version = environments.version_of(environment, DISTRIBUTIONS.get(name, environment))
        if version and name not in ("limit", "ppe", "raw"):
            run["versions"][load(name).PEER.title] = version
    wanted = {service for workload in workloads for service in WORKLOADS[workload].services}
    run["results"] = []
    with services.started(wanted) as where:
        measurer = Measurer({**where, "BENCH_TURNS": str(machine.turns_of_burn())})
        try:
            for entry in measurements(measurer, peers, workloads, repeat, run["loops"]):
                run["results"].append(entry)
                tell(entry)
        except KeyboardInterrupt:
            print("interrupted; the report has what was measured until now", file=sys.stderr)
            run["interrupted"] = True
    return run


def measurements(
    measurer: Measurer, peers: list[str], workloads: list[str], repeat: int | None, loops: list[float]
) -> Iterator[Entry]:
    """Yield measurement after measurement: each repetition goes through all contestants before the next begins."""
    for workload in workloads:
        cases = [(peer, variant) for peer in peers for variant in variants(peer, workload)]
        count = {case: repetitions(case[0], workload, case[1], repeat) for case in cases}
        sampled = WORKLOADS[workload].sampled
        for turn in range(-1 if sampled else 0, max(count.values(), default=0)):
            loops.append(machine.seconds_of_loop() * 1e3)
            for peer, variant in cases:
                if turn < count[peer, variant]:
                    result = measurer.measure(peer, workload, variant, sampled=turn < 0)
                    yield {"workload": workload, "peer": peer, "variant": variant, "turn": turn, "result": result}


def tell(entry: Entry) -> None:
    """Print one line for a measurement."""
    result, workload = entry["result"], WORKLOADS[entry["workload"]]
    text = f"{workload.figure(result):.4g} {workload.unit}" if result["ok"] else f"FAILED {result.get('error', '')}"
    print(f"{entry['workload']} {entry['turn'] + 1} {entry['peer']}, {entry['variant']}: {text}", file=sys.stderr)


def merged(runs: list[Entry]) -> Entry:
    """Return one run of several; a workload that a later one measured is taken from that one alone."""
    whole = dict(runs[0])
    for run in runs[1:]:
        again = {entry["workload"] for entry in run["results"]}
        kept = [entry for entry in whole["results"] if entry["workload"] not in again]
        whole["results"] = kept + run["results"]
        whole["loops"] = whole["loops"] + run["loops"]
        whole["versions"] = {**whole["versions"], **run["versions"]}
    return whole


if __name__ == "__main__":
    sys.exit(main())
