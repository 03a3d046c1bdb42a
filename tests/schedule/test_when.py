"""When a schedule is due: pure values, with no clock, and the table of changes to and from summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dotflow.core.exception import ConfigurationError
from dotflow.core.when import AnyOf, At, Between, Cron, Every, Except, Jitter, When
from dotflow.core.zones import zone_of

# zone, date of the change, first wall clock that is skipped or repeated, minutes (below 0: repeated)
CHANGES = [
    ("America/New_York", date(2026, 3, 8), time(2), 60),
    ("America/New_York", date(2026, 11, 1), time(1), -60),
    ("Europe/London", date(2026, 3, 29), time(1), 60),
    ("Europe/London", date(2026, 10, 25), time(1), -60),
    ("Europe/Berlin", date(2026, 3, 29), time(2), 60),
    ("Europe/Berlin", date(2026, 10, 25), time(2), -60),
    ("Australia/Sydney", date(2026, 10, 4), time(2), 60),
    ("Australia/Sydney", date(2026, 4, 5), time(2), -60),
    ("Australia/Lord_Howe", date(2026, 10, 4), time(2), 30),
    ("Australia/Lord_Howe", date(2026, 4, 5), time(1, 30), -30),
    ("America/Sao_Paulo", date(2018, 11, 4), time(0), 60),
    ("America/Sao_Paulo", date(2019, 2, 16), time(23), -60),
]
FIXED = ["{m} {h} * * *", "0,15,30,45 {h} * * *", "7 0-23/3 * * *", "0 {m} {h} * * *"]
WILD = ["0 * * * *", "*/15 * * * *", "15 * * * *", "*/15 {h} * * *", "0 */2 * * *", "30 */15 * * * *"]


def fields(line: str) -> list[set[int]]:
    """Read a line anew: seconds, minutes, hours of the lines in this table."""
    parts = line.split()
    found = []
    for part, most in zip(parts[:-3] if len(parts) == 6 else ["0", *parts[:-3]], (60, 60, 24), strict=True):
        values: set[int] = set()
        for term in part.split(","):
            span, _, step = term.partition("/")
            low, _, high = span.partition("-")
            lowest, highest = (0, most - 1) if span == "*" else (int(low), int(high or low))
            values.update(range(lowest, highest + 1, int(step or 1)))
        found.append(values)
    return found


def matches(line: list[set[int]], wall: datetime) -> bool:
    return wall.second in line[0] and wall.minute in line[1] and wall.hour in line[2]


def expected(line: str, zone: ZoneInfo, start: datetime, end: datetime, change: datetime) -> list[datetime]:
    """The stated rule, minute by minute (half minute), with nothing of the code that is tested."""
    found = set()
    read, minute = fields(line), line.split()[-5:-3]
    step = timedelta(seconds=30)
    if any(part.startswith("*") for part in minute):
        moment = start + step
        while moment <= end:
            if matches(read, moment.astimezone(zone)):
                found.add(moment)
            moment += step
        return sorted(found)
    wall = (start - timedelta(days=1)).replace(tzinfo=None)
    while wall < (end + timedelta(days=2)).replace(tzinfo=None):
        if matches(read, wall):
            local = wall.replace(tzinfo=zone, fold=0)
            moment = local.astimezone(UTC)
            if moment.astimezone(zone).replace(tzinfo=None) != wall:
                moment = change
            if start < moment <= end:
                found.add(moment)
        wall += step
    return sorted(found)


def instant_of_change(zone: ZoneInfo, day: date) -> datetime:
    moment = datetime.combine(day, time(), UTC) - timedelta(days=1)
    before = moment.astimezone(zone).utcoffset()
    while moment.astimezone(zone).utcoffset() == before:
        moment += timedelta(minutes=1)
    return moment


@pytest.mark.parametrize(("name", "day", "wall", "minutes"), CHANGES)
@pytest.mark.parametrize("line", FIXED + WILD)
def test_changes_of_the_clocks(line: str, name: str, day: date, wall: time, minutes: int) -> None:
    """Each tick comes as the rule of the module says, and none twice."""
    zone = ZoneInfo(name)
    inside = datetime.combine(day, wall) + timedelta(minutes=abs(minutes) / 2)
    text = line.format(h=inside.hour, m=inside.minute)
    change = instant_of_change(zone, day)
    start, end = change - timedelta(hours=30), change + timedelta(hours=30)

    found = list(Cron(text, tz=name).coming(start, end))

    assert found == expected(text, zone, start, end, change)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("name", "day", "wall", "minutes"), CHANGES)
def test_daily_is_due_once_on_the_day_of_a_change(name: str, day: date, wall: time, minutes: int) -> None:
    """A daily rule within the change is due once: at once after a skip, the first time of a repetition."""
    zone, inside = ZoneInfo(name), datetime.combine(day, wall) + timedelta(minutes=abs(minutes) / 2)
    change = instant_of_change(zone, day)
    rule = Cron(f"{inside.minute} {inside.hour} * * *", tz=name)

    near = list(rule.coming(change - timedelta(hours=12), change + timedelta(hours=12)))

    first = inside.replace(tzinfo=zone, fold=0).astimezone(UTC)
    assert near == [change if minutes > 0 else first]


def test_answers_do_not_depend_on_where_one_asks_from() -> None:
    """Asked from any instant around a change, the next one is the same."""
    rule = Cron("30 1 * * *", tz="America/New_York")
    start = datetime(2026, 10, 31, tzinfo=UTC)
    every = list(rule.coming(start, start + timedelta(days=3)))
    for minutes in range(0, 3 * 24 * 60, 7):
        moment = start + timedelta(minutes=minutes)
        if moment < every[-1]:
            assert rule.next(moment) == next(tick for tick in every if tick > moment)


def test_days_are_read_as_debian_does() -> None:
    """Day of month and day of week are joined by OR, unless one of them begins with a star."""
    january = datetime(2026, 1, 1, tzinfo=UTC)
    both = [tick.day for tick in Cron("0 0 13 * 5", "UTC").coming(january, january + timedelta(days=20))]
    assert both == [2, 9, 13, 16]


def test_names_stand_for_lines() -> None:
    start = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
    assert Cron("@daily", "UTC").next(start) == datetime(2026, 5, 7, tzinfo=UTC)
    assert Cron("@Hourly", "UTC").next(start) == datetime(2026, 5, 6, 8, tzinfo=UTC)


def test_seconds_come_first() -> None:
    start = datetime(2026, 5, 6, 7, 8, 3, tzinfo=UTC)
    assert Cron("*/10 * * * * *", "UTC").next(start) == start.replace(second=10)


def test_every_is_anchored() -> None:
    """Whatever one asks from, every answer is the anchor and a whole number of intervals."""
    anchor = datetime(2026, 1, 1, 0, 0, 7, 500_000, tzinfo=UTC)
    rule = Every(0.1, anchor)
    assert rule.next(anchor - timedelta(days=1)) == anchor
    moment = anchor
    for number in range(1, 1000):
        moment = rule.next(moment) or moment
        assert moment == anchor + number * timedelta(milliseconds=100)
    assert Every(timedelta(hours=1)).next(anchor) == datetime(2026, 1, 1, 1, tzinfo=UTC)


def test_at_gives_each_moment_once() -> None:
    rule = At("2026-03-08T02:30", datetime(2026, 1, 1), "2026-01-01T00:00-05:00", tz="America/New_York")
    start = datetime(2020, 1, 1, tzinfo=UTC)
    assert list(rule.coming(start)) == [datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC)]


def test_any_of_gives_a_shared_instant_once() -> None:
    rule = AnyOf(Cron("0 * * * *", "UTC"), Cron("0,30 * * * *", "UTC"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert [tick.minute for tick in rule.coming(start, start + timedelta(hours=2))] == [30, 0, 30, 0]


@pytest.mark.parametrize(("start", "end", "hours"), [("09:00", "12:00", {9, 10, 11}), ("22:00", "01:00", {22, 23, 0})])
def test_between_is_a_window_of_the_day(start: str, end: str, hours: set[int]) -> None:
    rule = Between(Every(60), start, end, tz="Europe/Berlin")
    day = datetime(2026, 7, 1, 10, tzinfo=UTC)
    found = list(rule.coming(day, day + timedelta(days=2)))
    assert {rule.local(tick).hour for tick in found} == hours
    assert len(found) == 360


def test_between_of_a_rule_that_is_never_inside_ends() -> None:
    assert Between(Cron("0 3 * * *", "UTC"), "09:00", "10:00").next(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_except_leaves_out_days_of_the_zone() -> None:
    rule = Except(Cron("0 */6 * * *", "Asia/Tokyo"), ["2026-12-25", date(2026, 12, 26)])
    start = datetime(2026, 12, 24, 14, tzinfo=UTC)  # 23:00 in Tokyo
    assert rule.local(rule.next(start) or start) == datetime(2026, 12, 27, tzinfo=ZoneInfo("Asia/Tokyo"))


def test_jitter_is_bounded_the_same_everywhere_and_loses_nothing() -> None:
    """Each tick of the rule comes once, late by less than the bound, also if the bound is above the interval."""
    plain, start = Every(10), datetime(2026, 1, 1, tzinfo=UTC)
    rule = Jitter(plain, 25, seed="one")
    found = list(rule.coming(start, start + timedelta(hours=1)))
    assert 355 <= len(found) <= 362
    assert found == list(Jitter(plain, 25, seed="one").coming(start, start + timedelta(hours=1)))
    assert found != list(Jitter(plain, 25, seed="two").coming(start, start + timedelta(hours=1)))
    assert found == sorted(found)


@pytest.mark.parametrize(
    "rule", [Cron("*/7 3-9 * * *", "UTC"), Every(1), At("2026-01-01T00:00:05+00:00", "2027-01-01T00:00+00:00")]
)
@pytest.mark.parametrize("seconds", [0.5, 5, 3600, 90_000, 10_000_000])
def test_latest_is_the_last_of_all(rule: When, seconds: float) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=seconds)
    found = rule.latest(start, end)
    if found is None:
        assert (rule.next(start) or end + timedelta(1)) > end
    else:
        assert found <= end < (rule.next(found) or datetime.max.replace(tzinfo=UTC))


NAIVE = datetime(2026, 1, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cron("61 * * * *"), ["minute", "'61'", "0-59", "'*/15'"]),
        (lambda: Cron("0 25 * * *"), ["hour", "'25'", "0-23"]),
        (lambda: Cron("0 0 32 * *"), ["day of month", "'32'", "1-31"]),
        (lambda: Cron("0 0 1 foo *"), ["month", "'foo'", "JAN-DEC"]),
        (lambda: Cron("0 0 * * 8"), ["day of week", "'8'", "SUN-SAT"]),
        (lambda: Cron("70 0 0 * * *"), ["second", "'70'"]),
        (lambda: Cron("*/0 * * * *"), ["minute", "'*/0'"]),
        (lambda: Cron("L/2 * * * *"), ["minute"]),
        (lambda: Cron("* * *"), ["3 fields", "expected 5"]),
        (lambda: Cron(""), ["'0 9 * * MON-FRI'"]),
        (lambda: Cron(5), ["got 5"]),  # type: ignore[arg-type]
        (lambda: Cron("@reboot"), ["no such name", "@daily"]),
        (lambda: Cron("0 0 30 2 *"), ["never due"]),
        (lambda: Cron("* * * * *", "Europe/Berlim"), ["'Europe/Berlim'", "did you mean", "'Europe/Berlin'"]),
        (lambda: Cron("* * * * *", "../etc/passwd"), ["is not a time zone"]),
        (lambda: Cron("* * * * *", 5), ["tz=5"]),  # type: ignore[arg-type]
        (lambda: Every(0), ["above 0", "got 0"]),
        (lambda: Every(-1), ["above 0"]),
        (lambda: Every(float("nan")), ["above 0"]),
        (lambda: Every(float("inf")), ["above 0"]),
        (lambda: Every(1e-9), ["above 0"]),
        (lambda: Every(True), ["got True"]),
        (lambda: Every("5"), ["got '5'"]),  # type: ignore[arg-type]
        (lambda: Every(timedelta(0)), ["above 0"]),
        (lambda: Every(5, NAIVE), ["time zone", "tzinfo=UTC"]),
        (lambda: Every(5).next(NAIVE), ["time zone"]),
        (lambda: Cron("* * * * *").next(NAIVE), ["time zone"]),
        (lambda: At(), ["at least one"]),
        (lambda: At(NAIVE), ["time zone", "without tz="]),
        (lambda: At("soon"), ["'soon'", "2027-03-01T09:00"]),
        (lambda: AnyOf(), ["at least one"]),
        (lambda: AnyOf("* * * * *"), ["needs a rule"]),  # type: ignore[arg-type]
        (lambda: Between(Every(1), "09:00", "25:00"), ["end", "'25:00'"]),
        (lambda: Between(Every(1), "09:00", "09:00"), ["empty"]),
        (lambda: Except(Every(1), ["christmas"]), ["'christmas'"]),
        (lambda: Except(Every(1), [NAIVE]), ["needs dates"]),
        (lambda: Jitter(Every(1), 0), ["above 0"]),
    ],
)
def test_bad_input_is_refused(make: object, words: list[str]) -> None:
    """The error says what was wrong, with its value, and what was expected."""
    with pytest.raises(ConfigurationError) as caught:
        make()  # type: ignore[operator]
    for word in words:
        assert word in str(caught.value)


def test_the_machines_zone_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from dotflow.core.zones import Zones

    monkeypatch.setattr(Zones, "known", {})
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert Cron("0 9 * * *").next(start) == datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
    assert str(zone_of(None)) == "Asia/Kolkata"
