"""Kill the flights pipeline half-way, resume it, and prove that nothing was done twice.

    python examples/flights/demo.py [--sample N]

The exit code is 0 if everything is as promised, and 1 if anything is not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pipeline
from rich.console import Console
from rich.table import Table

from dotflow.providers import StorageSQLite

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(".output", "flights")
ALL, SMALLEST = 336_776, 10_000  # flights
FILES = {
    "table.csv": "the whole result",
    "plot.png": "the result, drawn",
    "flights.db": "the database with what every step returned",
    "journal.txt": "a line whenever a step began, with its process",
}
KILL_AT = "airport-LGA"
PATIENCE = 120  # seconds for a process to get where it should
GONE = 5  # seconds after which no worker of a killed process may be left

console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)


class Evidence(NamedTuple):
    """What was seen: which steps began in which process, and what the database held after each."""

    steps: list[str]
    first: Counter[str]
    saved: set[str]
    second: Counter[str]
    done: set[str]

    @property
    def in_flight(self) -> list[str]:
        """The steps that had begun and were not done when the process was killed."""
        return [step for step in self.steps if self.first[step] and step not in self.saved]


class Process:
    """A process that runs the pipeline, what it prints, and whether anything of it is left."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, pipeline.__file__, "--folder", str(FOLDER), *arguments]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._name = name
        self._printer = threading.Thread(target=self._print, daemon=True)
        self._printer.start()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._child.poll() is not None

    def kill(self) -> int:
        """Kill it, as ``kill -9`` does; return its exit code."""
        self._child.send_signal(signal.SIGKILL)
        return self._child.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return self.kill()

    def gone(self) -> bool:
        """Whether its workers have ended as well: they share its output, which then is at its end."""
        self._printer.join(GONE)
        return not self._printer.is_alive()

    def _print(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            console.print(f"  {self._name} │ {line.rstrip()}", markup=False, soft_wrap=True)


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sample", type=int, help=f"take that many flights instead of all {ALL}")
    sample: int | None = parser.parse_args().sample
    if sample is not None and not SMALLEST <= sample <= ALL:
        parser.error(f"--sample needs a number from {SMALLEST} to {ALL}, got {sample}")
    options = [] if sample is None else ["--sample", str(sample)]
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)

    heading(f"1. A first process runs the pipeline; it is killed when {KILL_AT} has begun")
    if faults := run_and_kill(options):
        return blame(faults)
    begun, saved = Counter(journal()), dict(stored())
    heading("2. What the database holds now")
    show_saved(saved)
    heading("3. A second process resumes the run")
    faults = resume(options)

    steps = [task.task_id for task in pipeline.build(FOLDER / "flights.db", "flights-2013").task.queue]
    evidence = Evidence(steps, begun, set(saved), Counter(journal()) - begun, {step for step, _ in stored()})
    heading("4. Which step ran where")
    show_runs(evidence)
    if faults := faults + wrong_runs(evidence):
        return blame(faults)

    heading("5. The result")
    found = pd.read_csv(FOLDER / "table.csv")
    show_result(found)
    show_files()
    if faults := wrong_numbers(found, sample) + wrong_files():
        return blame(faults)
    conclude(evidence, time.monotonic() - began)
    return 0


def run_and_kill(options: list[str]) -> list[str]:
    """Run the pipeline in a process and kill it half-way; return what went wrong."""
    process = Process("process 1", *options)
    reached = wait_for(KILL_AT, process)
    code = process.kill()
    gone = process.gone()
    if not reached or code != -signal.SIGKILL:
        return [f"process 1 was not killed in {KILL_AT}: it ended with code {code}"]
    if not gone:
        return [f"workers of process 1 live {GONE} s after it was killed"]
    console.print(f"  kill -9: the process is gone (exit code {code}), and its workers with it")
    return []


def resume(options: list[str]) -> list[str]:
    """Let a second process go on; return what went wrong."""
    process = Process("process 2", "--resume", *options)
    code = process.wait()
    if not process.gone():
        return [f"workers of process 2 live {GONE} s after it ended"]
    return [f"process 2 ended with code {code}"] if code else []


# -- watching ------------------------------------------------------------------------------------------------


def journal() -> list[str]:
    """Return the steps that have begun, in order; each step writes a line when it begins."""
    path = FOLDER / "journal.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(step: str, process: Process) -> bool:
    """Wait until the journal shows that *step* has begun; return whether it has."""
    until = time.monotonic() + PATIENCE
    while step not in journal():
        if process.ended or time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def stored() -> Iterator[tuple[str, str]]:
    """Return the steps whose results the database holds, with the time when each was saved."""
    storage = StorageSQLite(FOLDER / "flights.db")
    contexts = storage.get_many(sorted(storage.list_keys())).values()
    storage.close()
    for context in sorted(contexts, key=lambda context: context.time):
        if context.task_id and not context.task_id.startswith("_"):  # the rest are dotflow's own records
            yield context.task_id, f"{context.time:%H:%M:%S.%f}"[:-3]


# -- checking ------------------------------------------------------------------------------------------------


def wrong_runs(evidence: Evidence) -> list[str]:
    """Return what is wrong with how often the steps ran."""
    faults = []
    for step in evidence.steps:
        got = evidence.first[step], evidence.second[step]
        if step in evidence.saved:
            right, why = (1, 0), "was completed by process 1"
        elif evidence.first[step]:
            right, why = (1, 1), "was under way when process 1 was killed"
        else:
            right, why = (0, 1), "had not begun when process 1 was killed"
        if got != right:
            faults.append(f"{step} {why}, and ran {got[0]} + {got[1]} times instead of {right[0]} + {right[1]}")
        if step not in evidence.done:
            faults.append(f"{step} is not completed")
    if not evidence.saved or not evidence.in_flight or all(evidence.first[step] for step in evidence.steps):
        faults.append("process 1 was not killed half-way")
    return faults


def wrong_files() -> list[str]:
    """Return which files are not there."""
    return [f"{FOLDER / name} is missing" for name in FILES if not (FOLDER / name).exists()]


def wrong_numbers(found: pd.DataFrame, sample: int | None) -> list[str]:
    """Compare the result with what pandas says of the same flights, without dotflow."""
    flights = pd.read_csv(pipeline.data_folder() / "flights.csv.zip", usecols=pipeline.COLUMNS)
    if sample is not None:
        flights = flights.sample(sample, random_state=1)
    groups = flights.dropna(subset="arr_delay").groupby(["origin", "carrier"])["arr_delay"]
    right = groups.agg(flights="size", mean_delay="mean", late=lambda delays: (delays > 15).mean(), error="sem")
    found = found.set_index(["origin", "carrier"]).sort_index()
    if list(found.index) != list(right.index):
        return ["the table has not the rows that pandas finds"]
    faults = [
        f"column {column} differs from what pandas finds"
        for column in ("flights", "mean_delay", "late")
        if not np.allclose(found[column], right[column], rtol=1e-12, atol=1e-12)
    ]
    many = right["flights"] >= 1000  # where the theory of large numbers gives the interval, too
    for column, sign in (("low", -1), ("high", 1)):
        expected = right["mean_delay"] + sign * 1.96 * right["error"]
        if not np.allclose(found[column][many], expected[many], atol=0.25 * right["error"][many].max()):
            faults.append(f"column {column} is far from what theory says")
    return faults


# -- showing -------------------------------------------------------------------------------------------------


def heading(text: str) -> None:
    """Print a heading."""
    console.print(f"\n[bold]{text}[/]")


def show_saved(saved: dict[str, str]) -> None:
    """Print which steps the database knows to be completed."""
    shown = Table("completed step", "saved at (UTC)")
    for step, when in saved.items():
        shown.add_row(step, when)
    console.print(shown)


def show_runs(evidence: Evidence) -> None:
    """Print which step ran in which process, and how often in all."""
    shown = Table("step", "process 1", "process 2")
    shown.add_column("times run", justify="right")
    for step in evidence.steps:
        if step in evidence.saved:
            before, after = "completed", "from the database"
        else:
            before = "killed" if evidence.first[step] else ""
            after = "completed" if step in evidence.done else "not completed"
        shown.add_row(step, before, after, str(evidence.first[step] + evidence.second[step]))
    console.print(shown)


def show_result(found: pd.DataFrame) -> None:
    """Print the first and the last lines of the result."""
    shown = Table("airport", "airline")
    for name in ("flights", "delay", "95 % interval", "late"):
        shown.add_column(name, justify="right", no_wrap=True)
    found = found[found["flights"] >= pipeline.ENOUGH]
    for part in (found.head(5), found.tail(5)):
        for row in part.itertuples():
            shown.add_row(
                pipeline.AIRPORTS[row.origin],
                re.sub(r" (Inc\.|Co\.|Corporation)$", "", row.airline),
                f"{row.flights:,}",
                f"{row.mean_delay:.1f}",
                f"{row.low:.1f} to {row.high:.1f}",
                f"{row.late:.0%}",
            )
        shown.add_section()
    console.print(shown)
    console.print(f"  The 5 most and the 5 least punctual of {len(found)} pairs of airport and airline.")
    console.print(f"  delay: the mean at arrival, in minutes; late: more than {pipeline.LATE} minutes")


def show_files() -> None:
    """Print where everything is."""
    heading("6. Where it is")
    for name, what in FILES.items():
        console.print(f"  {FOLDER / name!s:<28} {what}")


def blame(faults: list[str]) -> int:
    """Print what is not as promised; return the exit code."""
    heading("Not as promised:")
    for fault in faults:
        console.print(f"  - {fault}", markup=False)
    return 1


def conclude(evidence: Evidence, seconds: float) -> None:
    """Say what was shown."""
    heading(f"What was shown, in {seconds:.0f} s")
    for line in (
        f"A process with {len(evidence.steps)} steps to do was killed by SIGKILL, with no time to tidy up.",
        f"The {len(evidence.saved)} steps it had completed did not run again: the database had the results.",
        f"{' and '.join(evidence.in_flight)}, under way at the time, ran twice; every other step ran once.",
        "The result equals what pandas computes from the same flights without dotflow.",
    ):
        console.print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
