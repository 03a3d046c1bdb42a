"""Do these web pages answer? Look every minute, and tell somebody when one goes down or comes back.

check https://… ─┐
check https://… ─┼▶ summary
check https://… ─┘

dotflow schedule --workflow check:build --every 60 --keep-going
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.core.types import TypeStatus
from dotflow.providers import NotifyWebhook

if TYPE_CHECKING:
    from datetime import timedelta

    from dotflow import Context, Task

PAGES = Path(os.environ.get("HEALTH_PAGES", "pages.txt"))
WEBHOOK = os.environ.get("HEALTH_WEBHOOK")
TRUSTED = ssl.create_default_context()  # made once: it takes longer than many a page
PATIENCE = float(os.environ.get("HEALTH_PATIENCE", "5"))  # seconds that one try may take


@action(retry=3, retry_delay=PATIENCE / 5, backoff=True, jitter=0.2, timeout=PATIENCE)
async def check(initial_context: Context) -> float:
    """Fetch one page; return the milliseconds it took. All pages are fetched at the same time."""
    async with httpx.AsyncClient(follow_redirects=True, verify=TRUSTED, timeout=None) as client:  # the step has one
        response = await client.get(initial_context.storage)
    took: timedelta = response.raise_for_status().elapsed
    return took.total_seconds() * 1000


@action
def summary(previous_context: Context) -> dict[str, int]:
    """Print a line for each page, and count. With ``--keep-going`` a page that is down gives None."""
    found: dict[str, float | None] = previous_context.storage
    for url, took in found.items():
        print(f"{'down' if took is None else 'up':<4}  {url}" + ("" if took is None else f"  {took:.0f} ms"))
    down = sum(took is None for took in found.values())
    print(f"{len(found) - down} of {len(found)} pages are up", flush=True)
    return {"up": len(found) - down, "down": down}


class NotifyChange(Notify):
    """Pass on that a page went down or came back, and nothing in between.

    Args:
        notify: Whom to tell.
    """

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._down: set[str] = set()

    def hook_status_task(self, task: Task) -> None:
        """Tell, if the page was not known to be so; a message that is not delivered is tried again next time."""
        if task.status == TypeStatus.FAILED and task.task_id not in self._down:
            self._notify.hook_status_task(task)
            self._down.add(task.task_id)
        elif task.status == TypeStatus.COMPLETED and task.task_id in self._down:
            self._notify.hook_status_task(task)
            self._down.discard(task.task_id)


def build() -> DotFlow:
    """Return the workflow: a task for each line of the file, named as its page."""
    pages = [line for line in map(str.strip, PAGES.read_text().splitlines()) if line and not line.startswith("#")]
    notify = NotifyChange(NotifyWebhook(WEBHOOK)) if WEBHOOK else None
    workflow = DotFlow(Config(notify=notify), workflow_id="health-check")
    for url in pages:
        workflow.task.add(check, initial_context=url, task_id=url, depends_on=[])
    workflow.task.add(summary, depends_on=pages)
    return workflow
