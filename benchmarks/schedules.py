"""Schedules beside croniter and APScheduler, in one run.

``python benchmarks/schedules.py dst`` prints what each says of a daily rule on the days of a change;
``python benchmarks/schedules.py late [SECONDS]`` the lateness of an every-second schedule, both at the same time.
Needs ``pip install croniter apscheduler`` beside dotflow.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

CHANGES = [
    ("America/New_York", "2026-03-08", "30 2"),
    ("America/New_York", "2026-11-01", "30 1"),
    ("Europe/London", "2026-03-29", "30 1"),
    ("Europe/London", "2026-10-25", "30 1"),
    ("Europe/Berlin", "2026-03-29", "30 2"),
    ("Europe/Berlin", "2026-10-25", "30 2"),
    ("Australia/Sydney", "2026-10-04", "30 2"),
    ("Australia/Sydney", "2026-04-05", "30 2"),
    ("Australia/Lord_Howe", "2026-10-04", "15 2"),
    ("Australia/Lord_Howe", "2026-04-05", "45 1"),
    ("America/Sao_Paulo", "2018-11-04", "30 0"),
    ("America/Sao_Paulo", "2019-02-16", "30 23"),
]


def ours(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    from dotflow.core.when import Cron

    return list(Cron(line, zone).coming(start, end))


def by_croniter(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    from croniter import croniter

    found, ticks = [], croniter(line, start.astimezone(ZoneInfo(zone)))
    while len(found) < 500 and (tick := ticks.get_next(datetime).astimezone(UTC)) <= end:
        found.append(tick)
    return found


def by_apscheduler(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    from apscheduler.triggers.cron import CronTrigger

    trigger, found = CronTrigger.from_crontab(line, timezone=ZoneInfo(zone)), []
    before, now = None, start
    while len(found) < 500:  # as its scheduler asks: with the tick that was, and the time that is then
        tick = trigger.get_next_fire_time(before, now.astimezone(ZoneInfo(zone)))
        if tick is None or tick.astimezone(UTC) > end:
            break
        found.append(tick.astimezone(UTC))
        before, now = tick, max(now, found[-1]) + timedelta(milliseconds=1)
    return found


def dst() -> None:
    rules = {"daily": "{} * * *", "hourly": "0 * * * *", "15 min": "*/15 * * * *"}
    print("| zone | day | rule | dotflow | croniter | APScheduler |\n|---|---|---|---|---|---|")
    for zone, day, at in CHANGES:
        start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(seconds=1)
        end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for name, pattern in rules.items():
            line, cells = pattern.format(at), []
            for ask in (ours, by_croniter, by_apscheduler):
                found = ask(line, zone, start, end - timedelta(seconds=1))
                if name == "daily":
                    counts = Counter(f"{tick.astimezone(ZoneInfo(zone)):%H:%M%z}" for tick in found)
                    cells.append(", ".join(f"{at}{f' x{n}' * (n > 1)}" for at, n in counts.items()) or "none")
                else:
                    twice = len(found) - len(set(found))
                    cells.append(f"{len(found)}" + (f" ({twice} twice)" if twice else ""))
            print(f"| {zone} | {day} | `{line}` | {' | '.join(cells)} |")


def late_ours(seconds: int) -> list[float]:
    from dotflow import Config, DotFlow, action
    from dotflow.providers import SchedulerCron

    found: list[float] = []

    @action
    def step(initial_context):  # type: ignore[no-untyped-def]
        found.append(time.time() - initial_context.scheduled_for.timestamp())

    workflow = DotFlow(Config(scheduler=SchedulerCron("* * * * * *", max_runs=seconds)))
    workflow.task.add(step=step)
    workflow.schedule()
    return found


def late_theirs(seconds: int) -> list[float]:
    from apscheduler.schedulers.background import BackgroundScheduler

    found: list[float] = []
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(lambda: found.append(time.time() % 1), "cron", second="*")
    scheduler.start()
    while len(found) < seconds:
        time.sleep(0.3)
    scheduler.shutdown()
    return found


def late(seconds: int) -> None:
    commands = {name: [sys.executable, __file__, name, str(seconds)] for name in ("ours", "theirs")}
    processes = {name: subprocess.Popen(command, stdout=subprocess.PIPE) for name, command in commands.items()}
    for name, process in processes.items():
        found = json.loads(process.communicate()[0])
        print(
            f"{name}: {len(found)} ticks, lateness median {statistics.median(found) * 1000:.2f} ms, "
            f"worst {max(found) * 1000:.2f} ms"
        )


if __name__ == "__main__":
    what, seconds = [*sys.argv[1:], "late", "60"][:2] if len(sys.argv) > 2 else [*sys.argv[1:2], "60"]
    if what == "dst":
        dst()
    elif what == "late":
        late(int(seconds))
    else:
        print(json.dumps({"ours": late_ours, "theirs": late_theirs}[what](int(seconds))))
