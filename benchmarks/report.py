"""The report: one Markdown page made of the measurements."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.adapters.registry import load
from benchmarks.gates import GATES, Bound, Gate
from benchmarks.machine import BUSY
from benchmarks.verdict import Key, Line, Measurements, judge
from benchmarks.workloads import WORKLOADS, Workload

Run = dict[str, Any]
HEAD = """# Results

Made by `make bench`; the raw numbers are in [results.json](results.json), how it works stands in
[README.md](README.md). Each figure is the median of verified measurements, each in a process of its own, interleaved;
`±` is half the distance between the smallest and the largest. Compare ratios: figures move with the machine.
"""


def verdict(run: Run, only: set[str]) -> list[Line]:
    """Return the verdict on every gate of the workloads *only*."""
    found = Measurements(run["results"])
    return [judge(gate, found) for gate in GATES if gate.workload in only]


def page(run: Run) -> str:
    """Return the whole report."""
    found = Measurements(run["results"])
    measured = {entry["workload"] for entry in run["results"]}
    lines = verdict(run, measured)
    parts = [HEAD, facts(run), "## Gates and goals\n", gates_table(lines, found), summary(lines)]
    for name in WORKLOADS:
        if name in measured:
            parts.append(section(name, found))
    return "\n".join(parts)


def facts(run: Run) -> str:
    """Return machine, versions and settings."""
    items = [f"- {name}: {value}" for name, value in run["facts"].items()]
    others = [entry["result"].get("others", 0.0) for entry in run["results"]]
    disturbed = sum(value > BUSY for value in others)
    items.append(f"- measurements: {len(others)}, of which {disturbed} while others used more than {BUSY} of a core")
    loops = run["loops"]
    items.append(f"- speed: a loop of a million turns took {_number(min(loops))} to {_number(max(loops))} ms meanwhile")
    items.append("- versions: " + ", ".join(f"{name} {version}" for name, version in run["versions"].items()))
    return "\n".join(items) + "\n"


def gates_table(lines: list[Line], found: Measurements) -> str:
    head = "| | dotflow | beside | ratio | gate | | goal | |\n|---|---|---|---|---|---|---|---|\n"
    rows = []
    for line in lines:
        gate = line.gate
        unit = gate.unit or WORKLOADS[gate.workload].unit
        beside = "–"
        if gate.gate.beside is not None:
            peer, variant = gate.gate.beside
            theirs = found.figure((gate.gate.workload or gate.workload, peer, variant), gate.field)
            beside = f"{load(peer).PEER.title}, {variant}: {_number(theirs)}"
        figure = "failed" if line.failed else f"{_number(line.figure)} {unit}".strip()
        cells = [gate.name, figure, beside, _number(line.ratio), bound(gate, gate.gate), _word(line.met, line.failed)]
        cells += [bound(gate, gate.goal), _word(line.reached, line.failed)] if gate.goal else ["–", ""]
        rows.append(f"| {' | '.join(cells)} |")
    return head + "\n".join(rows) + "\n"


def bound(gate: Gate, limit: Bound) -> str:
    """Return a bound in words."""
    sign = "≥" if gate.at_least else "≤"
    if limit.beside is None:
        return f"{sign} {limit.value:g} {gate.unit or WORKLOADS[gate.workload].unit}".strip()
    other = "" if limit.beside == gate.gate.beside else f" {limit.beside[1]}"
    return f"{sign} {limit.value:g} ×{other}"


def summary(lines: list[Line]) -> str:
    """Return how many gates and goals there are, and which are not met."""
    missing = [line.gate.name for line in lines if line.met is False or line.failed]
    unreached = [line.gate.name for line in lines if line.gate.goal and (line.reached is False or line.failed)]
    unknown = [line.gate.name for line in lines if line.met is None and not line.failed]
    goals = sum(line.gate.goal is not None for line in lines)
    text = f"Gates not met: {', '.join(missing) or 'none'} (of {len(lines)}).\n"
    text += f"Goals not reached: {', '.join(unreached) or 'none'} (of {goals}).\n"
    return text + (f"Not measured, for want of the peer: {', '.join(unknown)}.\n" if unknown else "")


def section(name: str, found: Measurements) -> str:
    """Return the table of one workload, fastest first, failed rows last."""
    workload = WORKLOADS[name]
    keys = sorted(found.rows(name), key=lambda key: _place(workload, found.figure(key)))
    limit = found.figure((name, "limit", workload.limit)) if workload.limit else None
    ours = found.figure((name, "dotflow", workload.ours))
    extra = extras(name, keys, found)
    head = ["", "", workload.unit or "share", "±", "÷ limit", "÷ dotflow", *extra.values(), "verified", ""]
    text = f"## {name}: {workload.title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    return text + "".join(f"| {' | '.join(_row(key, found, limit, ours, list(extra)))} |\n" for key in keys)


def extras(name: str, keys: list[Key], found: Measurements) -> dict[str, str]:
    """Return the other fields that the table of a workload shows, and their titles."""
    titles = {"rss_mib": "MiB", "max_ms": "max ms", "missed": "missed", "tree_mib": "tree MiB"}
    known = {field for key in keys for result in found.all_of(key) for field in result}
    chosen = {field: title for field, title in titles.items() if field in known}
    if name == "W2o":
        chosen["added"] = "µs added"
    return chosen


def _row(key: Key, found: Measurements, limit: float | None, ours: float | None, extra: list[str]) -> list[str]:
    _, peer, variant = key
    every, figures = found.all_of(key), found.figures(key)
    title = load(peer).PEER.title
    note = next((result["note"] for result in every if result.get("note")), "")
    if not figures:
        error = next((str(result.get("error", "")) for result in every), "").strip().splitlines()
        why = error[-1][-120:].replace("|", "/") if error else "the result is wrong"
        return [title, variant, "failed", "", "", "", *("" for _ in extra), f"0/{len(every)}", why]
    figure = statistics.median(figures)
    cells = [title, variant, _number(figure), _number((max(figures) - min(figures)) / 2) if len(figures) > 1 else "–"]
    cells += [_number(figure / limit) if limit else "–", _number(figure / ours) if ours else "–"]
    for field in extra:
        value = figure - (ours or 0.0) if field == "added" else found.figure(key, field) if _has(every, field) else None
        cells.append(_number(value))
    verified = sum(bool(result["ok"]) for result in every)
    return [*cells, f"{verified}/{len(every)}", note]


def _has(results: list[dict[str, Any]], field: str) -> bool:
    return any(field in result for result in results)


def _place(workload: Workload, figure: float | None) -> float:
    if figure is None:
        return float("inf")
    return -figure if workload.title.endswith("share of the ideal") else figure


def _word(held: bool | None, failed: bool) -> str:
    if failed:
        return "**no**"
    return {True: "yes", False: "**no**", None: "not measured"}[held]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    size = abs(value)
    if size == 0 or size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 0.095 else f"{value:.3g}"
