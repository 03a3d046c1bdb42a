"""Daylight saving time beside croniter and APScheduler: ``python -m benchmarks.dst`` prints the table.

For daily, hourly and every-15-minutes rules on the days of a change, what each of the three says: the local times of a
daily rule, else how many ticks, and how many of them come twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from benchmarks import environments

ENVIRONMENT = "apscheduler"  # has croniter too
MOST = 500  # ticks that are looked at

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

    found: list[datetime] = []
    ticks = croniter(line, start.astimezone(ZoneInfo(zone)))
    while len(found) < MOST and (tick := ticks.get_next(datetime).astimezone(UTC)) <= end:
        found.append(tick)
    return found


def by_apscheduler(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    from apscheduler.triggers.cron import CronTrigger

    trigger = CronTrigger.from_crontab(line, timezone=ZoneInfo(zone))
    found: list[datetime] = []
    before, now = None, start
    while len(found) < MOST:  # as its scheduler asks: with the tick that was, and the time that is then
        tick = trigger.get_next_fire_time(before, now.astimezone(ZoneInfo(zone)))
        if tick is None or tick.astimezone(UTC) > end:
            break
        found.append(tick.astimezone(UTC))
        before, now = tick, max(now, found[-1]) + timedelta(milliseconds=1)
    return found


RULES = {"daily": "{} * * *", "hourly": "0 * * * *", "15 min": "*/15 * * * *"}
SAYERS: tuple[Callable[..., list[datetime]], ...] = (ours, by_croniter, by_apscheduler)


def table() -> str:
    rows = ["| zone | day | rule | dotflow | croniter | APScheduler |", "|---|---|---|---|---|---|"]
    for zone, day, at in CHANGES:
        start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(seconds=1)
        end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for name, pattern in RULES.items():
            line = pattern.format(at)
            found = [ask(line, zone, start, end - timedelta(seconds=1)) for ask in SAYERS]
            cells = [local_times(ticks, zone) if name == "daily" else counted(ticks) for ticks in found]
            rows.append(f"| {zone} | {day} | `{line}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def local_times(ticks: list[datetime], zone: str) -> str:
    counts = Counter(f"{tick.astimezone(ZoneInfo(zone)):%H:%M%z}" for tick in ticks)
    return ", ".join(f"{at}{f' x{n}' * (n > 1)}" for at, n in counts.items()) or "none"


def counted(ticks: list[datetime]) -> str:
    twice = len(ticks) - len(set(ticks))
    return f"{len(ticks)}" + (f" ({twice} twice)" if twice else "")


def main() -> int:
    """Print the table, in the environment that has all three."""
    if "--here" in sys.argv:
        print(table())
        return 0
    environments.make(ENVIRONMENT)
    path = f"{environments.HERE.parent}:{environments.SOURCE}"
    command = [str(environments.python_of(ENVIRONMENT)), "-m", "benchmarks.dst", "--here"]
    return subprocess.run(command, env={"PYTHONPATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main())
