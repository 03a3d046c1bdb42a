"""Overlap, catch-up and limits: pure decisions, with no clock and no thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dotflow.core.agenda import State, Tick, add, beat, decide, ended, finish, leave, make_policy, moment, release, text
from dotflow.core.exception import ConfigurationError
from dotflow.core.when import Cron, Every

START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDLY, HOURLY = Every(1), Cron("0 * * * *", "UTC")


class Simulation:
    """A schedule on paper: runs take so many seconds, and somebody looks at least every tenth of a second."""

    def __init__(self, run: float, **words: Any) -> None:
        self.policy, self.run = make_policy("X", **words), run
        self.state = State("rule", text(START))
        self.now, self.began, self.ends = START, list[float](), dict[Tick, datetime]()
        self.cancelled: list[datetime] = []

    def go(self, seconds: float, rule: Any = SECONDLY) -> Simulation:
        until = self.now + timedelta(seconds=seconds)
        while self.now <= until:
            nearest = min([*self.ends.values(), rule.next(moment(self.state.through)) or until])
            if nearest > self.now + timedelta(seconds=0.1):
                self.now = min(nearest, until)  # nothing happens before
            for tick, end in list(self.ends.items()):
                if end <= self.now:
                    self.end(tick)
            decision = decide(self.state, rule, self.policy, self.now, "me")
            self.state = decision.state
            self.cancelled += decision.cancels
            for at, epoch in decision.starts:
                self.began.append((at - START).total_seconds())
                self.ends[Tick("s", at, epoch)] = self.now + timedelta(seconds=self.run)
            self.now += timedelta(seconds=0.1)
        return self

    def end(self, tick: Tick, status: str = "Completed") -> None:
        del self.ends[tick]
        after = finish(self.state, tick, "me", status, self.policy)
        assert after is not None
        self.state = after


@pytest.mark.parametrize(
    ("overlap", "began", "dropped"),
    [
        ("skip", [1, 4, 7, 10], 6),
        ("queue", [1, 2, 4, 6], 5),
        ("queue_all", [1, 2, 3, 4], 0),
        ("parallel", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0),
        ("parallel(2)", [1, 2, 4, 5, 7, 8, 10], 3),
        ("cancel_previous", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0),
    ],
)
def test_overlap(overlap: str, began: list[int], dropped: int) -> None:
    """Ticks each second, runs of 2.5 s: as API.md §16.4 measured, and the words beyond it."""
    done = Simulation(2.5, overlap=overlap).go(10)

    assert done.began == began
    assert done.state.dropped == dropped
    if overlap == "cancel_previous":
        assert [(at - START).total_seconds() for at in done.cancelled] == list(range(1, 10))


def test_parallel_stops_at_ten() -> None:
    assert Simulation(60, overlap="parallel").go(20).began == list(range(1, 11))


@pytest.mark.parametrize(
    ("catch_up", "window", "hours", "missed"),
    [
        ("none", None, [1], 3),
        ("latest", None, [1, 4], 2),
        ("all", None, [1, 2, 3, 4], 0),
        ("all", 2 * 3600, [1, 3, 4], 1),
        ("latest", 1800, [1, 4], 2),
        ("latest", 600, [1], 3),
    ],
)
def test_three_hours_asleep(catch_up: str, window: float | None, hours: list[int], missed: int) -> None:
    """Asleep from 01:30 to 04:30: none of the three is run, or the latest, or all, those in the window only."""
    done = Simulation(1, catch_up=catch_up, window=window)
    done.go(1.5 * 3600, HOURLY)
    done.now = START + timedelta(hours=4, minutes=20)
    done.go(300, HOURLY)

    assert [began / 3600 for began in done.began] == hours
    assert done.state.missed == missed
    assert done.state.through == text(START + timedelta(hours=4))


@pytest.mark.parametrize(("catch_up", "runs"), [("none", 0), ("latest", 1)])
def test_a_month_of_seconds_is_not_counted_one_by_one(catch_up: str, runs: int) -> None:
    """However many ticks were missed, deciding takes no time to speak of; they are counted up to a limit."""
    policy = make_policy("X", catch_up=catch_up, grace=1.5)
    decision = decide(State("r", text(START)), SECONDLY, policy, START + timedelta(days=30), "me")

    assert decision.state.missed > 10_000
    assert decision.state.through == text(START + timedelta(days=30))
    assert decision.starts[0][0] == START + timedelta(days=30, seconds=-2 if runs else -1)


def test_a_clock_that_is_set_back_repeats_nothing_and_one_that_is_set_forward_misses() -> None:
    done = Simulation(0.1).go(5)
    done.now -= timedelta(hours=1)
    done.go(10)
    assert done.began == [1, 2, 3, 4, 5]
    done.now = START + timedelta(hours=2)
    done.go(1)
    assert done.began[:5] == [1, 2, 3, 4, 5]
    assert done.state.missed == 7200 - 5 - 6
    assert done.began[5] == 7195


def test_limits() -> None:
    """``max_runs`` counts starts; ``until`` is the last instant that may be due."""
    done = Simulation(0.1, max_runs=3).go(10)
    assert done.began == [1, 2, 3]
    assert ended(done.state, SECONDLY, done.policy)
    done = Simulation(0.1, until=START + timedelta(seconds=4)).go(10)
    assert done.began == [1, 2, 3, 4]
    assert ended(done.state, SECONDLY, done.policy)
    assert Simulation(2.5, overlap="queue_all", max_runs=2).go(10).began == [1, 2]


def test_pause_after_failures_in_a_row() -> None:
    """Two failures in a row pause; what was missed meanwhile is caught up as the policy says."""
    done = Simulation(100, pause_after=2, catch_up="latest", overlap="parallel").go(3.5)
    first, second, third = done.ends
    done.end(first, "Failed")
    done.end(second)
    done.end(third, "Failed")
    assert not done.state.paused
    done.go(1)
    done.end(next(iter(done.ends)), "Failed")
    assert "2 runs failed" in done.state.paused
    done.go(60)
    assert len(done.began) == 4
    done.state = replace(done.state, paused="", failures=0)
    done.go(0.1)
    assert done.began[4:5] == [59]


def test_a_run_that_was_taken_over_cannot_be_ended_by_who_had_it() -> None:
    policy = make_policy("X")
    mine = decide(State("r", text(START)), SECONDLY, policy, START + timedelta(seconds=1), "a")
    (at, epoch), key = mine.starts[0], text(mine.starts[0][0])
    assert decide(mine.state, SECONDLY, policy, START + timedelta(seconds=1), "b").starts == []

    taken = decide(mine.state, SECONDLY, policy, START + timedelta(seconds=1), "b", {key})

    assert taken.starts == [(at, epoch + 1)]
    assert finish(taken.state, Tick("s", at, epoch), "a", "Completed", policy) is None
    assert release(taken.state, Tick("s", at, epoch), "a") is None
    free = release(taken.state, Tick("s", at, epoch + 1), "b")
    assert free is not None
    assert decide(free, SECONDLY, policy, START + timedelta(seconds=1), "c").starts == [(at, epoch + 2)]


def test_state_is_json() -> None:
    import json

    state = Simulation(2.5, overlap="queue_all").go(10).state
    state = beat(state, "me", "here", {"pid": 1})
    assert State.read(json.loads(json.dumps(state.raw()))) == state
    assert leave(state, ("me",)).watch == {}
    assert add(state, moment(next(iter(state.open))), "me") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"overlap": "sometimes"}, "'skip', 'queue', 'queue_all', 'cancel_previous' or 'parallel'"),
        ({"overlap": "parallel(0)"}, "overlap='parallel(0)'"),
        ({"overlap": None}, "overlap=None"),
        ({"catch_up": "some"}, "'none', 'latest' or 'all'"),
        ({"pause_after": 0}, "pause_after"),
        ({"max_runs": True}, "max_runs"),
        ({"max_runs": 1.5}, "max_runs"),
        ({"until": datetime(2026, 1, 1)}, "time zone"),
        ({"grace": 0}, "grace"),
        ({"window": -1}, "window"),
    ],
)
def test_bad_words_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_policy("SchedulerX", **words)
    assert said in str(caught.value)
    assert "SchedulerX" in str(caught.value)
