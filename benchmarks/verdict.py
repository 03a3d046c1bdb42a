"""What the measurements say: figures of rows, and whether the gates are met."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.gates import Bound, Gate
from benchmarks.workloads import WORKLOADS, field

Key = tuple[str, str, str]  # workload, contestant, variant


class Measurements:
    """All measurements of a run, by row."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._rows: dict[Key, list[dict[str, Any]]] = {}
        for entry in entries:
            key = entry["workload"], entry["peer"], entry["variant"]
            self._rows.setdefault(key, []).append(entry["result"])

    def rows(self, workload: str) -> list[Key]:
        """Return the rows of a workload, as they were first measured."""
        return [key for key in self._rows if key[0] == workload]

    def all_of(self, key: Key) -> list[dict[str, Any]]:
        """Return every measurement of a row, failed ones too."""
        return self._rows.get(key, [])

    def good(self, key: Key) -> list[dict[str, Any]]:
        """Return the measurements of a row that were verified, without the one in which memory was sampled."""
        found = [result for result in self.all_of(key) if result["ok"]]
        return [result for result in found if "tree_mib" not in result] or found

    def figures(self, key: Key, name: str = "") -> list[float]:
        """Return the figure of each good measurement: the workload's, or the field *name*."""
        if name == "tree_mib":
            return [result[name] for result in self.all_of(key) if result["ok"] and name in result]
        quote = field(name) if name else WORKLOADS[key[0]].figure
        return [quote(result) for result in self.good(key)]

    def figure(self, key: Key, name: str = "") -> float | None:
        """Return the median, or ``None`` if there is no good measurement."""
        found = self.figures(key, name)
        return statistics.median(found) if found else None


@dataclass(frozen=True)
class Line:
    """A gate and what came of it; ``None`` where it could not be told.

    Attributes:
        gate: The gate.
        figure: dotflow's.
        ratio: To the row that the gate names; ``None`` where the gate is a figure.
        met: Whether the gate holds.
        reached: Whether the goal is reached.
        failed: dotflow was measured, and no measurement could be verified.
    """

    gate: Gate
    figure: float | None
    ratio: float | None
    met: bool | None
    reached: bool | None
    failed: bool = False


def judge(gate: Gate, found: Measurements) -> Line:
    """Return what the measurements say of a gate."""
    key = gate.workload, "dotflow", gate.row
    figure = found.figure(key, gate.field)
    if figure is None:
        return Line(gate, None, None, None, None, failed=bool(found.all_of(key)))
    beside = _beside(gate, gate.gate, found)
    return Line(
        gate,
        figure,
        figure / beside if beside else None,
        _holds(gate, gate.gate, figure, found),
        None if gate.goal is None else _holds(gate, gate.goal, figure, found),
    )


def missed(lines: list[Line]) -> list[Line]:
    """Return the gates that do not hold; one whose peer was not measured is not among them."""
    return [line for line in lines if line.met is False or line.failed]


def _beside(gate: Gate, bound: Bound, found: Measurements) -> float | None:
    if bound.beside is None:
        return None
    return found.figure((bound.workload or gate.workload, *bound.beside), gate.field)


def _holds(gate: Gate, bound: Bound, figure: float, found: Measurements) -> bool | None:
    limit = bound.value
    if bound.beside is not None:
        beside = _beside(gate, bound, found)
        if beside is None:
            return None
        limit *= beside
    return figure >= limit if gate.at_least else figure <= limit
