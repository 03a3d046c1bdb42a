"""Copy everything from an API that answers page by page into SQLite, every row exactly once.

fetch-1 ─▶ store-1 ─▶ fetch-2 ─▶ store-2 ─▶ …

python collect.py https://api.example.org/readings             # kill it whenever you like
python collect.py https://api.example.org/readings --resume    # it goes on from there
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx

from dotflow import Config, DotFlow, action
from dotflow.core.types import WorkflowStatus
from dotflow.providers import StorageSQLite

if TYPE_CHECKING:
    from dotflow import Context
    from dotflow.core.messages import StepInfo

ROWS = "rows.db"  # where the rows go
RUN = "run.db"  # where dotflow keeps what is done
TABLES = """
    create table if not exists stored (key text primary key);
    create table if not exists readings (sensor text, taken_at text, value real);
"""


@action(retry=5, retry_delay=1, backoff=True, max_delay=30, jitter=0.2, retry_on=httpx.HTTPError)
def fetch(initial_context: Context) -> list[dict[str, Any]]:
    """Fetch one page. What it returns is saved, so it is not fetched again."""
    asked = initial_context.storage
    response = httpx.get(asked["url"], params={"page": asked["page"]}, timeout=10)
    rows: list[dict[str, Any]] = response.raise_for_status().json()
    return rows


@action
def store(previous_context: Context, task: StepInfo) -> int:
    """Write the rows of one page, and in the same transaction that it is done; return how many were written.

    If the process dies after the commit and before dotflow knows of it, this step runs again when the run is resumed.
    It then has the same idempotency key, finds it in the table, and writes nothing.
    """
    rows: list[dict[str, Any]] = previous_context.storage
    with closing(sqlite3.connect(ROWS, timeout=60)) as database, database:
        new = database.execute("insert or ignore into stored values (?)", (task.idempotency_key,)).rowcount
        if not new:
            return 0
        database.executemany("insert into readings values (:sensor, :taken_at, :value)", rows)
    return len(rows)


def count_pages(url: str) -> int:
    """Ask the API how many pages there are; it tells without sending one."""
    return int(httpx.head(url, timeout=10).raise_for_status().headers["X-Total-Pages"])


def build(url: str, pages: int) -> DotFlow:
    """Return the workflow that copies *pages* pages."""
    workflow = DotFlow(Config(storage=StorageSQLite(RUN)), workflow_id=f"collect {url}")
    for page in range(1, pages + 1):
        workflow.task.add(fetch, initial_context={"url": url, "page": page}, task_id=f"fetch-{page}")
        workflow.task.add(store, task_id=f"store-{page}")
    return workflow


def main() -> int:
    """Copy, and print what was done; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--resume", action="store_true", help="go on with the last run")
    asked = parser.parse_args()

    with closing(sqlite3.connect(ROWS, timeout=60)) as database:
        database.executescript(TABLES)
    workflow = build(asked.url, count_pages(asked.url))
    manager = workflow.start(resume=asked.resume, keep_results=False, progress=True)
    with closing(sqlite3.connect(ROWS)) as database:
        [count] = database.execute("select count(*) from readings").fetchone()
    print(f"{count} readings in {ROWS}")
    return 0 if manager.status is WorkflowStatus.COMPLETED else 1


if __name__ == "__main__":
    sys.exit(main())
