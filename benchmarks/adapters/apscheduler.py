"""APScheduler 3: ``BackgroundScheduler`` with its default thread pool."""

from __future__ import annotations

import time

from benchmarks.case import Case, Cases, Measured, Peer
from benchmarks.work import lateness

PEER = Peer("APScheduler", "apscheduler")


def ticking(seconds: int) -> Measured:
    from apscheduler.schedulers.background import BackgroundScheduler

    ticks: list[float] = []
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(lambda: ticks.append(time.time()), "cron", second="*")
    scheduler.start()
    time.sleep(seconds + 0.6)
    scheduler.shutdown()
    return lateness(ticks, seconds)


CASES: Cases = {
    "W1a": {"import": Case(source="from apscheduler.schedulers.background import BackgroundScheduler")},
    "W9": {f"cron, {seconds} s": Case(ticking, {"seconds": seconds}, timeout=seconds + 30) for seconds in (20, 60)},
}
